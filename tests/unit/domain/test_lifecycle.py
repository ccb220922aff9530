"""The table of ways: every row has a witness, and every pair that is no row is refused."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from daemon.domain.acts import Act, Duty
from daemon.domain.events import operator as operator_events
from daemon.domain.events import postage as pe
from daemon.domain.events import returns as ev
from daemon.domain.events.operator import OperatorActed
from daemon.domain.lifecycle import (
    AMAZON_ANSWERS,
    EFFECTS,
    SETTLE_OUTCOMES,
    STATELESS,
    TRANSITIONS,
    UNSOLICITED,
    allows,
    apply,
)
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
)
from daemon.domain.transitions.labels import LABEL_STATES, label_state
from daemon.errors import IllegalTransition
from tests.support.builders import (
    NOW,
    a_label,
    a_request,
    a_return,
    a_unit,
    assigned,
    authorized,
    delivered,
    found,
    refused,
)

LATER = NOW + 60.0
S = State

Shape = tuple[tuple[LabelRequest, ...], tuple[ReturnUnit, ...]]

REST: dict[State, Shape] = {
    S.RECEIVED: ((a_request("q2", RequestState.UNREAD),), ()),
    S.AWAITING_LABEL: ((a_request("q2"),), (authorized(a_unit("2", request_id="q2")),)),
    S.LABEL_READY: ((a_request("q2", label=a_label()),), (authorized(a_unit("2", request_id="q2")),)),
    S.AWAITING_INSPECTION: ((delivered("q2"),), (authorized(a_unit("2", request_id="q2")),)),
    S.REFUSED: ((a_request("q2"),), (refused(a_unit("2", request_id="q2")),)),
    S.CANCELLED: ((a_request("q2", RequestState.CANCELLED),), ()),
    S.CLOSED: ((a_request("q2", RequestState.REFUSED),), ()),
}
"""Where the first half of a life stands by the second label request alone."""

FIRST: dict[State, Shape] = {
    S.RECEIVED: ((a_request("q1", RequestState.UNREAD),), ()),
    S.AWAITING_LABEL: ((a_request("q1"),), (authorized(a_unit()),)),
    S.LABEL_READY: ((a_request("q1", label=a_label()),), (authorized(a_unit()),)),
    S.REFUSED: ((a_request("q1"),), (refused(a_unit()),)),
}
"""What the first request must look like for the return to be in that state."""

NOTHING: Shape = ((), ())
TO_MATCH: Shape = ((a_request("q1"),), (a_unit(),))
TO_AUTHORIZE: Shape = ((a_request("q1"),), (assigned(a_unit()),))
WITH_LABEL = FIRST[S.LABEL_READY]
ALL_REFUSED = FIRST[S.REFUSED]

POSTAGE = Postage(authorization_id="A1", shipment_id="S", tracking_id="1Z")
EVENTS: dict[type[ev.Event], ev.Event] = {
    type(event): event
    for event in (
        ev.LabelRequestedAgain(at=LATER, request=LabelRequest(request_id="q9")),
        ev.LabelRequestCancelled(at=LATER, request_id="q1"),
        ev.RequestRead(at=LATER, request=a_request("q1"), units=(a_unit(),)),
        ev.RequestStands(at=LATER, request_id="q1"),
        ev.NotOurs(at=LATER, request_id="q1", why="goes to another destination"),
        ev.OrderMatched(at=LATER, units=(refused(a_unit()),)),
        ev.Unmatched(
            at=LATER,
            request_id="q1",
            why="no fulfillment order holds the units",
            code=ProblemCode.ORDER_NOT_FOUND,
            hold=False,
        ),
        ev.UnitsAuthorized(at=LATER, units=(authorized(a_unit()),)),
        ev.UnitsRefused(at=LATER, units=(refused(a_unit()),)),
        ev.LabelIssued(at=LATER, request_id="q1", label=a_label()),
        ev.LabelDelivered(at=LATER, request_id="q1", label_id="9"),
        ev.RefusalReported(at=LATER, request_id="q1"),
        ev.UnitInspected(at=LATER, units=(found(a_unit()),)),
        ev.UnitsInspected(at=LATER, units=(found(a_unit()),)),
        ev.UnitsMissing(at=LATER, units=(found(a_unit(), "missing"),)),
        ev.NothingCame(at=LATER),
        ev.ClockPutRight(at=LATER),
        ev.LinesEdited(at=LATER, units=(replace(authorized(a_unit()), standing=UnitState.REMOVED),)),
        ev.LateFinding(at=LATER, units=(found(a_unit()),)),
        ev.VerdictReached(at=LATER, units=(), settlement=Settlement.FLAG, summary="Discrepancy."),
        ev.ProcessingRequested(at=LATER),
        ev.ReturnFlagged(at=LATER),
        ev.SettledElsewhere(at=LATER, how="closed"),
        ev.ReturnProcessed(at=LATER),
        ev.ProcessingFailed(at=LATER, message="card expired"),
        ev.RemovalRefused(at=LATER, message="not all qualify"),
        ev.LeftUnsettled(at=LATER, how="it has expired in Loop"),
        ev.ReviewFound(at=LATER),
        ev.FlagLifted(at=LATER),
        ev.ReviewSettled(at=LATER, how="closed"),
        ev.ClosedInPortal(at=LATER),
        ev.GaveUp(at=LATER, problem="it cannot be read", code=ProblemCode.OTHER),
        ev.Adopted(at=LATER, found=a_return()),
        ev.Retried(at=LATER, by="operator"),
        ev.Resolved(at=LATER, by="operator"),
        ev.CallBegun(at=LATER, call=Duty(Act.SETTLE)),
        ev.CallHadNoEffect(at=LATER, call=Duty(Act.SETTLE)),
        ev.NotesWritten(at=LATER, keys=("verdict",)),
        ev.LinesGraded(at=LATER, line_ids=("1",)),
        ev.TransitReported(at=LATER, request_id="q1", transit=Transit.IN_TRANSIT),
        ev.ReturnRead(at=LATER),
        ev.RestockRequested(at=LATER),
        ev.Doubted(at=LATER, problem="it may have been worked on"),
        ev.Proven(at=LATER, by="operator"),
        ev.UnitsTransferred(at=LATER, handed=(("1", 1),)),
        OperatorActed(at=LATER, by="operator", how="linked it to #1001"),
        pe.PostageOffered(at=LATER, postage=POSTAGE),
        pe.OfferLapsed(at=LATER, postage=POSTAGE),
        pe.NothingBought(at=LATER, postage=POSTAGE),
        pe.LabelUnused(at=LATER, postage=POSTAGE),
        pe.PostageBought(at=LATER, postage=POSTAGE),
        pe.LabelFetched(at=LATER, postage=POSTAGE),
        pe.PostageSpent(at=LATER, postage=Postage(authorization_id="A1", number=2)),
        pe.PostageVoided(at=LATER, postage=POSTAGE),
        pe.PostageKept(at=LATER, postage=POSTAGE, why="it was scanned"),
        pe.ParcelsTracked(at=LATER, postage=(POSTAGE,)),
        pe.LabelSourceChanged(at=LATER, request_id="q1", source=LabelSourceName.RMA_PAGE),
    )
}
"""One event of each kind; those about a label request are about q1."""

ROWS = [
    (state, kind, target)
    for state, ways in TRANSITIONS.items()
    for kind, targets in ways.items()
    for target in sorted(targets)
]
NON_ROWS = [
    (state, kind)
    for state in State
    for kind in EVENTS
    if kind not in TRANSITIONS[state] and kind not in STATELESS | AMAZON_ANSWERS
]


def row_id(value: object) -> str:
    """How a state or a kind of event reads in a test's name."""
    return value.value if isinstance(value, State) else getattr(value, "__name__", "")


