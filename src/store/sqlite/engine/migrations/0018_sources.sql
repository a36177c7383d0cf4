-- Sources: URLs that take requests of other programs, and the inbound log.

-- Deleted sources stay as rows (deleted_at) while an event of theirs is kept, because recipes read their
-- summary; their secrets do not.
CREATE TABLE sources (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    uid             BLOB NOT NULL UNIQUE,
    app             INTEGER NOT NULL REFERENCES apps (id),
    name            TEXT NOT NULL,
    enabled         INTEGER NOT NULL,
    token_hash      BLOB NOT NULL UNIQUE,
    token           BLOB NOT NULL,            -- sealed, to show the URL again
    old_token_hash  BLOB,
    old_token_until INTEGER,
    verify          BLOB NOT NULL,            -- verifiers and challenge with their secrets, sealed as a whole
    settings        TEXT NOT NULL,            -- JSON
    preset          TEXT,                     -- JSON
    last_request_at INTEGER,
    deleted_at      INTEGER,
    created_at      INTEGER NOT NULL,
    updated_at      INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX sources_name ON sources (app, name) WHERE deleted_at IS NULL;
CREATE INDEX sources_old_token ON sources (old_token_hash) WHERE old_token_hash IS NOT NULL;

CREATE TABLE inbound (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    source      INTEGER NOT NULL REFERENCES sources (id),
    outcome     TEXT NOT NULL,
    received_at INTEGER NOT NULL,
    event       INTEGER,
    status      INTEGER NOT NULL,
    client_ip   TEXT,
    method      TEXT NOT NULL,
    path        TEXT,
    reason      TEXT,
    size        INTEGER NOT NULL
) STRICT;
CREATE INDEX inbound_source ON inbound (source);
-- Strangers write these, so only the newest of them are kept.
CREATE INDEX inbound_refused ON inbound (source, id) WHERE outcome = 'rejected' OR outcome = 'invalid';

CREATE TABLE inbound_details (
    inbound INTEGER PRIMARY KEY REFERENCES inbound (id) ON DELETE CASCADE,
    headers TEXT NOT NULL,
    query   TEXT,
    body    BLOB,                             -- NULL: the event's payload
    content TEXT                              -- what the body is: NULL = as it came, 'payload', 'cut'
) STRICT;

CREATE TABLE inbound_seen (
    source     INTEGER NOT NULL,
    digest     BLOB NOT NULL,
    event      INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (source, digest)
) STRICT, WITHOUT ROWID;
CREATE INDEX inbound_seen_age ON inbound_seen (created_at);

-- Outcomes by the hour, of the last day.
CREATE TABLE inbound_hours (
    source    INTEGER NOT NULL,
    hour      INTEGER NOT NULL,
    accepted  INTEGER NOT NULL DEFAULT 0,
    duplicate INTEGER NOT NULL DEFAULT 0,
    ignored   INTEGER NOT NULL DEFAULT 0,
    rejected  INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (source, hour)
) STRICT, WITHOUT ROWID;

-- What few events have; a column of events would be reached only by walking over the payload.
CREATE TABLE event_extras (
    event    INTEGER PRIMARY KEY,
    source   INTEGER,
    hops     INTEGER,
    filtered INTEGER NOT NULL
) STRICT;
CREATE INDEX event_extras_source ON event_extras (source) WHERE source IS NOT NULL;
