-- Labels can be bought from EasyPost as well.

CREATE TABLE label_requests_new (
    return_ref INTEGER NOT NULL REFERENCES returns (id) ON DELETE CASCADE,
    shop TEXT NOT NULL,
    position INTEGER NOT NULL,
    request_id TEXT NOT NULL,
    asked TEXT NOT NULL CHECK (
        asked = 'unread' OR asked = 'open' OR asked = 'delivered' OR asked = 'refused' OR asked = 'cancelled'
        OR asked = 'not_ours'),
    source TEXT NOT NULL CHECK (source = 'rma_page' OR source = 'amazon_shipping' OR source = 'easypost'),
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
    withdrawn INTEGER NOT NULL DEFAULT 0 CHECK (withdrawn IN (0, 1)),
    PRIMARY KEY (return_ref, request_id),
    CHECK ((label_url IS NULL) = (label_carrier IS NULL)),
    CHECK ((label_url IS NULL) = (label_tracking_number IS NULL)),
    CHECK ((label_url IS NULL) = (label_rate_cents IS NULL))
) STRICT, WITHOUT ROWID;

INSERT INTO label_requests_new (
    return_ref, shop, position, request_id, asked, source, label_id, transit, reported,
    label_url, label_carrier, label_tracking_number, label_rate_cents, withdrawn)
SELECT
    return_ref, shop, position, request_id, asked, source, label_id, transit, reported,
    label_url, label_carrier, label_tracking_number, label_rate_cents, withdrawn
FROM label_requests;

DROP TABLE label_requests;
ALTER TABLE label_requests_new RENAME TO label_requests;
CREATE UNIQUE INDEX one_return_per_label_request ON label_requests (request_id, shop);

-- `handle` is what the source calls the parcel before it is sold, `service` whose service it is, `mode` whether it is
-- real money, `direction` where the label was seen to lead.
ALTER TABLE postage ADD COLUMN source TEXT NOT NULL DEFAULT 'amazon_shipping'
    CHECK (source = 'rma_page' OR source = 'amazon_shipping' OR source = 'easypost');
ALTER TABLE postage ADD COLUMN handle TEXT NOT NULL DEFAULT '';
ALTER TABLE postage ADD COLUMN service TEXT NOT NULL DEFAULT '';
ALTER TABLE postage ADD COLUMN mode TEXT NOT NULL DEFAULT '';
ALTER TABLE postage ADD COLUMN direction TEXT NOT NULL DEFAULT 'unseen' CHECK (
    direction = 'unseen' OR direction = 'shown' OR direction = 'unreadable' OR direction = 'wrong'
    OR direction = 'accepted');
ALTER TABLE postage ADD COLUMN bought_at REAL;

-- Every parcel that may have been bought by its handle, from before it is asked for. What turns out bought later, and
-- that no return has any use for, is found here; nothing else is ever given back.
CREATE TABLE purchases (
    account TEXT NOT NULL,
    source TEXT NOT NULL,
    handle TEXT NOT NULL,
    shop TEXT NOT NULL,
    return_id TEXT NOT NULL,
    authorization_id TEXT NOT NULL,
    mode TEXT NOT NULL,
    charge_cents INTEGER NOT NULL,
    offered_at REAL NOT NULL,
    look_at REAL,
    PRIMARY KEY (source, handle)
) STRICT, WITHOUT ROWID;

CREATE INDEX purchases_to_look_at ON purchases (look_at) WHERE look_at IS NOT NULL;
CREATE INDEX purchases_of_a_day ON purchases (account, source, offered_at);
CREATE INDEX purchases_of_a_return ON purchases (shop, return_id);