def built(state: State, first: Shape, rest: Shape = NOTHING, **fields: object) -> Return:
    """A return of two label requests, in a state."""
    resume_state = S.AWAITING_INSPECTION if state is S.STUCK else None
    fields = {"resume_state": resume_state, **fields}
    return a_return(state=state, requests=first[0] + rest[0], units=first[1] + rest[1], **fields)


def taken_over(state: State, target: State) -> tuple[Return, ev.Event]:
    """A legal return in the state, and the event that takes it over as one in another."""
    found = built(target, FIRST.get(target, REST_OF_LIFE))
    return built(state, FIRST.get(state, REST_OF_LIFE)), ev.Adopted(at=LATER, found=found)


def witness(state: State, kind: type[ev.Event], target: State) -> tuple[Return, ev.Event]:
    """A legal return, and an event of that kind that leads it there."""
    event = EVENTS[kind]
    if (way := _OWN_WAYS.get((state, target, kind))) is not None:
        return way
    if kind is ev.Retried and state is S.STUCK:
        return stuck_before(target), event
    if kind in _FROM_RECEIVED and state is S.RECEIVED:
        return received(kind, target, event)
    if kind is ev.ProcessingRequested and target is S.SETTLING:
        return built(state, REST_OF_LIFE, processing_failed=True), event
    if kind is ev.Retried and target is S.RECEIVED:
        return built(state, REST[S.CLOSED]), event
    first, rest = FIRST.get(state, REST_OF_LIFE), NOTHING
    if state in FIRST and kind in _ABOUT_ONE_REQUEST:
        first, rest = _ABOUT_ONE_REQUEST[kind] or first, REST.get(target, NOTHING)
    if state is S.STUCK and kind is ev.LabelRequestCancelled:
        first, rest = FIRST[S.RECEIVED], REST[S.RECEIVED if target is S.STUCK else target]
    return built(state, first, rest), event


