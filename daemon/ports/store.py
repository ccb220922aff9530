"""What the daemon keeps, as protocols that every store implements."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol, TypeVar

from daemon.domain.events.returns import Event
from daemon.domain.queues import Queue
from daemon.domain.returns import LabelSourceName, Return, ReturnUnit, State
from daemon.ports.errands import ErrandBook
from daemon.ports.leases import LeaseBook
from daemon.ports.vendors import OrderHead

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetterRow:
    """A dead letter without its content. `letter_id` is our own id."""

    letter_id: int
    shop: str
    reason: str
    received_at: float


@dataclass(frozen=True, slots=True)
class Listed:
    """One return in a list; several texts are joined by commas. Times are Unix seconds."""

    number: int
    shop: str
    return_id: str
    state: str
    held: bool
    order_name: str
    problem: str
    code: str
    created_at: float
    changed_at: float
    skus: str
    rmas: str
    tracking: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ListFilter:
    """The filter of a list of returns; None means any. `before` is the number of the last row seen."""

    state: str | None = None
    shop: str | None = None
    held: bool | None = None
    unchanged_since: float | None = None
    before: int | None = None
    oldest_first: bool = False  # sorted by the last change; such a list has no pages


@dataclass(frozen=True, slots=True)
class CaseRow:
    """A case for a message to people; `kind` is a domain.notices.CaseKind."""

    kind: str
    shop: str
    return_id: str
    problem: str
    since: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DayOfReturns:
    """What happened within a time. `waits` are seconds to some labels, `lags` to some readings of inspections.

    `ended` counts the returns that ended, by their settlement.
    """

    labels: int
    waits: tuple[float, ...]
    lags: tuple[float, ...]
    ended: Mapping[str, int]


class Topic(StrEnum):
    """What is summed per day, by `a` and `b`."""

    CONDITIONS = "conditions"  # units found: a SKU of Amazon's and a condition
    REASONS = "reasons"  # units found: what the shopper stated, and the condition
    WAITS = "waits"  # units found: days since the label, the least of its group
    CLAIMS = "claims"  # units that Amazon may reimburse: a SKU and the condition
    SPEND = "spend"  # labels bought: the source and the carrier
    STATED = "stated"  # units of the returns heard of: what the shopper stated, Loop's parent reason and reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Sum:
    """How many of a kind, and what they cost or are worth together."""

    topic: Topic
    shop: str
    a: str
    b: str
    count: int
    cents: int


class SealedKind(StrEnum):
    """Where sealed values are stored."""

    DOCUMENTS = "documents"
    DEAD_LETTERS = "dead_letters"
    OFFERS = "offers"
    LINKS = "links"
    MARKS = "marks"


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedValue:
    """One sealed value: bytes, or a text that begins with SEALED. `about` is its name or shop."""

    shelf: SealedKind
    key: tuple[int | str, ...]
    about: str
    sealed: bytes | str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSize:
    """The size of the database in bytes; `finding` is its fault, or empty. A server's disk is its own: None."""

    size: int
    unused: int
    log: int
    disk_free: int | None
    finding: str
    replicas_lag: bool = False
    """Whether a replica of the server may lack what was committed last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A verified webhook delivery: its subject, and a hash of its bytes; never the bytes."""

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
    """A parcel that may have been bought by its handle. `look_at` is when to check it next; None: never again."""

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


Fields = Mapping[str, str | int | float | bool]
"""Fields of a request or an answer, by their path."""

CALLS_KEPT = 50
"""How many calls are kept of each return."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VendorCall:
    """One call to a vendor for a return; `times` in a row with the same answer, from `first_at` to `at`.

    `outcome` is the transport's word, `why` says why there is no answer. `asked` and `answered` are what an allow-list
    names: ids, states, codes and amounts, never a person's data.
    """

    shop: str
    return_id: str
    at: float
    first_at: float
    times: int = 1
    vendor: str
    operation: str
    outcome: str
    status: int | None
    seconds: float
    request_id: str | None
    why: str = ""
    asked: Fields = field(default_factory=dict)
    answered: Fields = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRow:
    """One row of a return's history."""

    at: float
    event: str
    before: str
    after: str
    detail: str


