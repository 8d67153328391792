-- What people paused: nothing of a channel or a message type of that name is sent, or nothing at all where it is empty. Rows are
-- never deleted, and changed once, at their end.
CREATE TABLE pauses (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL,
    who text NOT NULL,
    reason text NOT NULL,
    at timestamptz NOT NULL,
    resumed_by text,
    resumed_because text,
    resumed_at timestamptz
);
CREATE UNIQUE INDEX pauses_open ON pauses (name) WHERE resumed_at IS NULL;  -- all that the dispatcher and the workers look at
