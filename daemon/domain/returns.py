"""The return and its parts: plain values. What may happen to them is in `lifecycle`."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from daemon.domain.acts import Duty
from daemon.domain.copies import replace
from daemon.domain.direction import Direction
from daemon.domain.orders import ReturnAuthorization
from daemon.domain.problems import ProblemCode

MAIN_ACCOUNT = "main"
"""The name of the seller's account where there is only one."""


class State(StrEnum):
    """What a return is waiting for."""

    RECEIVED = "received"
    AWAITING_LABEL = "awaiting_label"
    LABEL_READY = "label_ready"
    AWAITING_INSPECTION = "awaiting_inspection"
    INSPECTED = "inspected"
    SETTLING = "settling"
    PROCESSING = "processing"
    IN_REVIEW = "in_review"
    EXPIRED = "expired"
    REFUSED = "refused"
    CANCELLED = "cancelled"
    STUCK = "stuck"
    CLOSED = "closed"


class LabelSourceName(StrEnum):
    """Who makes the label for a label request."""

    RMA_PAGE = "rma_page"
    AMAZON_SHIPPING = "amazon_shipping"
    EASYPOST = "easypost"

    @property
    def buys_postage(self) -> bool:
        """Whether a label is bought for each parcel; otherwise the shopper prints Amazon's page."""
        return self is not LabelSourceName.RMA_PAGE


class RequestState(StrEnum):
    """How far a label request has come."""

    UNREAD = "unread"  # known, but not yet read
    OPEN = "open"
    DELIVERED = "delivered"
    REFUSED = "refused"  # a label request error was posted
    CANCELLED = "cancelled"
    NOT_OURS = "not_ours"


class UnitState(StrEnum):
    """Where one unit stands with Amazon."""

    PLANNED = "planned"  # not asked yet, or the answer was never stored
    AUTHORIZED = "authorized"
    NOT_RETURNABLE = "not_returnable"
    REMOVED = "removed"  # edited out of the return in the portal


class Settlement(StrEnum):
    """What to do in the portal because of the findings."""

    PROCESS = "process"
    FLAG = "flag"
    REMOVE = "remove"
    NOTHING = "nothing"


class Transit(StrEnum):
    """A label's progress in the portal's words; it may only advance in this order."""

    NEW = "new"
    PRE_TRANSIT = "pre_transit"
    IN_TRANSIT = "in_transit"
    OUT_FOR_DELIVERY = "out_for_delivery"
    DELIVERED = "delivered"

    @property
    def rank(self) -> int:
        """Position in that order; a lower rank is never reported after a higher one."""
        return _IN_ORDER.index(self)


_IN_ORDER = tuple(Transit)


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """The label as posted to the portal: a link to print, and the carrier's data."""

    url: str
    carrier: str
    tracking_number: str
    rate_cents: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelRequest:
    """One label request of a return. `label_id` is the portal's; it is unknown if the portal's answer was lost.

    A request `withdrawn` after its label was delivered stays DELIVERED: the shopper may still use the label. One that
    was heard while the shop had its labels made by somebody else is not `made_here`.
    """

    request_id: str
    asked: RequestState = RequestState.UNREAD
    read_at: float | None = None
    source: LabelSourceName = LabelSourceName.RMA_PAGE
    label: Label | None = None
    label_id: str | None = None
    transit: Transit = Transit.NEW
    reported: Transit = Transit.NEW
    withdrawn: bool = False
    made_here: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The result of an inspection; `condition` is Amazon's word, MISSING, or empty if Amazon gave none."""

    condition: str
    found_at: float
    center: str = ""
    reason: str = ""


MISSING = "missing"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReturnUnit:
    """One physical unit. `part` numbers the units of one bundle line.

    `price_cents` is its share of the line's price; `line_price_cents` is None when the portal names no price.
    """

    line_id: str
    part: int = 1
    portal_sku: str
    sku: str
    price_cents: int = 0
    line_price_cents: int | None = None
    reason: str = ""
    parent_reason: str = ""
    request_id: str = ""
    standing: UnitState = UnitState.PLANNED
    problem: str = ""
    order_id: str = ""
    order_item_id: str = ""
    shipment_id: str = ""
    return_item_id: str = ""
    reason_code: str = ""
    authorization_id: str = ""
    finding: Finding | None = None
    processed_at: float | None = None
    graded: bool = False

    @property
    def key(self) -> tuple[str, int]:
        """Identity within its return."""
        return self.line_id, self.part


