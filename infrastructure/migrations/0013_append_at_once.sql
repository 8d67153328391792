-- Appends to one log in one statement, so that its lock is held for no round trip of the client: all rows if every stream still
-- stands right before its first one, else none, and the answer is null. The lock and the insert are those of event_log.py.
DO $make$
DECLARE log text;
BEGIN
    FOREACH log IN ARRAY ARRAY['users', 'messages', 'dispatches'] LOOP
        EXECUTE format($function$
            CREATE FUNCTION append_to_%1$s(
                ids uuid[], versions bigint[], topics text[], states bytea[], recorded timestamptz[], lowest uuid, highest uuid
            ) RETURNS bigint[] LANGUAGE plpgsql AS $body$
            DECLARE positions bigint[];
            BEGIN
                PERFORM pg_advisory_xact_lock(%2$s, hashtext('%3$s.%1$s'));
                -- A statement of its own, so that it sees what was committed while the lock was awaited.
                IF EXISTS (
                    SELECT FROM (SELECT id, min(version) AS first FROM unnest(ids, versions) AS new (id, version) GROUP BY id) AS mine
                    LEFT JOIN (
                        SELECT originator_id, max(originator_version) AS last FROM %1$I
                        WHERE originator_id = ANY (ids) AND originator_id BETWEEN lowest AND highest GROUP BY originator_id
                    ) AS stored ON originator_id = id
                    WHERE first <> coalesce(last, 0) + 1
                ) THEN
                    RETURN NULL;
                END IF;
                WITH written AS (
                    INSERT INTO %1$I (originator_id, originator_version, topic, state, recorded_at)
                    SELECT * FROM unnest(ids, versions, topics, states, recorded) RETURNING notification_id
                )
                SELECT array_agg(notification_id ORDER BY notification_id) FROM written INTO positions;
                RETURN positions;
            END
            $body$
        $function$, log, x'6E62'::int, current_schema());
    END LOOP;
END
$make$;
