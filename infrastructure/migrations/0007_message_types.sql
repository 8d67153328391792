-- What people wrote for a message type to say. Rows are only ever added: the number stands on each message that was sent with it.
CREATE TABLE templates (
    message_type text NOT NULL,
    version int NOT NULL,
    language text NOT NULL,  -- as BCP 47 writes it, or "default"
    subject text NOT NULL,
    body text NOT NULL,
    who text NOT NULL,
    at timestamptz NOT NULL,
    PRIMARY KEY (message_type, version)
);
CREATE INDEX templates_newest ON templates (message_type, language, version DESC);

-- Where a message type's own code failed on a person: the planner asks it again, from this date on, at its next start and daily.
CREATE TABLE parked_types (
    user_id uuid NOT NULL,
    message_type text NOT NULL,
    first date NOT NULL,
    error text NOT NULL,  -- its kind alone
    at timestamptz NOT NULL,
    PRIMARY KEY (user_id, message_type)
);
