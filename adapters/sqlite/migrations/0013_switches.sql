-- What a shop has switched off: labels per request when it is heard, grades and outcomes per return at its verdict.

ALTER TABLE label_requests ADD COLUMN made_here INTEGER NOT NULL DEFAULT 1 CHECK (made_here IN (0, 1));
ALTER TABLE returns ADD COLUMN switches_grades INTEGER NOT NULL DEFAULT 1 CHECK (switches_grades IN (0, 1));
ALTER TABLE returns ADD COLUMN switches_outcomes INTEGER NOT NULL DEFAULT 1 CHECK (switches_outcomes IN (0, 1));
