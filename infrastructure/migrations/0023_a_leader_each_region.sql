-- Every region's dispatching has a leader of its own, its own positions, and its own stretches of what is due.

-- A dispatcher of an earlier version that runs beside finds no epoch that it could take over: it stands by for good. First of all,
-- as each of its transactions begins with this lock, too, and goes on to what is due.
UPDATE leaders SET epoch = epoch + 1 WHERE role = 'dispatcher';
UPDATE leader_bumps SET epoch = -1, counter = 0, released = true WHERE role = 'dispatcher';

-- When a leader was last heard, for people: who stands by watches the counter alone.
ALTER TABLE leader_bumps ADD COLUMN bumped_at timestamptz NOT NULL DEFAULT clock_timestamp();

DROP INDEX due_in_order;
CREATE INDEX due_in_order ON due (channel, region, priority, ready_at, message_id);  -- a page is each region's next stretch

INSERT INTO positions (follower, log, version, position)
SELECT follower || '/' || region, log, version, position
FROM positions, unnest(ARRAY['americas', 'europe', 'africa', 'asia', 'oceania']) AS region
WHERE follower IN ('dispatcher', 'publisher', 'doubt');
DELETE FROM positions WHERE follower IN ('dispatcher', 'publisher', 'doubt');
