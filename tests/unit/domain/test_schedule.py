from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.domain.acts import Act, Duty
from daemon.domain.duties import duty
from daemon.domain.events import returns as ev
from daemon.domain.label_times import ENOUGH, nothing_learnt
from daemon.domain.lifecycle import apply
from daemon.domain.returns import Note, Postage, Return, State, Transit
from daemon.domain.schedule import (
    ATTEMPT_FIRST,
    FORGIVEN_UNNOTICED,
    HOUR,
    LATENESS_FORGIVEN,
    PROCESSING_PATIENCE,
    RETRY_FIRST,
    RETRY_MOST,
    attempt_delay,
    forgive_failure,
    forgive_lateness,
    held_delay,
    label_pause,
    longest_wait,
    look_delay,
    owes_look,
    past_deadline,
    plan,
    poll_delay,
    retry_delay,
    supposed_look,
    truly_waited,
    waited,
    waiting_delay,
    wake_at,
)
from tests.support.builders import (
    DAY,
    NOW,
    a_request,
    a_return,
    a_unit,
    an_authorization,
    an_awaited_return,
    assigned,
    authorized,
    delivered,
    found,
    refused,
)
from tests.support.configured import clocks

S = State
T = clocks()


def planned(ret: Return, old: Return | None = None, at: float = NOW) -> Return:
    """The return with its clocks set; without an older one it has just entered its state."""
    return plan(old, ret, at, T)


# ---- entering a state


@pytest.mark.parametrize(
    ("state", "deadline", "watch", "look"),
    [
        (S.RECEIVED, T.unmatched_deadline, None, None),
        (S.AWAITING_LABEL, T.label_deadline, None, None),
        (S.LABEL_READY, T.label_deadline, None, None),
        (S.AWAITING_INSPECTION, None, None, T.inspection_idle),
        (S.INSPECTED, None, None, None),
        (S.SETTLING, None, None, None),
        (S.PROCESSING, PROCESSING_PATIENCE, T.outcome_watch, None),
        (S.IN_REVIEW, T.late_watch, T.review_watch, T.late_look),
        (S.EXPIRED, T.late_watch, None, T.late_look),
        (S.REFUSED, T.label_deadline, None, None),
        (S.CANCELLED, T.late_watch, None, T.late_look),
        (S.STUCK, T.late_watch, None, T.late_look),
        (S.CLOSED, T.late_watch, None, T.late_look),
    ],
)
def test_the_clocks_of_a_state_start_when_it_is_entered(state, deadline, watch, look):
    """Each state has its own deadline, watch and look; those of the state before are dropped."""
    stale = {"deadline_at": 1.0, "portal_due_at": 1.0, "amazon_due_at": 1.0}
    ret = planned(
        an_awaited_return(state=state, **stale), old=a_return(state=S.STUCK if state is S.CLOSED else S.CLOSED)
    )
    starts = [None if delay is None else NOW + delay for delay in (deadline, watch, look)]
    assert [ret.deadline_at, ret.portal_due_at, ret.amazon_due_at] == starts


def test_staying_in_a_state_keeps_its_clocks():
    """An event that does not move the return does not grant it more time."""
    old = planned(an_awaited_return(state=S.IN_REVIEW))
    assert planned(replace(old, needs_read=True), old, NOW + 60.0) == replace(old, needs_read=True, due_at=NOW + 60.0)


@pytest.mark.parametrize("late", [0.0, DAY])
@pytest.mark.parametrize(
    ("state", "event", "interval"),
    [
        (S.PROCESSING, ev.ReturnRead(at=NOW), T.outcome_watch),
        (S.IN_REVIEW, ev.ReturnRead(at=NOW), T.review_watch),
        (S.IN_REVIEW, ev.FlagLifted(at=NOW), T.review_watch),
    ],
)
def test_a_watch_that_ran_out_is_wound_up_again(state, event, interval, late):
    """The portal is read again one interval after it was read."""
    old = planned(an_awaited_return(state=state))
    now = old.portal_due_at + late
    assert planned(apply(old, event), old, now).portal_due_at == now + interval


def test_only_a_reading_winds_up_the_watch():
    """What else happens at the very instant, a note written for example, does not put the reading off."""
    old = planned(an_awaited_return(state=S.PROCESSING, notes=(Note(key="k", text="t"),)))
    written = apply(old, ev.NotesWritten(at=old.portal_due_at, keys=("k",)))
    after = planned(written, old, old.portal_due_at)
    assert (after.portal_due_at, after.due_at) == (old.portal_due_at, old.portal_due_at)
    assert duty(after, old.portal_due_at) == Duty(Act.READ_RETURN)


