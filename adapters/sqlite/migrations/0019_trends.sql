-- What happened on a day is read from these indexes alone.

CREATE INDEX returns_by_label ON returns (labelled_at, created_at) WHERE labelled_at IS NOT NULL;
CREATE INDEX returns_by_end ON returns (closed_at, settlement) WHERE closed_at IS NOT NULL;
