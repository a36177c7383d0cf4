-- Rates other than a number of requests a second, such as 30/m; then rate_limit is NULL.
ALTER TABLE endpoints ADD COLUMN rate_text TEXT;
-- The recipe that the endpoint was made with: JSON of its name, its version, and a digest of what it set.
ALTER TABLE endpoints ADD COLUMN preset TEXT;
