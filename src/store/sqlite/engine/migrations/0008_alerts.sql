-- When the failure counter or a 410 switched an endpoint off last; updated_at changes with every edit.
ALTER TABLE endpoints ADD COLUMN disabled_at INTEGER;

-- Where alerts go. url and token are sealed; host is the URL's, for people.
CREATE TABLE alert_targets (
    id            INTEGER PRIMARY KEY,
    uid           BLOB NOT NULL UNIQUE,
    name          TEXT NOT NULL,
    form          TEXT NOT NULL CHECK (form IN ('json', 'ntfy', 'gotify', 'discord', 'slack')),
    url           BLOB NOT NULL,
    host          TEXT NOT NULL,
    token         BLOB,
    kinds         TEXT NOT NULL,              -- separated by spaces
    queue_age     TEXT NOT NULL,              -- a length of time, as it was given
    disk_free_mib INTEGER NOT NULL,
    enabled       INTEGER NOT NULL,
    created_at    INTEGER NOT NULL,
    updated_at    INTEGER NOT NULL,
    tried_at      INTEGER,
    tried_kind    TEXT,
    tried_error   TEXT                        -- NULL: it arrived
) STRICT;

-- What was told last, for the silence after it. mark is NULL for what is told again while it lasts.
CREATE TABLE alerts_told (
    target  INTEGER NOT NULL REFERENCES alert_targets (id) ON DELETE CASCADE,
    kind    TEXT NOT NULL,
    subject TEXT NOT NULL,
    mark    TEXT,
    told_at INTEGER NOT NULL,
    PRIMARY KEY (target, kind, subject)
) STRICT, WITHOUT ROWID;
