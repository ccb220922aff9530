"""What the call journal keeps of Loop's requests and answers."""

from adapters.vendor_calls.call_fields import AllowList

JOURNALED = AllowList(
    (
        "code",
        "errors.code",
        "error.code",
        "error.http_code",
        # what we send
        "label_request_id",
        "carrier",
        "tracking_number",
        "rate.amount",
        "rate.currency_code",
        "reason",
        "items.line_item_id",
        "items.disposition_outcome",
        "items.condition_category.grade",
        # label requests, labels, returns
        "id",
        "return_id",
        "status",
        "state",
        "outcome",
        "was_processed",
        "order_name",
        "provider_order_id",
        "destination_id",
        "refund_before_inspection",
        "total",
        "currency",
        "products.sku",
        "line_items.line_item_id",
        "line_items.sku",
        "line_items.outcome",
        "line_items.disposition.disposition_outcome",
        "line_items.condition.condition_category.grade",
        "labels.carrier",
        "labels.tracking_number",
        "labels.status",
        "notes.id",
    ),
    places=(
        r"/label-requests/(?P<label_request>[^/?]+)",
        r"/labels/(?P<label>[^/?]+)",
        r"/warehouse/return/(?P<return>\d+)/",
        r"[?&]return_id=(?P<return>[^&]+)",
    ),
)
"""Ids, states, codes and amounts. Not among them: customers, addresses, comments, notes, and links to labels."""
