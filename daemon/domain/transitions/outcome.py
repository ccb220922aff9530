"""What the second half of the life changes: findings, the outcome, giving up, and bookkeeping."""

from collections.abc import Iterable
from dataclasses import replace

from daemon.domain.duties import delivery_unclear, had_no_effect
from daemon.domain.events import returns as ev
from daemon.domain.events.operator import OperatorActed
from daemon.domain.postage import give_back, told_parcel
from daemon.domain.returns import (
    Asked,
    LabelRequest,
    Return,
    ReturnUnit,
    Settlement,
    Standing,
    State,
    Transit,
    change_request,
    merge_units,
)
from daemon.domain.transitions.labels import LABEL_HALF, advance, after, release, with_note
from daemon.domain.wording import inspected_words, stuck_words

# ---- the units come back


def _found(ret: Return, units: Iterable[ReturnUnit], state: State) -> Return:
    """Findings, each with its note; the first unit to arrive says that its parcel was delivered.

    A unit that was handed over to another return while Amazon was read is that one's to hear of.
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
    """The parcel that the portal knows has come: a bought label names it, else it is any parcel of the request."""
    parcel = told_parcel(ret, request)
    come = [u for u in ret.units if u.processed_at is not None]
    if parcel is None:
        return any(u.request_id == request.request_id for u in come)
    return any(u.authorization_id == parcel.authorization_id for u in come)


@after.register
def _unit_inspected(event: ev.UnitInspected, ret: Return) -> Return:
    return _found(ret, event.units, State.AWAITING_INSPECTION)


@after.register
def _units_inspected(event: ev.UnitsInspected, ret: Return) -> Return:
    return _found(ret, event.units, State.INSPECTED)


@after.register
def _units_missing(event: ev.UnitsMissing, ret: Return) -> Return:
    return _found(ret, event.units, State.INSPECTED)


@after.register
def _late_finding(event: ev.LateFinding, ret: Return) -> Return:
    return _found(ret, event.units, ret.state)


@after.register
def _nothing_came(_: ev.NothingCame, ret: Return) -> Return:
    """The portal is read once more: a return that was cancelled or closed there long ago is told of no more."""
    words = "Nothing of this return was ever scanned or received by Amazon: it has expired."
    expired = replace(ret, state=State.EXPIRED, hinted=True)
    asked_for = any(unit.request_id for unit in ret.authorized())  # else it was cancelled, and that is noted already
    return with_note(expired, "expired", words) if asked_for else expired


# ---- the outcome


@after.register
def _findings_reported(event: ev.FindingsReported, ret: Return) -> Return:
    changed = replace(ret, state=State.SETTLING, units=merge_units(ret.units, event.units), settlement=event.settlement)
    return with_note(changed, f"verdict:{event.summary}", event.summary)


@after.register
def _processing_requested(_: ev.ProcessingRequested, ret: Return) -> Return:
    """The portal's word that it failed may come before its answer."""
    first = ret.settlement if ret.asked_for is Settlement.NOTHING else ret.asked_for
    return replace(ret, state=State.SETTLING if ret.processing_failed else State.PROCESSING, asked_for=first)


@after.register
def _flagged(_: ev.ReturnFlagged, ret: Return) -> Return:
    return replace(ret, state=State.IN_REVIEW, flagged=True, asked_for=Settlement.FLAG)


@after.register
def _review_found(_: ev.ReviewFound, ret: Return) -> Return:
    return replace(ret, state=State.IN_REVIEW, hinted=False, flagged=True, asked_for=Settlement.FLAG)


@after.register
def _processing_failed(event: ev.ProcessingFailed, ret: Return) -> Return:
    why = event.message or "Loop gave no reason"
    changed = replace(ret, state=State.SETTLING, processing_failed=True, hinted=False)
    return with_note(changed, "processing-failed", f"Loop could not process the return: {why}. Sent to Needs Review.")


@after.register
def _removal_refused(event: ev.RemovalRefused, ret: Return) -> Return:
    words = f"Loop did not remove the discrepant items ({event.message}). Sent to Needs Review."
    return with_note(replace(ret, settlement=Settlement.FLAG), "removal-refused", words)


