"""What can happen to a return: facts, in the past tense. `at` is when we learned of it."""

from dataclasses import dataclass, field

from daemon.domain.acts import Duty
from daemon.domain.orders import ReturnAuthorization
from daemon.domain.problems import ProblemCode
from daemon.domain.returns import Label, LabelRequest, Postage, Return, ReturnUnit, Settlement, Switches, Transit


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """The base class of all events."""

    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelRequestedAgain(Event):
    """The portal issued another label request for a known return, or still lists one that we could not read."""

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
    """A label request and its return were read: these are the units it covers.

    `known_before`: it is older than the store, so something may have been done for it that the store does not know.
    """

    request: LabelRequest
    units: tuple[ReturnUnit, ...]
    order_name: str = ""
    order_number: str = ""
    provider_order_id: str = ""
    submitted_at: float | None = None
    has_exchange: bool = False
    known_before: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestStands(Event):
    """A label request was read again: it still asks for a label."""

    request_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NotOurs(Event):
    """The label request belongs to somebody else, or was answered by somebody else."""

    request_id: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderMatched(Event):
    """Units were assigned to shipments where possible; `postage` comes with units taken over from other returns.

    `known_before`: Amazon already expects some under our ids, though the store does not know of it.
    """

    units: tuple[ReturnUnit, ...]
    postage: tuple[Postage, ...] = ()
    known_before: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Unmatched(Event):
    """No fulfillment order holds the units of a label request; `hold` keeps looking without telling the portal."""

    request_id: str
    why: str
    code: ProblemCode
    hold: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitsAuthorized(Event):
    """Amazon accepted units, and may have refused others in the same call; `readbacks` as in UnitsRefused."""

    units: tuple[ReturnUnit, ...]
    authorizations: tuple[ReturnAuthorization, ...] = ()
    verifications: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitsRefused(Event):
    """Amazon refused units; with `readbacks`, others in the same call are unclear and are read back."""

    units: tuple[ReturnUnit, ...]
    verifications: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelIssued(Event):
    """A label exists for a label request."""

    request_id: str
    label: Label


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelDelivered(Event):
    """The portal has the label; `label_id` is None if the answer was lost and only the effect is known."""

    request_id: str
    label_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusalReported(Event):
    """A label request error was posted."""

    request_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubted(Event):
    """mcfd may have done more for the return than this store knows: it waits for a comparison with the vendors."""

    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Proven(Event):
    """A doubted return was compared with the vendors, and they show nothing of it that the store does not know."""

    by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Adopted(Event):
    """A return whose past the store does not know was taken over; `found` is how the vendors show it.

    `by` is the operator who asked for it.
    """

    found: Return
    by: str = ""

    @property
    def units(self) -> tuple[ReturnUnit, ...]:
        """Its units, for the history."""
        return self.found.units

    @property
    def authorizations(self) -> tuple[ReturnAuthorization, ...]:
        """Their authorizations, for the history."""
        return self.found.authorizations

    @property
    def postage(self) -> tuple[Postage, ...]:
        """Their labels, for the history."""
        return self.found.postage


# ---- the units come back


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitInspected(Event):
    """Some units were inspected; others are still expected."""

    units: tuple[ReturnUnit, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitsInspected(Event):
    """Every unit was inspected."""

    units: tuple[ReturnUnit, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitsMissing(Event):
    """The deadline passed: units that have not come are missing."""

    units: tuple[ReturnUnit, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class NothingCame(Event):
    """No part of the return was ever scanned or received."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinesEdited(Event):
    """In the portal, lines left the return while their units were expected, or became part of it again."""

    units: tuple[ReturnUnit, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LateFinding(Event):
    """A unit was inspected, or its finding changed, after the verdict."""

    units: tuple[ReturnUnit, ...]


# ---- the outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictReached(Event):
    """The verdict was reached; notes about it are owed."""

    units: tuple[ReturnUnit, ...]
    settlement: Settlement
    summary: str
    switches: Switches = field(default_factory=Switches)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessingRequested(Event):
    """The portal accepted the request to process the return."""


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
    """The portal could not process the return; `message` is empty if it gave no reason."""

    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RemovalRefused(Event):
    """The portal refused to remove the discrepant lines; the merchant has to do it."""

    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftUnsettled(Event):
    """The return can no longer be settled in the portal; a note informs the merchant."""

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
    """mcfd needs a person to go on; `hold` leaves the label request open. `no_effect` is a call that surely had none.

    `postage` is the parcel's label, if it is the obstacle.
    """

    problem: str
    code: ProblemCode
    hold: bool = False
    no_effect: Duty | None = None
    postage: Postage | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Retried(Event):
    """An operator asked to try again; `labels` says whether mcfd makes the shop's labels now."""

    by: str
    labels: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved(Event):
    """An operator settled the return by hand."""

    by: str


# ---- bookkeeping: never changes a return's state


@dataclass(frozen=True, slots=True, kw_only=True)
class CallBegun(Event):
    """An outward call is about to be made that must not be repeated blindly."""

    call: Duty


@dataclass(frozen=True, slots=True, kw_only=True)
class CallHadNoEffect(Event):
    """A pending call is now known to have had no effect; it may be made again."""

    call: Duty


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockPutRight(Event):
    """The machine's clock was ahead when the return was last changed: times in the future are set to now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotesWritten(Event):
    """Notes were written to the portal's timeline. `completed` are the texts (key, text) that only then were known."""

    keys: tuple[str, ...]
    completed: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LinesGraded(Event):
    """Condition and disposition of lines were written to the portal."""

    line_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TransitReported(Event):
    """The portal was told a label's progress."""

    request_id: str
    transit: Transit


@dataclass(frozen=True, slots=True, kw_only=True)
class RestockRequested(Event):
    """The portal restocks units in the shop by itself, as Amazon does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReturnRead(Event):
    """The portal was read and the return's state stays; a note may be owed about what was found."""

    note_key: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitsTransferred(Event):
    """Another return took over units (line id, part) and the labels bought for them."""

    handed: tuple[tuple[str, int], ...]
    postage: tuple[Postage, ...] = ()
