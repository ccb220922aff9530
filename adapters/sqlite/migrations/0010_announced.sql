-- When Amazon last said that an order has news, and when it was last read.

ALTER TABLE returns ADD COLUMN announced_at REAL;
ALTER TABLE returns ADD COLUMN looked_at REAL;