@after.register
def _left_unsettled(event: ev.LeftUnsettled, ret: Return) -> Return:
    words = f"This return was not settled: {event.how}. Somebody has to look at it."
    return with_note(_ended(event, ret), "unsettled", words)


@after.register
def _flag_lifted(_: ev.FlagLifted, ret: Return) -> Return:
    words = "The flag was lifted and the return left open: mcfd does nothing more by itself."
    return with_note(replace(ret, hinted=False, flagged=False, watch_at=None), "flag-lifted", words)


@after.register(ev.Resolved)
@after.register(ev.ReturnProcessed)
@after.register(ev.ReviewSettled)
@after.register(ev.SettledElsewhere)
def _ended(_: ev.Event, ret: Return) -> Return:
    return replace(release(ret, frozenset()), state=State.CLOSED, hinted=False, problem="", held=False)


@after.register
def _closed_in_loop(event: ev.ClosedInLoop, ret: Return) -> Return:
    undelivered = frozenset(r.request_id for r in ret.requests if r.asked is not Asked.DELIVERED)
    return _ended(event, give_back(ret, undelivered))


# ---- giving up, and people


@after.register
def _gave_up(event: ev.GaveUp, ret: Return) -> Return:
    changed = replace(ret, state=State.STUCK, resume_state=ret.state, problem=event.problem, held=event.hold)
    return with_note(changed, f"stuck:{event.problem}", stuck_words(event.problem, label_out=ret.label_out))


@after.register
def _retried(_: ev.Retried, ret: Return) -> Return:
    """Back to where it came from; a request that was answered with an error, or not at all, is read and asked anew."""
    changed = replace(ret, problem="", held=False, processing_failed=False, asked_for=Settlement.NOTHING)
    if ret.state is State.CLOSED and all(r.asked is not Asked.REFUSED for r in ret.requests):
        return ret
    if ret.state is State.IN_REVIEW:
        return replace(changed, state=State.INSPECTED)
    if ret.resume_state is not None and ret.resume_state not in LABEL_HALF:
        return replace(changed, state=ret.resume_state)
    anew = {Asked.REFUSED, Asked.OPEN}
    requests = tuple(
        replace(r, asked=Asked.UNREAD, label=None) if r.asked in anew and not delivery_unclear(ret, r) else r
        for r in ret.requests
    )
    return advance(replace(changed, requests=requests))


# ---- bookkeeping


@after.register
def _call_begun(event: ev.CallBegun, ret: Return) -> Return:
    return replace(ret, begun="\n".join(dict.fromkeys((*ret.calls_begun, event.key))))


@after.register
def _no_effect(event: ev.CallHadNoEffect, ret: Return) -> Return:
    """Units that were kept for the answer of that call, and that nobody asks for any more, are free."""
    live = frozenset(r.request_id for r in ret.requests if r.asked in {Asked.UNREAD, Asked.OPEN})
    return release(had_no_effect(ret, event.key), live)


@after.register
def _operator_acted(_: OperatorActed, ret: Return) -> Return:
    return ret


@after.register
def _notes_written(event: ev.NotesWritten, ret: Return) -> Return:
    return replace(ret, notes=tuple(replace(n, written=True) if n.key in event.keys else n for n in ret.notes))


@after.register
def _lines_graded(event: ev.LinesGraded, ret: Return) -> Return:
    return replace(ret, units=tuple(replace(u, graded=True) if u.line_id in event.line_ids else u for u in ret.units))


@after.register
def _transit_reported(event: ev.TransitReported, ret: Return) -> Return:
    return change_request(ret, event.request_id, reported=event.transit)


@after.register
def _return_read(event: ev.ReturnRead, ret: Return) -> Return:
    changed = replace(ret, hinted=False, watch_at=None)
    return with_note(changed, event.note_key, event.note) if event.note else changed


@after.register
def _handed_over(event: ev.UnitsHandedOver, ret: Return) -> Return:
    units = tuple(
        replace(u, standing=Standing.REMOVED, return_item_id="", authorization_id="") if u.key in event.handed else u
        for u in ret.units
    )
    gone = {p.authorization_id for p in event.postage}
    return replace(ret, units=units, postage=tuple(p for p in ret.postage if p.authorization_id not in gone))
