-- When callers brought a correlation ID of their own, in which no instant can be read: so that the logs can be searched for it.
CREATE TABLE caller_ids (
    correlation_id text NOT NULL,
    at timestamptz NOT NULL,
    PRIMARY KEY (correlation_id, at)
);
CREATE INDEX caller_ids_by_age ON caller_ids (at);  -- what is kept no longer
