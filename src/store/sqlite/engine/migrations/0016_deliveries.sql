-- The log by delivery: one row for each, its newest attempt, which is the one that is not failed.

ALTER TABLE attempts ADD COLUMN delivery INTEGER GENERATED ALWAYS AS (coalesce(first_id, id)) VIRTUAL;
-- How the attempt before ended: the bits of its class for error_kind and response_status, error_kind 15 for 'local'.
ALTER TABLE attempts ADD COLUMN last_outcome INTEGER;

-- The class of a pending attempt has these bits, so deliveries that wait for a retry are found by how the last attempt
-- ended. No row has the new column yet, so the indexes over the class stay right. Only the text of the table changes,
-- as SQLite's documentation of ALTER TABLE describes for changes that leave the rows alone.
PRAGMA writable_schema = ON;
UPDATE sqlite_schema SET sql = replace(sql,
    '(coalesce(response_status, 0) & 1023)',
    '(coalesce(response_status, 0) & 1023)
    | CASE WHEN last_outcome IS NULL THEN 0 WHEN status = ''pending'' AND error_kind IS NULL THEN last_outcome ELSE 0 END')
WHERE type = 'table' AND name = 'attempts';
PRAGMA writable_schema = RESET;

-- Attempts that wait for a retry now.
UPDATE attempts SET last_outcome = (
    SELECT CASE (b.class >> 14) & 15 WHEN 9 THEN (b.class & 1023) | (15 << 14) ELSE b.class & ((15 << 14) | 1023) END
    FROM attempts b WHERE b.id = coalesce(
        (SELECT max(c.id) FROM attempts c WHERE c.first_id = attempts.first_id AND c.id < attempts.id),
        attempts.first_id))
WHERE status = 'pending' AND first_id IS NOT NULL;

-- By the id of the delivery. First attempts of events and replays, which are nearly all, are not in it: the id of such a
-- row is that of its delivery, so the indexes by class have them in this order.
CREATE INDEX attempts_app_delivery ON attempts (app, class, delivery)
    WHERE status <> 'failed' AND (first_id IS NOT NULL OR (trigger <> 'event' AND trigger <> 'replay'));
CREATE INDEX attempts_endpoint_delivery ON attempts (endpoint, class, delivery)
    WHERE status <> 'failed' AND (first_id IS NOT NULL OR (trigger <> 'event' AND trigger <> 'replay'));
