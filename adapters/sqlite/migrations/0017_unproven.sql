-- A return of which the store may know less than the vendors waits until mcfd adopt has compared it with them.

ALTER TABLE returns ADD COLUMN unproven INTEGER NOT NULL DEFAULT 0 CHECK (unproven IN (0, 1));
CREATE INDEX returns_unproven ON returns (shop, return_id) WHERE unproven = 1;
