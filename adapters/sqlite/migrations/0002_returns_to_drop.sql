-- Databases that were made before 0001 wrote its lists as chains of OR have this index under another condition.

DROP INDEX returns_to_drop;

CREATE INDEX returns_to_drop ON returns (coalesce(closed_at, changed_at))
    WHERE (state = 'closed' OR state = 'cancelled' OR state = 'expired') AND due_at IS NULL;
