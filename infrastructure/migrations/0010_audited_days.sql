-- What the projections role found when it last audited each day of occasions: the events alone counted, for the metrics.
CREATE TABLE audited_days (
    day date PRIMARY KEY,
    scheduled bigint NOT NULL,
    sent bigint NOT NULL,
    late bigint NOT NULL,  -- of those sent
    cancelled bigint NOT NULL,
    expired bigint NOT NULL,
    abandoned bigint NOT NULL,
    in_doubt bigint NOT NULL,
    pending bigint NOT NULL,
    contradictions bigint NOT NULL,  -- messages that something is wrong with
    oldest_doubt_at timestamptz,
    audited_at timestamptz NOT NULL
);

-- One round after the other looks at the days of which the log has told since the round before.
CREATE TABLE audit_rounds (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    position bigint NOT NULL,  -- of the messages log: events up to it are audited
    as_of timestamptz NOT NULL,  -- likewise: what had been recorded by then
    began_at timestamptz NOT NULL,  -- the round under way, or the last one
    took_seconds double precision NOT NULL
);
INSERT INTO audit_rounds VALUES (true, 0, now(), '-infinity', 0);
