"""Case 5, conditions: late, absent, unknown, or corrected."""

from dataclasses import replace

import pytest

from daemon.domain.portal import PortalState
from daemon.domain.returns import State
from daemon.domain.verdict import Treatment
from tests.services.parcels import PAGE, TWO, actions, judged, notes, tell_state
from tests.services.stage import DAY, HOUR
from tests.support.builders import a_line

LOOK = 12 * HOUR + 60


def grade_of(stage, line="1"):
    """How a line is graded in Loop, and how often it was."""
    ret = stage.portal.returns["77"]
    return next(x for x in ret.lines if x.line_id == line).grade, ret.grades[line]


async def test_a_condition_that_comes_late_is_waited_for(open_with):
    """Case 5: processed without a condition: nothing is told until it comes, within the grace of a day."""
    stage = await open_with(policy=PAGE)
    await stage.sent()
    await stage.inspect(None)
    await stage.pass_time(13 * HOUR)
    assert ((await stage.ret()).state, notes(stage, "inspected")) == (State.AWAITING_INSPECTION, [])
    await stage.inspect("Sellable")
    await stage.reach(State.CLOSED)
    assert notes(stage, "inspected") == ["Amazon inspected SOCK at LEX1: sellable."]
    assert grade_of(stage) == ("grade_a", 1)


@pytest.mark.parametrize(
    ("absent", "state", "asked"),
    [(Treatment.FLAG, State.IN_REVIEW, {"flag": 1}), (Treatment.PROCESS, State.CLOSED, {"process": 1})],
    ids=["review", "clean"],
)
async def test_a_condition_that_never_comes(open_with, absent, state, asked):
    """Case 5: after the grace the unit counts as the shop says; it is noted, and no grade is invented."""
    stage = await open_with(policy=judged(PAGE, absent=absent))
    await stage.sent()
    await stage.inspect(None)
    await stage.pass_time(23 * HOUR)
    assert (await stage.ret()).state is State.AWAITING_INSPECTION
    await stage.reach(state)
    assert actions(stage) == asked
    assert notes(stage, "inspected") == ["Amazon inspected SOCK at LEX1: condition not given."]
    assert grade_of(stage) == ("", 0)


async def test_an_absent_condition_that_comes_after_the_verdict(open_with):
    """Case 5: a condition that comes after all is noted and graded for the first time; the review stands."""
    stage = await open_with(policy=PAGE)
    await stage.sent()
    await stage.inspect(None)
    await stage.reach(State.IN_REVIEW, within=3 * DAY)
    await stage.inspect("Sellable")
    await stage.pass_time(8 * DAY)
    assert len(notes(stage, "inspected SOCK at LEX1: sellable")) == 1
    assert (await stage.ret()).state is State.IN_REVIEW
    assert actions(stage) == {"flag": 1}


async def test_a_word_nobody_knows_is_discrepant(open_with):
    """Case 5: an unknown condition is passed on in Amazon's own word, graded low and flagged, never guessed clean."""
    stage = await open_with(policy=PAGE)
    await stage.sent()
    await stage.inspect("Nibbled")
    await stage.reach(State.IN_REVIEW)
    assert notes(stage, "inspected") == ["Amazon inspected SOCK at LEX1: Nibbled."]
    assert notes(stage, "Discrepancy") == ["Discrepancy: SOCK Nibbled. Sent to Needs Review."]
    assert grade_of(stage) == ("grade_d", 1)


async def test_a_correction_before_the_verdict_regrades(open_with):
    """Case 5: while a sibling is awaited, a corrected unit is noted again, graded again, and counts as corrected."""
    stage = await open_with(policy=PAGE)
    await stage.sent(*TWO)
    await stage.inspect("Sellable", line="1")
    await stage.pass_time(LOOK)
    assert grade_of(stage) == ("grade_a", 1)
    await stage.inspect("Defective", line="1")
    await stage.pass_time(2 * HOUR)
    assert grade_of(stage) == ("grade_d", 2)
    await stage.inspect("Sellable", line="2")
    await stage.reach(State.IN_REVIEW)
    assert len(notes(stage, "inspected SOCK")) == 2
    assert notes(stage, "Discrepancy") == ["Discrepancy: SOCK defective. Sent to Needs Review."]


@pytest.mark.parametrize(
    ("first", "then", "asked"), [("Sellable", "Defective", "process"), ("Defective", "Sellable", "flag")]
)
async def test_a_correction_after_the_verdict_is_a_note(open_with, first, then, asked):
    """Case 5: after the verdict a correction is noted once; grade and outcome stay as they were."""
    stage = await open_with(policy=PAGE)
    await stage.sent()
    await stage.inspect(first)
    await stage.pass_time(DAY)
    before = grade_of(stage)
    await stage.inspect(then)
    await stage.pass_time(16 * DAY)
    assert len(notes(stage, "inspected")) == 2
    assert grade_of(stage) == before
    assert actions(stage) == {asked: 1}


async def test_a_condition_is_not_taken_back_by_silence(open_with):
    """Case 5: should Amazon leave out a condition that it gave before, the one it gave stands."""
    stage = await open_with(policy=PAGE)
    await stage.sent(*TWO)
    await stage.inspect("Sellable", line="1")
    await stage.pass_time(LOOK)
    await stage.inspect(None, line="1")
    await stage.pass_time(2 * DAY)
    assert (await stage.unit("1")).finding.condition == "Sellable"
    assert len(notes(stage, "inspected SOCK")) == 1
    await stage.inspect("Sellable", line="2")
    await stage.reach(State.CLOSED)
    assert actions(stage) == {"process": 1}


async def test_amazons_own_reason_is_told(open_with):
    """Case 5: what Amazon thinks of the shopper's reason is in the note."""
    stage = await open_with(policy=PAGE)
    await stage.sent()
    stage.network.inspect(await stage.unit(), "Defective", reason="UNKNOWN_OTHER_REASON")
    await stage.reach(State.IN_REVIEW)
    assert notes(stage, "inspected") == [
        "Amazon inspected SOCK at LEX1: defective. Amazon's reason: UNKNOWN_OTHER_REASON."
    ]


async def test_the_worst_unit_of_a_bundle_grades_its_line(open_with):
    """Case 5: a line of several units is graded once, when all are found, by the worst of them."""
    policy = replace(PAGE, sku_map={"SET": {"SOCK": 1, "CAP": 1}})
    stage = await open_with(policy=policy)
    stage.ship(SOCK=1, CAP=1)
    await stage.submit(a_line("1", "SET"))
    ret = await stage.reach(State.AWAITING_INSPECTION)
    sock, cap = ret.units
    stage.network.inspect(sock, "Sellable")
    await stage.pass_time(LOOK)
    assert grade_of(stage) == ("", 0)
    stage.network.inspect(cap, "CarrierDamaged")
    await stage.reach(State.IN_REVIEW)
    assert grade_of(stage) == ("grade_c", 1)


async def test_a_unit_that_comes_after_the_return_was_cancelled(open_with):
    """Case 5: goods of a cancelled return are graded, assessed and noted, never processed or flagged."""
    stage = await open_with(policy=PAGE)
    await stage.sent()
    await tell_state(stage, PortalState.CANCELLED)
    await stage.inspect("Sellable")
    await stage.pass_time(9 * DAY)
    assert grade_of(stage) == ("grade_a", 1)
    assert actions(stage) == {}
    assert (await stage.ret()).state is State.CLOSED
