"""What to do about a failed step: one pure function, `respond`. VendorHealth tells it how other returns fared.

If a vendor answers nobody, there is an outage: the return loses no attempt, and the outage is added to its deadline. If
a vendor fails one return but answers others, each failure costs that return an attempt, and the pauses grow. While a
shopper waits for a label, the call is tried again within seconds, at no attempt, for the first hour. Informing calls do
not hold up other duties for long: they are passed over, and tried again later.
"""

from dataclasses import dataclass
from math import inf

from daemon.domain.acts import Act, Duty
from daemon.domain.copies import replace
from daemon.domain.durations import HOUR
from daemon.domain.duties import duty, gradable_lines, had_no_effect, purchase_unclear
from daemon.domain.events import returns as ev
from daemon.domain.events.postage import PostageKept
from daemon.domain.lifecycle import allows
from daemon.domain.postage import postage_of
from daemon.domain.problems import ProblemCode, code_of
from daemon.domain.returns import RequestState, Return, Settlement, State, Void
from daemon.domain.schedule import (
    WAITING_RETRIES,
    attempt_delay,
    forgive_failure,
    forgive_lateness,
    past_deadline,
    retry_delay,
    waiting_delay,
    wake_at,
)
from daemon.domain.transitions.labels import LABEL_STATES
from daemon.errors import CredentialsRefused, McfdError, Refused, Transient, Unavailable

READING = frozenset(
    {
        Act.MATCH_ORDER,
        Act.LOOK_FOR_AUTHORIZATION,
        Act.FETCH_LABEL,
        Act.LOOK_FOR_INSPECTION,
        Act.CONCLUDE,
        Act.READ_RETURN,
    }
)
"""Acts that only read: a vendor that refuses one reading may well answer the next."""

INFORMING = frozenset({Act.WRITE_NOTES, Act.GRADE_LINES, Act.REPORT_TRANSIT, Act.TRACK_PARCELS})
"""Acts without which the return can go on."""

_BUYING = frozenset({Act.QUOTE_POSTAGE, Act.BUY_POSTAGE})
_GIVING_BACK = frozenset({Act.VOID_POSTAGE, Act.BUY_POSTAGE, Act.QUOTE_POSTAGE})

_SEVERAL_CALLS = frozenset({Act.WRITE_NOTES, Act.GRADE_LINES})
_MADE_AGAIN = frozenset({Act.DELIVER_LABEL, Act.BUY_POSTAGE})
"""Calls that, while unclear, are first verified and then made again."""

SHOPPER_WAITS = 600.0
LONGEST_SINGLE_OUTAGE = 3 * HOUR
NOBODY_WAITS = 8 * HOUR
"""The longest pause (s) between attempts."""

PATIENT_FOR = 125
"""The number of failures in an hour, at half a minute each."""

PASSED_OVER_AFTER = 8
PARKED_AFTER = 2
PASSED_OVER_FOR = 900.0
"""When informing calls are passed over: after how many failures or refused credentials, and for how many seconds.

Short outages, and the five minutes of a parked connection, are waited for instead.
"""

OVERTAKEN = "overtaken"
"""The outcome of a step whose duty changed while it ran."""

Call = tuple[str, Act, Settlement | None]


class VendorHealth:
    """Remembers, per call, when a vendor last answered anyone, by the monotonic clock.

    In memory only, so a crash loop costs no attempts.
    """

    def __init__(self) -> None:
        self._given: dict[Call, float] = {}
        self._failing: dict[str, tuple[Call, float]] = {}

    def given(self, ret: Return, owed: Duty, at: float) -> None:
        """Note that the call was answered for this return; a refusal is an answer, too."""
        self._given[_call(ret, owed)] = at
        self._failing.pop(ret.ref, None)

    def missing(self, ret: Return, owed: Duty, at: float) -> bool:
        """Note that the call was not answered for this return; True if others were answered since, and recently."""
        call = _call(ret, owed)
        failing, since = self._failing.get(ret.ref, (call, at))
        self._failing[ret.ref] = (call, since if failing == call else at)
        given = self._given.get(call, -inf)
        return failing == call and given > since and at - given <= LONGEST_SINGLE_OUTAGE


def _call(ret: Return, owed: Duty) -> Call:
    """The key of a call; settling is a different call for each settlement."""
    return ret.shop, owed.act, ret.settlement if owed.act is Act.SETTLE else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A failed step. `ret` is the return as stored now; `resumed` says that the call was already unclear before.

    `singled_out`: other returns were answered meanwhile. `jitter` is from 0 to 1.
    """

    ret: Return
    duty: Duty
    error: Exception
    now: float
    jitter: float
    resumed: bool = False
    singled_out: bool = False

    @property
    def harmless(self) -> bool:
        """Whether the call surely had no effect. Of several calls the first may have had its effect."""
        if self.duty.act in _SEVERAL_CALLS or (isinstance(self.error, Unavailable) and self.error.unclear):
            return False
        return isinstance(self.error, Refused | CredentialsRefused | Transient)

    @property
    def problem(self) -> str:
        """The error in words for the merchant; a bug's message is left out, since it may quote private data."""
        bug = f"an error in mcfd ({type(self.error).__name__})"
        return str(self.error) if isinstance(self.error, McfdError) else bug

    @property
    def code(self) -> ProblemCode:
        """The code of that problem."""
        return code_of(self.error, self.duty.act)


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """The response to a failure: `event` is applied to `ret`, or only the times and counters of `ret` are saved.

    `outcome` is the metric label of the step, `trouble` the name of a problem that operators may count.
    """

    ret: Return
    outcome: str
    event: ev.Event | None = None
    trouble: str = ""


