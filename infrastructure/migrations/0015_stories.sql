-- Whose story a message tells that did not begin its own, so that its request and its outcome go on with it.
ALTER TABLE due ADD COLUMN story text NOT NULL DEFAULT '';
