-- What the planner's tables were last derived from, and how far: everybody is derived again when a message type changes.
CREATE TABLE derived (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    rules text NOT NULL,  -- of every message type, as JSON
    reached uuid,  -- people up to this ID are derived from them
    done boolean NOT NULL
);

-- How many pending messages each upgrade of tzdata moved.
CREATE TABLE moved_by_tzdata (
    tzdata text PRIMARY KEY,
    messages bigint NOT NULL
);
