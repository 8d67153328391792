-- The three logs. Positions come from each log's own sequence, in commit order: whoever inserts holds the log's advisory lock.

CREATE SEQUENCE users_position;
CREATE TABLE users (
    originator_id uuid NOT NULL,
    originator_version bigint NOT NULL,
    topic text NOT NULL,
    state bytea NOT NULL,
    notification_id bigint NOT NULL DEFAULT nextval('users_position'),
    recorded_at timestamptz NOT NULL,
    PRIMARY KEY (originator_id, originator_version)
);
CREATE UNIQUE INDEX users_by_position ON users (notification_id);

-- By month of the occasion, which a message's ID begins with. The default partition is for foreign IDs.
CREATE SEQUENCE messages_position;
CREATE TABLE messages (
    originator_id uuid NOT NULL,
    originator_version bigint NOT NULL,
    topic text NOT NULL,
    state bytea NOT NULL,
    notification_id bigint NOT NULL DEFAULT nextval('messages_position'),
    recorded_at timestamptz NOT NULL,
    PRIMARY KEY (originator_id, originator_version)
) PARTITION BY RANGE (originator_id);
CREATE INDEX messages_by_position ON messages (notification_id);
CREATE TABLE messages_default PARTITION OF messages DEFAULT;

CREATE SEQUENCE dispatches_position;
CREATE TABLE dispatches (
    originator_id uuid NOT NULL,
    originator_version bigint NOT NULL,
    topic text NOT NULL,
    state bytea NOT NULL,
    notification_id bigint NOT NULL DEFAULT nextval('dispatches_position'),
    recorded_at timestamptz NOT NULL,
    PRIMARY KEY (originator_id, originator_version)
);
CREATE UNIQUE INDEX dispatches_by_position ON dispatches (notification_id);

-- Without its row here a user's personal data can't be read any more.
CREATE TABLE user_keys (
    user_id uuid PRIMARY KEY,
    wrapped bytea NOT NULL
);

CREATE TABLE external_ids (
    hmac bytea PRIMARY KEY,
    user_id uuid,
    erased boolean NOT NULL DEFAULT false,
    CHECK (erased = (user_id IS NULL))
);
CREATE INDEX external_ids_by_user ON external_ids (user_id);  -- an erasure finds its row

-- How far each follower has read; the version is that of a projection's tables.
CREATE TABLE positions (
    follower text NOT NULL,
    log text NOT NULL,
    version int NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (follower, log, version)
);

CREATE TABLE parked_events (
    follower text NOT NULL,
    log text NOT NULL,
    position bigint NOT NULL,
    topic text NOT NULL,
    error text NOT NULL,
    PRIMARY KEY (follower, log, position)
);

-- Every transaction of a leader share-locks its row in `leaders`; the bumps stand apart, so that neither waits for the other.
CREATE TABLE leaders (
    role text PRIMARY KEY,
    epoch bigint NOT NULL
);
CREATE TABLE leader_bumps (
    role text PRIMARY KEY,
    epoch bigint NOT NULL,
    counter bigint NOT NULL,
    released boolean NOT NULL
);

CREATE TABLE installation (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    master_key_check bytea NOT NULL
);
