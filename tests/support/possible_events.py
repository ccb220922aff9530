"""Every event that may happen next to a return: outcomes of its duty, and events from outside.

Derived from what the vendors may answer, in terms of the domain alone, so that tests can walk any life of a return.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product

from daemon.domain.acts import Act, Duty
from daemon.domain.allocation import adopt, allocate, not_returnable, transferable
from daemon.domain.duties import gradable_lines
from daemon.domain.events import postage as pe
from daemon.domain.events import returns as ev
from daemon.domain.events.operator import OperatorActed
from daemon.domain.inspection import authorization_found, edits, inspect
from daemon.domain.matching import list_units
from daemon.domain.orders import FulfillmentOrder, ReturnAuthorization
from daemon.domain.portal import PortalReturn, PortalState
from daemon.domain.postage import Tracking, postage_of, tracked
from daemon.domain.problems import ProblemCode
from daemon.domain.returns import (
    LabelRequest,
    LabelSourceName,
    Postage,
    RequestState,
    Return,
    ReturnUnit,
    Settlement,
    State,
    Switches,
    Transit,
    UnitState,
    Void,
)
from daemon.domain.transitions.labels import LABEL_STATES
from daemon.domain.verdict import conclude
from tests.support.builders import (
    a_label,
    a_line,
    a_portal_return,
    a_return_item,
    a_shipment,
    an_authorization,
    an_order,
)
from tests.support.configured import clocks, judgement

LINES = (a_line("1"), a_line("2"))
REQUESTS = ("q1", "q2", "q3")
ENDED = (PortalState.CLOSED, PortalState.CANCELLED)
PATIENT = clocks()
IMPATIENT = clocks(
    missing_sibling=0.0,
    missing_delivered=0.0,
    missing_in_transit=0.0,
    missing_lost=0.0,
    missing_silent=0.0,
    condition_grace=0.0,
)


def outcomes(ret: Return, owed: Duty, at: float) -> list[ev.Event]:
    """Every event that performing the duty may produce; giving up is always one of them."""
    return [
        *_OUTCOMES[owed.act](ret, owed.subject, at),
        ev.GaveUp(at=at, problem="it cannot be read", code=ProblemCode.OTHER),
    ]


def from_outside(ret: Return, at: float) -> list[ev.Event]:
    """Every event that webhooks, polls, operators and other returns may cause at any time."""
    heard: list[ev.Event] = [ev.LabelRequestCancelled(at=at), OperatorActed(at=at, by="operator", how="cancelled it")]
    known = [r.request_id for r in ret.requests]
    new = [request_id for request_id in REQUESTS if request_id not in known]
    heard += [
        ev.LabelRequestedAgain(at=at, request=LabelRequest(request_id=request_id, made_here=made_here))
        for request_id in new[:1]
        for made_here in (True, False)
    ]
    live = [r.request_id for r in ret.requests if r.asked is not RequestState.CANCELLED]
    heard += [ev.LabelRequestCancelled(at=at, request_id=request_id) for request_id in live]
    asked = ret.state is State.SETTLING and ret.settlement is Settlement.PROCESS
    if ret.state is State.PROCESSING or asked:
        heard.append(ev.ProcessingFailed(at=at, message="the card has expired"))
    if ret.state in {State.STUCK, State.IN_REVIEW, State.CLOSED, State.RECEIVED}:
        heard += [ev.Retried(at=at, by="operator", labels=labels) for labels in (True, False)]
    lent = tuple(unit.key for unit in transferable(ret, ("O1", "O2")))
    if lent:
        heard.append(ev.UnitsTransferred(at=at, handed=lent[:1]))
    if ret.state is State.STUCK:
        heard.append(ev.Resolved(at=at, by="operator"))
    return heard


# ---- Loop and Amazon as this return finds them


def portal_views(ret: Return) -> Iterator[PortalReturn]:
    """The return in every state of the portal; an open one also with one line less and with one more."""
    for state in (PortalState.OPEN, PortalState.REVIEW, PortalState.EXPIRED, *ENDED):
        yield a_portal_return(*LINES, state=state, has_exchange=ret.has_exchange)
    yield a_portal_return(LINES[1])
    yield a_portal_return(*LINES, a_line("3", "SCARF"))


def _orders(ret: Return, conditions: Mapping[tuple[str, int], str | None]) -> list[FulfillmentOrder]:
    """Two orders of one unit each, as Amazon shows them. A unit with a condition is processed; "" means without one."""
    orders = []
    for order_id in ("O1", "O2"):
        accepted = [u for u in ret.units if u.order_id == order_id and u.authorization_id]
        items = [_item(u, conditions.get(u.key)) for u in accepted]
        authorizations = tuple(an_authorization(name) for name in {u.authorization_id for u in accepted})
        shipment = a_shipment(f"S-{order_id}", SOCK=1)
        orders.append(an_order(order_id, shipment, return_items=tuple(items), authorizations=authorizations))
    return orders


def _item(unit: ReturnUnit, condition: str | None):
    return a_return_item(unit, processed=condition is not None, condition=condition or None)


# ---- outcomes of each duty


def _withdrawn(request_id: str, at: float) -> Iterator[ev.Event]:
    yield ev.LabelRequestCancelled(at=at, request_id=request_id)
    yield ev.NotOurs(at=at, request_id=request_id, why="somebody else delivered a label")


def _read_request(ret: Return, request_id: str, at: float) -> Iterator[ev.Event]:
    yield ev.LabelRequestCancelled(at=at, request_id=request_id)
    yield ev.LabelRequestCancelled(at=at)
    yield ev.NotOurs(at=at, request_id=request_id, why="goes to another destination")
    yield ev.ClosedInPortal(at=at)
    yield from _unmatched(request_id, at)
    known = ret.request(request_id)
    if known is not None and known.asked is RequestState.OPEN:
        yield ev.RequestStands(at=at, request_id=request_id)
        return
    for lines, source in product((("1",), ("2",), ("1", "2")), LabelSourceName):
        yield ev.RequestRead(
            at=at,
            request=LabelRequest(request_id=request_id, asked=RequestState.OPEN, source=source),
            units=list_units(ret, a_portal_return(*LINES), request_id, lines, {}),
        )


def _unmatched(request_id: str, at: float) -> Iterator[ev.Event]:
    for hold in (True, False):
        yield ev.Unmatched(
            at=at,
            request_id=request_id,
            why="no fulfillment order holds the units",
            code=ProblemCode.ORDER_NOT_FOUND,
            hold=hold,
        )


def _match_order(ret: Return, _: str, at: float) -> Iterator[ev.Event]:
    asking = {r.request_id for r in ret.open_requests()}
    units = [
        u for u in ret.units if u.standing is UnitState.PLANNED and not u.return_item_id and u.request_id in asking
    ]
    yield from _unmatched(units[0].request_id, at)
    yield ev.NotOurs(at=at, request_id=units[0].request_id, why="no fulfillment order holds the units")
    for shipped in ((), ("O1",), ("O2",), ("O1", "O2")):
        placed = allocate(ret, units, [order for order in _orders(ret, {}) if order.order_id in shipped], ())
        lost = not_returnable([u for u in placed if not u.return_item_id], "no shipped unit of it is left to return")
        yield ev.OrderMatched(at=at, units=(*(u for u in placed if u.return_item_id), *lost))


def _authorize_units(ret: Return, order_id: str, at: float) -> Iterator[ev.Event]:
    asking = {r.request_id for r in ret.open_requests()}
    units = [
        u for u in ret.units if u.order_id == order_id and u.standing is UnitState.PLANNED and u.request_id in asking
    ]
    for verdicts in product((True, False), repeat=len(units)):
        yield from _authorization(
            [u for u, accepted in zip(units, verdicts, strict=True) if accepted],
            not_returnable([u for u, accepted in zip(units, verdicts, strict=True) if not accepted], "too old"),
            an_authorization(f"A-{order_id}"),
            at,
        )


def _authorization(
    accepted: Sequence[ReturnUnit], refused: tuple[ReturnUnit, ...], authorization: ReturnAuthorization, at: float
) -> Iterator[ev.Event]:
    if not accepted:
        yield ev.UnitsRefused(at=at, units=refused)
        yield ev.UnitsRefused(at=at, units=refused[:1], verifications=1)
        return
    items = [a_return_item(u, authorization_id=authorization.authorization_id) for u in accepted]
    units = (*adopt(accepted, items), *refused)
    yield ev.UnitsAuthorized(at=at, units=units, authorizations=(authorization,))
    yield ev.UnitsAuthorized(at=at, units=units)


def _look_for_authorization(ret: Return, _: str, at: float) -> Iterator[ev.Event]:
    found = authorization_found(ret, _orders(ret, {}), at)
    if found is not None:
        yield found


def _quote_postage(ret: Return, authorization_id: str, at: float) -> Iterator[ev.Event]:
    old = postage_of(ret, authorization_id) or Postage(authorization_id=authorization_id)
    again = old.void is Void.DONE
    number, void = (old.number + 1, Void.NO) if again else (old.number, old.void)
    yield pe.PostageOffered(
        at=at, postage=Postage(authorization_id=authorization_id, number=number, void=void, sealed_offer=b"sealed")
    )
    if ret.state is not State.AWAITING_LABEL:
        yield pe.PostageKept(at=at, postage=replace(old, void=Void.KEPT), why="its purchase could not be settled")
        return
    request_id = next(u.request_id for u in ret.units if u.authorization_id == authorization_id)
    yield from _withdrawn(request_id, at)
    yield pe.LabelSourceChanged(at=at, request_id=request_id, source=LabelSourceName.RMA_PAGE)
    yield ev.GaveUp(at=at, problem="Amazon does not offer the return service", code=ProblemCode.OTHER, hold=True)


def _buy_postage(ret: Return, authorization_id: str, at: float) -> Iterator[ev.Event]:
    postage = replace(_postage(ret, authorization_id), sealed_offer=b"")
    yield pe.OfferLapsed(at=at, postage=postage)
    yield pe.NothingBought(at=at, postage=_postage(ret, authorization_id))
    for printable in (True, False):
        bought = replace(postage, shipment_id="S", tracking_id=f"1Z-{authorization_id}", printable=printable)
        yield pe.PostageBought(at=at, postage=bought)


def _fetch_label(ret: Return, authorization_id: str, at: float) -> Iterator[ev.Event]:
    yield pe.LabelFetched(at=at, postage=replace(_postage(ret, authorization_id), printable=True))


def _void_postage(ret: Return, authorization_id: str, at: float) -> Iterator[ev.Event]:
    postage = _postage(ret, authorization_id)
    yield pe.PostageVoided(at=at, postage=replace(postage, void=Void.DONE, printable=False))
    yield pe.PostageKept(at=at, postage=replace(postage, void=Void.KEPT), why="the parcel is on its way")


def _track_parcels(ret: Return, _: str, at: float) -> Iterator[ev.Event]:
    travelling = [p for p in ret.postage if p.travelling]
    seen = (
        Tracking(),
        Tracking(transit=Transit.IN_TRANSIT, scanned_at=at),
        Tracking(transit=Transit.DELIVERED, scanned_at=at, delivered_at=at),
        Tracking(lost=True, scanned_at=at),
    )
    for readings in product(seen, repeat=len(travelling)):
        read = tuple(tracked(p, reading, at) for p, reading in zip(travelling, readings, strict=True))
        yield pe.ParcelsTracked(at=at, postage=read)


def _postage(ret: Return, authorization_id: str) -> Postage:
    postage = postage_of(ret, authorization_id)
    assert postage is not None
    return postage


def _issue_label(_: Return, request_id: str, at: float) -> Iterator[ev.Event]:
    yield ev.LabelIssued(at=at, request_id=request_id, label=a_label())


def _deliver_label(_: Return, request_id: str, at: float) -> Iterator[ev.Event]:
    yield from _withdrawn(request_id, at)
    yield ev.LabelDelivered(at=at, request_id=request_id, label_id="9")
    yield ev.LabelDelivered(at=at, request_id=request_id, label_id=None)


def _report_refusal(_: Return, request_id: str, at: float) -> Iterator[ev.Event]:
    yield from _withdrawn(request_id, at)
    yield ev.RefusalReported(at=at, request_id=request_id)


def _write_notes(ret: Return, _: str, at: float) -> Iterator[ev.Event]:
    yield ev.NotesWritten(at=at, keys=tuple(note.key for note in ret.owed_notes()))


def _grade_lines(ret: Return, _: str, at: float) -> Iterator[ev.Event]:
    yield ev.LinesGraded(at=at, line_ids=gradable_lines(ret))


def _report_transit(ret: Return, request_id: str, at: float) -> Iterator[ev.Event]:
    request = ret.request(request_id)
    assert request is not None
    yield ev.TransitReported(at=at, request_id=request_id, transit=request.transit)


def _look_for_inspection(ret: Return, _: str, at: float) -> Iterator[ev.Event]:
    keys = [u.key for u in ret.units if u.authorization_id]
    for conditions in product((None, "", "Sellable", "Defective"), repeat=len(keys)):
        orders = _orders(ret, dict(zip(keys, conditions, strict=True)))
        for timings in (PATIENT, IMPATIENT):
            event = inspect(ret, orders, at, timings)
            if event is not None:
                yield event


def _conclude(ret: Return, _: str, at: float) -> Iterator[ev.Event]:
    for details, auto_process in product(portal_views(ret), (False, True)):
        yield conclude(ret, replace(details, has_exchange=True), judgement(auto_process=auto_process), at)
    for details, grades in product(portal_views(ret), (False, True)):
        yield conclude(replace(ret, switches=Switches(grades=grades, outcomes=False)), details, judgement(), at)


def _settle(ret: Return, _: str, at: float) -> Iterator[ev.Event]:
    yield ev.SettledElsewhere(at=at, how="closed")
    yield ev.ReviewFound(at=at)
    if ret.settlement is Settlement.FLAG or ret.processing_failed:
        yield ev.ReturnFlagged(at=at)
        yield ev.LeftUnsettled(at=at, how="it has expired in Loop, and Loop takes no flag")
    elif ret.settlement is Settlement.REMOVE:
        yield ev.ProcessingRequested(at=at)
        yield ev.RemovalRefused(at=at, message="not all qualify")
    elif ret.settlement is not Settlement.NOTHING:
        yield ev.CallBegun(at=at, call=Duty(Act.SETTLE))
        yield ev.CallHadNoEffect(at=at, call=Duty(Act.SETTLE))
        yield ev.ProcessingRequested(at=at)
        yield ev.ProcessingFailed(at=at, message="")


def _read_return(ret: Return, _: str, at: float) -> Iterator[ev.Event]:
    return (_meaning(ret, details, at) for details in portal_views(ret))


def _meaning(ret: Return, details: PortalReturn, at: float) -> ev.Event:
    if ret.state is State.PROCESSING and details.state is PortalState.REVIEW:
        return ev.ReviewFound(at=at)
    if ret.state is State.IN_REVIEW and ret.flagged and details.state is PortalState.OPEN:
        return ev.FlagLifted(at=at)
    if not details.settled:
        edited = edits(ret, details, at) if ret.state is State.AWAITING_INSPECTION else None
        return edited or ev.ReturnRead(at=at)
    if (
        ret.state in LABEL_STATES | {State.STUCK, State.AWAITING_INSPECTION, State.EXPIRED}
        and details.state is PortalState.CANCELLED
    ):
        return ev.LabelRequestCancelled(at=at)
    if ret.state is State.AWAITING_INSPECTION:
        return ev.ReturnRead(at=at, note_key="processed-early", note="Processed before Amazon inspected it.")
    ended: Mapping[State, ev.Event] = {
        State.PROCESSING: ev.ReturnProcessed(at=at),
        State.IN_REVIEW: ev.ReviewSettled(at=at, how=details.state.value),
        State.CANCELLED: ev.ReturnRead(at=at),
        State.CLOSED: ev.ReturnRead(at=at),
    }
    return ended.get(ret.state, ev.ClosedInPortal(at=at))


_OUTCOMES: Mapping[Act, Callable[[Return, str, float], Iterable[ev.Event]]] = {
    Act.READ_REQUEST: _read_request,
    Act.MATCH_ORDER: _match_order,
    Act.AUTHORIZE_UNITS: _authorize_units,
    Act.LOOK_FOR_AUTHORIZATION: _look_for_authorization,
    Act.QUOTE_POSTAGE: _quote_postage,
    Act.BUY_POSTAGE: _buy_postage,
    Act.FETCH_LABEL: _fetch_label,
    Act.VOID_POSTAGE: _void_postage,
    Act.TRACK_PARCELS: _track_parcels,
    Act.ISSUE_LABEL: _issue_label,
    Act.DELIVER_LABEL: _deliver_label,
    Act.REPORT_REFUSAL: _report_refusal,
    Act.WRITE_NOTES: _write_notes,
    Act.GRADE_LINES: _grade_lines,
    Act.REPORT_TRANSIT: _report_transit,
    Act.LOOK_FOR_INSPECTION: _look_for_inspection,
    Act.CONCLUDE: _conclude,
    Act.SETTLE: _settle,
    Act.READ_RETURN: _read_return,
}
