-- Which messages have taken a place at an address, for types that may write to one only so often a day. Kept 40 days.
CREATE TABLE addresses_written_to (
    day date NOT NULL,  -- the occasion's
    message_type text NOT NULL,
    address_hmac bytea NOT NULL,  -- of the address in lower case: useless without the master key
    message_id uuid NOT NULL,
    PRIMARY KEY (day, message_type, address_hmac, message_id)
);
