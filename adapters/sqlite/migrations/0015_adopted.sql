-- When a return was taken over with a past that this store does not know.
ALTER TABLE returns ADD COLUMN adopted_at REAL;
