-- What the functions of 0022 promise, for less where every stream is new: a stream that is there has a first event, as streams have
-- no gaps, and the primary key says so when another one is inserted.
DO $make$
DECLARE log text;
BEGIN
    FOREACH log IN ARRAY ARRAY['users', 'messages', 'dispatches'] LOOP
        EXECUTE format($function$
            CREATE OR REPLACE FUNCTION append_to_%1$s(
                ids uuid[], versions bigint[], topics text[], states bytea[], recorded timestamptz[], lowest uuid, highest uuid
            ) RETURNS bigint[] LANGUAGE plpgsql
            -- One plan for good, by the primary key: made anew at each call it costs as much as looking up two hundred streams, and
            -- made once, while the table was still empty, it would read the whole of it for ever.
            SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off AS $body$
            DECLARE last bigint;
            BEGIN
                PERFORM pg_advisory_xact_lock(%2$s, hashtext('%3$s.%1$s'));
                -- A statement of its own, so that it sees what was committed while the lock was awaited.
                IF 1 <> ANY (versions) AND (
                    SELECT count(*) FROM %1$I WHERE originator_id = ANY (ids) AND originator_id BETWEEN lowest AND highest
                ) <> (
                    SELECT sum(first - 1) FROM (
                        SELECT min(version) AS first FROM unnest(ids, versions) AS new (id, version) GROUP BY id
                    ) AS mine
                ) THEN
                    RETURN NULL;
                END IF;
                BEGIN
                    INSERT INTO %1$I (originator_id, originator_version, topic, state, recorded_at)
                    SELECT * FROM unnest(ids, versions, topics, states, recorded);
                EXCEPTION WHEN unique_violation THEN
                    RETURN NULL;  -- the lock, taken outside of this block, stays
                END;
                last := currval('%1$s_position');
                RETURN ARRAY(SELECT generate_series(last - cardinality(ids) + 1, last));
            END
            $body$
        $function$, log, x'6E62'::int, current_schema());
    END LOOP;
END
$make$;