TRACKED_ONLY = "tracking:"
"""The prefix of the shipment id of a label of which nothing but its tracking is known."""


class Void(StrEnum):
    """Whether a bought label is to be given back."""

    NO = "no"
    WANTED = "wanted"
    DONE = "done"
    KEPT = "kept"  # it was scanned, or Amazon refused the void


@dataclass(frozen=True, slots=True, kw_only=True)
class Postage:
    """The bought label of one authorization. `number` counts purchases; it rises only after a confirmed void.

    `sealed_offer` is the encrypted purchase request: it is saved before it is sent, and repeated unchanged. `handle` is
    the source's id of the parcel before the sale, `service` the carrier account and service, `mode` says whether real
    money is spent. `carrier_id` is the carrier by which the source tracks the parcel, `direction` where its label
    leads.
    """

    authorization_id: str
    number: int = 1
    sealed_offer: bytes = b""
    carrier_id: str = ""
    carrier: str = ""
    charge_cents: int = 0
    label_format: str = ""
    shipment_id: str = ""
    tracking_id: str = ""
    printable: bool = False
    transit: Transit = Transit.NEW
    scanned_at: float | None = None
    delivered_at: float | None = None
    lost_at: float | None = None
    tracked_at: float | None = None
    void: Void = Void.NO
    source: LabelSourceName = LabelSourceName.AMAZON_SHIPPING
    handle: str = ""
    service: str = ""
    mode: str = ""
    direction: Direction = Direction.UNSEEN
    bought_at: float | None = None

    @property
    def bought(self) -> bool:
        """Whether a label exists and is not void."""
        return bool(self.shipment_id) and self.void is not Void.DONE

    @property
    def tracked_only(self) -> bool:
        """Whether nothing but its tracking is known: it can be neither printed again nor voided."""
        return self.shipment_id.startswith(TRACKED_ONLY)

    @property
    def doubtful(self) -> bool:
        """Whether the label waits for an operator to check where it leads."""
        return self.direction in {Direction.UNREADABLE, Direction.WRONG}

    @property
    def renewed(self) -> "Postage":
        """The postage for the parcel's next label, not yet bought, because this one cannot be used again."""
        return Postage(authorization_id=self.authorization_id, number=self.number + 1)

    @property
    def travelling(self) -> bool:
        """Whether to ask the carrier about it, even before its tracking id is known."""
        return self.bought and self.delivered_at is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """A line for the portal's timeline. `key` names its subject; there is one note per key."""

    key: str
    text: str
    written: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Switches:
    """What the shop wants done with findings; a return keeps those of its verdict."""

    grades: bool = True
    outcomes: bool = True


