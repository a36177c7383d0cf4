-- Filters of endpoints over events. How many endpoints declined an event is in event_extras.

ALTER TABLE endpoints ADD COLUMN filter TEXT;
-- The last time that the filter could not decide: a sentence, and when.
ALTER TABLE endpoints ADD COLUMN filter_error TEXT;
ALTER TABLE endpoints ADD COLUMN filter_error_at INTEGER;
CREATE INDEX endpoints_filter ON endpoints (app) WHERE filter IS NOT NULL;
