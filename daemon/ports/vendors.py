"""What the daemon asks of Loop, of Amazon and of label sources. Adapters conform by shape, not by inheritance."""

from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from daemon.domain.orders import CreateAnswer, FulfillmentOrder
from daemon.domain.portal import Grade, PortalLabelRequest, PortalReturn, PortalState
from daemon.domain.postage import (
    BoughtPostage,
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
"""For which shop this task works: where shops share a limit, they take turns within a lane."""


class Lane(StrEnum):
    """Which queue a call waits in: a shopper's label goes before reconciliation, and none starves.

    A label that is under way goes before a label request that was just heard of, or that Amazon lets wait.
    """

    SHOPPER = "shopper"
    OPENING = "opening"
    BACKGROUND = "background"


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedRequest:
    """A row of the list of issued label requests: a hint, not the truth."""

    request_id: str
    return_id: str


class ReturnsPortal(Protocol):
    """One shop at Loop. Every method may raise Transient, Refused, CredentialsRefused or ContractBroken."""

    async def label_request(self, request_id: str, lane: Lane) -> PortalLabelRequest:
        """Read one label request."""

    async def issued_requests(self) -> Sequence[IssuedRequest]:
        """Every label request that is still issued, all pages."""

    async def cancelled_requests(self, since: float) -> Sequence[IssuedRequest]:
        """Every label request made since then that was cancelled, all pages."""

    async def updated_returns(self, state: PortalState, since: float, until: float) -> Sequence[str]:
        """Ids of the returns of that state that changed within the window, all pages."""

    async def details(self, return_id: str, lane: Lane) -> PortalReturn:
        """Read one return. Raises Refused when the portal does not know it."""

    async def deliver_label(self, request_id: str, label: Label) -> str:
        """Post the label; returns the portal's label id. Not idempotent."""

    async def report_refusal(self, request_id: str, message: str) -> None:
        """Post a label request error. Not idempotent."""

    async def report_transit(self, label_id: str, transit: Transit) -> None:
        """Set a label's status. Not to be repeated."""

    async def notes(self, return_id: str) -> Sequence[str]:
        """The texts on the return's timeline."""

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
        """One page of the orders changed since, in Amazon's time; with a token, the page that it names."""

    async def reason_codes(self, sku: str) -> Sequence[str]:
        """The return reasons that Amazon allows for a SKU, in its order; may be empty."""

    async def create_return(self, order_id: str, units: Sequence[ReturnUnit]) -> CreateAnswer:
        """Ask Amazon to take the units back, each under its `return_item_id`. Not idempotent."""


class PurchaseReader(Protocol):
    """A label source that shows what became of a purchase, because it knows each parcel by a handle of its own."""

    async def look(self, body: bytes) -> BoughtPostage | NotBought:
        """Read what became of a saved purchase whose answer was lost; what it shows may lag behind."""

    async def sold(self, handle: str) -> bool:
        """Whether a parcel was bought, as far as the source shows by now."""

    async def voided(self, handle: str) -> VoidAnswer | None:
        """How far giving a label back has come; None while nobody asked for it."""


class LabelSource(Protocol):
    """Where labels are bought. Every method may raise Transient, Refused, CredentialsRefused, ContractBroken."""

    @property
    def mode(self) -> str:
        """What the credentials buy now, where a source tells real money from play money; a parcel of another mode is
        not this source's."""

    @property
    def purchase_reader(self) -> PurchaseReader | None:
        """How an unclear purchase is settled: by reading it here, or by sending it again where this is None."""

    async def offer(self, order: PostageOrder) -> PostageOffer | NotOffered:
        """Ask for the rate of the configured service."""

    async def buy(self, body: bytes, key: str) -> BoughtPostage | OfferExpired:
        """Send a saved purchase request; the same body and key are the same purchase however often they are sent."""

    async def document(self, shipment_id: str, reference: str, label_format: str) -> BoughtPostage:
        """Read what was bought again: the label to print and its tracking id, as far as they are there by now."""

    async def void(self, shipment_id: str) -> VoidAnswer:
        """Give a label back; one that was given back already is no error."""

    async def track(self, tracking_id: str, carrier_id: str) -> Tracking:
        """What the carrier says of a parcel."""
