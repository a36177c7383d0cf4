-- A failure for a cause of this machine leaves its attempt pending (error_kind 'local').

-- When the attempt first failed in this way; the wait for the next try grows from it.
ALTER TABLE attempts ADD COLUMN local_since INTEGER;

-- No row has the new kind yet, so the indexes over the class stay right. Only the text of the table changes, as
-- SQLite's documentation of ALTER TABLE describes for changes that leave the rows alone.
PRAGMA writable_schema = ON;
UPDATE sqlite_schema SET sql = replace(replace(sql,
    'OR error_kind = ''interrupted'')',
    'OR error_kind = ''interrupted'' OR error_kind = ''local'')'),
    'WHEN ''protocol'' THEN 7 ELSE 8 END END',
    'WHEN ''protocol'' THEN 7 WHEN ''interrupted'' THEN 8 ELSE 9 END END')
WHERE type = 'table' AND name = 'attempts';
PRAGMA writable_schema = RESET;
