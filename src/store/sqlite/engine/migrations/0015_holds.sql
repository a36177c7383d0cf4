-- An endpoint in trouble is on hold: its deliveries wait, and only probes are sent.

-- The hold; the reason is NULL when there is none. `hold_step` says which wait follows the next failed probe.
ALTER TABLE endpoints ADD COLUMN hold_reason TEXT CHECK (hold_reason IN ('circuit', 'rate_limited'));
ALTER TABLE endpoints ADD COLUMN hold_since INTEGER;
ALTER TABLE endpoints ADD COLUMN hold_probe_at INTEGER;
ALTER TABLE endpoints ADD COLUMN hold_step INTEGER NOT NULL DEFAULT 0;
-- Failures in a row for which it was unavailable.
ALTER TABLE endpoints ADD COLUMN row_failures INTEGER NOT NULL DEFAULT 0;
ALTER TABLE endpoints ADD COLUMN row_first_at INTEGER;
ALTER TABLE endpoints ADD COLUMN row_last_at INTEGER;
-- Responses in a row that asked for a pause.
ALTER TABLE endpoints ADD COLUMN limited INTEGER NOT NULL DEFAULT 0;
-- When the first of `consecutive_failures` was known, and whether webhook_endpoint.failing was emitted for it.
ALTER TABLE endpoints ADD COLUMN failed_since INTEGER;
ALTER TABLE endpoints ADD COLUMN is_announced INTEGER NOT NULL DEFAULT 0;
-- The last failure that counted, or that asked for a pause.
ALTER TABLE endpoints ADD COLUMN failure_kind TEXT;
ALTER TABLE endpoints ADD COLUMN failure_status INTEGER;
ALTER TABLE endpoints ADD COLUMN failure_message TEXT;
-- Who fails now has failed since its last change at the latest.
UPDATE endpoints SET failed_since = updated_at WHERE consecutive_failures > 0;

-- Since when a delivery has been held, once it was; and whether a person wants it sent at once.
ALTER TABLE attempts ADD COLUMN held_since INTEGER;
ALTER TABLE attempts ADD COLUMN urgent INTEGER;
CREATE INDEX attempts_held ON attempts (endpoint, held_since) WHERE status = 'pending' AND held_since IS NOT NULL;
CREATE INDEX attempts_urgent ON attempts (due_at) WHERE status = 'pending' AND urgent IS NOT NULL;
CREATE INDEX endpoints_on_hold ON endpoints (hold_since) WHERE hold_reason IS NOT NULL;
