-- Long values of request headers, which every attempt to an endpoint carries, once each. `request_headers` of an attempt
-- then has U+0001 and the row's number instead of the value; no header value can begin so.
CREATE TABLE header_values (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    hash         BLOB NOT NULL UNIQUE,   -- SHA-256 of the value
    last_attempt INTEGER NOT NULL,       -- no attempt above this number refers to it
    value        TEXT NOT NULL
) STRICT;
