-- One name for the position of an attempt in the order of its app's results.

-- The index is renamed as 0009 changes texts: creating it again would read the whole log.
PRAGMA writable_schema = ON;
UPDATE sqlite_schema SET name = 'attempts_result', sql = replace(sql, 'attempts_finished', 'attempts_result')
WHERE type = 'index' AND name = 'attempts_finished';
PRAGMA writable_schema = RESET;

-- These tell every connection to read the schema again.
ALTER TABLE attempts RENAME COLUMN finished_seq TO result_seq;
ALTER TABLE apps RENAME COLUMN finished_count TO result_seq;
