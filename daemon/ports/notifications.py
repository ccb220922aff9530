"""Amazon's notifications and their queue. Whatever transports them, only these values go further."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueMessage:
    """A message in the queue; `receipt` is needed to delete it."""

    receipt: str = field(repr=False)
    body: bytes = field(repr=False)


class MessageQueue(Protocol):
    """A queue that delivers at least once, in any order. Raises Transient, Refused, CredentialsRefused."""

    async def receive(self) -> Sequence[QueueMessage]:
        """Wait a while for messages, and receive at most ten. They stay hidden from other readers for some minutes."""

    async def delete(self, receipts: Sequence[str]) -> None:
        """Delete at most ten messages; undeleted ones come again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """For whom a notification is, as far as it says."""

    subscription_id: str = ""
    seller_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReturnNews:
    """Returned units of an order were received or inspected."""

    origin: Origin
    order_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NewClientSecret:
    """The application has a new client secret; the previous one stays valid for some days."""

    client_id: str
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretExpires:
    """A client secret ends soon; `at` is in Unix seconds."""

    client_id: str
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherNews:
    """News that concerns neither returns nor credentials."""


Notification = ReturnNews | NewClientSecret | SecretExpires | OtherNews


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """A queue registered at Amazon."""

    destination_id: str
    arn: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """News of the seller's fulfillment orders go to a destination; `filtered` if not all of them do."""

    subscription_id: str
    destination_id: str
    filtered: bool


class NotificationService(Protocol):
    """Amazon's API for subscriptions. Every method may raise Transient, Refused, CredentialsRefused, ContractBroken."""

    async def destinations(self) -> Sequence[Destination]:
        """Every queue that the application has registered."""

    async def create_destination(self, name: str, arn: str) -> Destination:
        """Register a queue. Not idempotent."""

    async def subscriptions(self) -> Sequence[Subscription]:
        """Every subscription of the seller to news of fulfillment orders."""

    async def subscribe(self, destination_id: str, *, filtered: bool) -> Subscription:
        """Subscribe a queue; to everything, if Amazon accepts no filter. Not idempotent."""

    async def rotate_client_secret(self) -> None:
        """Ask for a new client secret, which arrives in a queue. Not idempotent."""
