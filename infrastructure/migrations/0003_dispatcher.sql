-- The dispatcher's own tables, kept by following `messages` and `dispatches` in the transaction of its appends.

-- Everything a SendRequested says, so that no stream is read. Rows come and go by the million: vacuumed often.
CREATE TABLE due (
    message_id uuid PRIMARY KEY,
    version bigint NOT NULL,
    message_type text NOT NULL,
    timezone text NOT NULL,
    due_at timestamptz NOT NULL,
    region text NOT NULL,
    channel text NOT NULL,
    priority int NOT NULL,
    ready_at timestamptz NOT NULL,
    send_before timestamptz NOT NULL,
    attempt int NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.2);
CREATE INDEX due_in_order ON due (channel, priority, ready_at, message_id);  -- a page is the index's next stretch

-- Dispatches neither finished nor wholly withdrawn; a few hundred rows, updated at their claim.
CREATE TABLE in_flight (
    dispatch_id uuid PRIMARY KEY,
    channel text NOT NULL,
    region text NOT NULL,
    members int NOT NULL,
    requested_at timestamptz NOT NULL,
    worker text NOT NULL DEFAULT '',
    incarnation uuid,
    publications int NOT NULL DEFAULT 0,
    publish_at timestamptz NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_threshold = 500);
