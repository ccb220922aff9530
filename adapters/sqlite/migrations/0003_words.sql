-- The columns are named as the fields are.

ALTER TABLE returns RENAME COLUMN look_at TO amazon_due_at;
ALTER TABLE returns RENAME COLUMN watch_at TO portal_due_at;
ALTER TABLE returns RENAME COLUMN stumbles TO transient_failures;
ALTER TABLE returns RENAME COLUMN readbacks TO verifications;
ALTER TABLE returns RENAME COLUMN begun TO pending_calls;
ALTER TABLE returns RENAME COLUMN hinted TO needs_read;
