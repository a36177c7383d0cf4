-- E-mail as a target of alerts, more of what they tell of, and a contact of each webhook.

-- Only the text of the table changes, as SQLite's documentation of ALTER TABLE describes for changes that leave
-- the rows alone. The next statement tells every connection to read the schema again.
PRAGMA writable_schema = ON;
UPDATE sqlite_schema SET sql = replace(sql, '''discord'', ''slack''))', '''discord'', ''slack'', ''email''))')
WHERE type = 'table' AND name = 'alert_targets';
PRAGMA writable_schema = RESET;

-- The mail server and the addresses, JSON; NULL for other forms. The password is the token.
ALTER TABLE alert_targets ADD COLUMN smtp TEXT;
-- How long nothing may succeed at a webhook, as it was given.
ALTER TABLE alert_targets ADD COLUMN silent_after TEXT NOT NULL DEFAULT '1d';

-- An e-mail address or a URL that gets the webhook's alerts.
ALTER TABLE endpoints ADD COLUMN contact TEXT;
CREATE INDEX endpoints_contact ON endpoints (id) WHERE contact IS NOT NULL;

-- What was told last to a webhook's contact, as alerts_told has it for targets.
CREATE TABLE contacts_told (
    endpoint INTEGER NOT NULL REFERENCES endpoints (id) ON DELETE CASCADE,
    kind     TEXT NOT NULL,
    mark     TEXT,
    told_at  INTEGER NOT NULL,
    PRIMARY KEY (endpoint, kind)
) STRICT, WITHOUT ROWID;

-- Deliveries that became exhausted in it, sent or not; `exhausted` counts attempts by the time they were sent.
ALTER TABLE minutes ADD COLUMN ended_exhausted INTEGER NOT NULL DEFAULT 0;
ALTER TABLE rollups ADD COLUMN ended_exhausted INTEGER NOT NULL DEFAULT 0;

-- Attempts that fail for a cause of this machine.
CREATE INDEX attempts_local ON attempts (local_since) WHERE status = 'pending' AND local_since IS NOT NULL;
