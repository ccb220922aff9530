"""What is done about a step that failed, as a table."""

from dataclasses import replace
from typing import Any

import pytest

from daemon.domain.acts import Act, Duty
from daemon.domain.duties import duty
from daemon.domain.events import returns as ev
from daemon.domain.events.postage import PostageKept
from daemon.domain.problems import ProblemCode
from daemon.domain.returns import Note, Postage, RequestState, Settlement, State, Void
from daemon.engine.failures import (
    OVERTAKEN,
    PARKED_AFTER,
    PASSED_OVER_AFTER,
    PASSED_OVER_FOR,
    PATIENT_FOR,
    Failure,
    Response,
    respond,
)
from daemon.errors import ContractBroken, CredentialsRefused, RateLimited, Refused, Unavailable
from tests.support.builders import (
    a_label,
    a_request,
    a_return,
    a_unit,
    an_awaited_return,
    assigned,
    authorized,
    delivered,
    found,
)

NOW = 1_000_000.0
REST = 604800.0
NOTE = (Note(key="k", text="t"),)
BOUGHT = Postage(authorization_id="A1", shipment_id="S1", tracking_id="1Z", printable=True)

TO_READ = a_return(requests=(a_request(asked=RequestState.UNREAD),), deadline_at=NOW + 60, due_at=NOW)
TO_MATCH = a_return(requests=(a_request(),), units=(a_unit(),), deadline_at=NOW + 60, due_at=NOW)
TO_AUTHORIZE = replace(TO_MATCH, units=(assigned(a_unit()),))
TO_DELIVER = a_return(
    state=State.LABEL_READY, requests=(a_request(label=a_label()),), units=(authorized(a_unit()),), due_at=NOW
)
TO_REFUSE = a_return(state=State.REFUSED, requests=(a_request(),), due_at=NOW)
TO_NOTE = an_awaited_return(notes=NOTE, due_at=NOW, amazon_due_at=NOW + 50)
TO_TRACK = an_awaited_return(postage=(BOUGHT,), due_at=NOW, amazon_due_at=NOW)
TO_VOID = an_awaited_return(postage=(replace(BOUGHT, void=Void.WANTED),), due_at=NOW, amazon_due_at=NOW + 50)
TO_LOOK = an_awaited_return(due_at=NOW, amazon_due_at=NOW)
TO_GRADE = an_awaited_return(found(a_unit()), state=State.INSPECTED, due_at=NOW, changed_at=NOW)
TO_SETTLE = an_awaited_return(found(a_unit()), state=State.SETTLING, settlement=Settlement.PROCESS, due_at=NOW)
HELD = replace(TO_MATCH, held=True)
STUCK = a_return(state=State.STUCK, requests=(delivered(),), notes=NOTE, due_at=NOW)

DOWN = Unavailable("down")
UNCONNECTED = Unavailable("cannot connect", unclear=False)
MAINTAINED = Unavailable("503", retry_after=3600.0)
BUSY = Unavailable("503", retry_after=3.0)
LIMITED = RateLimited("429", retry_after=77.0)
PARKED = CredentialsRefused("401", retry_after=300.0)
NO = Refused("NO", "no")
GARBLED = ContractBroken("an answer cannot be read")
BUG = KeyError("a name nobody should read")


def response(ret, error: Exception, **more: Any) -> Response:
    """What is done when what is owed to the return fails so."""
    owed = duty(ret, NOW)
    assert owed is not None
    return respond(Failure(ret=ret, duty=owed, error=error, now=NOW, jitter=1.0, **more), attempts=8, rest=REST)


@pytest.mark.parametrize(
    ("ret", "error", "pause", "outcome"),
    [
        (TO_READ, DOWN, 0.5, "Unavailable"),
        (replace(TO_READ, transient_failures=3), DOWN, 4.0, "Unavailable"),
        (replace(TO_READ, transient_failures=PATIENT_FOR - 1), DOWN, 30.0, "Unavailable"),
        (replace(TO_READ, transient_failures=PATIENT_FOR), DOWN, 300.0, "Unavailable"),
        (TO_READ, LIMITED, 77.0, "RateLimited"),
        (TO_READ, MAINTAINED, 30.0, "Unavailable"),
        (TO_READ, BUSY, 3.0, "Unavailable"),
        (replace(TO_READ, transient_failures=3), BUSY, 4.0, "Unavailable"),
        (replace(TO_READ, transient_failures=PATIENT_FOR), MAINTAINED, 3600.0, "Unavailable"),
        (TO_LOOK, MAINTAINED, 3600.0, "Unavailable"),
        (replace(HELD, transient_failures=4), BUSY, 3.0, "Unavailable"),
        (TO_READ, PARKED, 300.0, "CredentialsRefused"),
        (replace(HELD, transient_failures=4), DOWN, 16.0, "Unavailable"),
        (TO_LOOK, DOWN, 1.0, "Unavailable"),
        (replace(TO_LOOK, transient_failures=20), DOWN, 300.0, "Unavailable"),
        (TO_SETTLE, PARKED, 300.0, "CredentialsRefused"),
    ],
)
def test_a_vendor_that_answers_nobody_costs_no_attempt(ret, error, pause, outcome):
    """While a shopper waits the next try follows within half a minute; else the pauses grow to five minutes."""
    done = response(ret, error)
    after = done.ret
    assert (done.event, done.outcome) == (None, outcome)
    assert (after.due_at, after.attempts, after.transient_failures) == (NOW + pause, 0, ret.transient_failures + 1)
    assert after.deadline_at == (None if ret.deadline_at is None else ret.deadline_at + pause)


