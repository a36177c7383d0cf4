-- People's sessions and set-up links. Tokens are kept as SHA-256 only.

ALTER TABLE users ADD COLUMN last_sign_in_at INTEGER;

CREATE TABLE sessions (
    id           INTEGER PRIMARY KEY,
    uid          BLOB NOT NULL UNIQUE,
    token_hash   BLOB NOT NULL UNIQUE,
    user         INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    address      TEXT,
    user_agent   TEXT,
    created_at   INTEGER NOT NULL,
    last_seen_at INTEGER NOT NULL
) STRICT;

CREATE INDEX sessions_by_user ON sessions (user);

-- At most one link, and only while there is no user.
CREATE TABLE setup_links (
    token_hash BLOB NOT NULL PRIMARY KEY,
    expires_at INTEGER NOT NULL
) STRICT;