# ---- when to wake


def test_what_is_owed_is_due_now():
    """A return that owes something is due at once."""
    assert planned(an_awaited_return(notes=(Note(key="k", text="t"),))).due_at == NOW


def test_a_fresh_authorization_is_given_a_moment():
    """The first look for it waits a little; later ones are spaced by the performer."""
    ret = a_return(state=S.AWAITING_LABEL, units=(authorized(a_unit(), ""),))
    assert planned(ret).due_at == NOW + T.label_poll_first
    assert planned(ret, ret).due_at == NOW


def test_with_nothing_owed_the_nearest_clock_wakes():
    """Look and watch race; without any clock nothing wakes the return."""
    ret = planned(an_awaited_return(state=S.IN_REVIEW))
    assert ret.due_at == NOW + T.review_watch
    assert planned(a_return(state=S.CLOSED)).due_at is None


def test_an_awaited_return_with_nothing_to_wait_for_is_judged_at_once():
    """When every unit was struck out or refused since, the look is due now, and finds the wait at its end."""
    ret = planned(an_awaited_return(refused(a_unit())))
    assert ret.due_at == NOW
    assert duty(ret, NOW) == Duty(Act.LOOK_FOR_INSPECTION)


# ---- looking at Amazon


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"state": S.AWAITING_INSPECTION, "changed_at": NOW - 400 * DAY}, True),
        ({"state": S.CLOSED}, True),
        ({"state": S.CLOSED, "units": ()}, False),
        ({"state": S.CLOSED, "units": (refused(a_unit()),)}, False),
        ({"state": S.CLOSED, "units": (assigned(a_unit()),)}, False),
        (
            {"state": S.CANCELLED, "units": (assigned(a_unit()),), "pending_calls": (Duty(Act.AUTHORIZE_UNITS, "O1"),)},
            True,
        ),
        ({"state": S.CLOSED, "deadline_at": NOW + DAY}, True),
        ({"state": S.CLOSED, "deadline_at": NOW - DAY}, False),
        ({"state": S.EXPIRED, "deadline_at": NOW - DAY, "changed_at": NOW}, False),
        ({"state": S.CLOSED, "units": (found(a_unit(), at=NOW - 6 * DAY),)}, True),
        ({"state": S.CLOSED, "units": (found(a_unit(), at=NOW - 7 * DAY),)}, False),
        ({"state": S.CLOSED, "units": (found(a_unit(), at=NOW - 9 * DAY), authorized(a_unit("2")))}, True),
    ],
)
def test_how_long_amazon_is_looked_at(fields, expected):
    """Until every unit that may come was processed for a week, or for the late watch."""
    assert owes_look(an_awaited_return(**fields), NOW, T) is expected


def test_a_unit_struck_out_of_the_return_may_still_arrive():
    """Removed lines leave the verdict, but are noted if they come."""
    removed = replace(authorized(a_unit()), standing="removed")
    assert owes_look(an_awaited_return(removed, state=S.CLOSED), NOW, T)


@pytest.mark.parametrize(
    ("ret", "expected"),
    [
        (an_awaited_return(state=S.CLOSED), T.late_look),
        (an_awaited_return(), T.inspection_idle),
        (an_awaited_return(requests=(delivered(transit=Transit.PRE_TRANSIT),)), T.inspection_idle),
        (an_awaited_return(requests=(delivered(transit=Transit.IN_TRANSIT),)), T.inspection_moving),
        (an_awaited_return(requests=(delivered(transit=Transit.OUT_FOR_DELIVERY),)), T.inspection_moving),
        (an_awaited_return(requests=(delivered(transit=Transit.DELIVERED),)), T.inspection_arrived),
        (an_awaited_return(requests=(delivered(), a_request("q2", transit=Transit.DELIVERED))), T.inspection_idle),
        (an_awaited_return(found(a_unit()), authorized(a_unit("2"))), T.inspection_arrived),
        (an_awaited_return(found(a_unit())), 0.0),
    ],
)
def test_the_nearer_an_inspection_the_sooner_the_look(ret, expected):
    """Nothing scanned, moving, arrived, all found: each has its own pace."""
    assert look_delay(ret, T) == expected


# ---- polling for the authorization


