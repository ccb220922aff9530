"""What each event changes in a return. `lifecycle.apply` checks the move against the table of ways."""

from collections.abc import Iterable
from dataclasses import replace
from functools import singledispatch

from daemon.domain import events as ev
from daemon.domain.duties import create_unclear
from daemon.domain.postage import give_back, take_back
from daemon.domain.returns import (
    Asked,
    Note,
    Return,
    ReturnUnit,
    Settlement,
    Standing,
    State,
    Transit,
    change_request,
    merge_authorizations,
    merge_units,
)
from daemon.domain.wording import (
    authorized_words,
    delivered_words,
    inspected_words,
    stuck_words,
)
from daemon.errors import IllegalTransition

LABEL_HALF = frozenset({State.RECEIVED, State.AWAITING_LABEL, State.LABEL_READY, State.REFUSED})
"""States in which some label request still waits for its answer."""


def with_note(ret: Return, key: str, text: str) -> Return:
    """The return owing one more note, unless it has one of that key already."""
    if any(note.key == key for note in ret.notes):
        return ret
    return replace(ret, notes=(*ret.notes, Note(key=key, text=text)))


def label_state(ret: Return) -> State:
    """Where the first half of the life stands, read off the label requests and their units alone."""
    waiting = ret.open_requests()
    asking = {r.request_id for r in waiting}
    planned = any(u.standing is Standing.PLANNED and u.request_id in asking for u in ret.units)
    if planned or any(r.asked is Asked.UNREAD for r in ret.requests):
        return State.RECEIVED
    if not waiting:
        return _end_of_label_half(ret)
    with_units = [r for r in waiting if any(u.standing is Standing.AUTHORIZED for u in ret.units_of(r.request_id))]
    if not with_units and not ret.label_out:
        return State.REFUSED
    return State.AWAITING_LABEL if any(r.label is None for r in with_units) else State.LABEL_READY


def _end_of_label_half(ret: Return) -> State:
    if ret.label_out:
        return State.AWAITING_INSPECTION
    asked = {r.asked for r in ret.requests}
    return State.CANCELLED if Asked.CANCELLED in asked and Asked.REFUSED not in asked else State.CLOSED


def _advance(ret: Return) -> Return:
    """Every way through the label half ends here, so that no authorization goes without its note."""
    return _note_authorizations(replace(ret, state=label_state(ret)))


def _note_authorizations(ret: Return) -> Return:
    """One note when every accepted unit knows its RMA, not one per answer."""
    accepted = ret.authorized()
    known = {a.authorization_id for a in ret.authorizations}
    if ret.state is State.RECEIVED or not accepted or any(u.authorization_id not in known for u in accepted):
        return ret
    return with_note(ret, "authorized:" + ",".join(sorted(known)), authorized_words(ret.units, ret.authorizations))


@singledispatch
def after(event: ev.Event, ret: Return) -> Return:
    """The return as the event leaves it."""
    raise IllegalTransition(f"{ret.ref}: nobody knows {type(event).__name__}")


# ---- a label request becomes a label


@after.register
def _requested_again(event: ev.LabelRequestedAgain, ret: Return) -> Return:
    requests = (*ret.requests, event.request)
    return take_back(replace(ret, state=State.RECEIVED, requests=requests, problem="", held=False))


@after.register
def _cancelled(event: ev.LabelRequestCancelled, ret: Return) -> Return:
    requests = tuple(
        replace(r, asked=Asked.CANCELLED)
        if event.request_id in {"", r.request_id} and r.asked is not Asked.DELIVERED
        else r
        for r in ret.requests
    )
    words = "Cancelled in Loop. Amazon knows no cancel: a parcel that arrives all the same is noted here."
    live = frozenset(r.request_id for r in requests if r.asked in {Asked.UNREAD, Asked.OPEN})
    gone = frozenset(r.request_id for r in requests if event.request_id in {"", r.request_id})
    changed = give_back(_release(replace(ret, requests=requests, hinted=False), live), gone)
    if ret.authorized():
        changed = with_note(changed, f"cancelled:{event.request_id}", words)
    if ret.state in LABEL_HALF or (ret.state is State.STUCK and not ret.label_out and not live):
        return _advance(changed)
    return changed


def _release(ret: Return, live: frozenset[str]) -> Return:
    """Units that no live request asks for give their places in shipments back, unless Amazon may have them."""
    units = tuple(
        u
        if u.standing is not Standing.PLANNED or u.request_id in live or create_unclear(ret, u)
        else replace(u, order_id="", order_item_id="", shipment_id="", return_item_id="")
        for u in ret.units
    )
    return replace(ret, units=units)


@after.register
def _request_read(event: ev.RequestRead, ret: Return) -> Return:
    known = ret.request(event.request.request_id)
    if known is None or known.asked is not Asked.UNREAD:  # withdrawn while it was read
        return ret
    requests = tuple(event.request if r is known else r for r in ret.requests)
    return _advance(
        replace(
            ret,
            requests=requests,
            units=merge_units(ret.units, event.units),
            order_name=event.order_name,
            order_number=event.order_number,
            provider_order_id=event.provider_order_id,
            has_exchange=event.has_exchange,
        )
    )


@after.register
def _not_ours(event: ev.NotOurs, ret: Return) -> Return:
    changed = give_back(change_request(ret, event.request_id, asked=Asked.NOT_OURS), frozenset({event.request_id}))
    return changed if ret.state is State.STUCK else _advance(replace(changed, held=False))


@after.register
def _order_matched(event: ev.OrderMatched, ret: Return) -> Return:
    return _advance(replace(ret, units=merge_units(ret.units, event.units), problem="", held=False))


