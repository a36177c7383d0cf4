-- Statistics in constant time, and what retention needs.
--
-- Everything here is counted in the transaction that makes it happen, and is never counted again from
-- the log; so retention changes none of it. Tests are in none of it.

-- Deliveries as they stand now, over all time. At all times, as long as retention has taken nothing:
--   deliveries: rows without first_id; delivered, exhausted, pending, cancelled: rows with this status
--   (exactly one row of a delivery is not 'failed'), so that these four add up to deliveries;
--   response_*: over the rows with status delivered or exhausted that have a response time.
CREATE TABLE totals (
    endpoint          INTEGER PRIMARY KEY,
    deliveries        INTEGER NOT NULL,
    delivered         INTEGER NOT NULL,
    exhausted         INTEGER NOT NULL,
    pending           INTEGER NOT NULL,
    cancelled         INTEGER NOT NULL,
    failed_attempts   INTEGER NOT NULL,
    response_count    INTEGER NOT NULL,
    response_ms_sum   INTEGER NOT NULL,
    response_ms_min   INTEGER,           -- of all that ever were in it, those that a retry took out included
    response_ms_max   INTEGER,
    last_attempted_at INTEGER
) STRICT;

CREATE TABLE total_times (
    endpoint INTEGER NOT NULL,
    bucket   INTEGER NOT NULL,
    count    INTEGER NOT NULL,
    PRIMARY KEY (endpoint, bucket)
) STRICT, WITHOUT ROWID;

-- Failed attempts by what went wrong, without interrupted ones. response_status 0: no response.
CREATE TABLE total_errors (
    endpoint        INTEGER NOT NULL,
    error_kind      TEXT NOT NULL,
    response_status INTEGER NOT NULL,
    count           INTEGER NOT NULL,
    last_message    TEXT NOT NULL,
    last_at         INTEGER NOT NULL,
    PRIMARY KEY (endpoint, error_kind, response_status)
) STRICT, WITHOUT ROWID;

-- By the time at which a delivery was made: how many there are, and how many of those are exhausted.
-- By attempted_at, as before: the rest. response_count: attempts that have a response time.
ALTER TABLE rollups ADD COLUMN deliveries INTEGER NOT NULL DEFAULT 0;
ALTER TABLE rollups ADD COLUMN failed_deliveries INTEGER NOT NULL DEFAULT 0;
ALTER TABLE rollups ADD COLUMN response_count INTEGER NOT NULL DEFAULT 0;

-- The same by the minute (whole minutes since 1970), kept for a week.
CREATE TABLE minutes (
    endpoint          INTEGER NOT NULL,
    minute            INTEGER NOT NULL,
    delivered         INTEGER NOT NULL,
    exhausted         INTEGER NOT NULL,
    failed_attempts   INTEGER NOT NULL,
    response_ms_sum   INTEGER NOT NULL,
    deliveries        INTEGER NOT NULL,
    failed_deliveries INTEGER NOT NULL,
    response_count    INTEGER NOT NULL,
    PRIMARY KEY (endpoint, minute)
) STRICT, WITHOUT ROWID;

CREATE TABLE minute_times (
    endpoint INTEGER NOT NULL,
    minute   INTEGER NOT NULL,
    bucket   INTEGER NOT NULL,
    count    INTEGER NOT NULL,
    PRIMARY KEY (endpoint, minute, bucket)
) STRICT, WITHOUT ROWID;

-- The last deliveries of an endpoint that have ended, by the newest first.
CREATE INDEX attempts_ended ON attempts (endpoint)
    WHERE status IN ('delivered', 'exhausted') AND trigger <> 'test';

-- What the log holds from before. Response times begin with this version.
INSERT INTO totals
SELECT endpoint, sum(first_id IS NULL), sum(status = 'delivered'), sum(status = 'exhausted'),
       sum(status = 'pending'), sum(status = 'cancelled'),
       sum(status IN ('failed', 'exhausted') AND error_kind IS NOT 'interrupted'), 0, 0, NULL, NULL,
       max(attempted_at)
FROM attempts WHERE trigger <> 'test' GROUP BY endpoint;
UPDATE rollups SET response_count = coalesce(
    (SELECT sum(t.count) FROM rollup_times t WHERE t.endpoint = rollups.endpoint AND t.hour = rollups.hour), 0);

-- An event whose payload retention has taken is in no list and no walk: it stays only for as long as an
-- attempt or an idempotency key refers to it. So lists must say "payload IS NOT NULL" to use this.
DROP INDEX events_app;
CREATE INDEX events_app ON events (app) WHERE payload IS NOT NULL;

-- Keys expire by age.
CREATE INDEX idempotency_created ON idempotency (created_at);

-- Small facts about the whole store, by name.
--   clock: the latest time that the server has seen, in milliseconds.
CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
