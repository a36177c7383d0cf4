-- What health is judged by, without reading the log.

-- When the status was set; updated_at changes with every edit.
ALTER TABLE endpoints ADD COLUMN status_since INTEGER NOT NULL DEFAULT 0;
UPDATE endpoints SET status_since = CASE status WHEN 'active' THEN created_at
    WHEN 'disabled' THEN coalesce(disabled_at, updated_at) ELSE updated_at END;

-- The record of an endpoint's results, as src/store/sqlite/engine/records.rs describes it.
ALTER TABLE totals ADD COLUMN record TEXT NOT NULL DEFAULT '';

-- From the counts, to the minute or else to the hour, and from the newest deliveries that have ended.
WITH seen AS (
    SELECT t.endpoint AS endpoint, max(p.consecutive_failures) AS failures,
        coalesce((SELECT max(m.minute) * 60000 FROM minutes m WHERE m.endpoint = t.endpoint AND m.delivered > 0),
            (SELECT max(r.hour) * 3600000 FROM rollups r WHERE r.endpoint = t.endpoint AND r.delivered > 0)) AS success,
        (SELECT max(e.last_at) FROM total_errors e WHERE e.endpoint = t.endpoint) AS failure,
        (SELECT max(m.minute) * 60000 FROM minutes m
            WHERE m.endpoint = t.endpoint AND m.response_ms_sum > 3000) AS slow,
        (SELECT max(m.minute) * 60000 FROM minutes m WHERE m.endpoint = t.endpoint AND m.exhausted > 0) AS exhausted,
        coalesce((SELECT max(m.minute) * 60000 FROM minutes m WHERE m.endpoint = t.endpoint AND m.deliveries > 0),
            (SELECT max(r.hour) * 3600000 FROM rollups r WHERE r.endpoint = t.endpoint AND r.deliveries > 0)) AS event
    FROM totals t JOIN endpoints p ON p.id = t.endpoint GROUP BY t.endpoint
)
UPDATE totals SET record = (
    SELECT s.failures || ' '
        || coalesce(CASE WHEN s.failures > 0 THEN coalesce((SELECT min(m.minute) * 60000 FROM minutes m
            WHERE m.endpoint = s.endpoint AND m.failed_attempts > 0 AND m.minute * 60000 > coalesce(s.success, 0)),
            s.failure) END, '-') || ' '
        || coalesce((SELECT e.error_kind || ' ' || CASE e.response_status WHEN 0 THEN '-' ELSE e.response_status END
            FROM total_errors e WHERE e.endpoint = s.endpoint ORDER BY e.last_at DESC LIMIT 1), '- -') || ' 0 '
        || coalesce(s.success, '-') || ' ' || coalesce(s.failure, '-') || ' '
        || coalesce(CASE WHEN s.failures = 0 THEN s.success END, '-') || ' '
        || coalesce(s.slow, '-') || ' ' || coalesce(s.exhausted, '-') || ' ' || coalesce(s.event, '-')
        || coalesce((SELECT group_concat(' ' || d.id || d.stand, '') FROM (
            SELECT coalesce(a.first_id, a.id) AS id,
                CASE a.status WHEN 'exhausted' THEN '!' || coalesce(a.finished_at, a.due_at) ELSE '' END AS stand
            FROM attempts a WHERE a.endpoint = s.endpoint AND a.status IN ('delivered', 'exhausted')
                AND a.trigger <> 'test' ORDER BY a.id DESC LIMIT 10) d), '')
    FROM seen s WHERE s.endpoint = totals.endpoint
)
WHERE endpoint IN (SELECT endpoint FROM seen);

-- The record has the newest deliveries.
DROP INDEX attempts_ended;
