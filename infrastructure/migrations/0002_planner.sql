-- The planner's own tables, written only in the transaction of its appends.

-- Per person and type, the next occasion that is not planned yet.
CREATE TABLE occasions (
    user_id uuid NOT NULL,
    message_type text NOT NULL,
    occasion date NOT NULL,
    PRIMARY KEY (user_id, message_type)
);
CREATE INDEX occasions_by_date ON occasions (occasion, user_id);  -- the sweep's pages, also through a day that everybody shares

-- What was planned in the last 400 days; its ID begins with its date.
CREATE TABLE planned (
    message_id uuid PRIMARY KEY,
    user_id uuid NOT NULL,
    message_type text NOT NULL,
    occasion date NOT NULL,
    tzdata text NOT NULL,
    type_version int NOT NULL
);
CREATE INDEX planned_by_user ON planned (user_id, occasion);