@pytest.mark.parametrize(
    ("ret", "error", "attempts", "moved"),
    [
        (TO_LOOK, DOWN, 1, 2.0),
        (replace(TO_LOOK, attempts=3), DOWN, 4, 1024.0),
        (replace(TO_LOOK, attempts=3), PARKED, 3, 300.0),
        (replace(TO_READ, transient_failures=PATIENT_FOR), DOWN, 1, 300.0),
        (TO_READ, DOWN, 0, 0.5),
    ],
)
def test_a_vendor_that_answers_others_costs_an_attempt(ret, error, attempts, moved):
    """But none of a shopper who waits, and none while the connection is parked."""
    after = response(ret, error, singled_out=True).ret
    assert (after.attempts, after.due_at) == (attempts, NOW + moved)


VERIFIED = replace(
    TO_DELIVER, pending_calls=(Duty(Act.DELIVER_LABEL, "q1"),), verifications=1, deadline_at=NOW + 60, attempts=2
)


def test_a_label_that_the_portal_does_not_take_runs_into_its_deadline():
    """The portal was read since the last post, so that is no outage of it, and a deadline that has passed ends it."""
    assert response(VERIFIED, DOWN, resumed=True).ret.deadline_at == VERIFIED.deadline_at
    late = response(replace(VERIFIED, deadline_at=NOW), DOWN, resumed=True)
    assert late.event == ev.GaveUp(at=NOW, problem=str(DOWN), code=ProblemCode.VENDOR_SILENT)
    unread = replace(VERIFIED, verifications=0, deadline_at=NOW)
    assert response(unread, DOWN, resumed=True).ret.deadline_at == NOW + 0.5
    assert response(replace(VERIFIED, deadline_at=NOW), LIMITED, resumed=True).event is None


def test_only_time_without_an_answer_for_anybody_moves_a_deadline():
    """One that costs an attempt counts as waiting."""
    late = replace(TO_READ, transient_failures=PATIENT_FOR)
    assert response(late, DOWN, singled_out=True).ret.deadline_at == late.deadline_at
    assert response(late, DOWN).ret.deadline_at == late.deadline_at + 300.0


@pytest.mark.parametrize(
    ("ret", "error", "pause"),
    [
        (TO_MATCH, GARBLED, 2.0),
        (TO_MATCH, NO, 2.0),
        (TO_MATCH, BUG, 2.0),
        (replace(TO_MATCH, attempts=6), GARBLED, 600.0),
        (replace(TO_LOOK, attempts=6), GARBLED, 28800.0),
        (replace(HELD, attempts=6), GARBLED, 28800.0),
        (replace(TO_NOTE, attempts=6), GARBLED, 600.0),
    ],
)
def test_what_cannot_be_read_costs_an_attempt(ret, error, pause):
    """Eight of them take forty minutes while somebody waits, and a day while nobody does."""
    after = response(ret, error).ret
    assert (after.attempts, after.due_at, after.deadline_at) == (ret.attempts + 1, NOW + pause, ret.deadline_at)


LAST = {"attempts": 7, "transient_failures": PATIENT_FOR}


@pytest.mark.parametrize(
    ("ret", "error", "event"),
    [
        (
            replace(TO_MATCH, **LAST),
            GARBLED,
            ev.GaveUp(at=NOW, problem=str(GARBLED), code=ProblemCode.ANSWER_UNREADABLE),
        ),
        (
            replace(TO_MATCH, **LAST),
            BUG,
            ev.GaveUp(at=NOW, problem="an error in mcfd (KeyError)", code=ProblemCode.ERROR_IN_MCFD),
        ),
        (
            replace(HELD, **LAST),
            GARBLED,
            ev.GaveUp(at=NOW, problem=str(GARBLED), code=ProblemCode.ANSWER_UNREADABLE, hold=True),
        ),
        (TO_AUTHORIZE, NO, ev.GaveUp(at=NOW, problem=str(NO), code=ProblemCode.AMAZON_REFUSED)),
        (replace(TO_READ, deadline_at=NOW), NO, ev.GaveUp(at=NOW, problem=str(NO), code=ProblemCode.LOOP_REFUSED)),
        (TO_SETTLE, NO, ev.GaveUp(at=NOW, problem=str(NO), code=ProblemCode.LOOP_REFUSED)),
        (TO_NOTE, NO, ev.NotesWritten(at=NOW, keys=("k",))),
        (replace(TO_NOTE, **LAST), GARBLED, ev.NotesWritten(at=NOW, keys=("k",))),
        (TO_GRADE, NO, ev.LinesGraded(at=NOW, line_ids=("1",))),
        (TO_REFUSE, NO, ev.RefusalReported(at=NOW, request_id="q1")),
        (
            replace(TO_REFUSE, **LAST),
            GARBLED,
            ev.GaveUp(at=NOW, problem=str(GARBLED), code=ProblemCode.ANSWER_UNREADABLE),
        ),
    ],
)
def test_what_cannot_be_done_is_let_go_or_given_up(ret, error, event):
    """What only informs counts as done; the rest needs a person, and starts anew with all attempts."""
    done = response(ret, error)
    assert done.event == event
    assert (done.ret.attempts, done.ret.transient_failures) == (0, 0)
    assert bool(done.trouble) is not isinstance(event, ev.GaveUp)


