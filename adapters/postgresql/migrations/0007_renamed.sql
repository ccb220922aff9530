-- A shop or an account may get another name; what was derived from the name that a return was opened under keeps it.

ALTER TABLE returns ADD COLUMN named_for text COLLATE "C" NOT NULL DEFAULT '';

CREATE INDEX purchases_to_look_at_by_account ON purchases (account, look_at) WHERE look_at IS NOT NULL;
