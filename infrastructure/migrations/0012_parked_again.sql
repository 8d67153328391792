-- What an operator wants tried again: the process manager that left it alone takes the mark, and parks anew what still fails.
ALTER TABLE parked_events ADD COLUMN again boolean NOT NULL DEFAULT false;
ALTER TABLE parked_types ADD COLUMN again boolean NOT NULL DEFAULT false;
CREATE INDEX parked_events_again ON parked_events (follower) WHERE again;
CREATE INDEX parked_types_again ON parked_types (user_id) WHERE again;
