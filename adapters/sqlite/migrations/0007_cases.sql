-- What people are told about is found without reading all returns.

CREATE INDEX events_unsettled ON return_events (at) WHERE event = 'LeftUnsettled';

CREATE INDEX units_to_claim ON return_units (finding_found_at)
    WHERE finding_condition = 'FulfillerDamaged' OR finding_condition = 'CarrierDamaged' OR finding_condition = 'missing';