REST_OF_LIFE: Shape = ((delivered("q1"),), (authorized(a_unit()),))
_LEFT = Switches(outcomes=False)
_OWN_WAYS = {
    (S.CLOSED, S.INSPECTED, ev.Retried): (
        built(S.CLOSED, ((delivered("q1"),), (found(a_unit()),)), switches=_LEFT),
        EVENTS[ev.Retried],
    ),
    (S.INSPECTED, S.CLOSED, ev.VerdictReached): (
        built(S.INSPECTED, REST_OF_LIFE),
        replace(EVENTS[ev.VerdictReached], switches=_LEFT),
    ),
    (S.EXPIRED, S.CANCELLED, ev.LabelRequestCancelled): (
        built(S.EXPIRED, REST_OF_LIFE),
        replace(EVENTS[ev.LabelRequestCancelled], request_id=""),
    ),
    (S.LABEL_READY, S.CLOSED, ev.RefusalReported): (
        built(S.LABEL_READY, WITH_LABEL),
        EVENTS[ev.RefusalReported],
    ),
}
"""Ways that need a return of their own."""
_FROM_RECEIVED = {ev.RequestRead, ev.OrderMatched, ev.Unmatched, ev.UnitsAuthorized, ev.UnitsRefused}
_ABOUT_ONE_REQUEST: dict[type[ev.Event], Shape | None] = {
    ev.NotOurs: None,
    ev.LabelRequestCancelled: None,
    ev.LabelIssued: None,
    ev.RefusalReported: ALL_REFUSED,
    ev.LabelDelivered: WITH_LABEL,
}
"""Where such an event leads is decided by what else waits; some ask for a shape of the first request."""


def received(kind: type[ev.Event], target: State, event: ev.Event) -> tuple[Return, ev.Event]:
    """What the second request waits for shows once nothing of the first is planned any more."""
    rest = REST[target]
    if kind is ev.RequestRead:
        units = (authorized(a_unit()),) if target is S.AWAITING_LABEL else (a_unit(),)
        return built(S.RECEIVED, FIRST[S.RECEIVED]), replace(event, units=units)
    if kind is ev.Unmatched and target is S.RECEIVED:
        return built(S.RECEIVED, TO_MATCH), replace(event, hold=True)
    first = TO_AUTHORIZE if kind in {ev.UnitsAuthorized, ev.UnitsRefused} else TO_MATCH
    return built(S.RECEIVED, first, rest), event


def stuck_before(target: State) -> Return:
    """A stuck return that goes back there when it is tried again."""
    ended = {S.CANCELLED: RequestState.CANCELLED, S.CLOSED: RequestState.NOT_OURS}
    if target in ended:
        return built(S.STUCK, ((a_request("q1", ended[target]),), ()), resume_state=S.AWAITING_LABEL)
    if target is S.RECEIVED:
        return built(S.STUCK, FIRST[S.AWAITING_LABEL], resume_state=S.AWAITING_LABEL)
    if target is S.LABEL_READY:  # it is not known whether the shopper has the label
        return built(S.STUCK, WITH_LABEL, resume_state=target, pending_calls=(Duty(Act.DELIVER_LABEL, "q1"),))
    return built(S.STUCK, REST_OF_LIFE, resume_state=target)


