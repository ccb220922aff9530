-- A return and its parts. `id` and `return_ref` are ours alone; the portal's ids are unique per shop only.
-- `position` keeps the order of the parts, so that a return reads back as it was written.
--
-- Lists of more than two words are chains of OR: for IN, SQLite makes a temporary table each time that a row is written,
-- and that took nine tenths of a write.

CREATE TABLE returns (
    id INTEGER PRIMARY KEY,
    shop TEXT NOT NULL,
    return_id TEXT NOT NULL,
    version INTEGER NOT NULL CHECK (version >= 1),
    created_at REAL NOT NULL,
    changed_at REAL NOT NULL,
    state TEXT NOT NULL CHECK (
        state = 'received' OR state = 'awaiting_label' OR state = 'label_ready' OR state = 'awaiting_inspection'
        OR state = 'inspected' OR state = 'settling' OR state = 'processing' OR state = 'in_review'
        OR state = 'expired' OR state = 'refused' OR state = 'cancelled' OR state = 'stuck' OR state = 'closed'),
    resume_state TEXT CHECK (
        resume_state = 'received' OR resume_state = 'awaiting_label' OR resume_state = 'label_ready'
        OR resume_state = 'awaiting_inspection' OR resume_state = 'inspected' OR resume_state = 'settling'
        OR resume_state = 'processing' OR resume_state = 'in_review' OR resume_state = 'expired'
        OR resume_state = 'refused' OR resume_state = 'cancelled' OR resume_state = 'stuck'
        OR resume_state = 'closed'),
    due_at REAL,
    look_at REAL,
    watch_at REAL,
    deadline_at REAL,
    attempts INTEGER NOT NULL CHECK (attempts >= 0),
    stumbles INTEGER NOT NULL CHECK (stumbles >= 0),
    readbacks INTEGER NOT NULL CHECK (readbacks >= 0),
    begun TEXT NOT NULL,
    hinted INTEGER NOT NULL CHECK (hinted IN (0, 1)),
    held INTEGER NOT NULL CHECK (held IN (0, 1)),
    problem TEXT NOT NULL,
    order_name TEXT NOT NULL,
    order_number TEXT NOT NULL,
    provider_order_id TEXT NOT NULL,
    has_exchange INTEGER NOT NULL CHECK (has_exchange IN (0, 1)),
    settlement TEXT NOT NULL CHECK (
        settlement = 'process' OR settlement = 'flag' OR settlement = 'remove' OR settlement = 'nothing'),
    asked_for TEXT NOT NULL CHECK (
        asked_for = 'process' OR asked_for = 'flag' OR asked_for = 'remove' OR asked_for = 'nothing'),
    processing_failed INTEGER NOT NULL CHECK (processing_failed IN (0, 1)),
    flagged INTEGER NOT NULL CHECK (flagged IN (0, 1)),
    labelled_at REAL,
    closed_at REAL,
    UNIQUE (return_id, shop)
) STRICT;

-- The due index is the daemon's queue: a return that waits is a row here and nothing in memory. "What is due?" is one
-- seek per state, merged by due_at, which touches as many entries as are wanted and never the table: a million returns
-- that wait cost what ten thousand cost. Returns that wait for nothing have no due_at and lie before all others of
-- their state, where no seek comes by. The index also counts the returns by state.
CREATE INDEX returns_due ON returns (state, due_at, shop, return_id);

-- Answers "what ended long ago?" for the nightly clearing, whose query repeats these conditions.
CREATE INDEX returns_to_drop ON returns (coalesce(closed_at, changed_at))
    WHERE (state = 'closed' OR state = 'cancelled' OR state = 'expired') AND due_at IS NULL;

