"""What each event changes in the second half of the life: findings, the outcome, giving up, and bookkeeping."""

from collections.abc import Iterable

from daemon.domain.acts import Act, Duty
from daemon.domain.copies import replace
from daemon.domain.direction import Direction
from daemon.domain.duties import delivery_unclear, had_no_effect
from daemon.domain.events import returns as ev
from daemon.domain.events.operator import OperatorActed
from daemon.domain.postage import as_decided, give_back, put_postage, told_parcel
from daemon.domain.returns import (
    LabelRequest,
    RequestState,
    Return,
    ReturnUnit,
    Settlement,
    State,
    Transit,
    UnitState,
    change_request,
    merge_units,
)
from daemon.domain.transitions.labels import LABEL_STATES, advance, release, with_note
from daemon.domain.wording import FAILURE_NOTE, failure_words, inspected_words, stuck_words

# ---- the units come back


def _found(ret: Return, units: Iterable[ReturnUnit], state: State) -> Return:
    """Record findings, each with its note. The first unit to arrive shows that its parcel was delivered.

    Ignore units taken over by another return meanwhile.
    """
    old = {u.key: u for u in ret.units}
    units = [u for u in units if old[u.key].return_item_id == u.return_item_id]
    changed = replace(ret, units=merge_units(ret.units, units), state=state)
    for unit in units:
        if unit.finding is not None and old[unit.key].finding != unit.finding:
            key = f"inspected:{unit.line_id}:{unit.part}:{unit.finding.condition}"
            changed = with_note(changed, key, inspected_words(unit))
    requests = tuple(replace(r, transit=Transit.DELIVERED) if _arrived(changed, r) else r for r in changed.requests)
    return replace(changed, requests=requests)


def _arrived(ret: Return, request: LabelRequest) -> bool:
    """Whether the parcel that the portal knows has come: the one of a bought label, or any parcel of the request."""
    parcel = told_parcel(ret, request)
    come = [u for u in ret.units if u.processed_at is not None]
    if parcel is None:
        return any(u.request_id == request.request_id for u in come)
    return any(u.authorization_id == parcel.authorization_id for u in come)


def unit_inspected(event: ev.UnitInspected, ret: Return) -> Return:
    return _found(ret, event.units, State.AWAITING_INSPECTION)


def units_inspected(event: ev.UnitsInspected, ret: Return) -> Return:
    return _found(ret, event.units, State.INSPECTED)


def units_missing(event: ev.UnitsMissing, ret: Return) -> Return:
    return _found(ret, event.units, State.INSPECTED)


def lines_edited(event: ev.LinesEdited, ret: Return) -> Return:
    """Read Amazon at once: all units that are still awaited may have come."""
    units = merge_units(ret.units, event.units)
    return replace(ret, units=units, needs_read=False, portal_due_at=None, amazon_due_at=None)


def late_finding(event: ev.LateFinding, ret: Return) -> Return:
    return _found(ret, event.units, ret.state)


def nothing_came(_: ev.NothingCame, ret: Return) -> Return:
    """Read the portal once more: if the return was closed or cancelled there long ago, no more is reported."""
    words = "Nothing of this return was ever scanned or received by Amazon: it has expired."
    expired = replace(ret, state=State.EXPIRED, needs_read=True)
    asked_for = any(unit.request_id for unit in ret.authorized())  # otherwise it was cancelled, which is already noted
    return with_note(expired, "expired", words) if asked_for else expired


# ---- the outcome


def verdict_reached(event: ev.VerdictReached, ret: Return) -> Return:
    """Where somebody else settles the shop's returns, the verdict is only noted."""
    changed = replace(
        ret,
        state=State.SETTLING,
        units=merge_units(ret.units, event.units),
        settlement=event.settlement,
        switches=event.switches,
    )
    if not event.switches.outcomes:
        changed = ended(event, changed)
    return with_note(changed, f"verdict:{event.summary}", event.summary)


