-- Months of messages that were exported and dropped. While a row stands here, a check of `messages_default` (archived_YYYY_MM)
-- keeps everybody from writing into its month.
CREATE TABLE archived_months (
    month date PRIMARY KEY,    -- its first day
    directory text NOT NULL,   -- where the file was put
    file text NOT NULL,
    sha256 text NOT NULL,      -- of the file as it lies there
    events bigint NOT NULL,
    messages bigint NOT NULL,
    first_position bigint NOT NULL,
    last_position bigint NOT NULL,
    archived_at timestamptz NOT NULL
);

-- What the audit needs of them: how many messages of each day ended how.
CREATE TABLE archived_sums (
    month date NOT NULL REFERENCES archived_months ON DELETE CASCADE,
    day date NOT NULL,
    timezone text NOT NULL,    -- canonical
    message_type text NOT NULL,
    status text NOT NULL,
    late boolean NOT NULL,
    messages bigint NOT NULL,
    PRIMARY KEY (day, timezone, message_type, status, late)
);

-- And how many came into each status on each UTC day, which is counted as it happens.
CREATE TABLE archived_transitions (
    month date NOT NULL REFERENCES archived_months ON DELETE CASCADE,
    day date NOT NULL,
    status text NOT NULL,
    messages bigint NOT NULL,
    PRIMARY KEY (month, day, status)
);