@pytest.mark.parametrize(("state", "kind", "target"), ROWS, ids=row_id)
def test_every_way_is_walked(state, kind, target):
    """A legal return in the state goes that way, and its clock of change is the event's."""
    ret, event = taken_over(state, target) if kind is ev.Adopted else witness(state, kind, target)
    if state in LABEL_STATES - {S.RECEIVED}:
        assert label_state(ret) is state
    changed = apply(ret, event)
    assert changed.state is target
    assert changed.changed_at == LATER


@pytest.mark.parametrize(("state", "kind"), NON_ROWS, ids=row_id)
def test_what_is_no_way_is_refused(state, kind):
    """An event that the state does not know raises IllegalTransition that names return, event and state."""
    ret, _ = witness(state, ev.CallHadNoEffect, state)
    assert not allows(state, kind)
    with pytest.raises(IllegalTransition, match=rf"acme/77: {kind.__name__} cannot happen .* {state.value}"):
        apply(ret, EVENTS[kind])


@pytest.mark.parametrize("state", State)
def test_bookkeeping_is_welcome_everywhere_and_moves_nothing(state):
    """Every bookkeeping event is allowed in every state and leaves it there."""
    for kind in STATELESS:
        ret, event = witness(state, kind, state)
        assert allows(state, kind)
        assert apply(ret, event).state is state


def every_kind() -> Iterator[type[ev.Event]]:
    """Each kind of event that can happen."""
    for module in (ev, operator_events, pe):
        for value in vars(module).values():
            if isinstance(value, type) and issubclass(value, ev.Event) and value not in {ev.Event, pe.PostageEvent}:
                yield value


def test_every_event_is_in_the_table_or_bookkeeping():
    """No event exists that no return may ever hear of, and none is both."""
    ways = {kind for ways in TRANSITIONS.values() for kind in ways}
    assert ways | STATELESS == set(every_kind()) == set(EVENTS)
    assert not ways & STATELESS


def test_every_state_has_a_row():
    """The table knows each state, and each state but the first is reached from another."""
    assert set(TRANSITIONS) == set(State)
    reached = {target for state, _, target in ROWS if target is not state}
    assert reached == set(State)


def test_webhooks_are_heard_in_every_state():
    """A label request may be issued or withdrawn at any moment of a life."""
    for state in State:
        assert allows(state, ev.LabelRequestedAgain)
        assert allows(state, ev.LabelRequestCancelled)


def test_a_move_that_the_table_does_not_know_is_refused():
    """Even a known event must not lead astray: here the return was put together wrongly."""
    ret = built(S.RECEIVED, REST_OF_LIFE)
    with pytest.raises(IllegalTransition, match="UnitsAuthorized must not lead from received to awaiting_inspection"):
        apply(ret, ev.UnitsAuthorized(at=LATER, units=()))


def test_every_event_has_an_effect():
    """Whatever may happen in some state is in the table of effects, and nothing else is."""
    assert set(EFFECTS) == {event for events in TRANSITIONS.values() for event in events} | STATELESS | AMAZON_ANSWERS


def test_a_kind_of_event_that_no_table_knows_is_refused():
    """An event outside the tables changes nothing silently."""
    with pytest.raises(IllegalTransition, match="Event cannot happen"):
        apply(a_return(), ev.Event(at=LATER))


# ---- what every move does


