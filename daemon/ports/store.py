"""What the daemon keeps, as protocols that every store implements."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol, TypeVar

from daemon.domain.events.returns import Event
from daemon.domain.queues import Queue
from daemon.domain.returns import LabelSourceName, Return, ReturnUnit, State
from daemon.ports.vendors import OrderHead

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetterRow:
    """A dead letter without its content. `letter_id` is ours alone."""

    letter_id: int
    shop: str
    reason: str
    received_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ReasonSeen:
    """What shoppers of a shop gave as reason, and for how many units."""

    shop: str
    parent_reason: str
    reason: str
    units: int


@dataclass(frozen=True, slots=True)
class Listed:
    """One return in a list; texts of several are joined by commas. Times are Unix seconds."""

    number: int
    shop: str
    return_id: str
    state: str
    held: bool
    order_name: str
    problem: str
    created_at: float
    changed_at: float
    skus: str
    rmas: str
    tracking: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ListFilter:
    """Which returns a list is of; what is None is not asked for. `before` is the number of the last row seen."""

    state: str | None = None
    shop: str | None = None
    held: bool | None = None
    unchanged_since: float | None = None
    before: int | None = None
    oldest_first: bool = False  # by the last change; such a list has no pages


@dataclass(frozen=True, slots=True)
class CaseRow:
    """Something that people are told about; `kind` is a domain.notices.CaseKind."""

    kind: str
    shop: str
    return_id: str
    problem: str
    since: float


class SealedKind(StrEnum):
    """Where sealed values lie."""

    DOCUMENTS = "documents"
    DEAD_LETTERS = "dead_letters"
    OFFERS = "offers"
    LINKS = "links"
    MARKS = "marks"


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedValue:
    """One sealed value: bytes, or a text that begins with SEALED. `about` is the name or shop of what it is."""

    shelf: SealedKind
    key: tuple[int | str, ...]
    about: str
    sealed: bytes | str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSize:
    """How large the database is, in bytes; `finding` is what is wrong with it, or empty."""

    size: int
    unused: int
    log: int
    disk_free: int
    finding: str


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
class Purchase:
    """A parcel that may have been bought by its handle. `look_at`: when to see what became of it; None: never again."""

    account: str
    source: LabelSourceName
    handle: str
    shop: str
    return_id: str
    authorization_id: str
    mode: str
    charge_cents: int
    offered_at: float
    look_at: float | None


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

    def save(self, ret: Return, event: Event | None, before: State) -> Return:
        """Store a change, with its event's row unless there is none; raises StaleReturn for another version."""

    def defer(self, ret: Return) -> Return:
        """Store clocks, counters, pending calls, `needs_read`, `held` and `problem` only; raises StaleReturn."""

    def record_delivery(self, delivery: Delivery) -> bool:
        """Keep a delivery's row; False when the same one was recorded before."""

    def keep_dead_letter(self, letter: DeadLetter) -> bool:
        """Keep an unreadable delivery; False when it is kept already."""

    def due(self, states: Sequence[State], now: float, limit: int) -> Sequence[tuple[float, str, str]]:
        """(due at, shop, return id) of the returns to wake for, longest due first."""

    def due_after(self, states: Sequence[State], after: float, limit: int) -> Sequence[tuple[float, str, str]]:
        """(due at, shop, return id) of the returns that are to be woken only later than that, soonest first."""

    def queued(self, queue: Queue, now: float, limit: int) -> Sequence[tuple[float, str, str]]:
        """(due at, shop, return id) of what is due in a queue, up to `limit` of each shop, longest due first."""

    def next_due(self, states: Sequence[State]) -> float | None:
        """When the next return of these states is due."""

    def on_order(self, account: str, order_id: str) -> Sequence[tuple[str, str]]:
        """(shop, return id) of every return of an account that has units on a fulfillment order."""

    def promised(self, ret: Return, order_ids: Sequence[str]) -> Sequence[ReturnUnit]:
        """Units of the account's other returns that were assigned on these orders and not refused."""

    def history(self, shop: str, return_id: str) -> Sequence[EventRow]:
        """Everything that happened to a return, oldest first."""

    def find(self, return_id: str) -> Sequence[tuple[str, str]]:
        """(shop, return id) of the returns of that id, over all shops."""

    def counts(self) -> Mapping[tuple[str, str], int]:
        """Returns by shop and state."""

    def listing(self, states: Sequence[State], limit: int) -> Sequence[Return]:
        """Returns of these states, longest due first."""

    def orders_named(self, account: str, name: str) -> Sequence[OrderHead]:
        """What the index knows of the account's orders whose id, or displayable id, begins with `name`, in order."""

    def index_orders(self, account: str, heads: Sequence[OrderHead]) -> None:
        """Remember an account's fulfillment orders and when they changed last."""

    def keep_document(self, name: str, sealed: bytes, expires_at: float) -> None:
        """Keep an encrypted document under its name, in place of the one before."""

    def document(self, name: str) -> bytes | None:
        """An encrypted document; empty when its retention is over, None when there never was one."""

    def drop_documents(self, now: float, limit: int) -> int:
        """Forget the contents of documents whose retention is over; how many, at most `limit`."""

    def keep_purchase(self, purchase: Purchase) -> None:
        """Write down a parcel before it is bought, in place of what was known of it."""

    def purchase(self, source: LabelSourceName, handle: str) -> Purchase | None:
        """A parcel that was written down."""

    def purchases_due(self, now: float, limit: int) -> Sequence[Purchase]:
        """Parcels to look at, longest due first."""

    def look_at_purchase(self, source: LabelSourceName, handle: str, look_at: float | None) -> None:
        """Say when to look at a parcel again."""

    def spent_since(self, account: str, source: LabelSourceName, since: float, *, but: str = "") -> int:
        """What parcels cost that were offered since, in cents; that of one handle is left out."""

    def unspend(self, source: LabelSourceName, handle: str) -> None:
        """A parcel was refused: it cost nothing. It is still looked at."""

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