@pytest.mark.parametrize(
    ("since", "expected"),
    [
        (0.0, T.label_poll_first),
        (60.0, T.label_poll_first),
        (120.0, 4.0),
        (1200.0, T.label_poll_max),
        (HOUR - 1.0, T.label_poll_max),
        (HOUR, T.label_poll_late),
        (9 * HOUR, T.label_poll_late),
    ],
)
def test_looks_grow_apart_with_the_wait(since, expected):
    """A young wait is looked after closely, an older one a thirtieth of itself later, and slowly after an hour."""
    assert poll_delay(since, T) == expected


def test_what_late_labels_took_decides_in_the_first_hour():
    """Before enough is known, and after the first hour, the looks are as if nothing were known."""
    few = known = nothing_learnt()
    for _ in range(ENOUGH):
        known = known.learnt(19.0, 21.0)
    assert label_pause(0.0, few, T) == poll_delay(0.0, T)
    assert label_pause(0.0, known, T) == known.pause(0.0, T.label_poll_max) != poll_delay(0.0, T)
    assert label_pause(HOUR, known, T) == T.label_poll_late


@pytest.mark.parametrize(
    ("deadline_at", "expected"), [(NOW + T.label_deadline, 0.0), (NOW, T.label_deadline), (None, T.label_deadline)]
)
def test_waiting_is_counted_back_from_the_deadline(deadline_at, expected):
    """What was forgiven moved the deadline, so it does not count as waiting; without a deadline hope is small."""
    assert waited(a_return(deadline_at=deadline_at), NOW, T) == expected


def test_a_look_that_nobody_remembers_was_never_or_just_now():
    """A return that has waited for longer than any first look does was looked at, by a walk that has ended."""
    longest = T.label_poll_max + LATENESS_FORGIVEN
    assert [supposed_look(age, T) for age in (0.0, longest, longest + 1.0)] == [0.0, 0.0, longest + 1.0]


def test_a_wait_is_believed_if_the_clock_agrees():
    """What was forgiven, a clock that was set, or a create call that nobody knows of make it doubtful."""
    little, much = FORGIVEN_UNNOTICED - 0.1, FORGIVEN_UNNOTICED + 0.1
    assert [truly_waited(20.0, NOW - 20.0 - off, NOW) for off in (0.0, little, -little, much, -much)] == [
        True,
        True,
        True,
        False,
        False,
    ]
    assert not truly_waited(20.0, None, NOW)


@given(st.integers(0, 10_000), st.floats(0.0, 1.0))
def test_retries_back_off_within_bounds(transient_failures, jitter):
    """Full jitter, never below half a second, never above a minute."""
    assert RETRY_FIRST / 2 <= retry_delay(transient_failures, jitter) <= RETRY_MOST


def test_retries_grow():
    """The ceiling doubles until it is reached."""
    assert [retry_delay(n, 1.0) for n in range(0, 12, 2)] == [1.0, 4.0, 16.0, 64.0, 256.0, 300.0]


def test_a_shopper_who_waits_is_tried_for_within_half_a_minute():
    """The first tries follow at once; half of each pause is jitter."""
    assert [waiting_delay(n, 1.0) for n in range(9)] == [0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 30.0, 30.0]
    assert waiting_delay(0, 0.0) == 0.25


@given(st.integers(0, 10_000), st.floats(0.0, 1.0))
def test_attempts_are_spaced_within_bounds(attempts, jitter):
    """Half jitter: never below half of the first pause, never above the longest."""
    assert ATTEMPT_FIRST / 2 <= attempt_delay(attempts, HOUR, jitter) <= HOUR


@pytest.mark.parametrize(("most", "hours"), [(600.0, 0.7), (3 * HOUR, 8.6), (8 * HOUR, 18.6)])
def test_eight_attempts_span_what_the_longest_pause_says(most, hours):
    """The first tries come soon, for most failures are short; the last is far from the first."""
    pauses = [attempt_delay(n, most, 1.0) for n in range(7)]
    assert pauses[:4] == [2.0, 16.0, 128.0, min(most, 1024.0)]
    assert sum(pauses) / HOUR == pytest.approx(hours, abs=0.1)


# ---- time that does not count


DUE = a_return(deadline_at=NOW + 100.0, due_at=NOW)


@pytest.mark.parametrize(
    ("ret", "retry_at", "deadline"),
    [
        (DUE, NOW + 30.0, NOW + 130.0),
        (DUE, NOW - 30.0, NOW + 100.0),
        (replace(DUE, deadline_at=None), NOW + 30.0, None),
        (replace(DUE, due_at=None), NOW + 30.0, NOW + 100.0),
    ],
)
def test_a_vendor_that_answers_nobody_costs_no_waiting_time(ret, retry_at, deadline):
    """The deadline moves by the time until the next attempt."""
    assert forgive_failure(ret, retry_at) == replace(ret, deadline_at=deadline)