@pytest.mark.parametrize(
    "kind",
    [k for k in EVENTS if (k in TRANSITIONS[S.SETTLING] or k in STATELESS) and k is not ev.Adopted],
    ids=row_id,
)
def test_an_answer_ends_a_begun_call_and_forgives_failures(kind):
    """Only its answer clears a begun call; any answer clears the counts of failures, a webhook in between does not.

    A call that is known to have had no effect is made again, and was not answered: its attempts still count. With a
    further label request a shopper begins to wait anew, so the pauses do, too.
    """
    ret = built(S.SETTLING, REST_OF_LIFE, pending_calls=(Duty(Act.SETTLE),), attempts=3, transient_failures=4)
    changed = apply(ret, EVENTS[kind])
    counts = (3, 4) if kind in UNSOLICITED else (3 if kind is ev.CallHadNoEffect else 0, 0)
    counts = (3, 0) if kind is ev.LabelRequestedAgain else counts
    assert (changed.pending_calls, changed.attempts, changed.transient_failures) == (
        () if kind in SETTLE_OUTCOMES | {ev.CallHadNoEffect} else (Duty(Act.SETTLE),),
        *counts,
    )


@pytest.mark.parametrize("state", [s for s in State if s not in {S.RECEIVED, S.AWAITING_LABEL}])
@pytest.mark.parametrize("kind", sorted(AMAZON_ANSWERS, key=lambda kind: kind.__name__), ids=row_id)
def test_what_amazon_made_of_the_units_is_heard_in_every_state(state, kind):
    """A return that was withdrawn while Amazon was asked knows what became of its units, and stays where it is."""
    ret = built(state, ((delivered("q1"),), (assigned(a_unit()),)), pending_calls=(Duty(Act.AUTHORIZE_UNITS, "O1"),))
    changed = apply(ret, EVENTS[kind])
    assert (changed.state, changed.pending_calls) == (state, ())
    assert changed.units[0].standing is EVENTS[kind].units[0].standing


def test_an_answer_leaves_who_asks_for_the_units_alone():
    """The label request of a unit may have changed while Amazon was asked."""
    ret = a_return(
        state=S.CANCELLED,
        requests=(a_request("q1", RequestState.CANCELLED),),
        units=(replace(assigned(a_unit()), request_id=""),),
    )
    assert apply(ret, EVENTS[ev.UnitsAuthorized]).units[0].request_id == ""


def test_a_purchase_that_was_turned_away_is_clear_and_no_other():
    """What is known of one purchase says nothing of another that may have been made."""
    postage = tuple(Postage(authorization_id=name, sealed_offer=b"x") for name in ("A1", "A2"))
    ret = built(
        S.AWAITING_LABEL,
        FIRST[S.AWAITING_LABEL],
        postage=postage,
        pending_calls=(Duty(Act.BUY_POSTAGE, "A1"), Duty(Act.BUY_POSTAGE, "A2")),
    )
    event = ev.GaveUp(at=LATER, problem="turned away", code=ProblemCode.OTHER, no_effect=Duty(Act.BUY_POSTAGE, "A2"))
    assert apply(ret, event).pending_calls == (Duty(Act.BUY_POSTAGE, "A1"),)


def test_several_calls_can_be_unclear():
    """What is begun meanwhile, and answered, leaves the memory of an earlier call alone."""
    ret = built(S.SETTLING, REST_OF_LIFE, pending_calls=(Duty(Act.SETTLE),))
    begun = apply(ret, ev.CallBegun(at=LATER, call=Duty(Act.GRADE_LINES)))
    assert begun.pending_calls == (Duty(Act.SETTLE), Duty(Act.GRADE_LINES))
    assert apply(begun, ev.CallBegun(at=LATER, call=Duty(Act.SETTLE))) == replace(begun, changed_at=LATER)
    assert apply(begun, ev.LinesGraded(at=LATER, line_ids=("1",))).pending_calls == (Duty(Act.SETTLE),)


@pytest.mark.parametrize(
    ("happened", "unclear"),
    [
        (ev.GaveUp(at=LATER, problem="unreadable", code=ProblemCode.OTHER), True),
        (ev.LabelDelivered(at=LATER, request_id="q1", label_id=None), False),
        (ev.NotOurs(at=LATER, request_id="q1", why="somebody else"), False),
    ],
)
def test_an_unclear_delivery_stays_unclear_until_its_request_is_answered(happened, unclear):
    """The shopper may hold the label, whatever else is given up."""
    ret = a_return(
        state=S.LABEL_READY,
        requests=(a_request(label=a_label()),),
        units=(authorized(a_unit()),),
        pending_calls=(Duty(Act.DELIVER_LABEL, "q1"),),
    )
    assert (apply(ret, happened).pending_calls != ()) is unclear


