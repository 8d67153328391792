-- A read model's sets of tables: the live one, the next one while it is built beside it, and the previous one, kept for a rollback.
-- Each has a schema of its own, and the same names in it; `moving` is empty but within a swap.
CREATE SCHEMA IF NOT EXISTS ninebell_next;
CREATE SCHEMA IF NOT EXISTS ninebell_previous;
CREATE SCHEMA IF NOT EXISTS ninebell_moving;

CREATE TABLE read_models (
    name text NOT NULL,
    side text NOT NULL CHECK (side IN ('live', 'next', 'previous', 'moving')),
    version int NOT NULL,
    tables text[] NOT NULL,  -- without partitions
    made_by text NOT NULL,   -- the Ninebell that knows this version
    PRIMARY KEY (name, side)
);

-- What is under way on the next side. Whoever builds share-locks the row under its own name in every transaction.
CREATE TABLE builds (
    read_model text PRIMARY KEY,
    code text NOT NULL,    -- digest of the code that folds: what other code began is not gone on with
    builder uuid NOT NULL,
    up_to bigint NOT NULL  -- whole streams are folded up to this position of the log
);
CREATE TABLE build_tasks (
    read_model text NOT NULL REFERENCES builds ON DELETE CASCADE,
    number int NOT NULL,
    task jsonb NOT NULL,
    done boolean NOT NULL DEFAULT false,
    PRIMARY KEY (read_model, number)
);
-- Streams that can't be folded whole: their events are applied one by one, and what spoils it is parked.
CREATE TABLE build_leftovers (
    read_model text NOT NULL REFERENCES builds ON DELETE CASCADE,
    stream_id uuid NOT NULL,
    PRIMARY KEY (read_model, stream_id)
);
