"""What Amazon's own word does to the clocks of a return, and when a look can be spared."""

from dataclasses import replace

import pytest

from daemon.domain.acts import Act
from daemon.domain.durations import HOUR
from daemon.domain.duties import duty
from daemon.domain.events import returns as ev
from daemon.domain.inspection import may_be_spared, newly_processed, told_all
from daemon.domain.returns import Finding, Postage, State
from daemon.domain.schedule import REREADS, plan
from tests.support.builders import DAY, NOW, an_awaited_return
from tests.support.configured import clocks

T = clocks()


def awaited(**changes):
    """A return whose label is out, read an hour ago."""
    return replace(an_awaited_return(), **({"labelled_at": NOW - DAY, "looked_at": NOW - HOUR} | changes))


def with_unit(ret, **changes):
    return replace(ret, units=(replace(ret.units[0], **changes), *ret.units[1:]))


@pytest.mark.parametrize(
    ("since", "next_look"),
    [(0.0, REREADS[0]), (REREADS[0], REREADS[1]), (REREADS[1], REREADS[2]), (REREADS[2], REREADS[3])],
)
def test_the_next_reading_after_amazons_word(since, next_look):
    """Each reading that shows nothing is followed by the next, later one, counted from Amazon's word."""
    ret = awaited(announced_at=NOW - since, looked_at=NOW, amazon_due_at=None)
    assert plan(ret, ret, NOW, T).amazon_due_at == pytest.approx(NOW - since + next_look)


def test_after_the_last_of_them_the_usual_spacing():
    """Six hours after Amazon's word looks are as far apart as ever."""
    ret = awaited(announced_at=NOW - REREADS[-1], looked_at=NOW, amazon_due_at=None)
    assert plan(ret, ret, NOW, T).amazon_due_at == NOW + T.inspection_idle


def test_what_was_announced_before_there_was_a_look_is_read_at_once():
    """Amazon may speak while a return is on its way from one state to another: its first look is due at once."""
    ret = awaited(announced_at=NOW - 1.0, amazon_due_at=None)
    for looked_at in (None, NOW - HOUR):
        assert plan(ret, replace(ret, looked_at=looked_at), NOW, T).amazon_due_at == NOW
    later = replace(ret, announced_at=NOW + DAY)
    assert plan(later, later, NOW, T).amazon_due_at == NOW + T.inspection_idle


def test_a_label_that_has_just_gone_out_is_as_good_as_a_reading():
    """Nothing can have come back before: the first look may be spared as well, unless Amazon has spoken."""
    ret = replace(an_awaited_return(), looked_at=None)
    before = replace(ret, state=State.LABEL_READY)
    assert plan(before, ret, NOW, T).looked_at == NOW
    assert plan(before, replace(ret, announced_at=NOW - 1.0), NOW, T).looked_at is None


def test_amazons_word_outlives_a_change_of_state_for_six_hours():
    """What was announced just before a return moved on is still looked for; what is older is not."""
    for since, kept in ((HOUR, True), (REREADS[-1], False)):
        ret = awaited(announced_at=NOW - since)
        assert (plan(ret, replace(ret, state=State.EXPIRED), NOW, T).announced_at is not None) is kept


def test_what_has_arrived_is_not_looked_for_on_its_way():
    """After Amazon's word the order is read at once; the carrier is asked again later."""
    parcel = Postage(authorization_id="A1", shipment_id="S", tracking_id="T")
    ret = awaited(postage=(parcel,), amazon_due_at=NOW)
    assert duty(ret, NOW).act is Act.TRACK_PARCELS
    assert duty(replace(ret, announced_at=NOW), NOW).act is Act.LOOK_FOR_INSPECTION
    assert duty(replace(ret, announced_at=NOW, looked_at=None), NOW).act is Act.LOOK_FOR_INSPECTION
    assert duty(replace(ret, announced_at=NOW - DAY), NOW).act is Act.TRACK_PARCELS
    assert duty(replace(ret, announced_at=NOW + DAY), NOW).act is Act.TRACK_PARCELS, "by another clock than today's"


def test_a_look_is_spared_until_the_fourth():
    """Of four looks three are spared, counted from the last reading."""
    spared = [may_be_spared(awaited(looked_at=NOW - n * T.inspection_idle), NOW, T, 4.0) for n in (1, 2, 3, 4, 5)]
    assert spared == [True, True, True, False, False]


@pytest.mark.parametrize(
    "changes",
    [
        {"state": State.IN_REVIEW},
        {"looked_at": None},
        {"looked_at": NOW + 1},
        {"announced_at": NOW - DAY},
        {"labelled_at": NOW - 46 * DAY},
    ],
)
def test_what_is_never_spared(changes):
    """Late looks, the first one, what was announced, and a look by which a clock decides."""
    assert may_be_spared(awaited(), NOW, T, 4.0)
    assert not may_be_spared(awaited(**changes), NOW, T, 4.0)


def test_nothing_is_spared_at_the_usual_spacing():
    """While the queue is not to be relied on, every look is made."""
    assert not may_be_spared(awaited(looked_at=NOW), NOW, T, 1.0)


def test_a_condition_that_is_yet_to_come_is_looked_for():
    """A unit that was processed without a condition is read as often as ever."""
    assert not may_be_spared(with_unit(awaited(), processed_at=NOW - HOUR), NOW, T, 4.0)


def test_a_unit_that_a_clock_calls_missing_is_looked_at():
    """A parcel that was delivered two weeks ago is read before its units are called missing."""
    ret = awaited()
    parcel = Postage(authorization_id=ret.units[0].authorization_id, delivered_at=NOW - 14 * DAY)
    assert not may_be_spared(replace(ret, postage=(parcel,)), NOW, T, 4.0)


def test_news_are_told_once():
    """A unit counts as found when a reading shows it processed for the first time."""
    ret = awaited()
    (unit, *_) = ret.units
    seen = replace(unit, processed_at=NOW, finding=Finding(condition="Sellable", found_at=NOW))
    event = ev.UnitInspected(at=NOW, units=(seen,))
    assert newly_processed(ret, event) == (seen,)
    assert newly_processed(replace(ret, units=(seen,)), event) == ()
    assert newly_processed(ret, ev.NothingCame(at=NOW)) == ()
    assert told_all(replace(ret, units=(unit,)), event)
    assert not told_all(replace(ret, units=(unit, replace(unit, line_id="other"))), event)


def test_time_that_has_run_out_is_no_news():
    """A unit called missing is not what Amazon had announced."""
    ret = awaited()
    lost = replace(ret.units[0], finding=Finding(condition="missing", found_at=NOW))
    assert not told_all(ret, ev.UnitsMissing(at=NOW, units=(lost,)))
