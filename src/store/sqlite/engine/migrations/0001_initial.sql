-- The first schema. Times are milliseconds since 1970, UTC; hours are whole hours since 1970.
-- Big tables point to apps, endpoints and types by small row numbers; the UUIDs that clients see stand
-- once, where they belong.

CREATE TABLE apps (
    id         INTEGER PRIMARY KEY,
    uid        BLOB NOT NULL UNIQUE,
    name       TEXT NOT NULL UNIQUE,
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE keys (
    seq          INTEGER PRIMARY KEY AUTOINCREMENT,
    id           TEXT NOT NULL UNIQUE,
    app          INTEGER NOT NULL REFERENCES apps (id),
    name         TEXT NOT NULL,
    scopes       TEXT NOT NULL,
    secret_hash  BLOB NOT NULL,
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER,
    revoked_at   INTEGER,
    last_used_at INTEGER
) STRICT;

CREATE TABLE users (
    id            INTEGER PRIMARY KEY,
    uid           BLOB NOT NULL UNIQUE,
    email         TEXT NOT NULL UNIQUE,
    role          TEXT NOT NULL CHECK (role IN ('viewer', 'admin', 'owner')),
    password_hash TEXT NOT NULL,
    created_at    INTEGER NOT NULL
) STRICT;

-- No CHECK on the kind: every new feature brings new kinds, and a CHECK can only be changed by writing
-- the whole table again.
CREATE TABLE activity (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    kind       TEXT NOT NULL,
    app        INTEGER REFERENCES apps (id),
    actor      TEXT NOT NULL,
    address    TEXT,
    summary    TEXT NOT NULL,
    details    TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

-- Deleted endpoints stay as rows (deleted_at), because the log shows their names and URLs; their
-- secrets and header values do not.
CREATE TABLE endpoints (
    id                   INTEGER PRIMARY KEY AUTOINCREMENT,
    uid                  BLOB NOT NULL UNIQUE,
    app                  INTEGER NOT NULL REFERENCES apps (id),
    status               TEXT NOT NULL CHECK (status IN ('active', 'paused', 'disabled')),
    consecutive_failures INTEGER NOT NULL,
    deleted_at           INTEGER,
    retry_schedule       TEXT,               -- waits separated by spaces; '' = no retries; NULL = the default
    rate_limit           INTEGER,
    url                  TEXT NOT NULL,
    name                 TEXT NOT NULL,
    description          TEXT,
    events               TEXT NOT NULL,      -- patterns separated by spaces
    headers              TEXT NOT NULL,      -- JSON: [{"name", "value" | "sealed": base64}]
    encrypted            INTEGER NOT NULL,
    timeout              TEXT,
    status_reason        TEXT,
    secret               BLOB NOT NULL,      -- sealed; empty when deleted
    retired_secrets      TEXT NOT NULL,      -- JSON: [{"sealed": base64, "valid_until"}], newest first
    created_at           INTEGER NOT NULL,
    updated_at           INTEGER NOT NULL
) STRICT;

CREATE INDEX endpoints_app ON endpoints (app, uid);

-- count and last_seen_at are about what clients posted; a type that only tests or the system used has 0.
CREATE TABLE event_types (
    id           INTEGER PRIMARY KEY,
    app          INTEGER NOT NULL REFERENCES apps (id),
    name         TEXT NOT NULL,
    count        INTEGER NOT NULL,
    last_seen_at INTEGER,
    UNIQUE (app, name)
) STRICT;

-- payload comes last, so that reading the other columns does not walk over it. NULL: retention took it.
CREATE TABLE events (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    uid         BLOB NOT NULL UNIQUE,
    app         INTEGER NOT NULL REFERENCES apps (id),
    type        INTEGER NOT NULL REFERENCES event_types (id),
    resource_id TEXT,
    origin      TEXT NOT NULL CHECK (origin IN ('client', 'system', 'test')),
    deliveries  INTEGER NOT NULL,
    created_at  INTEGER NOT NULL,
    payload     BLOB
) STRICT;

CREATE INDEX events_app ON events (app);

CREATE TABLE idempotency (
    app        INTEGER NOT NULL,
    key        TEXT NOT NULL,
    event      INTEGER NOT NULL,
    digest     BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (app, key)
) STRICT, WITHOUT ROWID;

-- The delivery log, which is the queue as well. Ids are never used twice, because they are known
-- outside (AUTOINCREMENT).
CREATE TABLE attempts (
    id               INTEGER PRIMARY KEY AUTOINCREMENT,
    first_id         INTEGER,            -- the delivery's first attempt; NULL for that one itself
    app              INTEGER NOT NULL REFERENCES apps (id),
    endpoint         INTEGER NOT NULL REFERENCES endpoints (id),
    event            INTEGER NOT NULL REFERENCES events (id),
    type             INTEGER NOT NULL REFERENCES event_types (id),
    status           TEXT NOT NULL CHECK (status IN ('pending', 'delivered', 'failed', 'exhausted', 'cancelled')),
    trigger          TEXT NOT NULL CHECK (trigger IN ('event', 'retry', 'manual', 'recover', 'replay', 'test')),
    attempt          INTEGER NOT NULL,
    schedule_used    INTEGER,            -- steps of the schedule; NULL for a single shot
    created_at       INTEGER NOT NULL,
    due_at           INTEGER NOT NULL,
    attempted_at     INTEGER,
    finished_at      INTEGER,
    response_status  INTEGER,
    response_time_ms INTEGER,
    error_kind       TEXT CHECK (error_kind IN ('dns', 'connect', 'tls', 'timeout', 'http_status',
                                                'blocked_address', 'protocol', 'interrupted')),
    error_message    TEXT,
    next_retry_at    INTEGER             -- due_at of the row that follows, while that is pending
) STRICT;

-- The queue. An index ends in the row's id, so these are in the order of (due_at, id).
CREATE INDEX attempts_due ON attempts (endpoint, due_at) WHERE status = 'pending' AND schedule_used IS NOT NULL;
CREATE INDEX attempts_single ON attempts (due_at) WHERE status = 'pending' AND schedule_used IS NULL;
-- The lists, in the order of id.
CREATE INDEX attempts_app ON attempts (app);
CREATE INDEX attempts_endpoint ON attempts (endpoint);
CREATE INDEX attempts_event ON attempts (event);
-- Most deliveries have one row only, so this holds few.
CREATE INDEX attempts_first ON attempts (first_id) WHERE first_id IS NOT NULL;
-- Exhausted rows are looked for often and are rare.
CREATE INDEX attempts_exhausted ON attempts (app) WHERE status = 'exhausted';

-- What only the detail of an attempt shows, apart from the row, so that scanning the log stays quick.
-- Headers are JSON: [[name, value], ...] in the order they had.
CREATE TABLE attempt_details (
    attempt            INTEGER PRIMARY KEY REFERENCES attempts (id) ON DELETE CASCADE,
    request_url        TEXT,
    request_headers    TEXT,
    request_body       BLOB,             -- NULL: the event's payload
    response_headers   TEXT,
    response_truncated INTEGER,
    response_body      BLOB
) STRICT;

-- Counts by the hour of attempted_at, tests left out. At all times, over the rows of the log:
--   delivered, exhausted: those with this status;
--   failed_attempts: those with status failed or exhausted and another error than 'interrupted';
--   response_ms_sum, rollup_times: those with a response time.
CREATE TABLE rollups (
    endpoint        INTEGER NOT NULL,
    hour            INTEGER NOT NULL,
    delivered       INTEGER NOT NULL,
    exhausted       INTEGER NOT NULL,
    failed_attempts INTEGER NOT NULL,
    response_ms_sum INTEGER NOT NULL,
    PRIMARY KEY (endpoint, hour)
) STRICT, WITHOUT ROWID;

CREATE TABLE rollup_times (
    endpoint INTEGER NOT NULL,
    hour     INTEGER NOT NULL,
    bucket   INTEGER NOT NULL,
    count    INTEGER NOT NULL,
    PRIMARY KEY (endpoint, hour, bucket)
) STRICT, WITHOUT ROWID;