def processing_requested(_: ev.ProcessingRequested, ret: Return) -> Return:
    """The portal's message that processing failed may come before its answer to the request."""
    first = ret.settlement if ret.asked_for is Settlement.NOTHING else ret.asked_for
    return replace(ret, state=State.SETTLING if ret.processing_failed else State.PROCESSING, asked_for=first)


def return_flagged(_: ev.ReturnFlagged, ret: Return) -> Return:
    return replace(ret, state=State.IN_REVIEW, flagged=True, asked_for=Settlement.FLAG)


def review_found(_: ev.ReviewFound, ret: Return) -> Return:
    return replace(ret, state=State.IN_REVIEW, needs_read=False, flagged=True, asked_for=Settlement.FLAG)


def processing_failed(event: ev.ProcessingFailed, ret: Return) -> Return:
    changed = replace(ret, state=State.SETTLING, processing_failed=True, needs_read=False)
    return with_note(changed, FAILURE_NOTE, failure_words(event.message))


def removal_refused(event: ev.RemovalRefused, ret: Return) -> Return:
    words = f"Loop did not remove the discrepant items ({event.message}). Sent to Needs Review."
    return with_note(replace(ret, settlement=Settlement.FLAG), "removal-refused", words)


def left_unsettled(event: ev.LeftUnsettled, ret: Return) -> Return:
    words = f"This return was not settled: {event.how}. Somebody has to look at it."
    return with_note(ended(event, ret), "unsettled", words)


def flag_lifted(_: ev.FlagLifted, ret: Return) -> Return:
    words = "The flag was lifted and the return left open: mcfd does nothing more by itself."
    return with_note(replace(ret, needs_read=False, flagged=False, portal_due_at=None), "flag-lifted", words)


def ended(_: ev.Event, ret: Return) -> Return:
    return replace(
        release(ret, frozenset()), state=State.CLOSED, needs_read=False, problem="", problem_code=None, held=False
    )


def closed_in_portal(event: ev.ClosedInPortal | ev.Resolved, ret: Return) -> Return:
    """Somebody closed the return: labels bought and never delivered are voided."""
    undelivered = frozenset(r.request_id for r in ret.requests if r.asked is not RequestState.DELIVERED)
    return ended(event, give_back(ret, undelivered))


# ---- giving up, and people


def gave_up(event: ev.GaveUp, ret: Return) -> Return:
    changed = replace(
        ret, state=State.STUCK, resume_state=ret.state, problem=event.problem, problem_code=event.code, held=event.hold
    )
    if event.postage is not None:
        changed = put_postage(changed, as_decided(ret, event.postage))
    return with_note(changed, f"stuck:{event.problem}", stuck_words(event.problem, ret.state))


def retried(event: ev.Retried, ret: Return) -> Return:
    """Return to the earlier state; a request answered with an error, or not at all, is read and tried again.

    A retry also confirms the labels whose direction was not known, and applies the shop's switches of today.
    """
    if ret.state is State.RECEIVED:
        return replace(ret, requests=tuple(_as_switched(r, event) for r in ret.requests))
    if _left_to_others(ret):
        return replace(ret, state=State.INSPECTED, settlement=Settlement.NOTHING)
    accepted = tuple(replace(p, direction=Direction.ACCEPTED) if p.doubtful else p for p in ret.postage)
    changed = replace(
        ret,
        problem="",
        problem_code=None,
        held=False,
        processing_failed=False,
        asked_for=Settlement.NOTHING,
        postage=accepted,
    )
    if ret.state is State.CLOSED and all(r.asked is not RequestState.REFUSED for r in ret.requests):
        return ret
    if ret.state is State.IN_REVIEW:
        return replace(changed, state=State.INSPECTED)
    if ret.resume_state is not None and ret.resume_state not in LABEL_STATES:
        return replace(changed, state=ret.resume_state)
    anew = {RequestState.REFUSED, RequestState.OPEN}
    requests = tuple(
        replace(r, asked=RequestState.UNREAD, label=None) if r.asked in anew and not delivery_unclear(ret, r) else r
        for r in ret.requests
    )
    return advance(replace(changed, requests=tuple(_as_switched(r, event) for r in requests)))


