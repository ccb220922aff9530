-- What happened on each day, in sums, so that pages and reports need not read every return. `a` and `b` say what is summed
-- within a topic: a SKU and a condition, a reason and a condition, a source of labels and its carrier.

CREATE TABLE sums (
    topic text COLLATE "C" NOT NULL,
    day bigint NOT NULL,
    shop text COLLATE "C" NOT NULL,
    a text COLLATE "C" NOT NULL,
    b text COLLATE "C" NOT NULL,
    count bigint NOT NULL,
    cents bigint NOT NULL,
    PRIMARY KEY (topic, day, shop, a, b)
);

CREATE INDEX units_by_finding ON return_units (finding_found_at) WHERE finding_found_at IS NOT NULL;
CREATE INDEX postage_by_purchase ON postage (bought_at) WHERE bought_at IS NOT NULL;
