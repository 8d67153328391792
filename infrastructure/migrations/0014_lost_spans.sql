-- What a restored backup has lost: from the instant it was restored to, up to when the loss was dealt with. Kept for ever.
CREATE TABLE lost_spans (
    restored_to timestamptz PRIMARY KEY,
    found_at timestamptz NOT NULL,
    who text NOT NULL,
    recovered_at timestamptz  -- null: whoever began it was stopped, and nothing may be sent yet
);
