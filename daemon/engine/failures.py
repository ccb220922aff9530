"""How often a duty that fails is tried again, and what is let go when it was tried often enough.

A vendor that answers nobody is away, and that costs a return nothing. A vendor that fails one return while it answers
others is there: then each failure costs that return an attempt, and the pauses grow.
"""

from dataclasses import replace
from math import inf

from daemon.domain.acts import Act, Duty
from daemon.domain.duties import gradable_lines
from daemon.domain.events import returns as ev
from daemon.domain.events.postage import ParcelsTracked, PostageKept
from daemon.domain.postage import postage_of
from daemon.domain.returns import Return, Settlement, Void
from daemon.domain.schedule import HOUR

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
"""Acts that only read: a vendor that refuses a reading may well grant the next."""

INFORMING = frozenset({Act.WRITE_NOTES, Act.GRADE_LINES, Act.REPORT_TRANSIT, Act.TRACK_PARCELS})
"""Acts without which the return can go on."""

_GIVING_BACK = frozenset({Act.VOID_POSTAGE, Act.BUY_POSTAGE, Act.QUOTE_POSTAGE})

SHOPPER_WAITS = 600.0
LONGEST_SINGLE_OUTAGE = 3 * HOUR
NOBODY_WAITS = 8 * HOUR
"""The longest pause (s) between attempts: eight of them then take some forty minutes, a third of a day, or a day."""

Call = tuple[str, Act, Settlement | None]


class VendorHealth:
    """Which calls the vendors answer, and which returns wait for an answer, by a clock that never jumps.

    Only in memory: after a restart nobody was answered, so restarts in a row use up nobody's attempts.
    """

    def __init__(self) -> None:
        self._given: dict[Call, float] = {}
        self._failing: dict[str, tuple[Call, float]] = {}

    def given(self, ret: Return, owed: Duty, at: float) -> None:
        """The call was answered for this return; a refusal is an answer."""
        self._given[_call(ret, owed)] = at
        self._failing.pop(ret.ref, None)

    def missing(self, ret: Return, owed: Duty, at: float) -> bool:
        """The call was not answered for this return; whether others were since it first happened to it, and lately."""
        call = _call(ret, owed)
        failing, since = self._failing.get(ret.ref, (call, at))
        self._failing[ret.ref] = (call, since if failing == call else at)
        given = self._given.get(call, -inf)
        return failing == call and given > since and at - given <= LONGEST_SINGLE_OUTAGE


def _call(ret: Return, owed: Duty) -> Call:
    """What of a vendor is asked: settling is another call for each settlement."""
    return ret.shop, owed.act, ret.settlement if owed.act is Act.SETTLE else None


def let_go(ret: Return, owed: Duty, now: float) -> ev.Event | None:
    """What giving up counts as when the duty only informs, or looks: done, and the return goes on without it."""
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
        case Act.TRACK_PARCELS:
            return ParcelsTracked(
                at=now, postage=tuple(replace(p, tracked_at=now) for p in ret.postage if p.travelling)
            )
        case _:
            return _kept(ret, owed, now)


def _kept(ret: Return, owed: Duty, now: float) -> ev.Event | None:
    """A label that was to be given back, and cannot be, does not keep the return from what else is owed to it."""
    postage = postage_of(ret, owed.subject) if owed.act in _GIVING_BACK else None
    if postage is None or postage.void is not Void.WANTED:
        return None
    return PostageKept(at=now, postage=replace(postage, void=Void.KEPT), why="Amazon gives no usable answer")
