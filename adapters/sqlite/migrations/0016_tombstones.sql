-- What is left of a forgotten return: hashes of its own names and its label requests', so that it is not served again.

CREATE TABLE tombstones (
    digest TEXT PRIMARY KEY,
    forgotten_at REAL NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX deliveries_of_a_return ON deliveries (return_id, shop) WHERE return_id <> '';
