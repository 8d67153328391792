-- What everybody who calls a provider shares. A row per channel, updated at every block of grants: room for its next version.
CREATE TABLE channel_states (
    channel text PRIMARY KEY,
    open_until timestamptz,  -- of the circuit breaker; from then on it is half open; null: closed
    trips bigint NOT NULL DEFAULT 0,
    hold_until timestamptz,  -- the provider throttled us
    share real NOT NULL DEFAULT 1,  -- of the limit that was left then; it creeps up from there
    lowered_at timestamptz,
    usage jsonb NOT NULL DEFAULT '{}'  -- of the limit: application/provider_limit.py
) WITH (fillfactor = 50);
