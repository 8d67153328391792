-- What somebody asked for over HTTP: a process with the projections role builds it. Who is told why it was refused, asks again.
CREATE TABLE wanted_rebuilds (
    read_model text PRIMARY KEY,
    who text NOT NULL,
    at timestamptz NOT NULL,
    refused text NOT NULL DEFAULT ''
);
