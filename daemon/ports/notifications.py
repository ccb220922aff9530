"""What Amazon sends by itself, and the queue that it lies in. Whatever carries it, only these values go further."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueMessage:
    """A message as it lies in the queue; `receipt` is what deletes it."""

    receipt: str = field(repr=False)
    body: bytes = field(repr=False)


class MessageQueue(Protocol):
    """A queue that delivers at least once, in any order. Raises Transient, Refused, CredentialsRefused."""

    async def receive(self) -> Sequence[QueueMessage]:
        """Wait a while for messages, and take at most ten. Others do not see them for some minutes."""

    async def delete(self, receipts: Sequence[str]) -> None:
        """Delete at most ten messages; one that is not deleted comes again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Whom a notification is for, as far as it says."""

    subscription_id: str = ""
    seller_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReturnNews:
    """Something was received or inspected of what is returned of an order."""

    origin: Origin
    order_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NewClientSecret:
    """The application has another client secret; the one before goes on for some days."""

    client_id: str
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretExpires:
    """A client secret ends soon; `at` is in Unix seconds."""

    client_id: str
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherNews:
    """What concerns no return and no credential."""


Notification = ReturnNews | NewClientSecret | SecretExpires | OtherNews


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """A queue that Amazon was told of."""

    destination_id: str
    arn: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """The seller's news of fulfillment orders go to a destination; `filtered` when not all of them do."""

    subscription_id: str
    destination_id: str
    filtered: bool


class NotificationService(Protocol):
    """Where subscriptions are kept. Every method may raise Transient, Refused, CredentialsRefused, ContractBroken."""

    async def destinations(self) -> Sequence[Destination]:
        """Every queue that the application has named."""

    async def create_destination(self, name: str, arn: str) -> Destination:
        """Name a queue. Not idempotent."""

    async def subscriptions(self) -> Sequence[Subscription]:
        """Every subscription of the seller to news of fulfillment orders."""

    async def subscribe(self, destination_id: str, *, filtered: bool) -> Subscription:
        """Subscribe a queue; when Amazon takes no filter, to everything. Not idempotent."""

    async def rotate_client_secret(self) -> None:
        """Ask for another client secret, which arrives in a queue. Not idempotent."""
