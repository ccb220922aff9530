"""What a return waits for, in words: what happens next, when, and which clock ends the wait."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from daemon.domain.acts import Act
from daemon.domain.duties import duty
from daemon.domain.postage import postage_of
from daemon.domain.returns import Postage, Return, ReturnUnit, State
from daemon.domain.schedule import Timings

_NEXT: Mapping[Act, str] = {
    Act.READ_REQUEST: "Loop is asked which units the label request covers",
    Act.MATCH_ORDER: "The order is looked for at Amazon",
    Act.AUTHORIZE_UNITS: "Amazon is asked to take the units back",
    Act.LOOK_FOR_AUTHORIZATION: "Amazon is asked whether it has authorized the return",
    Act.QUOTE_POSTAGE: "A price is asked for the label",
    Act.BUY_POSTAGE: "The label is bought",
    Act.FETCH_LABEL: "The label's document is fetched",
    Act.VOID_POSTAGE: "The unused label is given back",
    Act.TRACK_PARCELS: "The carrier is asked where the parcel is",
    Act.ISSUE_LABEL: "The label is made",
    Act.DELIVER_LABEL: "The label is handed to Loop",
    Act.REPORT_REFUSAL: "Loop is told that there will be no label",
    Act.WRITE_NOTES: "Notes are written to the timeline in Loop",
    Act.GRADE_LINES: "Loop is told the condition of the units",
    Act.REPORT_TRANSIT: "Loop is told how far the parcel is",
    Act.LOOK_FOR_INSPECTION: "Amazon is asked what it has inspected",
    Act.CONCLUDE: "The findings are judged by the shop's rules",
    Act.SETTLE: "The outcome is brought into Loop",
    Act.READ_RETURN: "The return is read in Loop",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Prospect:
    """`clock` is the key of `timings` that ends the wait at `ends_at`; `then` says what happens at that time."""

    then: str = ""
    clock: str = ""
    ends_at: float | None = None


def next_words(ret: Return, now: float) -> str:
    """What mcfd does next, as a sentence; it is done when the return is due."""
    if ret.unproven:
        return "Nothing: it waits to be compared with Loop and Amazon, for the store may know less than they do"
    owed = duty(ret, now)
    if owed is not None:
        return _NEXT[owed.act]
    if ret.due_at is None:
        return "Nothing more: it is at its end"
    owed = duty(ret, ret.due_at)
    if ret.held:
        return "The order is looked for once more"
    return _NEXT[owed.act] if owed is not None else "It is looked at again"


def prospect(ret: Return, timings: Timings) -> Prospect:
    """The end of the wait, if a clock ends it."""
    if ret.unproven:
        return Prospect(then="No clock: mcfd adopt lets it go on")
    if ret.state is State.AWAITING_INSPECTION:
        return _inspection(ret, timings)
    person = _HELD if ret.held and ret.state is State.RECEIVED else _NO_CLOCK.get(ret.state)
    if person is not None:
        return Prospect(then=person)
    if ret.deadline_at is None or ret.due_at is None:
        return Prospect()
    clock, then = _ENDS.get(ret.state, ("", ""))
    return Prospect(ends_at=ret.deadline_at, clock=clock, then=then)


_HELD = "No clock: it is looked for until the order is found, or a person links or cancels it"
_NO_CLOCK = {
    State.IN_REVIEW: "No clock: somebody decides in Loop",
    State.STUCK: "No clock: a person has to decide",
}
_NO_LABEL = ("label_deadline", "it is stuck, and a person is needed")
_WATCHED = ("late_watch", "Amazon is no longer asked for late parcels")
_ENDS: Mapping[State, tuple[str, str]] = {
    State.RECEIVED: ("unmatched_deadline", "it is refused or held, as the shop wants it"),
    State.AWAITING_LABEL: _NO_LABEL,
    State.LABEL_READY: _NO_LABEL,
    State.REFUSED: _NO_LABEL,
    State.PROCESSING: ("", "it is stuck, and a person is needed"),
    State.EXPIRED: _WATCHED,
    State.CANCELLED: _WATCHED,
    State.CLOSED: _WATCHED,
}


def _inspection(ret: Return, timings: Timings) -> Prospect:
    """The first clock that calls a unit missing, or the whole return expired."""
    waiting = [unit for unit in ret.awaited() if unit.finding is None]
    ends = [end for unit in waiting if (end := _unit_end(unit, ret, timings)) is not None]
    if not ends:
        return Prospect()
    at, clock = min(ends)
    came = any(p.scanned_at or p.delivered_at or p.lost_at for p in ret.postage) or _processed(ret.units)
    then = "what has not come is called missing" if came else "the return is expired, for nothing came"
    return Prospect(ends_at=at, clock=clock, then=then)


def _processed(units: Iterable[ReturnUnit]) -> bool:
    return any(unit.processed_at is not None for unit in units)


def _unit_end(unit: ReturnUnit, ret: Return, timings: Timings) -> tuple[float, str] | None:
    if unit.processed_at is not None:
        return unit.processed_at + timings.condition_grace, "condition_grace"
    siblings = [
        u.processed_at for u in ret.units if u.authorization_id == unit.authorization_id and u.processed_at is not None
    ]
    if siblings:
        return max(min(siblings), ret.labelled_at or 0.0) + timings.missing_sibling, "missing_sibling"
    heard = postage_of(ret, unit.authorization_id) or Postage(authorization_id=unit.authorization_id)
    for since, patience, clock in (
        (heard.lost_at, timings.missing_lost, "missing_lost"),
        (heard.delivered_at, timings.missing_delivered, "missing_delivered"),
        (heard.scanned_at, timings.missing_in_transit, "missing_in_transit"),
        (ret.labelled_at, timings.missing_silent, "missing_silent"),
    ):
        if since is not None:
            return since + patience, clock
    return None
