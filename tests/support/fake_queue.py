"""A queue in memory that behaves like SQS: at least once, unordered, messages hidden for a while after a read."""

import asyncio
import itertools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from daemon.ports.host import Clock
from daemon.ports.notifications import QueueMessage

HIDDEN = 120.0
AT_ONCE = 10


def a_return_message(
    order_id: str, *, subscription: str = "sub-1", seller: str = "ASELLER", event: str = "Return"
) -> bytes:
    """Build the message that Amazon sends when a unit of an order was received."""
    return json.dumps(
        {
            "NotificationType": "FULFILLMENT_ORDER_STATUS",
            "Payload": {
                "FulfillmentOrderStatusNotification": {
                    "SellerId": seller,
                    "EventType": event,
                    "SellerFulfillmentOrderId": order_id,
                }
            },
            "NotificationMetadata": {"SubscriptionId": subscription},
        }
    ).encode()


@dataclass
class _Held:
    body: bytes
    visible_at: float = 0.0


@dataclass
class FakeQueue:
    """Implements MessageQueue. The next calls raise the errors in `fail`; `watch` is told each point of each call."""

    clock: Clock
    long_poll: float = 20.0
    messages: dict[str, _Held] = field(default_factory=dict)
    deleted: list[bytes] = field(default_factory=list)
    failures: list[Exception] = field(default_factory=list)
    reads: int = 0
    watch: Callable[[str], None] = lambda _point: None
    _numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))
    _sent: asyncio.Event = field(default_factory=asyncio.Event)

    def send(self, body: bytes) -> None:
        """Put a message into it."""
        self.messages[f"receipt-{next(self._numbers)}"] = _Held(body)
        self._sent.set()

    async def receive(self) -> Sequence[QueueMessage]:
        self.reads += 1
        self.watch("receive")
        if self.failures:
            raise self.failures.pop(0)
        if not self._visible():
            self._sent.clear()
            await self.clock.wait(self._sent, self.long_poll)
        found = self._visible()[:AT_ONCE]
        for receipt in found:
            self.messages[receipt].visible_at = self.clock.now() + HIDDEN
        return [QueueMessage(receipt=receipt, body=self.messages[receipt].body) for receipt in found]

    async def delete(self, receipts: Sequence[str]) -> None:
        self.watch("delete")
        if self.failures:
            raise self.failures.pop(0)
        for receipt in receipts:
            if receipt in self.messages:
                self.deleted.append(self.messages.pop(receipt).body)

    def _visible(self) -> list[str]:
        return [receipt for receipt, held in self.messages.items() if held.visible_at <= self.clock.now()]
