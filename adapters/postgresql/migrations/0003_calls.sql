-- What a shop has switched off: labels per request when it is heard, grades and outcomes per return at its verdict.

ALTER TABLE label_requests ADD COLUMN made_here bigint NOT NULL DEFAULT 1 CHECK (made_here IN (0, 1));
ALTER TABLE returns ADD COLUMN switches_grades bigint NOT NULL DEFAULT 1 CHECK (switches_grades IN (0, 1));
ALTER TABLE returns ADD COLUMN switches_outcomes bigint NOT NULL DEFAULT 1 CHECK (switches_outcomes IN (0, 1));

-- The journal of calls to vendors, for each return, and what is left of forgotten returns.

CREATE TABLE calls (
    shop text COLLATE "C" NOT NULL,
    return_id text COLLATE "C" NOT NULL,
    number bigint NOT NULL,
    at double precision NOT NULL,
    first_at double precision NOT NULL,
    times bigint NOT NULL,
    vendor text COLLATE "C" NOT NULL,
    operation text COLLATE "C" NOT NULL,
    outcome text COLLATE "C" NOT NULL,
    status bigint,
    seconds double precision NOT NULL,
    request_id text COLLATE "C",
    why text COLLATE "C" NOT NULL,
    asked text COLLATE "C" NOT NULL,
    answered text COLLATE "C" NOT NULL,
    PRIMARY KEY (return_id, shop, number)
);

CREATE INDEX calls_by_age ON calls (at);

CREATE TABLE tombstones (
    digest text COLLATE "C" PRIMARY KEY,
    forgotten_at double precision NOT NULL
);

CREATE INDEX deliveries_of_a_return ON deliveries (return_id, shop) WHERE return_id <> '';
