"""Returns and label requests in the portal (Loop), reduced to what the daemon needs for decisions."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from daemon.domain.durations import DAY
from daemon.domain.orders import PostalAddress
from daemon.domain.returns import Transit

LONGEST_LIST = 119 * DAY
"""The longest window that the portal lists returns for."""


def list_windows(since: float, until: float) -> Iterator[tuple[float, float]]:
    """The windows, oldest first, in which the portal has to be asked for all returns between two times."""
    while since < until:
        end = min(until, since + LONGEST_LIST)
        yield since, end
        since = end


class PortalState(StrEnum):
    """The portal's state of a return; an unknown word becomes UNKNOWN and means "wait"."""

    OPEN = "open"
    REVIEW = "review"
    CLOSED = "closed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    UNKNOWN = "unknown"


class RequestStatus(StrEnum):
    """The portal's status of a label request."""

    ISSUED = "issued"
    CANCELLED = "cancelled"
    FULFILLED = "fulfilled"


@dataclass(frozen=True, slots=True, kw_only=True)
class PortalLine:
    """One line of a return, always one unit: the portal's lines have no quantity. Grades are the portal's own words."""

    line_id: str
    sku: str
    price_cents: int | None = None
    reason: str = ""
    parent_reason: str = ""
    grade: str = ""
    disposition: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PortalLabel:
    """A label that a return has. The portal does not tell to which label request it belongs."""

    url: str
    carrier: str = ""
    tracking_number: str = ""
    status: Transit = Transit.NEW
    rate_cents: int = 0
    line_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PortalNote:
    """A line of a return's timeline, and when it was written, if the portal tells."""

    text: str
    at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PortalRow:
    """A row of the list of returns."""

    return_id: str
    order_name: str = ""
    skus: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PortalReturn:
    """The authoritative state of a return, from its details."""

    return_id: str
    state: PortalState
    lines: tuple[PortalLine, ...]
    order_name: str = ""
    order_number: str = ""
    provider_order_id: str = ""
    destination_id: str = ""
    submitted_at: float | None = None
    has_exchange: bool = False
    was_processed: bool = False
    label_urls: tuple[str, ...] = ()
    labels: tuple[PortalLabel, ...] = ()

    @property
    def settled(self) -> bool:
        """Whether nothing is left to decide in the portal."""
        return self.was_processed or self.state in {PortalState.CLOSED, PortalState.CANCELLED}


@dataclass(frozen=True, slots=True, kw_only=True)
class ParcelSize:
    """Size in inches, weight in grams; None where the portal gave no value."""

    length_in: float | None = None
    width_in: float | None = None
    height_in: float | None = None
    weight_g: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PortalLabelRequest:
    """The authoritative state of a label request. The shopper's address is never stored, and stays out of `repr`.

    `private` are all texts in it that identify the shopper.
    """

    request_id: str
    return_id: str
    status: RequestStatus
    skus: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()
    created_at: float | None = None
    origin_country: str = ""
    origin: PostalAddress | None = field(default=None, repr=False)
    private: tuple[str, ...] = field(default=(), repr=False)
    parcel: ParcelSize = field(default_factory=ParcelSize)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grade:
    """The grade written to the portal for one line: category, its title, disposition, and a sentence."""

    line_id: str
    grade: str
    title: str
    disposition: str
    description: str
    inspected_at: float


# ---- messages from webhooks and polls; what changed is only a hint, but for the end of what mcfd asked for


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestIssued:
    """The portal asks for a label."""

    return_id: str
    request_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestCancelled:
    """The portal withdrew a label request."""

    return_id: str
    request_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReturnChanged:
    """Something changed; state and lines are what the portal said at that moment. No lines: it did not tell them."""

    return_id: str
    state: PortalState
    line_ids: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessingTrouble:
    """The portal could not process a return. `said` is its message, which may name the shopper."""

    return_id: str
    said: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class RestockAsked:
    """The portal puts units of a return back into the shop's stock by itself."""

    return_id: str


Message = RequestIssued | RequestCancelled | ReturnChanged | ProcessingTrouble | RestockAsked
