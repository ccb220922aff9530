"""What the daemon needs from the outside, as protocols. Adapters conform by shape, not by inheritance."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, TypeVar

from daemon.domain.events import Event
from daemon.domain.orders import CreateAnswer, FulfillmentOrder
from daemon.domain.portal import Grade, PortalLabelRequest, PortalReturn, PortalState
from daemon.domain.postage import BoughtPostage, NotOffered, OfferExpired, PostageOffer, PostageOrder, Tracking
from daemon.domain.returns import Label, Return, ReturnUnit, State, Transit

T = TypeVar("T")


class Lane(StrEnum):
    """Which queue a call waits in: a shopper's label goes before reconciliation, and none starves.

    A label that is under way goes before a label request that was just heard of.
    """

    SHOPPER = "shopper"
    OPENING = "opening"
    BACKGROUND = "background"


class Clock(Protocol):
    """Time, as the only way to read it or to let it pass."""

    def now(self) -> float:
        """Wall clock, in Unix seconds (UTC)."""

    def monotonic(self) -> float:
        """A clock that never jumps, in seconds from an arbitrary origin."""

    async def wait(self, event: asyncio.Event, seconds: float | None) -> bool:
        """Wait until `event` is set or `seconds` have passed (None: for ever); True when the event is set."""


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
    """One row of the list of fulfillment orders; no address is kept."""

    order_id: str
    displayable_order_id: str


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
        """One page of the orders changed since; with a token, the page that it names."""

    async def reason_codes(self, sku: str) -> Sequence[str]:
        """The return reasons that Amazon allows for a SKU, in its order; may be empty."""

    async def create_return(self, order_id: str, units: Sequence[ReturnUnit]) -> CreateAnswer:
        """Ask Amazon to take the units back, each under its `return_item_id`. Not idempotent."""


class LabelSource(Protocol):
    """Where labels are bought. Every method may raise Transient, Refused, CredentialsRefused, ContractBroken."""

    async def offer(self, order: PostageOrder) -> PostageOffer | NotOffered:
        """Ask for the rate of the configured service."""

    async def buy(self, body: bytes, key: str) -> BoughtPostage | OfferExpired:
        """Send a saved purchase request; the same body and key are the same purchase however often they are sent."""

    async def document(self, shipment_id: str, reference: str, label_format: str) -> BoughtPostage:
        """Read what was bought again: the label to print and its tracking id, as far as they are there by now."""

    async def void(self, shipment_id: str) -> None:
        """Give a label back; one that was given back already is no error."""

    async def track(self, tracking_id: str, carrier_id: str) -> Tracking:
        """What the carrier says of a parcel."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A webhook delivery that was verified: what it is about, and a hash of its bytes; never the bytes."""

    shop: str
    topic: str
    trigger: str
    subject: str
    return_id: str
    digest: str
    received_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A delivery that was signed but cannot be read; `sealed` is its encrypted body."""

    shop: str
    digest: str
    reason: str
    sealed: bytes
    received_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRow:
    """One row of a return's history."""

    at: float
    event: str
    before: str
    after: str
    detail: str


class UnitOfWork(Protocol):
    """What may be done inside one transaction. Synchronous: no network call can happen in here."""

    def get(self, shop: str, return_id: str) -> Return | None:
        """The return as it is stored."""

    def add(self, ret: Return) -> Return:
        """Store a new return; it comes back with its version."""

    def save(self, ret: Return, event: Event, before: State) -> Return:
        """Store a change with its event row; raises StaleReturn when the stored version is another."""

    def defer(self, ret: Return) -> Return:
        """Store clocks, counters, `begun`, `hinted`, `held` and `problem` only (no event); raises StaleReturn."""

    def record_delivery(self, delivery: Delivery) -> bool:
        """Keep a delivery's row; False when the same one was recorded before."""

    def keep_dead_letter(self, letter: DeadLetter) -> bool:
        """Keep an unreadable delivery; False when it is kept already."""

    def due(self, states: Sequence[State], now: float, limit: int) -> Sequence[tuple[float, str, str]]:
        """(due at, shop, return id) of the returns to wake for, longest due first."""

    def next_due(self, states: Sequence[State]) -> float | None:
        """When the next return of these states is due."""

    def on_order(self, order_id: str) -> Sequence[tuple[str, str]]:
        """(shop, return id) of every return that has units on a fulfillment order."""

    def promised(self, order_ids: Sequence[str], shop: str, return_id: str) -> Sequence[ReturnUnit]:
        """Units of other returns that were assigned on these orders and not refused."""

    def history(self, shop: str, return_id: str) -> Sequence[EventRow]:
        """Everything that happened to a return, oldest first."""

    def find(self, return_id: str) -> Sequence[tuple[str, str]]:
        """(shop, return id) of the returns of that id, over all shops."""

    def counts(self) -> Mapping[tuple[str, str], int]:
        """Returns by shop and state."""

    def listing(self, states: Sequence[State], limit: int) -> Sequence[Return]:
        """Returns of these states, longest due first."""

    def orders_named(self, displayable_order_id: str) -> Sequence[str]:
        """Fulfillment order ids that go by a displayable id, from the incremental index."""

    def index_orders(self, heads: Sequence[OrderHead]) -> None:
        """Remember ids of fulfillment orders."""

    def keep_document(self, name: str, sealed: bytes, expires_at: float) -> None:
        """Keep an encrypted document under its name, in place of the one before."""

    def document(self, name: str) -> bytes | None:
        """An encrypted document; empty when its retention is over, None when there never was one."""

    def drop_documents(self, now: float) -> int:
        """Forget the contents of documents whose retention is over; how many there were."""

    def mark(self, name: str) -> str | None:
        """A remembered value (a poll's last window, for example)."""

    def set_mark(self, name: str, value: str) -> None:
        """Remember a value."""


class ReturnStore(Protocol):
    """Durable returns; both methods raise StoreUnavailable."""

    async def transact(self, work: Callable[[UnitOfWork], T]) -> T:
        """Run `work` in a transaction of its own; resolves only after the commit."""

    async def read(self, work: Callable[[UnitOfWork], T]) -> T:
        """Run `work`, which only reads."""


class SecretBox(Protocol):
    """Encryption at rest."""

    def seal(self, plain: bytes, purpose: str) -> bytes:
        """Encrypt; `purpose` is authenticated, so that a sealed value cannot be used in another place."""

    def unseal(self, sealed: bytes, purpose: str) -> bytes:
        """Decrypt; raises McfdError when no key fits or the value was tampered with."""


class Metrics(Protocol):
    """What operators count. Label values are bounded: never an id."""

    def webhook(self, shop: str, outcome: str, now: float) -> None:
        """A delivery was answered; `verified`, `duplicate`, `bad_signature`, ..."""

    def moved(self, shop: str, before: State | None, after: State) -> None:
        """A return changed its state; None for a new one."""

    def service_round(self, service: str, oldest_due_seconds: float) -> None:
        """A service went round; how long its longest due return has waited, 0 when none is due."""

    def trouble(self, kind: str) -> None:
        """Something an operator should see: `bug`, `unsettled`, `processed_before_inspection`, ..."""


class DeskMetrics(Protocol):
    """What is counted of one shop's returns."""

    def step(self, act: str, outcome: str) -> None:
        """A duty was performed, or not (`done`, `not_yet`, or the class of the error)."""

    def label_delivered(self, seconds: float) -> None:
        """From hearing of the label request to the label in the portal."""

    def trouble(self, kind: str) -> None:
        """As in Metrics."""
