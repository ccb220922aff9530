"""What can happen to a return: facts, in the past tense. `at` is when we learned of it."""

from dataclasses import dataclass

from daemon.domain.acts import Duty
from daemon.domain.orders import ReturnAuthorization
from daemon.domain.returns import Label, LabelRequest, Postage, ReturnUnit, Settlement, Transit


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """The root of all events."""

    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelRequestedAgain(Event):
    """The portal issued one more label request for a return we know, or still lists one that we could not read."""

    request: LabelRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelRequestCancelled(Event):
    """The portal withdrew a label request; an empty id means the whole return was cancelled.

    `by` is the operator who cancelled it without the portal.
    """

    request_id: str = ""
    by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRead(Event):
    """A label request and its return were read: these are the units it covers."""

    request: LabelRequest
    units: tuple[ReturnUnit, ...]
    order_name: str = ""
    order_number: str = ""
    provider_order_id: str = ""
    submitted_at: float | None = None
    has_exchange: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestStands(Event):
    """A label request that was read long ago was read again: it still asks for a label."""

    request_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NotOurs(Event):
    """The label request belongs to somebody else, or was answered by somebody else."""

    request_id: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderMatched(Event):
    """Units have their places in shipments, or none; `postage` comes with units of a cancelled return."""

    units: tuple[ReturnUnit, ...]
    postage: tuple[Postage, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Unmatched(Event):
    """No fulfillment order holds the units of a label request; `hold` keeps looking without telling the portal."""

    request_id: str
    why: str
    hold: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitsAuthorized(Event):
    """Amazon accepted units, and may have refused others of the same call; `readbacks` as in UnitsRefused."""

    units: tuple[ReturnUnit, ...]
    authorizations: tuple[ReturnAuthorization, ...] = ()
    verifications: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitsRefused(Event):
    """Amazon refused units; with `readbacks` others of the same call are in doubt and are read back."""

    units: tuple[ReturnUnit, ...]
    verifications: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelIssued(Event):
    """A label exists for a label request."""

    request_id: str
    label: Label


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelDelivered(Event):
    """The portal has the label; `label_id` is None when the answer was lost and only the effect is known."""

    request_id: str
    label_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusalReported(Event):
    """A label request error was posted."""

    request_id: str


# ---- the units come back


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitInspected(Event):
    """Some units were looked at, others are still expected."""

    units: tuple[ReturnUnit, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitsInspected(Event):
    """Every unit was looked at."""

    units: tuple[ReturnUnit, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitsMissing(Event):
    """The clock decided: what has not come by now is missing."""

    units: tuple[ReturnUnit, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class NothingCame(Event):
    """Nothing of the whole return was ever scanned or received."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinesEdited(Event):
    """Lines have left the return in the portal while their units were expected, or are part of it again."""

    units: tuple[ReturnUnit, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LateFinding(Event):
    """A unit was looked at, or judged anew, after the verdict."""

    units: tuple[ReturnUnit, ...]


# ---- the outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictReached(Event):
    """Every grade is in the portal, and the verdict is made: its words, and those of the findings, are owed."""

    units: tuple[ReturnUnit, ...]
    settlement: Settlement
    summary: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessingRequested(Event):
    """The portal accepted to process the return."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReturnFlagged(Event):
    """The return is in Needs Review because of us."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SettledElsewhere(Event):
    """A person or the portal had settled the return already."""

    how: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReturnProcessed(Event):
    """The portal says that the return is closed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessingFailed(Event):
    """The portal could not process the return; `message` is empty where only the portal knows why."""

    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RemovalRefused(Event):
    """The portal would not remove the discrepant lines; a person has to."""

    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftUnsettled(Event):
    """The portal lets nobody settle the return any more; the merchant is told by a note."""

    how: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewFound(Event):
    """The portal itself put the return into review."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlagLifted(Event):
    """A person lifted the flag and left the return open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewSettled(Event):
    """A person closed, cancelled or processed a return in review."""

    how: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosedInPortal(Event):
    """The return was closed in the portal."""


# ---- giving up, and people


@dataclass(frozen=True, slots=True, kw_only=True)
class GaveUp(Event):
    """We cannot go on alone; `hold` leaves the label request open. `no_effect`: the call that had none, for sure.

    `postage` is the parcel's label as it has become, where that is what stands in the way.
    """

    problem: str
    hold: bool = False
    no_effect: Duty | None = None
    postage: Postage | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Retried(Event):
    """An operator asked to try again."""

    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved(Event):
    """An operator settled it by hand."""

    by: str


# ---- bookkeeping: never moves a return


@dataclass(frozen=True, slots=True, kw_only=True)
class CallBegun(Event):
    """An outward call that must not be repeated blindly is about to be made."""

    call: Duty


@dataclass(frozen=True, slots=True, kw_only=True)
class CallHadNoEffect(Event):
    """An outward call that was begun is known by now to have had none; it may be made again."""

    call: Duty


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockPutRight(Event):
    """The machine's clock was ahead when the return was last touched: what lies in the future is of now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotesWritten(Event):
    """Notes are in the portal's timeline."""

    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LinesGraded(Event):
    """Condition and disposition of lines are in the portal."""

    line_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TransitReported(Event):
    """The portal knows a label's progress."""

    request_id: str
    transit: Transit


@dataclass(frozen=True, slots=True, kw_only=True)
class RestockRequested(Event):
    """The portal puts units back into the shop's stock by itself, which Amazon does as well."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReturnRead(Event):
    """The portal was read, and nothing there moves the return; a note may be owed about what was seen."""

    note_key: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitsTransferred(Event):
    """Units (line id, part) of a cancelled return, and what was bought for them, are another return's from now on."""

    handed: tuple[tuple[str, int], ...]
    postage: tuple[Postage, ...] = ()