def test_a_label_that_cannot_be_given_back_is_kept():
    """It does not keep the return from what else is owed to it."""
    event = response(TO_VOID, NO).event
    assert isinstance(event, PostageKept)
    assert event.postage.void is Void.KEPT


def test_a_request_that_could_be_read_once_costs_attempts_when_it_is_refused():
    """A refusal may be a mishap: the held request is tried again, and then needs a person."""
    ret = replace(HELD, requests=(a_request(read_at=0.0),))
    assert duty(ret, NOW) == Duty(Act.READ_REQUEST, "q1")
    assert response(ret, NO).ret.attempts == 1


def test_a_new_request_that_is_not_known_yet_is_asked_for_again():
    """Webhooks and lists run ahead of the details."""
    done = response(replace(TO_READ, attempts=3), NO)
    assert (done.event, done.ret.due_at, done.ret.attempts) == (None, NOW + 0.5, 0)


@pytest.mark.parametrize("ret", [TO_NOTE, TO_TRACK, TO_VOID, TO_GRADE])
@pytest.mark.parametrize(("failures", "error"), [(PASSED_OVER_AFTER - 1, DOWN), (PARKED_AFTER - 1, PARKED)])
def test_what_does_not_hold_up_the_rest_is_passed_over(ret, failures, error):
    """After some failures, or where the connection stays parked: the rest has its turn, and nothing is dropped."""
    done = response(replace(ret, transient_failures=failures), error)
    assert done.event is None
    assert done.ret.passed_over_until == NOW + PASSED_OVER_FOR
    assert duty(done.ret, NOW) != duty(ret, NOW)
    assert done.ret.due_at == (NOW if duty(done.ret, NOW) else NOW + 50)
    assert duty(done.ret, NOW + PASSED_OVER_FOR) == duty(ret, NOW)


@pytest.mark.parametrize("ret", [TO_LOOK, TO_SETTLE, TO_READ, TO_DELIVER])
def test_what_the_rest_depends_on_is_never_passed_over(ret):
    """It is waited for, however long."""
    assert response(replace(ret, transient_failures=500), PARKED).ret.passed_over_until is None


def test_a_carrier_that_never_answers_counts_as_no_reading():
    """No attempt is left: the fulfillment center is read without it, and the time of the last reading stays."""
    done = response(replace(TO_TRACK, attempts=7), GARBLED)
    assert (done.event, done.ret.postage) == (None, TO_TRACK.postage)
    assert duty(done.ret, NOW) == Duty(Act.LOOK_FOR_INSPECTION)


def test_whoever_is_stuck_already_is_left_in_peace():
    """A return that can go nowhere is not tried again and again."""
    ret = a_return(state=State.CLOSED, needs_read=True, due_at=NOW, attempts=7)
    done = response(ret, GARBLED)
    assert (done.event, done.ret.due_at, done.ret.attempts) == (None, NOW + REST, 0)


@pytest.mark.parametrize(
    ("error", "resumed", "pending"),
    [(UNCONNECTED, False, False), (LIMITED, False, False), (DOWN, False, True), (UNCONNECTED, True, True)],
)
def test_a_call_without_effect_is_unclear_no_more(error, resumed, pending):
    """Unless it was unclear before: then only an answer tells."""
    ret = replace(TO_DELIVER, pending_calls=(Duty(Act.DELIVER_LABEL, "q1"),))
    assert bool(response(ret, error, resumed=resumed).ret.pending_calls) is pending


def test_half_a_grading_may_have_had_its_effect():
    """It is two calls, and the second may be the one that failed."""
    ret = replace(TO_GRADE, pending_calls=(Duty(Act.GRADE_LINES),))
    assert response(ret, UNCONNECTED).ret.pending_calls == ret.pending_calls


@pytest.mark.parametrize(("error", "undone"), [(UNCONNECTED, True), (DOWN, False)])
def test_a_duty_that_changed_meanwhile_has_not_failed(error, undone):
    """Somebody else changed the return; all that is told is that the call had no effect, where that is known."""
    call = Duty(Act.DELIVER_LABEL, "q1")
    now = replace(TO_DELIVER, state=State.CLOSED, pending_calls=(call,), requests=())
    done = respond(Failure(ret=now, duty=call, error=error, now=NOW, jitter=1.0), attempts=8, rest=REST)
    event = ev.CallHadNoEffect(at=NOW, call=call) if undone else None
    assert done == Response(ret=now, outcome=OVERTAKEN, event=event)