-- A label request has one label because the label is part of its row.
CREATE TABLE label_requests (
    return_ref INTEGER NOT NULL REFERENCES returns (id) ON DELETE CASCADE,
    shop TEXT NOT NULL,
    position INTEGER NOT NULL,
    request_id TEXT NOT NULL,
    asked TEXT NOT NULL CHECK (
        asked = 'unread' OR asked = 'open' OR asked = 'delivered' OR asked = 'refused' OR asked = 'cancelled'
        OR asked = 'not_ours'),
    source TEXT NOT NULL CHECK (source IN ('rma_page', 'amazon_shipping')),
    label_id TEXT,
    transit TEXT NOT NULL CHECK (
        transit = 'new' OR transit = 'pre_transit' OR transit = 'in_transit' OR transit = 'out_for_delivery'
        OR transit = 'delivered'),
    reported TEXT NOT NULL CHECK (
        reported = 'new' OR reported = 'pre_transit' OR reported = 'in_transit' OR reported = 'out_for_delivery'
        OR reported = 'delivered'),
    label_url TEXT,
    label_carrier TEXT,
    label_tracking_number TEXT,
    label_rate_cents INTEGER,
    PRIMARY KEY (return_ref, request_id),
    CHECK ((label_url IS NULL) = (label_carrier IS NULL)),
    CHECK ((label_url IS NULL) = (label_tracking_number IS NULL)),
    CHECK ((label_url IS NULL) = (label_rate_cents IS NULL))
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX one_return_per_label_request ON label_requests (request_id, shop);

CREATE TABLE return_units (
    return_ref INTEGER NOT NULL REFERENCES returns (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    line_id TEXT NOT NULL,
    part INTEGER NOT NULL CHECK (part >= 1),
    portal_sku TEXT NOT NULL,
    sku TEXT NOT NULL,
    price_cents INTEGER NOT NULL,
    reason TEXT NOT NULL,
    parent_reason TEXT NOT NULL,
    request_id TEXT NOT NULL,
    standing TEXT NOT NULL CHECK (
        standing = 'planned' OR standing = 'authorized' OR standing = 'not_returnable' OR standing = 'removed'),
    problem TEXT NOT NULL,
    order_id TEXT NOT NULL,
    order_item_id TEXT NOT NULL,
    shipment_id TEXT NOT NULL,
    return_item_id TEXT NOT NULL,
    reason_code TEXT NOT NULL,
    authorization_id TEXT NOT NULL,
    processed_at REAL,
    graded INTEGER NOT NULL CHECK (graded IN (0, 1)),
    finding_condition TEXT,
    finding_found_at REAL,
    finding_center TEXT,
    finding_reason TEXT,
    PRIMARY KEY (return_ref, line_id, part),
    CHECK ((finding_condition IS NULL) = (finding_found_at IS NULL)),
    CHECK ((finding_condition IS NULL) = (finding_center IS NULL)),
    CHECK ((finding_condition IS NULL) = (finding_reason IS NULL))
) STRICT, WITHOUT ROWID;

CREATE INDEX units_on_order ON return_units (order_id) WHERE order_id <> '';

-- Amazon knows a unit by this id: two units that share it would be one parcel's content counted twice.
CREATE UNIQUE INDEX one_unit_per_return_item ON return_units (order_id, return_item_id)
    WHERE return_item_id <> '' AND standing IN ('planned', 'authorized');

CREATE TABLE authorizations (
    return_ref INTEGER NOT NULL REFERENCES returns (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    authorization_id TEXT NOT NULL,
    rma_id TEXT NOT NULL,
    page_url TEXT NOT NULL,
    center TEXT NOT NULL,
    ship_to_name TEXT,
    ship_to_line1 TEXT,
    ship_to_line2 TEXT,
    ship_to_line3 TEXT,
    ship_to_city TEXT,
    ship_to_region TEXT,
    ship_to_postal_code TEXT,
    ship_to_country_code TEXT,
    ship_to_phone TEXT,
    PRIMARY KEY (return_ref, authorization_id)
) STRICT, WITHOUT ROWID;

-- A bought label. `sealed_offer` is the purchase request, encrypted, from before it is sent until its answer is known.
CREATE TABLE postage (
    return_ref INTEGER NOT NULL REFERENCES returns (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    authorization_id TEXT NOT NULL,
    number INTEGER NOT NULL CHECK (number >= 1),
    sealed_offer BLOB NOT NULL,
    carrier_id TEXT NOT NULL,
    carrier TEXT NOT NULL,
    charge_cents INTEGER NOT NULL,
    label_format TEXT NOT NULL,
    shipment_id TEXT NOT NULL,
    tracking_id TEXT NOT NULL,
    printable INTEGER NOT NULL CHECK (printable IN (0, 1)),
    transit TEXT NOT NULL CHECK (
        transit = 'new' OR transit = 'pre_transit' OR transit = 'in_transit' OR transit = 'out_for_delivery'
        OR transit = 'delivered'),
    scanned_at REAL,
    delivered_at REAL,
    lost_at REAL,
    tracked_at REAL,
    void TEXT NOT NULL CHECK (
        void = 'no' OR void = 'wanted' OR void = 'done' OR void = 'kept'),
    PRIMARY KEY (return_ref, authorization_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE notes (
    return_ref INTEGER NOT NULL REFERENCES returns (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    key TEXT NOT NULL,
    text TEXT NOT NULL,
    written INTEGER NOT NULL CHECK (written IN (0, 1)),
    PRIMARY KEY (return_ref, key)
) STRICT, WITHOUT ROWID;

-- One row per version that an event made. Rows are never changed, and go only when their return goes.
CREATE TABLE return_events (
    return_ref INTEGER NOT NULL REFERENCES returns (id) ON DELETE CASCADE,
    version INTEGER NOT NULL,
    at REAL NOT NULL,
    event TEXT NOT NULL,
    before TEXT NOT NULL,
    after TEXT NOT NULL,
    detail TEXT NOT NULL,
    PRIMARY KEY (return_ref, version)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER return_events_are_never_changed BEFORE UPDATE ON return_events
BEGIN
    SELECT raise(ABORT, 'return_events is append-only');
END;

CREATE TRIGGER return_events_go_with_their_return BEFORE DELETE ON return_events
WHEN EXISTS (SELECT 1 FROM returns WHERE id = OLD.return_ref)
BEGIN
    SELECT raise(ABORT, 'return_events is append-only');
END;

-- ---- around the returns

CREATE TABLE deliveries (
    shop TEXT NOT NULL,
    digest TEXT NOT NULL,
    topic TEXT NOT NULL,
    trigger TEXT NOT NULL,
    subject TEXT NOT NULL,
    return_id TEXT NOT NULL,
    received_at REAL NOT NULL,
    PRIMARY KEY (shop, digest)
) STRICT, WITHOUT ROWID;

CREATE INDEX deliveries_by_age ON deliveries (received_at);

CREATE TABLE dead_letters (
    id INTEGER PRIMARY KEY,
    shop TEXT NOT NULL,
    digest TEXT NOT NULL,
    reason TEXT NOT NULL,
    sealed BLOB NOT NULL,
    received_at REAL NOT NULL,
    UNIQUE (shop, digest)
) STRICT;

-- Encrypted labels. A row outlives its content, so that a late visitor is told that the label is gone.
CREATE TABLE documents (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    sealed BLOB NOT NULL,
    expires_at REAL NOT NULL
) STRICT;

CREATE INDEX documents_to_drop ON documents (expires_at) WHERE sealed <> x'';

CREATE TABLE order_index (
    displayable_order_id TEXT NOT NULL,
    order_id TEXT NOT NULL,
    PRIMARY KEY (displayable_order_id, order_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE marks (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