@after.register
def _unmatched(event: ev.Unmatched, ret: Return) -> Return:
    if event.hold:
        return replace(ret, problem=event.why, held=True)
    requests = tuple(replace(r, asked=Asked.OPEN) if r.asked is Asked.UNREAD else r for r in ret.requests)
    units = tuple(
        replace(u, standing=Standing.NOT_RETURNABLE, problem=event.why) if u.standing is Standing.PLANNED else u
        for u in ret.units
    )
    return _advance(replace(ret, requests=requests, units=units, problem=event.why))


@after.register
def _authorized(event: ev.UnitsAuthorized, ret: Return) -> Return:
    changed = replace(
        ret,
        units=merge_units(ret.units, event.units),
        authorizations=merge_authorizations(ret.authorizations, event.authorizations),
    )
    return _advance(changed)


@after.register
def _refused(event: ev.UnitsRefused, ret: Return) -> Return:
    return _advance(replace(ret, units=merge_units(ret.units, event.units)))


@after.register
def _label_issued(event: ev.LabelIssued, ret: Return) -> Return:
    return _advance(change_request(ret, event.request_id, label=event.label))


@after.register
def _label_delivered(event: ev.LabelDelivered, ret: Return) -> Return:
    changed = change_request(ret, event.request_id, asked=Asked.DELIVERED, label_id=event.label_id)
    changed = replace(changed, labelled_at=event.at)
    request = changed.request(event.request_id)
    if request is not None and request.label is not None:
        parcels = {u.authorization_id for u in ret.units_of(event.request_id)}
        others = [p.tracking_id for p in ret.postage if p.authorization_id in parcels and p.tracking_id]
        words = delivered_words(request.label, [t for t in others if t != request.label.tracking_number])
        changed = with_note(changed, f"label:{event.request_id}", words)
    if event.label_id is None:
        lost = "Loop has the label, but its id was lost with the answer: no transit status will be sent."
        changed = with_note(changed, f"label-id:{event.request_id}", lost)
    return _advance(changed)


@after.register
def _refusal_reported(event: ev.RefusalReported, ret: Return) -> Return:
    changed = change_request(ret, event.request_id, asked=Asked.REFUSED)
    return changed if ret.state is State.STUCK else _advance(changed)


# ---- the units come back


def _found(ret: Return, units: Iterable[ReturnUnit], state: State) -> Return:
    """Findings, each with its note; the first unit to arrive says that its parcel was delivered."""
    changed = replace(ret, units=merge_units(ret.units, units), state=state)
    old = {u.key: u for u in ret.units}
    for unit in units:
        if unit.finding is not None and old[unit.key].finding != unit.finding:
            key = f"inspected:{unit.line_id}:{unit.part}:{unit.finding.condition}"
            changed = with_note(changed, key, inspected_words(unit))
    arrived = {u.request_id for u in changed.units if u.processed_at is not None}
    requests = tuple(replace(r, transit=Transit.DELIVERED) if r.request_id in arrived else r for r in changed.requests)
    return replace(changed, requests=requests)


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
    words = "Nothing of this return was ever scanned or received by Amazon: it has expired."
    return with_note(replace(ret, state=State.EXPIRED), "expired", words)


# ---- the outcome


@after.register
def _findings_reported(event: ev.FindingsReported, ret: Return) -> Return:
    changed = replace(ret, state=State.SETTLING, units=merge_units(ret.units, event.units), settlement=event.settlement)
    return with_note(changed, f"verdict:{event.summary}", event.summary)


@after.register
def _processing_requested(_: ev.ProcessingRequested, ret: Return) -> Return:
    return replace(ret, state=State.PROCESSING)


@after.register
def _flagged(_: ev.ReturnFlagged, ret: Return) -> Return:
    return replace(ret, state=State.IN_REVIEW, flagged=True)


@after.register
def _review_found(_: ev.ReviewFound, ret: Return) -> Return:
    return replace(ret, state=State.IN_REVIEW, hinted=False, flagged=True)


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
    return with_note(replace(ret, hinted=False, flagged=False), "flag-lifted", words)


@after.register(ev.Resolved)
@after.register(ev.ReturnProcessed)
@after.register(ev.ReviewSettled)
@after.register(ev.SettledElsewhere)
def _ended(_: ev.Event, ret: Return) -> Return:
    return replace(_release(ret, frozenset()), state=State.CLOSED, hinted=False, problem="", held=False)


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
    """Back to where it came from; a request that was answered with an error is read and asked for anew."""
    changed = replace(ret, problem="", held=False, processing_failed=False)
    if ret.state is State.IN_REVIEW:
        return replace(changed, state=State.INSPECTED)
    if ret.resume_state is not None and ret.resume_state not in LABEL_HALF:
        return replace(changed, state=ret.resume_state)
    requests = tuple(
        replace(r, asked=Asked.UNREAD, label=None) if r.asked in {Asked.REFUSED, Asked.OPEN} else r
        for r in ret.requests
    )
    return _advance(replace(changed, requests=requests))


# ---- bookkeeping


@after.register
def _call_begun(event: ev.CallBegun, ret: Return) -> Return:
    return replace(ret, begun=event.key)


@after.register
def _no_effect(_: ev.CallHadNoEffect, ret: Return) -> Return:
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
    changed = replace(ret, hinted=False)
    return with_note(changed, event.note_key, event.note) if event.note else changed


@after.register
def _handed_over(event: ev.UnitsHandedOver, ret: Return) -> Return:
    units = tuple(
        replace(u, standing=Standing.REMOVED, return_item_id="", authorization_id="") if u.key in event.handed else u
        for u in ret.units
    )
    return replace(ret, units=units)