@dataclass(frozen=True, kw_only=True)  # without slots, so that `replace` is quick
class Return:
    """One shopper's return, followed to its end.

    `due_at` is when a service must look at the return, `amazon_due_at` when to read Amazon again, `portal_due_at` when
    to read the portal. `announced_at` is when Amazon last announced news that has not been read yet, `looked_at` when
    Amazon was last read. `pending_calls` are outward calls whose answers were never stored. `settlement` comes from the
    verdict; `asked_for` is what the portal was asked to do, and only an operator's retry clears it. `account` is the
    seller's at Amazon; `submitted_at` is when the shopper made the return, by the portal's clock. `adopted_at` is when
    the return was taken over with a past that the store does not know: what was bought or written then is looked for
    before anything is done. An `unproven` return waits to be compared with the vendors: the store may know less of it.
    `named_for` is the shop's name when the return was opened, if the shop was renamed since.
    """

    shop: str
    return_id: str
    account: str = MAIN_ACCOUNT
    created_at: float
    state: State = State.RECEIVED
    version: int = 0
    changed_at: float = 0.0
    due_at: float | None = None
    amazon_due_at: float | None = None
    portal_due_at: float | None = None
    announced_at: float | None = None
    looked_at: float | None = None
    deadline_at: float | None = None
    passed_over_until: float | None = None
    attempts: int = 0
    transient_failures: int = 0
    verifications: int = 0
    pending_calls: tuple[Duty, ...] = ()
    needs_read: bool = False
    held: bool = False
    resume_state: State | None = None
    problem: str = ""
    problem_code: ProblemCode | None = None
    order_name: str = ""
    order_number: str = ""
    provider_order_id: str = ""
    submitted_at: float | None = None
    has_exchange: bool = False
    settlement: Settlement = Settlement.NOTHING
    asked_for: Settlement = Settlement.NOTHING
    processing_failed: bool = False
    flagged: bool = False
    labelled_at: float | None = None
    closed_at: float | None = None
    switches: Switches = field(default_factory=Switches)
    adopted_at: float | None = None
    unproven: bool = False
    named_for: str = ""
    requests: tuple[LabelRequest, ...] = ()
    units: tuple[ReturnUnit, ...] = ()
    authorizations: tuple[ReturnAuthorization, ...] = ()
    postage: tuple[Postage, ...] = ()
    notes: tuple[Note, ...] = ()

    @property
    def ref(self) -> str:
        """The return's name for people and logs."""
        return f"{self.shop}/{self.return_id}"

    @property
    def own_shop(self) -> str:
        """The shop's name when the return was opened, which everything derived from it keeps."""
        return self.named_for or self.shop

    def request(self, request_id: str) -> LabelRequest | None:
        """The label request with that id."""
        return next((r for r in self.requests if r.request_id == request_id), None)

    def open_requests(self) -> tuple[LabelRequest, ...]:
        """Requests that still wait for a label."""
        return tuple(r for r in self.requests if r.asked is RequestState.OPEN)

    def units_of(self, request_id: str) -> tuple[ReturnUnit, ...]:
        """The units that a label request covers."""
        return tuple(u for u in self.units if u.request_id == request_id)

    def authorized(self) -> tuple[ReturnUnit, ...]:
        """The units that Amazon accepted."""
        return tuple(u for u in self.units if u.standing is UnitState.AUTHORIZED)

    def awaited(self) -> tuple[ReturnUnit, ...]:
        """The units to wait for: those of labels still wanted, or all that may come if there are none."""
        given = {r.request_id for r in self.requests if r.asked is RequestState.DELIVERED and not r.withdrawn}
        expected = self.authorized()
        return tuple(u for u in expected if u.request_id in given) or expected

    def order_ids(self) -> tuple[str, ...]:
        """The fulfillment orders of its units, without repeats, in the order of the units."""
        return tuple(dict.fromkeys(u.order_id for u in self.units if u.order_id))

    def owed_notes(self) -> tuple[Note, ...]:
        """Notes not yet written."""
        return tuple(n for n in self.notes if not n.written)

    @property
    def awaits_foreign_label(self) -> bool:
        """Whether it waits for a label that somebody else makes."""
        return any(r.asked is RequestState.UNREAD and not r.made_here for r in self.requests)

    @property
    def label_out(self) -> bool:
        """At least one label is in the shopper's hands."""
        return any(r.asked is RequestState.DELIVERED for r in self.requests)


def merge_units(old: Iterable[ReturnUnit], new: Iterable[ReturnUnit]) -> tuple[ReturnUnit, ...]:
    """The units with the changed ones replaced; new ones follow at the end."""
    units = {unit.key: unit for unit in old}
    units.update({unit.key: unit for unit in new})
    return tuple(units.values())


def change_request(ret: Return, request_id: str, **changes: object) -> Return:
    """The return with one label request changed."""
    requests = tuple(
        replace(r, **changes) if r.request_id == request_id else r  # type: ignore[arg-type]
        for r in ret.requests
    )
    return replace(ret, requests=requests)