def respond(failure: Failure, *, attempts: int, rest: float) -> Response:
    """Decide by who must act next. If the duty changed while the call ran, its failure no longer matters.

    `attempts` is the limit per return; `rest` is the pause in seconds for a return that cannot even be given up.
    """
    if duty(failure.ret, failure.now) != failure.duty:
        return _overtaken(failure)
    ret = failure.ret
    if failure.harmless and not failure.resumed:
        ret = had_no_effect(ret, failure.duty)
    failure = replace(failure, ret=forgive_lateness(ret, failure.now))
    match failure.error:
        case Transient() | CredentialsRefused() as error:
            return _postponed(failure, error, attempts, rest)
        case Refused():
            return _refused(failure, attempts, rest)
        case _:
            return _stumbled(failure, attempts, rest)


def _overtaken(failure: Failure) -> Response:
    """Somebody else changed the return while the call was under way."""
    undone = failure.harmless and not failure.resumed and failure.duty in failure.ret.pending_calls
    event = ev.CallHadNoEffect(at=failure.now, call=failure.duty) if undone else None
    return Response(ret=failure.ret, outcome=OVERTAKEN, event=event)


def _postponed(failure: Failure, error: Transient | CredentialsRefused, attempts: int, rest: float) -> Response:
    """In an outage the return loses no attempt and its deadline moves; if others are answered, it loses an attempt."""
    ret, outcome = failure.ret, type(error).__name__
    awaited = shopper_waits(ret)
    singled_out = failure.singled_out and isinstance(error, Unavailable) and not awaited
    used = ret.attempts + singled_out
    if used >= attempts:
        return _exhausted(failure, outcome, rest)
    alone = _fails_alone(failure)
    if alone and past_deadline(ret, failure.now):
        return _give_up(failure, outcome, rest)
    delay = _pause(error, ret.transient_failures, failure.jitter, awaited=awaited)
    if used and not awaited:
        delay = max(delay, attempt_delay(used - 1, LONGEST_SINGLE_OUTAGE, failure.jitter))
    retry_at = failure.now + delay
    if failure.duty.act in _MADE_AGAIN and failure.duty in ret.pending_calls:
        ret = replace(ret, verifications=0)  # it may just have been posted again
    waiting = replace(
        ret if singled_out or alone else forgive_failure(ret, retry_at),
        due_at=retry_at,
        transient_failures=ret.transient_failures + 1,
        attempts=used,
    )
    patience = PASSED_OVER_AFTER if isinstance(error, Transient) else PARKED_AFTER
    if _goes_last(failure) and waiting.transient_failures >= patience:
        waiting = _passed_over(waiting, failure.now)
    return Response(ret=waiting, outcome=outcome)


def _pause(error: Transient | CredentialsRefused, failures: int, jitter: float, *, awaited: bool) -> float:
    """The pause that the vendor names, else the usual one. A shopper does not wait for the end of a maintenance page.

    It is shown for an hour and gone after a minute, so while a shopper waits it moves the next try by half a minute at
    most, and never forward. A limit and refused credentials are no such page.
    """
    usual = (waiting_delay if awaited else retry_delay)(failures, jitter)
    if awaited and isinstance(error, Unavailable):
        return max(usual, min(error.retry_after or 0.0, WAITING_RETRIES[-1]))
    return error.retry_after or usual


def _fails_alone(failure: Failure) -> bool:
    """Whether the portal takes no label although it was read since the last try: then this is no outage of it.

    So the time counts as waiting, and the label is given up at its deadline.
    """
    again = failure.resumed and failure.ret.verifications > 0
    return again and failure.duty.act is Act.DELIVER_LABEL and isinstance(failure.error, Unavailable)


def shopper_waits(ret: Return) -> bool:
    """Whether a shopper is waiting for a label, and has waited for at most an hour."""
    return ret.state in LABEL_STATES and not ret.held and ret.transient_failures < PATIENT_FOR


def _goes_last(failure: Failure) -> bool:
    """Whether other duties can go first: the call only informs, or voids an unused label."""
    giving_back = failure.duty.act in _GIVING_BACK and failure.ret.state not in LABEL_STATES
    return failure.duty.act in INFORMING or giving_back


def _passed_over(ret: Return, now: float) -> Return:
    passed = replace(ret, passed_over_until=now + PASSED_OVER_FOR)
    return replace(passed, due_at=wake_at(passed, now))


