-- What happened on each day, in sums, so that pages and reports need not read every return. `a` and `b` say what is summed
-- within a topic: a SKU and a condition, a reason and a condition, a source of labels and its carrier.

CREATE TABLE sums (
    topic TEXT NOT NULL,
    day INTEGER NOT NULL,
    shop TEXT NOT NULL,
    a TEXT NOT NULL,
    b TEXT NOT NULL,
    count INTEGER NOT NULL,
    cents INTEGER NOT NULL,
    PRIMARY KEY (topic, day, shop, a, b)
) STRICT, WITHOUT ROWID;

CREATE INDEX units_by_finding ON return_units (finding_found_at) WHERE finding_found_at IS NOT NULL;
CREATE INDEX postage_by_purchase ON postage (bought_at) WHERE bought_at IS NOT NULL;
