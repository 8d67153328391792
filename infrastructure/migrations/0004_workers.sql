-- Who is at work: a worker bumps its counter, and recovery calls it dead when the counter stands still. A few rows, updated every
-- second or so, so that there is room on the page for the next version of each.
CREATE TABLE workers (
    worker text NOT NULL,
    incarnation uuid NOT NULL,
    counter bigint NOT NULL,
    PRIMARY KEY (worker, incarnation)
) WITH (fillfactor = 50);