@pytest.mark.parametrize(
    ("ret", "late", "forgiven"),
    [
        (DUE, LATENESS_FORGIVEN, 0.0),
        (DUE, LATENESS_FORGIVEN + 1.0, LATENESS_FORGIVEN + 1.0),
        (replace(DUE, deadline_at=None), DAY, 0.0),
        (replace(DUE, due_at=None), DAY, 0.0),
    ],
)
def test_time_down_does_not_count(ret, late, forgiven):
    """Lateness beyond a minute moves the deadline along; less is not worth a change."""
    after = forgive_lateness(ret, NOW + late)
    assert after == (replace(ret, deadline_at=ret.deadline_at + late, due_at=NOW + late) if forgiven else ret)


@pytest.mark.parametrize(
    ("deadline_at", "expected"), [(None, False), (NOW + 1.0, False), (NOW, True), (NOW - 1.0, True)]
)
def test_a_deadline_is_past_when_its_instant_has_come(deadline_at, expected):
    """Without a deadline there is nothing to miss."""
    assert past_deadline(a_return(deadline_at=deadline_at, authorizations=(an_authorization(),)), NOW) is expected


@pytest.mark.parametrize("days", [7.0, 30.0])
def test_nothing_is_waited_for_longer_than_the_longest_wait(days):
    """Whatever an operator has configured, no planned instant lies beyond it."""
    timings = replace(T, late_look=days * DAY)
    for state in State:
        planned = plan(None, replace(an_awaited_return(), state=state), NOW, timings)
        assert max(
            planned.due_at or 0.0, planned.amazon_due_at or 0.0, planned.portal_due_at or 0.0
        ) < NOW + longest_wait(timings)


def test_a_deadline_of_a_clock_that_was_ahead_is_of_now():
    """A return that was heard under it waits as long as if it had been heard now."""
    ret = plan(None, a_return(), NOW + 365 * DAY, T)
    right = plan(ret, apply(ret, ev.ClockPutRight(at=NOW)), NOW, T)
    assert right.deadline_at == NOW + T.unmatched_deadline


def test_what_lies_in_the_future_is_of_now():
    """The label, the carrier's readings and the clocks of a return that was touched under a clock that was ahead."""
    later = NOW + 365 * DAY
    parcel = Postage(authorization_id="A1", scanned_at=later, delivered_at=NOW - DAY, lost_at=later, tracked_at=later)
    ret = an_awaited_return(
        labelled_at=later, amazon_due_at=later, portal_due_at=later, passed_over_until=later, postage=(parcel,)
    )
    right = apply(ret, ev.ClockPutRight(at=NOW))
    assert right == replace(
        ret,
        changed_at=NOW,
        labelled_at=NOW,
        amazon_due_at=None,
        portal_due_at=None,
        passed_over_until=NOW,
        postage=(replace(parcel, scanned_at=NOW, lost_at=NOW, tracked_at=NOW),),
    )


@pytest.mark.parametrize(("held_for", "pause"), [(0.0, HOUR), (DAY, 3 * HOUR), (2 * DAY, 6 * HOUR), (90 * DAY, DAY)])
def test_a_held_request_is_tried_ever_more_rarely(held_for, pause):
    """At first as often as a request is given to be matched, at last once a day."""
    assert held_delay(a_return(created_at=0.0), held_for, clocks()) == pause


NOTE = (Note(key="k", text="t"),)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"notes": NOTE}, NOW),
        ({"notes": NOTE, "passed_over_until": NOW + 9}, NOW + 9),
        ({"notes": NOTE, "passed_over_until": NOW + 9, "portal_due_at": NOW + 5}, NOW + 5),
        ({"passed_over_until": NOW + 9, "portal_due_at": NOW + 50}, NOW + 50),
        ({"passed_over_until": NOW - 9, "portal_due_at": None}, None),
    ],
)
def test_what_was_passed_over_wakes_its_return_again(fields, expected):
    """Should nothing else be due before; and only if it is still owed."""
    assert wake_at(a_return(**{"state": S.IN_REVIEW, "portal_due_at": None, **fields}), NOW) == expected


def test_a_return_that_was_taken_over_in_the_state_it_had_gets_that_states_deadline():
    """Taking over forgets the times; without a deadline a closed return would be watched for ever."""
    closed = a_return(state=State.CLOSED, deadline_at=None)
    assert plan(closed, closed, NOW, clocks()).deadline_at == NOW + clocks().late_watch