class UnitOfWork(Protocol):
    """The operations inside one transaction. Synchronous, so no network call can happen inside."""

    def get(self, shop: str, return_id: str) -> Return | None:
        """The return as it is stored."""

    def add(self, ret: Return) -> Return:
        """Store a new return; returns it with its version."""

    def save(self, ret: Return, event: Event | None, before: State, *, read: Return | None = None) -> Return:
        """Store a change, with a row for its event if there is one; raises StaleReturn for another version.

        `read` is the same version as it was read: parts that are as they were in it need not be looked at.
        """

    def defer(self, ret: Return) -> Return:
        """Store clocks, counters, pending calls, `needs_read`, `held` and `problem` only; raises StaleReturn."""

    def record_delivery(self, delivery: Delivery) -> bool:
        """Record a delivery; False if it was recorded before."""

    def keep_dead_letter(self, letter: DeadLetter) -> bool:
        """Keep an unreadable delivery; False if it is already kept."""

    def due(self, states: Sequence[State], now: float, limit: int) -> Sequence[tuple[float, str, str]]:
        """(due at, shop, return id) of the due returns, longest due first."""

    def due_after(self, states: Sequence[State], after: float, limit: int) -> Sequence[tuple[float, str, str]]:
        """(due at, shop, return id) of the returns due later than that, soonest first."""

    def queued(
        self, queue: Queue, now: float, limit: int, ours: Callable[[str], bool] = ...
    ) -> Sequence[tuple[float, str, str]]:
        """(due at, shop, return id) of the due returns of a queue, up to `limit` per shop, longest due first.

        Only those of shops that are `ours`.
        """

    def next_due(self, states: Sequence[State]) -> float | None:
        """When the next return of these states is due."""

    def on_order(self, account: str, order_id: str) -> Sequence[tuple[str, str]]:
        """(shop, return id) of every return of an account that has units on a fulfillment order."""

    def promised(self, ret: Return, order_ids: Sequence[str]) -> Sequence[ReturnUnit]:
        """Units of the account's other returns that are assigned to these orders and not refused."""

    def history(self, shop: str, return_id: str) -> Sequence[EventRow]:
        """Everything that happened to a return, oldest first."""

    def find(self, return_id: str) -> Sequence[tuple[str, str]]:
        """(shop, return id) of the returns with that id, in all shops."""

    def counts(self) -> Mapping[tuple[str, str], int]:
        """Returns by shop and state."""

    def listing(self, states: Sequence[State], limit: int) -> Sequence[Return]:
        """Returns of these states, longest due first."""

    def orders_named(self, account: str, name: str) -> Sequence[OrderHead]:
        """The account's indexed orders whose id, or displayable id, begins with `name`, in order."""

    def index_orders(self, account: str, heads: Sequence[OrderHead]) -> None:
        """Add an account's fulfillment orders to the index, with their last change."""

    def keep_document(self, name: str, sealed: bytes, expires_at: float) -> None:
        """Keep an encrypted document under its name, replacing any earlier one."""

    def document(self, name: str) -> bytes | None:
        """An encrypted document; empty after its retention, None if there never was one."""

    def drop_documents(self, now: float, limit: int) -> int:
        """Delete the contents of at most `limit` documents whose retention is over; returns their number."""

    def keep_purchase(self, purchase: Purchase) -> None:
        """Write down a parcel before it is bought, replacing any earlier row."""

    def purchase(self, source: LabelSourceName, handle: str) -> Purchase | None:
        """A parcel that was written down."""

    def purchases_due(self, account: str, now: float, limit: int) -> Sequence[Purchase]:
        """An account's parcels to check, longest due first."""

    def look_at_purchase(self, source: LabelSourceName, handle: str, look_at: float | None) -> None:
        """Set when to check a parcel again."""

    def spent_since(self, account: str, source: LabelSourceName, since: float, *, but: str = "") -> int:
        """The cost in cents of parcels offered since then, except that of one handle."""

    def unspend(self, source: LabelSourceName, handle: str) -> None:
        """Note that a parcel was refused and cost nothing. It is still checked."""

    def keep_calls(self, calls: Sequence[VendorCall]) -> None:
        """Add calls to the journals of stored returns, of which each keeps the last CALLS_KEPT.

        A call that was made before with the same answer only counts up. Calls of unknown returns are dropped.
        """

    def calls_of(self, shop: str, return_id: str) -> Sequence[VendorCall]:
        """The journal of a return, the oldest call first."""

    def buried(self, digest: str) -> bool:
        """Whether something of this name was forgotten; `digest` is the name's hash."""

    def mark(self, name: str) -> str | None:
        """A remembered value (a poll's last window, for example)."""

    def set_mark(self, name: str, value: str) -> None:
        """Remember a value."""