def _as_switched(request: LabelRequest, event: ev.Retried) -> LabelRequest:
    return replace(request, made_here=event.labels) if request.asked is RequestState.UNREAD else request


def _left_to_others(ret: Return) -> bool:
    """Whether its verdict was reached while somebody else settled the shop's returns."""
    awaited = ret.awaited()
    judged = bool(awaited) and all(u.finding is not None for u in awaited)
    return ret.state is State.CLOSED and judged and not ret.switches.outcomes


# ---- bookkeeping


def call_begun(event: ev.CallBegun, ret: Return) -> Return:
    """When a purchase begins, any earlier one has been settled."""
    looks = 0 if event.call.act is Act.BUY_POSTAGE else ret.verifications
    calls = tuple(dict.fromkeys((*ret.pending_calls, event.call)))
    return replace(ret, pending_calls=calls, verifications=looks)


def call_had_no_effect(event: ev.CallHadNoEffect, ret: Return) -> Return:
    """Release units that were kept only until that call was answered, and that no request wants."""
    live = frozenset(r.request_id for r in ret.requests if r.asked in {RequestState.UNREAD, RequestState.OPEN})
    return release(had_no_effect(ret, event.call), live)


def clock_put_right(event: ev.ClockPutRight, ret: Return) -> Return:
    """Move times out of the future, so that Amazon and the portal are read at the usual intervals."""

    def past(at: float | None) -> float | None:
        return None if at is None else min(at, event.at)

    postage = tuple(
        replace(
            p,
            scanned_at=past(p.scanned_at),
            delivered_at=past(p.delivered_at),
            lost_at=past(p.lost_at),
            tracked_at=past(p.tracked_at),
        )
        for p in ret.postage
    )
    return replace(
        ret,
        amazon_due_at=None,
        portal_due_at=None,
        passed_over_until=past(ret.passed_over_until),
        labelled_at=past(ret.labelled_at),
        postage=postage,
    )


def operator_acted(_: OperatorActed, ret: Return) -> Return:
    return ret


def notes_written(event: ev.NotesWritten, ret: Return) -> Return:
    told = dict(event.completed)
    notes = tuple(
        replace(n, written=True, text=told.get(n.key, n.text)) if n.key in event.keys else n for n in ret.notes
    )
    return had_no_effect(replace(ret, notes=notes), Duty(Act.WRITE_NOTES))


def lines_graded(event: ev.LinesGraded, ret: Return) -> Return:
    return replace(ret, units=tuple(replace(u, graded=True) if u.line_id in event.line_ids else u for u in ret.units))


def transit_reported(event: ev.TransitReported, ret: Return) -> Return:
    return change_request(ret, event.request_id, reported=event.transit)


def return_read(event: ev.ReturnRead, ret: Return) -> Return:
    changed = replace(ret, needs_read=False, portal_due_at=None)
    return with_note(changed, event.note_key, event.note) if event.note else changed


def restock_requested(_: ev.RestockRequested, ret: Return) -> Return:
    words = (
        "Loop puts these items back into stock by itself, and Amazon does so with what it finds sellable: the stock "
        "is counted twice. Turn off automatic restocking in Loop."
    )
    return with_note(ret, "restock", words)


def units_transferred(event: ev.UnitsTransferred, ret: Return) -> Return:
    units = tuple(
        replace(u, standing=UnitState.REMOVED, return_item_id="", authorization_id="") if u.key in event.handed else u
        for u in ret.units
    )
    gone = {p.authorization_id for p in event.postage}
    return replace(ret, units=units, postage=tuple(p for p in ret.postage if p.authorization_id not in gone))