AT_REST = frozenset({State.CLOSED, State.CANCELLED})
"""What is not open any more."""


class Maintenance(Protocol):
    """What may be done for the store's own sake inside one transaction. `before` is in Unix seconds."""

    def letters(self) -> Sequence[DeadLetterRow]:
        """Every dead letter, oldest first."""

    def letter(self, letter_id: int) -> tuple[DeadLetterRow, bytes] | None:
        """A dead letter and its sealed content."""

    def drop_letter(self, letter_id: int) -> bool:
        """Forget a dead letter; False when there was none."""

    def drop_letters(self, before: float) -> int:
        """Forget the dead letters received before; how many."""

    def drop_deliveries(self, before: float, limit: int) -> int:
        """Forget deliveries received before; how many, at most `limit`."""

    def drop_empty_documents(self, before: float) -> int:
        """Forget that documents existed whose retention ended before; how many."""

    def drop_documents_named(self, prefix: str) -> None:
        """Forget the documents whose names begin so."""

    def ended(self, before: float, limit: int) -> Sequence[tuple[str, str, State]]:
        """(shop, return id, state) of returns that ended before and that nothing is due for."""

    def drop_indexed_orders(self, before: float, limit: int) -> int:
        """Forget orders of the index that changed last before; how many, at most `limit`."""

    def drop_return(self, shop: str, return_id: str) -> None:
        """Forget a return with its parts and its history."""

    def drop_mark(self, name: str) -> None:
        """Forget a remembered value."""

    def sealed_keys(self, shelf: SealedKind) -> Sequence[tuple[int | str, ...]]:
        """The keys of every sealed value of a shelf."""

    def sealed(self, shelf: SealedKind, key: tuple[int | str, ...]) -> SealedValue | None:
        """A sealed value; None when it has gone meanwhile."""

    def reseal(self, value: SealedValue, sealed: bytes | str) -> None:
        """Put another sealed value in its place; whoever holds its return meanwhile must read it again."""

    def changed_since(self, since: float, after: int, limit: int) -> Sequence[tuple[int, str, str]]:
        """(place, shop, return id) of returns that changed since, behind the place `after`, in order."""

    def reasons(self) -> Sequence[ReasonSeen]:
        """The reasons of all stored units, the most frequent first."""

    def held(self, limit: int) -> Sequence[tuple[str, str, str, float]]:
        """(shop, return id, problem, Unix seconds since when) of returns that wait for an order, the oldest first."""

    def find_by(self, text: str, limit: int) -> Sequence[Listed]:
        """The newest returns known by exactly this text: return, order, RMA, tracking number, label request or SKU."""

    def page_of(self, wanted: ListFilter, limit: int) -> Sequence[Listed]:
        """The newest returns that fit."""

    def cases(self, since: float, limit: int) -> Sequence[CaseRow]:
        """What people are told about: what waits now, and what happened since; at most `limit` of each kind."""

    def held_counts(self) -> Mapping[str, int]:
        """How many there are, by shop."""

    def some_sku(self) -> str | None:
        """Amazon's SKU of the newest unit."""

    def last_label(self, shop: str) -> float | None:
        """When the newest return of a shop that has a label got it."""


class MaintainedStore(ReturnStore, Protocol):
    """The whole store. Every method raises StoreUnavailable."""

    async def upkeep(self, work: Callable[[Maintenance], T]) -> T:
        """Run `work` in a transaction of its own; resolves only after the commit."""

    async def survey(self, work: Callable[[Maintenance], T]) -> T:
        """Run `work`, which only reads."""

    async def shrink(self) -> int:
        """Give unused pages back to the disk and empty the log; how many bytes the file lost."""

    async def sizes(self) -> StoreSize:
        """How large the database is, and whether it is sound."""
