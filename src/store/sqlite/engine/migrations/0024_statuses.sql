-- Failed attempts sent in an hour, by the class of their response's status: what became of the others is in `rollups`.
-- Attempts from before this migration are in no class.
CREATE TABLE rollup_statuses (
    endpoint INTEGER NOT NULL,
    hour     INTEGER NOT NULL,
    class    TEXT NOT NULL CHECK (class IN ('2xx', '3xx', '4xx', '5xx', 'other', 'none')),
    count    INTEGER NOT NULL,
    PRIMARY KEY (endpoint, hour, class)
) STRICT, WITHOUT ROWID;
