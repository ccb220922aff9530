"""What each event changes in the first half of a return's life. `lifecycle.apply` checks the new state."""

from collections.abc import Iterable

from daemon.domain.copies import replace
from daemon.domain.duties import create_unclear
from daemon.domain.events import returns as ev
from daemon.domain.postage import find_again, give_back, put_postage, renew_used, take_back
from daemon.domain.returns import (
    LabelRequest,
    Note,
    RequestState,
    Return,
    ReturnUnit,
    State,
    UnitState,
    change_request,
    merge_units,
)
from daemon.domain.wording import (
    authorized_words,
    cancelled_words,
    delivered_words,
    held_words,
)

LABEL_STATES = frozenset({State.RECEIVED, State.AWAITING_LABEL, State.LABEL_READY, State.REFUSED})
"""States in which a label request still waits for its answer."""


def with_note(ret: Return, key: str, text: str) -> Return:
    """The return with one more owed note, unless it already has a note of that key."""
    if any(note.key == key for note in ret.notes):
        return ret
    return replace(ret, notes=(*ret.notes, Note(key=key, text=text)))


def label_state(ret: Return) -> State:
    """The state in the first half of the life, computed from the label requests and their units alone."""
    waiting = ret.open_requests()
    asking = {r.request_id for r in waiting}
    planned = any(u.standing is UnitState.PLANNED and u.request_id in asking for u in ret.units)
    if planned or any(r.asked is RequestState.UNREAD for r in ret.requests):
        return State.RECEIVED
    if not waiting:
        return _end_of_label_half(ret)
    with_units = [r for r in waiting if any(u.standing is UnitState.AUTHORIZED for u in ret.units_of(r.request_id))]
    if not with_units and not ret.label_out:
        return State.REFUSED
    return State.AWAITING_LABEL if any(r.label is None for r in with_units) else State.LABEL_READY


def _end_of_label_half(ret: Return) -> State:
    if ret.label_out:
        return State.AWAITING_INSPECTION
    asked = {r.asked for r in ret.requests}
    return State.CANCELLED if RequestState.CANCELLED in asked and RequestState.REFUSED not in asked else State.CLOSED


def advance(ret: Return) -> Return:
    """Update the state after every event of the label half, and note new authorizations."""
    return _note_authorizations(replace(ret, state=label_state(ret)))


def _note_authorizations(ret: Return) -> Return:
    """Write one note when every accepted unit has its RMA, not one per answer."""
    accepted = ret.authorized()
    known = {a.authorization_id for a in ret.authorizations}
    if ret.state is State.RECEIVED or not accepted or any(u.authorization_id not in known for u in accepted):
        return ret
    return with_note(ret, "authorized:" + ",".join(sorted(known)), authorized_words(ret.units, ret.authorizations))


# ---- a label request becomes a label


def label_requested_again(event: ev.LabelRequestedAgain, ret: Return) -> Return:
    """A shopper begins to wait anew, so the failures of the wait before do not count."""
    known = ret.request(event.request.request_id) is not None  # it could not be read, and is still listed
    requests = ret.requests if known else (*ret.requests, event.request)
    return replace(
        ret,
        state=State.RECEIVED,
        requests=requests,
        transient_failures=0,
        problem="",
        problem_code=None,
        held=False,
    )


def label_request_cancelled(event: ev.LabelRequestCancelled, ret: Return) -> Return:
    requests = tuple(_withdrawn(r) if event.request_id in {"", r.request_id} else r for r in ret.requests)
    live = frozenset(r.request_id for r in requests if r.asked in {RequestState.UNREAD, RequestState.OPEN})
    gone = frozenset(r.request_id for r in requests if event.request_id in {"", r.request_id})
    changed = give_back(release(replace(ret, requests=requests, needs_read=False, verifications=0), live), gone)
    if ret.authorized():
        changed = with_note(changed, f"cancelled:{event.request_id}", cancelled_words(event.by))
    if ret.label_out and not event.request_id:
        changed = _set_free(changed)
        if ret.state is State.EXPIRED:
            return replace(changed, state=State.CANCELLED)
    if ret.state in LABEL_STATES or (ret.state is State.STUCK and not ret.label_out and not live):
        return advance(changed)
    return changed


def _withdrawn(request: LabelRequest) -> LabelRequest:
    if request.asked is RequestState.DELIVERED:
        return replace(request, withdrawn=True)
    return replace(request, asked=RequestState.CANCELLED)


def _set_free(ret: Return) -> Return:
    """Release units that have not come and are no longer wanted, so that another return may take them over."""
    units = tuple(
        replace(u, request_id="") if u.standing is UnitState.AUTHORIZED and u.finding is None else u for u in ret.units
    )
    return replace(ret, units=units)


def release(ret: Return, live: frozenset[str]) -> Return:
    """Free the places in shipments of units that no live request wants, unless Amazon may have accepted them."""
    units = tuple(
        u
        if u.standing is not UnitState.PLANNED or u.request_id in live or create_unclear(ret, u)
        else replace(u, order_id="", order_item_id="", shipment_id="", return_item_id="")
        for u in ret.units
    )
    return replace(ret, units=units)


