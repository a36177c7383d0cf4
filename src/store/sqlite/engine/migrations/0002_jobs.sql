-- Bulk jobs: recovery work over many deliveries, queued in steps.

-- A job walks over rows it was made for: those of attempts (retry), events (recover) or endpoints
-- (replay), up to walk_to, which was the highest when it was made. It has been as far as
-- (walked_at, walked_id); walked_at is 0 where the walk goes by id alone. At all times
--   queued = delivered + exhausted + cancelled + its attempts that are pending.
CREATE TABLE jobs (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    uid        BLOB NOT NULL UNIQUE,
    app        INTEGER NOT NULL REFERENCES apps (id),
    kind       TEXT NOT NULL CHECK (kind IN ('retry', 'recover', 'replay')),
    status     TEXT NOT NULL CHECK (status IN ('running', 'done', 'cancelled')),
    work       TEXT NOT NULL,              -- JSON: what is meant
    walking    INTEGER NOT NULL,           -- whether there may be more to queue
    walk_to    INTEGER NOT NULL,
    walked_at  INTEGER NOT NULL,
    walked_id  INTEGER NOT NULL,
    matched    INTEGER NOT NULL,
    queued     INTEGER NOT NULL DEFAULT 0,
    delivered  INTEGER NOT NULL DEFAULT 0,
    exhausted  INTEGER NOT NULL DEFAULT 0,
    cancelled  INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL
) STRICT;

CREATE INDEX jobs_app ON jobs (app);
CREATE INDEX jobs_walking ON jobs (id) WHERE walking = 1;
-- Jobs that were stopped and still have pending attempts: for as long as those are being cancelled.
CREATE INDEX jobs_ending ON jobs (id)
    WHERE status = 'cancelled' AND queued > delivered + exhausted + cancelled;

-- The job that made the attempt; its retries have it too.
ALTER TABLE attempts ADD COLUMN job INTEGER REFERENCES jobs (id);
-- Bulk work is a queue of its own behind the fresh attempts of the same endpoint.
ALTER TABLE attempts ADD COLUMN bulk INTEGER GENERATED ALWAYS AS (job IS NOT NULL) VIRTUAL;
DROP INDEX attempts_due;
CREATE INDEX attempts_due ON attempts (endpoint, bulk, due_at)
    WHERE status = 'pending' AND schedule_used IS NOT NULL;
CREATE INDEX attempts_job ON attempts (job) WHERE status = 'pending' AND job IS NOT NULL;

-- Recovery asks for the events of a time.
CREATE INDEX events_created ON events (app, created_at);