class ReturnStore(Protocol):
    """The store of returns; both methods raise StoreUnavailable."""

    async def transact(self, work: Callable[[UnitOfWork], T]) -> T:
        """Run `work` in a transaction of its own; returns only after the commit."""

    async def read(self, work: Callable[[UnitOfWork], T]) -> T:
        """Run `work`, which only reads."""


AT_REST = frozenset({State.CLOSED, State.CANCELLED})
"""The states of returns that are no longer open."""


class Maintenance(Protocol):
    """Maintenance of the store inside one transaction. `before` is in Unix seconds."""

    def letters(self) -> Sequence[DeadLetterRow]:
        """Every dead letter, oldest first."""

    def letter(self, letter_id: int) -> tuple[DeadLetterRow, bytes] | None:
        """A dead letter and its sealed content."""

    def drop_letter(self, letter_id: int) -> bool:
        """Delete a dead letter; False if there was none."""

    def drop_letters(self, before: float) -> int:
        """Delete the dead letters received before; returns their number."""

    def drop_deliveries(self, before: float, limit: int) -> int:
        """Delete at most `limit` deliveries received before; returns their number."""

    def drop_calls(self, before: float, limit: int) -> int:
        """Delete at most `limit` calls made before; returns their number."""

    def drop_empty_documents(self, before: float) -> int:
        """Delete the rows of documents whose retention ended before; returns their number."""

    def drop_documents_named(self, prefix: str) -> None:
        """Delete the documents whose names have the prefix."""

    def ended(self, before: float, limit: int) -> Sequence[tuple[str, str, State]]:
        """(shop, return id, state) of returns that ended before and have nothing due."""

    def drop_indexed_orders(self, before: float, limit: int) -> int:
        """Delete at most `limit` indexed orders whose last change was before; returns their number."""

    def drop_return(self, shop: str, return_id: str) -> None:
        """Delete a return with its parts, its history and its calls."""

    def forget_return(self, ret: Return) -> bool:
        """Delete a return with all of drop_return, and its deliveries; False if it has changed since it was read.

        What its labels cost stays, without their names, because it counts against the day's spending.
        """

    def withdraw_document(self, name: str) -> None:
        """Empty a document that shoppers fetch, so that they are told that it is gone."""

    def bury(self, digests: Sequence[str], at: float) -> None:
        """Remember that something of these names was forgotten, by the names' hashes."""

    def count_sums(self, topics: Collection[Topic], start: float, end: float) -> Sequence[Sum]:
        """Count, for these topics, what happened from `start` until before `end`, in Unix seconds."""

    def keep_sums(self, day: int, topics: Collection[Topic], rows: Sequence[Sum]) -> None:
        """Keep the sums of these topics and a day, in place of earlier ones. Days are counted from 1970."""

    def sums(self, topic: Topic, start: int, end: int) -> Sequence[Sum]:
        """The kept sums of the days from `start` until before `end`, added up."""

    def first_of(self, topics: Collection[Topic]) -> float | None:
        """When the first of what these topics count happened."""

    def drop_tombstones(self, before: float) -> int:
        """Delete the tombstones set before; returns their number."""

    def set_mark(self, name: str, value: str) -> None:
        """Remember a value."""

    def doubt_all(self) -> int:
        """Have every return that is open, or has something due, wait for `mcfd adopt`; returns their number."""

    def unproven(self, shop: str, limit: int) -> Sequence[str]:
        """The ids of a shop's returns that wait for `mcfd adopt`, in order."""

    def drop_mark(self, name: str) -> None:
        """Delete a remembered value."""

    def mark_names(self) -> Sequence[str]:
        """The names of all remembered values."""

    def move_mark(self, name: str, new: str) -> None:
        """Keep a remembered value under another name, in place of what was there."""

    def open_counts(self) -> Mapping[tuple[str, str], int]:
        """The number of returns for which something is due, by account and shop."""

    def in_both(self, shop: str, other: str) -> Sequence[str]:
        """The ids of returns that two shops have."""

    def rename_shop(self, name: str, new: str) -> int:
        """Give everything of a shop to another name, but dead letters; returns the number of returns.

        A return keeps the first name it had in `named_for`.
        """

    def letters_of(self, shop: str) -> Sequence[int]:
        """The ids of a shop's dead letters."""

    def move_letter(self, letter_id: int, shop: str, sealed: bytes) -> None:
        """Give a dead letter, sealed anew, to another shop."""

    def rename_account(self, name: str, new: str) -> int:
        """Give everything of an account to another name, in place of the other's list of orders; counts returns."""

    def sealed_keys(self, shelf: SealedKind) -> Sequence[tuple[int | str, ...]]:
        """The keys of all sealed values of a kind."""

    def sealed(self, shelf: SealedKind, key: tuple[int | str, ...]) -> SealedValue | None:
        """A sealed value; None if it was deleted meanwhile."""

    def reseal(self, value: SealedValue, sealed: bytes | str) -> None:
        """Replace a sealed value; its return's version rises, so that others must read it again."""

    def changed_since(self, since: float, after: int, limit: int) -> Sequence[tuple[int, str, str]]:
        """(place, shop, return id) of returns that changed since, after the place `after`, in order."""

    def held(self, limit: int) -> Sequence[tuple[str, str, str, float]]:
        """(shop, return id, problem, Unix seconds since when) of returns that wait for an order, the oldest first."""

    def find_by(self, text: str, limit: int) -> Sequence[Listed]:
        """The newest returns known by exactly this text: return, order, RMA, tracking number, label request or SKU."""

    def page_of(self, wanted: ListFilter, limit: int) -> Sequence[Listed]:
        """The newest returns that fit."""

    def cases(self, since: float, limit: int) -> Sequence[CaseRow]:
        """The cases for messages: what waits now, and what happened since; at most `limit` of each kind."""

    def held_counts(self) -> Mapping[str, int]:
        """The number of held returns, by shop."""

    def of_day(self, start: float, end: float) -> DayOfReturns:
        """What happened from `start` until before `end`."""

    def some_sku(self) -> str | None:
        """Amazon's SKU of the newest unit."""

    def last_label(self, shop: str) -> float | None:
        """When the newest return of a shop that has a label got it."""


