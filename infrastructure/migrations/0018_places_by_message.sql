-- What was kept for a message goes with the person it was for.
CREATE INDEX addresses_written_to_by_message ON addresses_written_to (message_id);
