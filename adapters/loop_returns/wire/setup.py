"""Reading what an operator sets up in Loop: destinations and webhook subscriptions. PURE.

Takes JSON that `errors.answer` accepted; raises ContractBroken, naming the unreadable field.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from adapters.loop_returns.wire.values import Flag, Id, Payload, Text, read, rows_of


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
    found = [read(_Destination, row, what) for row in rows_of(value, "destinations", what)]
    return [Destination(destination_id=row.id, name=row.name, kind=row.type, enabled=row.enabled) for row in found]


def read_subscriptions(value: object) -> Sequence[Subscription]:
    """Read `GET /webhooks`, including subscriptions made by hand."""
    return [read_subscription(row) for row in rows_of(value, "webhooks", "Loop webhooks")]


def read_subscription(value: object) -> Subscription:
    """Read one webhook, from the list or from the answer to its creation."""
    row = read(_Webhook, value, "Loop webhooks")
    active = row.status.strip().casefold() == "active"
    return Subscription(webhook_id=row.id, topic=row.topic, trigger=row.trigger, url=row.url, active=active)


class _Destination(Payload):
    id: Id
    name: Text = ""
    type: Text = ""
    enabled: Flag = True


class _Webhook(Payload):
    id: Id
    topic: Text
    trigger: Text
    url: Text
    status: Text = ""