class ReadableStore(Protocol):
    """The store for those who only read. Both methods raise StoreUnavailable."""

    async def read(self, work: Callable[[UnitOfWork], T]) -> T:
        """Run `work`, which only reads."""

    async def survey(self, work: Callable[[Maintenance], T]) -> T:
        """Run `work`, which only reads."""


class MaintainedStore(ReturnStore, Protocol):
    """The whole store. Every method raises StoreUnavailable."""

    async def upkeep(self, work: Callable[[Maintenance], T]) -> T:
        """Run `work` in a transaction of its own; returns only after the commit."""

    async def survey(self, work: Callable[[Maintenance], T]) -> T:
        """Run `work`, which only reads."""

    async def shrink(self) -> int:
        """Return unused pages to the disk and empty the log; returns the bytes that the file lost."""

    async def sizes(self) -> StoreSize:
        """The size of the database, and whether it is sound."""


class StoreReader(ReadableStore, Protocol):
    """A connection of its own that can only read."""

    async def close(self) -> None:
        """Close the connection."""


Judge = Callable[[UnitOfWork, Maintenance, str], None]
"""What is told which server the database is on, in a transaction: another name, and some commits may be lost."""


class Servers(Protocol):
    """Which server a database is on, where that may change."""

    async def judge(self, judge: Judge) -> None:
        """Tell `judge` now, and first of all on each new connection. Raises StoreUnavailable."""


class Store(MaintainedStore, Protocol):
    """An open store, as the daemon itself needs it. One that several nodes may share has the first three."""

    @property
    def servers(self) -> Servers | None:
        """Which server it is on."""

    @property
    def leases(self) -> LeaseBook | None:
        """Who works which account."""

    @property
    def errands(self) -> ErrandBook | None:
        """What nodes ask of each other."""

    async def listen(self, told: Callable[[], None], stop: asyncio.Event) -> None:
        """Call `told` whenever another node has written something that may concern this one, until `stop` is set."""

    async def reader(self) -> StoreReader:
        """Open a connection of its own for who only reads. Raises StoreUnavailable."""

    async def alive(self) -> None:
        """Return once the store has answered; raises StoreUnavailable when it cannot."""

    async def writable(self) -> None:
        """Return if units of work can be written; raises StoreUnavailable."""

    async def watch(self, stop: asyncio.Event) -> None:
        """Wait for `stop`. Raises StoreUnavailable when only another start can help."""

    async def close(self) -> None:
        """Finish the waiting units and close; harmless when repeated."""
