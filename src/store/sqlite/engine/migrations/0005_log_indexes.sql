-- The delivery log is read by any filter in any order, at any size.
--
-- The class of a row is everything about it that filters ask for and that is no time, packed into one
-- number (src/store/sqlite/log_class.rs reads it). A log has few classes, however many rows it has, and
-- within a class every order is an index. From the lowest bit:
--   0-9    response_status, 0: none
--   10     whether response_time_ms is missing
--   11-13  attempted_at after created_at: 0: never, 1: within a minute, 2: an hour, 3: a day, 4: else
--   14-17  error_kind, 0: none
--   18-20  trigger
--   21-23  status, in alphabetical order, which is the order of the sorted list
--   24-    type
ALTER TABLE attempts ADD COLUMN class INTEGER GENERATED ALWAYS AS (
    (type << 24)
    | (CASE status WHEN 'cancelled' THEN 0 WHEN 'delivered' THEN 1 WHEN 'exhausted' THEN 2
           WHEN 'failed' THEN 3 ELSE 4 END << 21)
    | (CASE trigger WHEN 'event' THEN 0 WHEN 'retry' THEN 1 WHEN 'manual' THEN 2 WHEN 'recover' THEN 3
           WHEN 'replay' THEN 4 ELSE 5 END << 18)
    | (CASE WHEN error_kind IS NULL THEN 0 ELSE CASE error_kind WHEN 'dns' THEN 1 WHEN 'connect' THEN 2
           WHEN 'tls' THEN 3 WHEN 'timeout' THEN 4 WHEN 'http_status' THEN 5 WHEN 'blocked_address' THEN 6
           WHEN 'protocol' THEN 7 ELSE 8 END END << 14)
    | (CASE WHEN attempted_at IS NULL THEN 0
           WHEN attempted_at - created_at BETWEEN 0 AND 59999 THEN 1
           WHEN attempted_at - created_at BETWEEN 60000 AND 3599999 THEN 2
           WHEN attempted_at - created_at BETWEEN 3600000 AND 86399999 THEN 3 ELSE 4 END << 11)
    | ((response_time_ms IS NULL) << 10)
    | (coalesce(response_status, 0) & 1023)
) VIRTUAL;

-- In the order of id. A row that is pending is in these, and moves once, when it is finished.
CREATE INDEX attempts_app_class ON attempts (app, class);
CREATE INDEX attempts_endpoint_class ON attempts (endpoint, class);
-- Only rows that have the value: each is entered once.
CREATE INDEX attempts_app_attempted ON attempts (app, class, attempted_at) WHERE attempted_at IS NOT NULL;
CREATE INDEX attempts_endpoint_attempted ON attempts (endpoint, class, attempted_at) WHERE attempted_at IS NOT NULL;
CREATE INDEX attempts_app_time ON attempts (app, class, response_time_ms) WHERE response_time_ms IS NOT NULL;
CREATE INDEX attempts_endpoint_time ON attempts (endpoint, class, response_time_ms) WHERE response_time_ms IS NOT NULL;

-- The list of events by type, as it shows them.
CREATE INDEX events_type ON events (app, type) WHERE payload IS NOT NULL AND origin <> 'test';

-- Rows are made in nearly, but not quite, the order of created_at: the clock may be set back, and a
-- result waits for the writer. So there is no index of it: for every zone of 4096 ids this says which
-- times lie in it. A zone is written when the next begins; created_at never changes.
CREATE TABLE log_zones (
    zone     INTEGER PRIMARY KEY,        -- id >> 12
    earliest INTEGER NOT NULL,
    latest   INTEGER NOT NULL
) STRICT;

CREATE TRIGGER attempts_zone AFTER INSERT ON attempts WHEN NEW.id & 4095 = 0 BEGIN
    INSERT OR REPLACE INTO log_zones (zone, earliest, latest)
    SELECT (NEW.id >> 12) - 1, min(created_at), max(created_at) FROM attempts
    WHERE id >= NEW.id - 4096 AND id < NEW.id HAVING count(*) > 0;
END;

INSERT INTO log_zones (zone, earliest, latest)
SELECT id >> 12, min(created_at), max(created_at) FROM attempts
WHERE id < (SELECT max(id) FROM attempts) >> 12 << 12 GROUP BY 1;

CREATE TABLE event_zones (
    zone     INTEGER PRIMARY KEY,
    earliest INTEGER NOT NULL,
    latest   INTEGER NOT NULL
) STRICT;

CREATE TRIGGER events_zone AFTER INSERT ON events WHEN NEW.id & 4095 = 0 BEGIN
    INSERT OR REPLACE INTO event_zones (zone, earliest, latest)
    SELECT (NEW.id >> 12) - 1, min(created_at), max(created_at) FROM events
    WHERE id >= NEW.id - 4096 AND id < NEW.id HAVING count(*) > 0;
END;

INSERT INTO event_zones (zone, earliest, latest)
SELECT id >> 12, min(created_at), max(created_at) FROM events
WHERE id < (SELECT max(id) FROM events) >> 12 << 12 GROUP BY 1;
