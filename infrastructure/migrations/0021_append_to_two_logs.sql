-- Appends what a worker learnt to the messages log, and the ends of its dispatches to theirs, in one statement: all rows if every
-- stream of both still stands right before its first one, else none, and the answer is null. Both locks, in their order.
DO $make$
BEGIN
    EXECUTE format($function$
        CREATE FUNCTION append_to_messages_and_dispatches(
            ids uuid[], versions bigint[], topics text[], states bytea[], recorded timestamptz[], lowest uuid, highest uuid,
            dispatch_ids uuid[], dispatch_versions bigint[], dispatch_topics text[], dispatch_states bytea[],
            dispatch_recorded timestamptz[], lowest_dispatch uuid, highest_dispatch uuid
        ) RETURNS bigint[] LANGUAGE plpgsql AS $body$
        DECLARE positions bigint[];
        BEGIN
            PERFORM pg_advisory_xact_lock(%1$s, hashtext('%2$s.messages'));
            PERFORM pg_advisory_xact_lock(%1$s, hashtext('%2$s.dispatches'));
            -- Before anything is written, as nothing could be taken back: whether the dispatches will be.
            IF EXISTS (
                SELECT FROM (
                    SELECT id, min(version) AS first FROM unnest(dispatch_ids, dispatch_versions) AS new (id, version) GROUP BY id
                ) AS mine
                WHERE first <> coalesce((SELECT max(originator_version) FROM dispatches WHERE originator_id = id), 0) + 1
            ) THEN
                RETURN NULL;
            END IF;
            positions := append_to_messages(ids, versions, topics, states, recorded, lowest, highest);
            IF positions IS NULL THEN
                RETURN NULL;
            END IF;
            RETURN positions || append_to_dispatches(
                dispatch_ids, dispatch_versions, dispatch_topics, dispatch_states, dispatch_recorded, lowest_dispatch, highest_dispatch
            );
        END
        $body$
    $function$, x'6E62'::int, current_schema());
END
$make$;
