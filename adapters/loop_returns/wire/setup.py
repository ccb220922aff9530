"""Reading what an operator sets up in Loop: destinations and webhook subscriptions. PURE.

Takes JSON that `errors.answer` accepted; raises ContractBroken, naming the unreadable field.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from adapters.loop_returns.wire.values import opened, rows_of, to_flag, to_id, to_text
from adapters.vendor_calls.reading import JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """A destination of returns; `kind` is warehouse or donate."""

    destination_id: str
    name: str
    kind: str
    enabled: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """One (topic, trigger, URL) that Loop delivers to while it is active. No answer contains its secret."""

    webhook_id: str
    topic: str
    trigger: str
    url: str
    active: bool


def read_destinations(value: object) -> Sequence[Destination]:
    """Read `GET /destinations`."""
    what = "Loop destinations"
    return [_destination(opened(row, what)) for row in rows_of(value, "destinations", what)]


def read_subscriptions(value: object) -> Sequence[Subscription]:
    """Read `GET /webhooks`, including subscriptions made by hand."""
    return [read_subscription(row) for row in rows_of(value, "webhooks", "Loop webhooks")]


def read_subscription(value: object) -> Subscription:
    """Read one webhook, from the list or from the answer to its creation."""
    row = opened(value, "Loop webhooks")
    return Subscription(
        webhook_id=row.need("id", to_id),
        topic=row.need("topic", to_text),
        trigger=row.need("trigger", to_text),
        url=row.need("url", to_text),
        active=row.read("status", to_text).strip().casefold() == "active",
    )


def _destination(row: JsonObject) -> Destination:
    return Destination(
        destination_id=row.need("id", to_id),
        name=row.read("name", to_text),
        kind=row.read("type", to_text),
        enabled="enabled" not in row.members or row.read("enabled", to_flag),
    )
