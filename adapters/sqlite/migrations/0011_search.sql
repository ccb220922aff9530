-- A return is found by what people know of it: order, RMA, tracking number, SKU, label request.

CREATE INDEX returns_by_order ON returns (order_name) WHERE order_name <> '';
CREATE INDEX returns_by_state ON returns (state);
CREATE INDEX authorizations_by_rma ON authorizations (rma_id);
CREATE INDEX requests_by_id ON label_requests (request_id);
CREATE INDEX requests_by_tracking ON label_requests (label_tracking_number) WHERE label_tracking_number IS NOT NULL;
CREATE INDEX postage_by_tracking ON postage (tracking_id) WHERE tracking_id <> '';
CREATE INDEX units_by_sku ON return_units (sku);
CREATE INDEX units_by_portal_sku ON return_units (portal_sku);