def request_read(event: ev.RequestRead, ret: Return) -> Return:
    known = ret.request(event.request.request_id)
    if known is None or known.asked is not RequestState.UNREAD:  # withdrawn while it was read
        return ret
    requests = tuple(replace(event.request, read_at=event.at) if r is known else r for r in ret.requests)
    changed = replace(
        ret,
        requests=requests,
        units=merge_units(ret.units, event.units),
        order_name=event.order_name,
        order_number=event.order_number,
        provider_order_id=event.provider_order_id,
        submitted_at=event.submitted_at,
        has_exchange=event.has_exchange,
        adopted_at=event.at if event.known_before and ret.adopted_at is None else ret.adopted_at,
    )
    return advance(find_again(renew_used(take_back(changed, known.request_id), known.request_id)))


def request_stands(event: ev.RequestStands, ret: Return) -> Return:
    return change_request(ret, event.request_id, read_at=event.at)


def not_ours(event: ev.NotOurs, ret: Return) -> Return:
    changed = give_back(
        change_request(ret, event.request_id, asked=RequestState.NOT_OURS), frozenset({event.request_id})
    )
    return changed if ret.state is State.STUCK else advance(replace(changed, held=False))


def order_matched(event: ev.OrderMatched, ret: Return) -> Return:
    changed = find_again(replace(ret, units=merge_units(ret.units, event.units), held=False, verifications=0))
    if event.known_before:
        changed = replace(changed, adopted_at=event.at)
    for postage in event.postage:
        changed = put_postage(changed, postage)
    bare = any(not ret.units_of(r.request_id) for r in ret.open_requests())  # the refusal gives no other reason
    return advance(changed if bare else replace(changed, problem="", problem_code=None))


def unmatched(event: ev.Unmatched, ret: Return) -> Return:
    if event.hold:
        return with_note(
            replace(ret, problem=event.why, problem_code=event.code, held=True), "held", held_words(event.why)
        )
    requests = tuple(
        replace(r, asked=RequestState.OPEN)
        if r.request_id == event.request_id and r.asked is RequestState.UNREAD
        else r
        for r in ret.requests
    )
    units = tuple(
        replace(u, standing=UnitState.NOT_RETURNABLE, problem=event.why)
        if u.standing is UnitState.PLANNED and u.request_id == event.request_id
        else u
        for u in ret.units
    )
    return advance(replace(ret, requests=requests, units=units, problem=event.why, problem_code=event.code))


def units_authorized(event: ev.UnitsAuthorized, ret: Return) -> Return:
    known = {a.authorization_id: a for a in (*ret.authorizations, *event.authorizations)}  # the newer reading wins
    answered = replace(_answered(ret, event.units, event.verifications), authorizations=tuple(known.values()))
    changed = find_again(answered)
    return advance(changed) if ret.state in {State.RECEIVED, State.AWAITING_LABEL} else changed


def units_refused(event: ev.UnitsRefused, ret: Return) -> Return:
    changed = _answered(ret, event.units, event.verifications)
    return advance(changed) if ret.state is State.RECEIVED else changed


def _answered(ret: Return, units: Iterable[ReturnUnit], verifications: int) -> Return:
    """Apply Amazon's answer to the units; which request wants them may have changed during the call."""
    asked = {u.key: u.request_id for u in ret.units}
    told = [replace(u, request_id=asked.get(u.key, u.request_id)) for u in units]
    return replace(ret, units=merge_units(ret.units, told), verifications=verifications)


def label_issued(event: ev.LabelIssued, ret: Return) -> Return:
    return advance(change_request(ret, event.request_id, label=event.label))


def label_delivered(event: ev.LabelDelivered, ret: Return) -> Return:
    changed = change_request(ret, event.request_id, asked=RequestState.DELIVERED, label_id=event.label_id)
    changed = replace(changed, labelled_at=event.at, verifications=0)
    request = changed.request(event.request_id)
    if request is not None and request.label is not None:
        parcels = {u.authorization_id for u in ret.units_of(event.request_id)}
        bought = request.source.buys_postage
        others = [p.tracking_id for p in ret.postage if bought and p.authorization_id in parcels and p.tracking_id]
        words = delivered_words(request.label, [t for t in others if t != request.label.tracking_number])
        changed = with_note(changed, f"label:{event.request_id}", words)
    if event.label_id is None:
        lost = "Loop has the label, but its id was lost with the answer: no transit status will be sent."
        changed = with_note(changed, f"label-id:{event.request_id}", lost)
    return changed if ret.state is State.STUCK else advance(changed)


def refusal_reported(event: ev.RefusalReported, ret: Return) -> Return:
    """The request is refused; labels bought for it are voided."""
    changed = change_request(ret, event.request_id, asked=RequestState.REFUSED)
    changed = give_back(changed, frozenset({event.request_id}))
    return changed if ret.state is State.STUCK else advance(changed)
