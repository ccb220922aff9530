-- A shop or an account may get another name; what was derived from the name that a return was opened under keeps it.
ALTER TABLE returns ADD COLUMN named_for TEXT NOT NULL DEFAULT '';

CREATE INDEX purchases_to_look_at_by_account ON purchases (account, look_at) WHERE look_at IS NOT NULL;
DROP INDEX purchases_to_look_at;

-- The share of announced findings is counted anew under a name that no receiver of messages can have.
DELETE FROM marks WHERE name = 'announced/main' AND value NOT LIKE '{%';
