-- Where else a job's image may be had: a JSON array of URLs, in the order of the request. A column,
-- not a table: it is written once, always read whole, and goes with the row.
ALTER TABLE job ADD COLUMN mirrors TEXT NOT NULL DEFAULT '[]'
    CHECK (json_valid(mirrors) AND json_type(mirrors) = 'array');