def _refused(failure: Failure, attempts: int, rest: float) -> Response:
    """The vendor said no: informing calls are dropped, readings repeated; everything else needs a person."""
    ret = failure.ret
    if failure.duty.act in READING or _was_read(failure):
        return _stumbled(failure, attempts, rest)
    if failure.duty.act is Act.READ_REQUEST and not past_deadline(ret, failure.now):
        # Webhooks and lists run ahead of the details.
        retry_at = failure.now + waiting_delay(ret.transient_failures, failure.jitter)
        ret = replace(ret, due_at=retry_at, transient_failures=ret.transient_failures + 1, attempts=0)
        return Response(ret=ret, outcome="refused")
    return _let_go(failure, "refused", rest)


def _was_read(failure: Failure) -> bool:
    """Whether the refused call is the second reading of a label request."""
    request = failure.ret.request(failure.duty.subject)
    reading = failure.duty.act is Act.READ_REQUEST
    return reading and request is not None and request.asked is not RequestState.UNREAD


def _stumbled(failure: Failure, attempts: int, rest: float) -> Response:
    """A refused reading, an unreadable answer or a bug costs one attempt."""
    ret, act, outcome = failure.ret, failure.duty.act, type(failure.error).__name__
    if ret.attempts + 1 >= attempts:
        return _exhausted(failure, outcome, rest)
    nobody_waits = ret.held or (ret.label_out and act not in INFORMING)
    delay = attempt_delay(ret.attempts, NOBODY_WAITS if nobody_waits else SHOPPER_WAITS, failure.jitter)
    return Response(ret=replace(ret, due_at=failure.now + delay, attempts=ret.attempts + 1), outcome=outcome)


def _exhausted(failure: Failure, outcome: str, rest: float) -> Response:
    """No attempt is left. A label request without an answer is not dropped: it needs a person, once."""
    if failure.duty.act is Act.REPORT_REFUSAL and failure.ret.state is not State.STUCK:
        return _give_up(failure, outcome, rest)
    return _let_go(failure, outcome, rest)


def _let_go(failure: Failure, outcome: str, rest: float) -> Response:
    trouble = f"{failure.duty.act}_refused"
    if failure.duty.act is Act.TRACK_PARCELS:  # unread tracking must not count as the carrier's silence
        passed = _passed_over(replace(failure.ret, attempts=0, transient_failures=0), failure.now)
        return Response(ret=passed, outcome=outcome, trouble=trouble)
    instead = let_go(failure.ret, failure.duty, failure.now)
    if instead is None:
        return _give_up(failure, outcome, rest)
    return _ended(failure, instead, outcome, rest, trouble)


def _give_up(failure: Failure, outcome: str, rest: float) -> Response:
    """Give up. A held request stays open in the portal: it may belong to somebody else.

    So does one whose label was refused: the merchant can fix that, so the shopper is not refused. But a label that may
    already have been bought cannot wait for that: its purchase is settled, and the label voided.
    """
    event = ev.GaveUp(
        at=failure.now, problem=failure.problem, code=failure.code, hold=failure.ret.held or _mendable(failure)
    )
    return _ended(failure, event, outcome, rest)


def _mendable(failure: Failure) -> bool:
    postage = postage_of(failure.ret, failure.duty.subject)
    unclear = postage is not None and purchase_unclear(failure.ret, postage)
    return failure.duty.act in _BUYING and isinstance(failure.error, Refused) and not unclear


def _ended(failure: Failure, event: ev.Event, outcome: str, rest: float, trouble: str = "") -> Response:
    if allows(failure.ret.state, type(event)):
        answered = replace(failure.ret, attempts=0, transient_failures=0)
        return Response(ret=answered, outcome=outcome, event=event, trouble=trouble)
    # A closed or stuck return cannot be given up again: leave it alone for a while.
    left = replace(failure.ret, due_at=failure.now + rest, amazon_due_at=None, attempts=0)
    return Response(ret=left, outcome=outcome, trouble=trouble)


def let_go(ret: Return, owed: Duty, now: float) -> ev.Event | None:
    """The event that drops a duty that only informs: it counts as done, and the return goes on."""
    request = ret.request(owed.subject)
    match owed.act:
        case Act.WRITE_NOTES:
            return ev.NotesWritten(at=now, keys=tuple(note.key for note in ret.owed_notes()))
        case Act.GRADE_LINES:
            return ev.LinesGraded(at=now, line_ids=gradable_lines(ret))
        case Act.REPORT_REFUSAL:
            return ev.RefusalReported(at=now, request_id=owed.subject)
        case Act.REPORT_TRANSIT if request is not None:
            return ev.TransitReported(at=now, request_id=owed.subject, transit=request.transit)
        case _:
            return _kept(ret, owed, now)


def _kept(ret: Return, owed: Duty, now: float) -> ev.Event | None:
    """A void that keeps failing is given up, so that it does not block other duties."""
    postage = postage_of(ret, owed.subject) if owed.act in _GIVING_BACK else None
    if postage is None or postage.void is not Void.WANTED:
        return None
    return PostageKept(at=now, postage=replace(postage, void=Void.KEPT), why="Amazon gives no usable answer")
