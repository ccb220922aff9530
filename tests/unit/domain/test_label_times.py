"""What late labels teach about when to look, and who may look first."""

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.domain.durations import HOUR
from daemon.domain.label_times import AGAIN, ENOUGH, GONE, PATIENCE, LabelTimes, nothing_learnt


def taught(*found_at: float, every: float = 2.0) -> LabelTimes:
    """What labels that were found at these ages teach, if each was looked at so often."""
    times = nothing_learnt()
    for age in found_at:
        times = times.learnt(max(0.0, age - every), age)
    return times


def usual(count: int = 300) -> LabelTimes:
    """Labels that take some twenty seconds, one of a hundred more than a minute."""
    chance = random.Random(5)
    return taught(*(chance.lognormvariate(math.log(20), math.log(3) / 2.326) + 1.0 for _ in range(count)))


def test_nothing_is_known_before_enough_labels_were_found():
    """A few labels are chance: until then all returns are alike."""
    few, enough = taught(*[20.0] * (ENOUGH - 1)), taught(*[20.0] * ENOUGH)
    assert (few.known, enough.known) == (False, True)
    assert few.urgency(0.0, 20.0) == 0.0
    assert few.looked(0.0, 20.0, now=1000.0) == few


def test_a_label_that_cannot_be_there_yet_is_not_looked_for():
    """The first look waits until labels begin to appear; where they appear one look soon follows another."""
    times = usual()
    assert times.pause(0.0, 30.0) > 3.0
    assert times.pause(20.0, 30.0) < 1.5
    assert times.pause(0.0, 3.0) == 3.0


def test_where_labels_appear_is_more_urgent_than_where_they_do_not():
    """Of two returns that were looked at equally long ago, the one whose label is likelier goes first."""
    times = usual()
    assert times.urgency(20.0, 25.0) > times.urgency(2.0, 7.0)


def test_whoever_was_not_looked_at_for_long_goes_first():
    """However unlikely a label is, its turn comes; the one that was looked at longest ago goes before."""
    times = usual()
    waiting = [times.urgency(600.0, 600.0 + AGAIN + more) for more in (1.0, 2.0)]
    assert times.urgency(0.0, PATIENCE) < waiting[0] < waiting[1] < times.urgency(0.0, PATIENCE + 1.0)


def test_a_shopper_who_has_gone_goes_behind_those_who_wait():
    """After an hour the usual pause of minutes is no hurry, and still nobody waits without end."""
    times = usual()
    assert times.urgency(2 * HOUR, 2 * HOUR + 290.0) < times.urgency(10.0, 15.0)
    assert times.urgency(2 * HOUR, 2 * HOUR + 490.0) < times.urgency(0.0, PATIENCE + 1.0)
    assert times.urgency(2 * HOUR, 2 * HOUR + GONE * PATIENCE + 60.0) > times.urgency(0.0, PATIENCE + 1.0)


def test_turns_are_saved_while_they_are_scarce():
    """After looks that had to wait for their turn the next are further apart, and close again when the rush is over."""
    calm = rushed = usual()
    for n in range(300):
        rushed = rushed.looked(0.0, 30.0, now=5000.0 + n)
    again = rushed
    for n in range(300):
        again = again.looked(0.0, again.pause(0.0, 30.0), now=6000.0 + 60 * n)
    assert rushed.pause(0.0, 30.0) > 1.5 * calm.pause(0.0, 30.0)
    assert rushed.learnt(18.0, 20.0).pause(0.0, 30.0) > 1.5 * calm.pause(0.0, 30.0)
    assert again.pause(0.0, 30.0) == calm.pause(0.0, 30.0)


def test_a_look_that_came_far_too_late_does_not_make_turns_dear():
    """After an outage the looks are as close as before."""
    times = usual()
    assert times.looked(0.0, 3000.0, now=5000.0) == times


@pytest.mark.parametrize(("looked_at", "found_at"), [(0.0, PATIENCE + 1.0), (5.0, 5.0), (6.0, 5.0)])
def test_what_was_not_watched_teaches_nothing(looked_at, found_at):
    """After a pause, or a clock that was set back, nobody knows when the label was made."""
    assert nothing_learnt().learnt(looked_at, found_at) == nothing_learnt()


def test_the_recent_counts_most():
    """When Amazon becomes slower, the looks follow."""
    before = usual()
    after = before
    for _ in range(400):
        after = after.learnt(58.0, 60.0)
    assert after.pause(30.0, 120.0) > 3 * before.pause(30.0, 120.0)


@settings(deadline=None, max_examples=15)
@given(
    st.lists(st.tuples(st.floats(0.0, 4000.0), st.floats(0.1, PATIENCE)), min_size=ENOUGH, max_size=60),
    st.floats(0.0, 9000.0),
    st.lists(st.floats(0.0, 9000.0), min_size=2, max_size=2),
)
def test_what_exists_unseen_grows_with_the_time_since_the_look(found, looked_at, later):
    """Whatever was learnt: never less than nothing, never more than the time itself, and never shrinking."""
    times = nothing_learnt()
    for age, apart in found:
        times = times.learnt(age, age + apart)
    sooner, longer = (times.unseen(looked_at, looked_at + more) for more in sorted(later))
    assert -1e-3 <= sooner <= longer + 1e-3
    assert longer <= max(later) + 1e-3
    assert 0.0 < times.pause(looked_at, 30.0) <= 30.0
