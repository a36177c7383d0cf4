-- Events that go to so many endpoints that their first attempts are written in steps. A row is an event whose
-- attempts are not all there; it is written with the event and removed with the last step, so a crash leaves it.
CREATE TABLE fan_outs (
    event     INTEGER PRIMARY KEY REFERENCES events (id) ON DELETE CASCADE,
    app       INTEGER NOT NULL,
    endpoints BLOB NOT NULL,             -- row numbers, ascending: differences as LEB128
    next      INTEGER NOT NULL DEFAULT 0 -- how many of them have their attempt
) STRICT;

CREATE INDEX fan_outs_app ON fan_outs (app);