def test_an_unclear_create_call_stays_unclear_until_its_units_are_clear():
    """Reading another label request is no answer to the create call: it is read back before it is made again."""
    calls = (Duty(Act.AUTHORIZE_UNITS, "O1"),)
    ret = built(S.RECEIVED, TO_AUTHORIZE, REST[S.RECEIVED], pending_calls=calls)
    other = ev.RequestRead(at=LATER, request=a_request("q2"), units=(a_unit("2", request_id="q2"),))
    read = apply(ret, other)
    assert read.pending_calls == calls
    assert apply(read, EVENTS[ev.UnitsAuthorized]).pending_calls == ()


def test_what_belongs_to_a_state_stays_behind():
    """Leaving a state drops its deadline, its readings back, its way back and its closing time."""
    ret = built(S.STUCK, REST_OF_LIFE, resume_state=S.INSPECTED, verifications=2, deadline_at=NOW, closed_at=None)
    closed = apply(ret, EVENTS[ev.Resolved])
    assert (closed.verifications, closed.deadline_at, closed.resume_state, closed.closed_at) == (0, None, None, LATER)
    assert apply(closed, EVENTS[ev.LabelRequestedAgain]).closed_at is None


def test_staying_keeps_the_deadline():
    """An event that does not move the return does not restart its clocks."""
    ret = built(S.RECEIVED, TO_MATCH, REST[S.RECEIVED], deadline_at=NOW, verifications=1)
    changed = apply(ret, EVENTS[ev.LabelRequestedAgain])
    assert (changed.state, changed.deadline_at, changed.verifications) == (S.RECEIVED, NOW, 1)


# ---- where the first half of a life stands


@pytest.mark.parametrize(
    ("requests", "units", "expected"),
    [
        ([a_request("q1", RequestState.UNREAD)], [], S.RECEIVED),
        ([a_request("q1")], [a_unit()], S.RECEIVED),
        ([a_request("q1")], [assigned(a_unit())], S.RECEIVED),
        ([a_request("q1")], [authorized(a_unit()), a_unit("2")], S.RECEIVED),
        ([a_request("q1")], [authorized(a_unit())], S.AWAITING_LABEL),
        ([a_request("q1")], [authorized(a_unit()), refused(a_unit("2"))], S.AWAITING_LABEL),
        ([a_request("q1", label=a_label())], [authorized(a_unit())], S.LABEL_READY),
        ([a_request("q1")], [refused(a_unit())], S.REFUSED),
        ([a_request("q1")], [], S.REFUSED),
        ([delivered("q1")], [authorized(a_unit())], S.AWAITING_INSPECTION),
        ([a_request("q1", RequestState.REFUSED)], [refused(a_unit())], S.CLOSED),
        ([a_request("q1", RequestState.NOT_OURS)], [], S.CLOSED),
        ([a_request("q1", RequestState.CANCELLED)], [a_unit()], S.CANCELLED),
        ([a_request("q1", RequestState.CANCELLED), a_request("q2", RequestState.NOT_OURS)], [], S.CANCELLED),
        ([a_request("q1", RequestState.CANCELLED), a_request("q2", RequestState.REFUSED)], [], S.CLOSED),
        ([delivered("q1"), a_request("q2", RequestState.CANCELLED)], [authorized(a_unit())], S.AWAITING_INSPECTION),
        ([delivered("q1"), a_request("q2", RequestState.UNREAD)], [authorized(a_unit())], S.RECEIVED),
        ([delivered("q1"), a_request("q2")], [authorized(a_unit())], S.LABEL_READY),
        (
            [a_request("q1", label=a_label()), a_request("q2")],
            [authorized(a_unit()), authorized(a_unit("2", request_id="q2"))],
            S.AWAITING_LABEL,
        ),
        (
            [a_request("q1", label=a_label()), a_request("q2")],
            [authorized(a_unit()), refused(a_unit("2", request_id="q2"))],
            S.LABEL_READY,
        ),
    ],
)
def test_the_label_half_is_read_off_requests_and_units(requests, units, expected):
    """Where the first half of the life stands needs no memory but the label requests and their units."""
    assert label_state(a_return(requests=tuple(requests), units=tuple(units))) is expected
