-- The order in which an app's attempts end, which is not the order of their ids: a request that takes
-- long ends behind later ones. A client of the live log goes on behind a row in this order. It is
-- given in the transaction that ends the attempt, so nothing is ever put in before what has been seen.
--
-- The count is kept on its own and not taken from the largest in use, because that one may be removed
-- by retention and its number must not come again.
ALTER TABLE apps ADD COLUMN finished_count INTEGER NOT NULL DEFAULT 0;
-- NULL while the attempt is pending.
ALTER TABLE attempts ADD COLUMN finished_seq INTEGER;

UPDATE attempts SET finished_seq = id WHERE status <> 'pending';
UPDATE apps SET finished_count = (SELECT coalesce(max(id), 0) FROM attempts);

CREATE INDEX attempts_finished ON attempts (app, finished_seq) WHERE finished_seq IS NOT NULL;
