"""The daemon's calls to Loop, Amazon and label sources. Adapters conform by shape, not by inheritance."""

from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from daemon.domain.orders import CreateAnswer, FulfillmentOrder
from daemon.domain.portal import Grade, PortalLabelRequest, PortalNote, PortalReturn, PortalRow, PortalState
from daemon.domain.postage import (
    BoughtPostage,
    KnownParcel,
    NotBought,
    NotOffered,
    OfferExpired,
    PostageOffer,
    PostageOrder,
    Tracking,
    VoidAnswer,
)
from daemon.domain.returns import Label, ReturnUnit, Transit

ON_BEHALF_OF: ContextVar[str] = ContextVar("on_behalf_of", default="")
"""The shop that the current task works for: shops that share a limit take turns within a lane."""


def _no_urgency() -> float:
    return 0.0


URGENCY: ContextVar[Callable[[], float]] = ContextVar("urgency", default=_no_urgency)
"""Says, whenever it is asked, how urgent the current task's call is among its shop's in the same lane."""


RETURN_AT_HAND: ContextVar[tuple[str, str] | None] = ContextVar("return_at_hand", default=None)
"""The (shop, return id) that the current task works on, so that its calls appear in the return's journal."""

PAUSED: ContextVar[Callable[[], bool]] = ContextVar("paused", default=lambda: False)
"""Whether the shop that the current task works for is paused, as of now."""


class Lane(StrEnum):
    """The queue in which a call waits: a shopper's label goes before reconciliation, and none starves.

    A label in progress goes before a label request that has just come, or that waits for Amazon.
    """

    SHOPPER = "shopper"
    OPENING = "opening"
    BACKGROUND = "background"


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedRequest:
    """A row of the list of issued label requests: only a hint."""

    request_id: str
    return_id: str


class ReturnsPortal(Protocol):
    """One shop at Loop. Every method may raise Transient, Refused, CredentialsRefused or ContractBroken."""

    async def label_request(self, request_id: str, lane: Lane) -> PortalLabelRequest:
        """Read one label request."""

    async def issued_requests(self) -> Sequence[IssuedRequest]:
        """Every label request that is still issued, all pages."""

    async def cancelled_requests(self, since: float) -> Sequence[IssuedRequest]:
        """Every cancelled label request made since then, all pages."""

    async def requests_of(self, return_id: str) -> Sequence[PortalLabelRequest]:
        """Every label request of a return, whatever its status, oldest first."""

    async def returns_made(self, state: PortalState, since: float, until: float) -> Sequence[PortalRow]:
        """The returns in that state that were made within the window, all pages."""

    async def updated_returns(self, state: PortalState, since: float, until: float) -> Sequence[str]:
        """The ids of returns in that state that changed within the window, all pages."""

    async def details(self, return_id: str, lane: Lane) -> PortalReturn:
        """Read one return. Raises Refused if the portal does not know it."""

    async def deliver_label(self, request_id: str, label: Label) -> str:
        """Post the label; returns the portal's label id. Not idempotent."""

    async def report_refusal(self, request_id: str, message: str) -> None:
        """Post a label request error. Not idempotent."""

    async def report_transit(self, label_id: str, transit: Transit) -> None:
        """Set a label's status. Not to be repeated."""

    async def notes(self, return_id: str) -> Sequence[PortalNote]:
        """The lines of the return's timeline."""

    async def write_note(self, return_id: str, text: str) -> None:
        """Add one line to the timeline. Not idempotent."""

    async def grade(self, grades: Sequence[Grade]) -> None:
        """Write the conditions of lines."""

    async def assess(self, grades: Sequence[Grade]) -> None:
        """Write the dispositions of lines."""

    async def flag(self, return_id: str) -> None:
        """Put the return into Needs Review."""

    async def process(self, return_id: str, record: Mapping[str, str]) -> None:
        """Queue the return's outcome; `record` is kept beside it. Not idempotent."""

    async def remove(self, return_id: str, line_ids: Sequence[str]) -> None:
        """Remove lines and process the rest, in one call. Not idempotent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderHead:
    """One row of the list of fulfillment orders; no address is kept. `changed_at` is Amazon's own date."""

    order_id: str
    displayable_order_id: str
    changed_at: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderPage:
    """One page of the list; `next_token` is empty on the last."""

    heads: Sequence[OrderHead]
    next_token: str


class FulfillmentNetwork(Protocol):
    """The seller's account at Amazon. Every method may raise Transient, Refused, CredentialsRefused, ContractBroken."""

    async def order(self, order_id: str, lane: Lane) -> FulfillmentOrder | None:
        """Read one fulfillment order; None when Amazon knows no order of that id."""

    async def orders_since(self, since: float, next_token: str) -> OrderPage:
        """One page of the orders changed since, in Amazon's time; with a token, that page."""

    async def reason_codes(self, sku: str) -> Sequence[str]:
        """The return reasons that Amazon allows for a SKU, in its order; may be empty."""

    async def create_return(self, order_id: str, units: Sequence[ReturnUnit]) -> CreateAnswer:
        """Ask Amazon to take the units back, each under its `return_item_id`. Not idempotent."""


class PurchaseReader(Protocol):
    """Reads the results of purchases, at label sources that give each parcel a handle."""

    async def look(self, body: bytes) -> BoughtPostage | NotBought:
        """Read the result of a saved purchase whose answer was lost; the reading may lag behind."""

    async def sold(self, handle: str) -> bool:
        """Whether a parcel was bought, as far as the source shows now."""

    async def voided(self, handle: str) -> VoidAnswer | None:
        """The progress of a void; None if none was requested."""


class LabelSource(Protocol):
    """Sells labels. Every method may raise Transient, Refused, CredentialsRefused, ContractBroken."""

    @property
    def mode(self) -> str:
        """Whether the credentials spend real or test money, if the source tells.

        A parcel of another mode belongs to other credentials.
        """

    @property
    def purchase_reader(self) -> PurchaseReader | None:
        """The reader that settles unclear purchases; None if they are settled by sending them again."""

    async def offer(self, order: PostageOrder) -> PostageOffer | NotOffered:
        """Ask for the rate of the configured service."""

    async def buy(self, body: bytes, key: str) -> BoughtPostage | OfferExpired:
        """Send a saved purchase request; repeating the same body and key never buys twice."""

    async def document(self, shipment_id: str, reference: str, label_format: str) -> BoughtPostage:
        """Read a purchase again: the label to print and its tracking id, as far as available."""

    async def void(self, shipment_id: str) -> VoidAnswer:
        """Void a label; voiding it again is no error."""

    async def track(self, tracking_id: str, carrier_id: str) -> Tracking:
        """The carrier's tracking of a parcel."""

    async def made_before(self, key: str, since: float) -> KnownParcel | None:
        """The parcel made since then under this purchase key; None if a repeated purchase finds it instead."""

    async def known_by_number(self, tracking_id: str, carrier: str, since: float) -> KnownParcel | None:
        """The parcel sold since then with this tracking number; None if the source knows none."""
