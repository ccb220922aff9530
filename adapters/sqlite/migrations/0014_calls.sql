-- The journal of calls to vendors, for each return. `number` only grows; a call that repeats an earlier one with the same
-- answer counts up in its row. `asked` and `answered` are JSON objects of allowed fields.

CREATE TABLE calls (
    shop TEXT NOT NULL,
    return_id TEXT NOT NULL,
    number INTEGER NOT NULL,
    at REAL NOT NULL,
    first_at REAL NOT NULL,
    times INTEGER NOT NULL,
    vendor TEXT NOT NULL,
    operation TEXT NOT NULL,
    outcome TEXT NOT NULL,
    status INTEGER,
    seconds REAL NOT NULL,
    request_id TEXT,
    why TEXT NOT NULL,
    asked TEXT NOT NULL,
    answered TEXT NOT NULL,
    PRIMARY KEY (return_id, shop, number)
) STRICT, WITHOUT ROWID;

CREATE INDEX calls_by_age ON calls (at);
