-- What the audit wants to know of a message's event: nothing where its bytes can't be read. As an exception handler costs more than
-- the reading, the audit asks for this only where it has met such bytes.
CREATE FUNCTION event_told(
    state bytea, OUT timezone text, OUT message_type text, OUT due_at timestamptz, OUT sent_at timestamptz, OUT outcome text
) LANGUAGE plpgsql STABLE AS $body$
BEGIN
    SELECT told.* INTO timezone, message_type, due_at, sent_at, outcome
    FROM jsonb_to_record(convert_from(state, 'utf8')::jsonb -> 'event')
        AS told (timezone text, message_type text, due_at timestamptz, sent_at timestamptz, outcome text);
EXCEPTION WHEN data_exception OR program_limit_exceeded THEN  -- no UTF-8, no JSON, no instant; nested too deep
    NULL;
END
$body$;
