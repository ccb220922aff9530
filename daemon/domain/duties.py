"""The next duty of a return: a pure function of the return and the time."""

from collections.abc import Callable, Mapping, Sequence
from math import inf

from daemon.domain.acts import Act, Duty
from daemon.domain.copies import replace
from daemon.domain.returns import (
    LabelRequest,
    Postage,
    RequestState,
    Return,
    ReturnUnit,
    State,
    UnitState,
    Void,
)

WORDS_WAIT = 300.0
"""Seconds to hold findings' notes back so that they go out with the verdict's."""

GOOD_FOR = 600.0
"""Seconds for which the last reading of a label request that waits for its order is trusted."""

HELD_GOOD_FOR = 30.0
"""The same for a held request: it may belong to another provider, who may answer it at any moment."""


def duty(ret: Return, now: float) -> Duty | None:
    """The duty at that time; None while the return only waits."""
    return None if ret.unproven else _OWED[ret.state](ret, now)


OUTWARD = frozenset(
    {
        Act.AUTHORIZE_UNITS,
        Act.QUOTE_POSTAGE,
        Act.BUY_POSTAGE,
        Act.VOID_POSTAGE,
        Act.DELIVER_LABEL,
        Act.REPORT_REFUSAL,
        Act.WRITE_NOTES,
        Act.GRADE_LINES,
        Act.REPORT_TRANSIT,
        Act.SETTLE,
    }
)
"""Acts that send something to a vendor; all others only read."""


def reading_duty(ret: Return, now: float) -> Duty | None:
    """The next duty while the shop is paused: what would be sent to a vendor waits, and readings go on beside it."""
    owed = duty(replace(ret, passed_over_until=inf), now)
    return None if owed is None or owed.act in OUTWARD else owed


def _received(ret: Return, now: float) -> Duty | None:
    for request in ret.requests:
        if request.asked is RequestState.UNREAD:
            return Duty(Act.READ_REQUEST, request.request_id)
    if ret.needs_read:
        return Duty(Act.READ_RETURN)
    if ret.held and ret.owed_notes():
        return Duty(Act.WRITE_NOTES)
    asking = {r.request_id for r in ret.open_requests()}
    planned = [u for u in ret.units if u.standing is UnitState.PLANNED and u.request_id in asking]
    if not planned:
        return None
    placed = next((u for u in planned if u.return_item_id), None)
    owed = Duty(Act.AUTHORIZE_UNITS, placed.order_id) if placed is not None else Duty(Act.MATCH_ORDER)
    return owed if owed in ret.pending_calls else _read_again(ret, planned, now) or owed


def _read_again(ret: Return, planned: Sequence[ReturnUnit], now: float) -> Duty | None:
    """Read a label request again before creating anything at Amazon: somebody else may have answered it since."""
    trusted = HELD_GOOD_FOR if ret.held else GOOD_FOR
    for request in ret.open_requests():
        old = request.read_at is not None and now - request.read_at >= trusted
        if old and any(u.request_id == request.request_id for u in planned):
            return Duty(Act.READ_REQUEST, request.request_id)
    return None


def _awaiting_label(ret: Return, _: float) -> Duty | None:
    if ret.needs_read:
        return Duty(Act.READ_RETURN)
    known = {a.authorization_id for a in ret.authorizations}
    for request in ret.open_requests():
        units = [u for u in ret.units_of(request.request_id) if u.standing is UnitState.AUTHORIZED]
        if not units:
            return Duty(Act.REPORT_REFUSAL, request.request_id)
        if any(u.authorization_id not in known for u in units):
            return Duty(Act.LOOK_FOR_AUTHORIZATION)
        if request.label is None:
            return _postage(ret, request) or Duty(Act.ISSUE_LABEL, request.request_id)
    return None


