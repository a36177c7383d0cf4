-- What people set while the server runs, as text by name. The configuration wins over it.
--   retention.logs, retention.events: lengths of time, as they were given.
CREATE TABLE settings (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
