-- What is due is asked for by queue and by shop, so that no shop's crowd hides another's shopper. The queue follows from
-- the return and is written with it; what these guesses miss is put right when the return is next stepped.

ALTER TABLE returns ADD COLUMN queue TEXT NOT NULL DEFAULT 'portal' CHECK (
    queue = 'labels' OR queue = 'authorizations' OR queue = 'held' OR queue = 'looks' OR queue = 'portal');

UPDATE returns SET queue = CASE
    WHEN state = 'received' AND held = 1 THEN 'held'
    WHEN state = 'received' OR state = 'label_ready' OR state = 'refused' THEN 'labels'
    WHEN state = 'awaiting_label' THEN 'authorizations'
    WHEN due_at = amazon_due_at THEN 'looks'
    ELSE 'portal' END;

CREATE INDEX returns_queued ON returns (queue, shop, due_at, return_id) WHERE due_at IS NOT NULL;

-- Until when what only informs, and nobody answers, does not hold up the rest.
ALTER TABLE returns ADD COLUMN passed_over_until REAL;