def _postage(ret: Return, request: LabelRequest) -> Duty | None:
    """A label is bought for each authorization: offered, bought, printable, one after the other."""
    if not request.source.buys_postage:
        return None
    units = [u for u in ret.units_of(request.request_id) if u.standing is UnitState.AUTHORIZED]
    for authorization_id in dict.fromkeys(u.authorization_id for u in units):
        postage = next((p for p in ret.postage if p.authorization_id == authorization_id), None)
        if postage is None or postage.void is Void.DONE:
            return Duty(Act.QUOTE_POSTAGE, authorization_id)
        if not postage.shipment_id:
            return _purchase(postage)
        if not postage.printable or postage.doubtful:
            return Duty(Act.FETCH_LABEL, authorization_id)
    return None


def _purchase(postage: Postage) -> Duty:
    act = Act.BUY_POSTAGE if postage.sealed_offer else Act.QUOTE_POSTAGE
    return Duty(act, postage.authorization_id)


def _passed_over(ret: Return, now: float) -> bool:
    """Informing calls and voids failed recently, so other duties go first for now."""
    return ret.passed_over_until is not None and now < ret.passed_over_until


def _void(ret: Return, now: float) -> Duty | None:
    """Void a label that nobody needs; an unclear purchase is settled first."""
    if _passed_over(ret, now):
        return None
    for postage in ret.postage:
        if postage.void is Void.WANTED and postage.shipment_id:
            return Duty(Act.VOID_POSTAGE, postage.authorization_id)
        if postage.void is Void.WANTED and purchase_unclear(ret, postage):
            return _purchase(postage)
    return None


def _label_ready(ret: Return, _: float) -> Duty | None:
    if ret.needs_read:
        return Duty(Act.READ_RETURN)
    for request in ret.open_requests():
        act = Act.DELIVER_LABEL if request.label is not None else Act.REPORT_REFUSAL
        return Duty(act, request.request_id)
    return None


def _awaiting_inspection(ret: Return, now: float) -> Duty | None:
    return _void(ret, now) or _tell(ret, now) or _hint(ret) or _look(ret, now)


def _inspected(ret: Return, now: float) -> Duty | None:
    """Findings' notes wait a while for the verdict's, so that all are read and written together in fewer calls."""
    owed = _tell(ret, now) if now - ret.changed_at >= WORDS_WAIT else _report(ret, now)
    return owed or Duty(Act.CONCLUDE)


def _settling(ret: Return, now: float) -> Duty | None:
    return _notes(ret, now) or Duty(Act.SETTLE)


def _watched(ret: Return, now: float) -> Duty | None:
    watch = ret.portal_due_at is not None and ret.portal_due_at <= now
    read = Duty(Act.READ_RETURN) if watch else None
    return _void(ret, now) or _tell(ret, now) or read or _hint(ret) or _look(ret, now)


def _refused(ret: Return, _: float) -> Duty | None:
    for request in ret.open_requests():
        return Duty(Act.REPORT_REFUSAL, request.request_id)
    return None


def _stuck(ret: Return, now: float) -> Duty | None:
    if not ret.held and ret.open_requests():
        return Duty(Act.REPORT_REFUSAL, ret.open_requests()[0].request_id)
    return _void(ret, now) or _tell(ret, now) or _hint(ret) or _look(ret, now)


def _tell(ret: Return, now: float) -> Duty | None:
    """What the portal has not been told about parcels and units: notes first, then the rest."""
    return _notes(ret, now) or _report(ret, now)


def _report(ret: Return, now: float) -> Duty | None:
    """Grades and transit."""
    if _passed_over(ret, now):
        return None
    if gradable_lines(ret):
        return Duty(Act.GRADE_LINES)
    for request in ret.requests:
        if transit_owed(request):
            return Duty(Act.REPORT_TRANSIT, request.request_id)
    return None


def _notes(ret: Return, now: float) -> Duty | None:
    return Duty(Act.WRITE_NOTES) if ret.owed_notes() and not _passed_over(ret, now) else None


def _hint(ret: Return) -> Duty | None:
    return Duty(Act.READ_RETURN) if ret.needs_read else None


