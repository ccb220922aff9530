-- A label request that the portal withdrew after its label was delivered.

ALTER TABLE label_requests ADD COLUMN withdrawn INTEGER NOT NULL DEFAULT 0 CHECK (withdrawn IN (0, 1));
