-- Returns and known orders belong to a seller's account: two sellers may both have an order "#1001". What is stored so far
-- is the one account's there was. Beside it: when the shopper submitted the return, by the portal's clock, and what the
-- whole line cost that a unit is a part of (NULL: the portal did not say).

ALTER TABLE returns ADD COLUMN account TEXT NOT NULL DEFAULT 'main';
ALTER TABLE returns ADD COLUMN submitted_at REAL;

ALTER TABLE return_units ADD COLUMN line_price_cents INTEGER;
UPDATE return_units SET line_price_cents = nullif(
    (SELECT sum(part.price_cents) FROM return_units AS part
     WHERE part.return_ref = return_units.return_ref AND part.line_id = return_units.line_id), 0);

ALTER TABLE order_index RENAME TO known_orders;

-- The seller's orders by the names that shoppers know them by. `changed_at` is Amazon's own date of the last change, by
-- which old ones are cleared; what was read so far carries none, so it counts as old as the last change of a return, and the
-- whole list is read once more.
CREATE TABLE order_index (
    account TEXT NOT NULL,
    displayable_order_id TEXT NOT NULL,
    order_id TEXT NOT NULL,
    changed_at REAL NOT NULL,
    PRIMARY KEY (account, displayable_order_id, order_id)
) STRICT, WITHOUT ROWID;

INSERT INTO order_index
    SELECT 'main', displayable_order_id, order_id, coalesce((SELECT max(changed_at) FROM returns), 0.0) FROM known_orders;
DROP TABLE known_orders;
DELETE FROM marks WHERE name = 'order-index';

CREATE INDEX order_index_by_id ON order_index (account, order_id);
CREATE INDEX order_index_to_drop ON order_index (changed_at);
