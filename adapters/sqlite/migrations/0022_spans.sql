-- Each sum is kept for its day, and added to those of the 8 and of the 64 days of which that is one, so that a year has
-- few rows to add up.

CREATE TABLE sums_of_spans (
    topic TEXT NOT NULL,
    days INTEGER NOT NULL,
    day INTEGER NOT NULL,
    shop TEXT NOT NULL,
    a TEXT NOT NULL,
    b TEXT NOT NULL,
    count INTEGER NOT NULL,
    cents INTEGER NOT NULL,
    PRIMARY KEY (topic, days, day, shop, a, b)
) STRICT, WITHOUT ROWID;

INSERT INTO sums_of_spans SELECT topic, 1, day, shop, a, b, count, cents FROM sums;
INSERT INTO sums_of_spans
SELECT topic, 8, day - day % 8, shop, a, b, sum(count), sum(cents) FROM sums GROUP BY topic, day - day % 8, shop, a, b;
INSERT INTO sums_of_spans
SELECT topic, 64, day - day % 64, shop, a, b, sum(count), sum(cents) FROM sums GROUP BY topic, day - day % 64, shop, a, b;

DROP TABLE sums;
ALTER TABLE sums_of_spans RENAME TO sums;
