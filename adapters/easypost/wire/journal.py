"""What the call journal keeps of EasyPost's requests and answers."""

from adapters.vendor_calls.call_fields import AllowList

JOURNALED = AllowList(
    (
        "error.code",
        "error.errors.code",
        "error.errors.field",
        # what we send
        "shipment.reference",
        "rate.id",
        # shipments and trackers
        "id",
        "mode",
        "status",
        "status_detail",
        "refund_status",
        "tracking_code",
        "carrier",
        "shipment_id",
        "rates.id",
        "rates.carrier",
        "rates.service",
        "rates.rate",
        "rates.currency",
        "selected_rate.id",
        "selected_rate.carrier",
        "selected_rate.service",
        "selected_rate.rate",
        "selected_rate.currency",
        "messages.carrier",
        "messages.type",
        "tracker.id",
        "tracker.status",
        "tracking_details.status",
        "tracking_details.datetime",
        "fees.type",
        "fees.amount",
    ),
    places=(r"/v2/shipments/(?P<shipment>shp_\w+)", r"/v2/trackers/(?P<tracker>trk_\w+)"),
)
"""Ids, states, codes and amounts. Not among them: addresses, messages, and links to labels."""
