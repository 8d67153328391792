-- Who may call the HTTP API. The keys themselves are kept nowhere.
CREATE TABLE api_keys (
    name text PRIMARY KEY,
    hash bytea NOT NULL UNIQUE  -- SHA-256: a key is 256 random bits, so a slow hash would add nothing
);
