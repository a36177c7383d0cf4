-- Requests of an endpoint's own shape: the attribute request as JSON text, and sealed secrets as JSON pairs.

ALTER TABLE endpoints ADD COLUMN request TEXT;
ALTER TABLE endpoints ADD COLUMN secrets TEXT;
-- NULL: POST.
ALTER TABLE attempt_details ADD COLUMN request_method TEXT;

-- No row has the new kinds of errors yet, so the indexes over the class stay right. Only the text of the table changes,
-- as SQLite's documentation of ALTER TABLE describes for changes that leave the rows alone.
PRAGMA writable_schema = ON;
UPDATE sqlite_schema SET sql = replace(replace(sql,
    'OR error_kind = ''local'')',
    'OR error_kind = ''local'' OR error_kind = ''template'' OR error_kind = ''response'')'),
    'WHEN ''interrupted'' THEN 8 ELSE 9 END END',
    'WHEN ''interrupted'' THEN 8 WHEN ''local'' THEN 9 WHEN ''template'' THEN 10 ELSE 11 END END')
WHERE type = 'table' AND name = 'attempts';
PRAGMA writable_schema = RESET;