def _look(ret: Return, now: float) -> Duty | None:
    """Ask the carrier first, then Amazon: a deadline is judged only by readings made after it.

    A carrier that does not answer does not delay reading Amazon's findings.
    """
    if ret.amazon_due_at is None or ret.amazon_due_at > now:
        return None
    due = ret.amazon_due_at
    read_at = -inf if ret.looked_at is None else ret.looked_at
    if ret.announced_at is not None and read_at < ret.announced_at <= now:
        return Duty(Act.LOOK_FOR_INSPECTION)  # a parcel that has arrived is not tracked
    untracked = any(p.travelling and (p.tracked_at is None or p.tracked_at < due) for p in ret.postage)
    if untracked and not _passed_over(ret, now):
        return Duty(Act.TRACK_PARCELS)
    return Duty(Act.LOOK_FOR_INSPECTION)


def had_no_effect(ret: Return, call: Duty) -> Return:
    """The return without that call among its pending calls."""
    return replace(ret, pending_calls=tuple(pending for pending in ret.pending_calls if pending != call))


def possible_calls(ret: Return) -> tuple[Duty, ...]:
    """The calls that a store which knows less may have forgotten: each counts as begun, with an unknown answer."""
    asking = {r.request_id: r for r in ret.open_requests()}
    planned = [u for u in ret.units if u.standing is UnitState.PLANNED and u.request_id in asking]
    calls = [Duty(Act.AUTHORIZE_UNITS, u.order_id) for u in planned if u.return_item_id]
    calls += [Duty(Act.BUY_POSTAGE, p.authorization_id) for p in ret.postage if p.sealed_offer and not p.shipment_id]
    calls += [Duty(Act.DELIVER_LABEL, r.request_id) for r in asking.values() if r.label is not None]
    calls += [Duty(Act.GRADE_LINES)] if gradable_lines(ret) else []
    calls += [Duty(Act.SETTLE)] if State.SETTLING in {ret.state, ret.resume_state} else []
    return tuple(dict.fromkeys((*ret.pending_calls, *calls)))


def create_unclear(ret: Return, unit: ReturnUnit) -> bool:
    """Amazon was asked to take the unit back but its answer was never stored: the unit may come."""
    asked = Duty(Act.AUTHORIZE_UNITS, unit.order_id) in ret.pending_calls
    return asked and unit.standing is UnitState.PLANNED and unit.return_item_id != ""


def purchase_unclear(ret: Return, postage: Postage) -> bool:
    """The label was ordered but the answer was never stored: it may have been bought."""
    return Duty(Act.BUY_POSTAGE, postage.authorization_id) in ret.pending_calls and not postage.shipment_id


def delivery_unclear(ret: Return, request: LabelRequest) -> bool:
    """The label was posted but the portal's answer was never stored: the shopper may have it."""
    waiting = request.asked in {RequestState.UNREAD, RequestState.OPEN}
    return Duty(Act.DELIVER_LABEL, request.request_id) in ret.pending_calls and waiting


def gradable_lines(ret: Return) -> tuple[str, ...]:
    """Lines with a finding for each authorized unit that the portal has not been told yet, if it is told grades."""
    if not ret.switches.grades:
        return ()
    waiting = {u.line_id for u in ret.authorized() if u.finding is None}
    return tuple(
        dict.fromkeys(u.line_id for u in ret.authorized() if u.finding and not u.graded and u.line_id not in waiting)
    )


def transit_owed(request: LabelRequest) -> bool:
    """The parcel has progressed further than the portal was told, and the label's id is known."""
    known = request.asked is RequestState.DELIVERED and request.label_id is not None
    return known and request.transit.rank > request.reported.rank


_OWED: Mapping[State, Callable[[Return, float], Duty | None]] = {
    State.RECEIVED: _received,
    State.AWAITING_LABEL: _awaiting_label,
    State.LABEL_READY: _label_ready,
    State.AWAITING_INSPECTION: _awaiting_inspection,
    State.INSPECTED: _inspected,
    State.SETTLING: _settling,
    State.PROCESSING: _watched,
    State.IN_REVIEW: _watched,
    State.EXPIRED: _watched,
    State.REFUSED: _refused,
    State.CANCELLED: _watched,
    State.STUCK: _stuck,
    State.CLOSED: _watched,
}
