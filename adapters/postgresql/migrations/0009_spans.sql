-- Each sum is kept for its day, and added to those of the 8 and of the 64 days of which that is one, so that a year has
-- few rows to add up.

CREATE TABLE sums_of_spans (
    topic text COLLATE "C" NOT NULL,
    days bigint NOT NULL,
    day bigint NOT NULL,
    shop text COLLATE "C" NOT NULL,
    a text COLLATE "C" NOT NULL,
    b text COLLATE "C" NOT NULL,
    count bigint NOT NULL,
    cents bigint NOT NULL,
    PRIMARY KEY (topic, days, day, shop, a, b)
);

INSERT INTO sums_of_spans SELECT topic, 1, day, shop, a, b, count, cents FROM sums;
INSERT INTO sums_of_spans
SELECT topic, 8, day - day % 8, shop, a, b, sum(count), sum(cents) FROM sums GROUP BY topic, day - day % 8, shop, a, b;
INSERT INTO sums_of_spans
SELECT topic, 64, day - day % 64, shop, a, b, sum(count), sum(cents) FROM sums GROUP BY topic, day - day % 64, shop, a, b;

DROP TABLE sums;
ALTER TABLE sums_of_spans RENAME TO sums;
