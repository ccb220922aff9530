"""Case 6, the table of conditions and its exceptions, as a whole return sees them."""

import pytest

from daemon.domain.returns import State
from daemon.domain.verdict import GradeEntry, Rule, Treatment
from tests.services.parcels import PAGE, actions, judged, notes
from tests.services.stage import DAY
from tests.support.builders import a_line
from tests.support.configured import judgement

PROCESS, FLAG, IGNORE = Treatment.PROCESS, Treatment.FLAG, Treatment.IGNORE


async def outcome(open_with, *conditions, lines=None, **verdict):
    """What Loop was asked for, for units found in these conditions; None is one that never comes."""
    stage = await open_with(policy=judged(PAGE, **verdict))
    lines = lines or [a_line(str(n), f"SKU-{n}") for n, _ in enumerate(conditions, start=1)]
    await stage.sent(*lines)
    for line, condition in zip(lines, conditions, strict=True):
        if condition is not None:
            await stage.inspect(condition, line=line.line_id)
    await stage.pass_time(9 * DAY)
    assert (await stage.ret()).state in {State.CLOSED, State.IN_REVIEW}
    return stage, next(iter(actions(stage)))


@pytest.mark.parametrize(
    ("condition", "asked"),
    [
        ("Sellable", "process"),
        ("Defective", "flag"),
        ("CustomerDamaged", "flag"),
        ("CarrierDamaged", "flag"),
        ("FulfillerDamaged", "flag"),
        ("SomethingNew", "flag"),
    ],
)
async def test_only_sellable_is_clean_by_default(open_with, condition, asked):
    """Case 6: Sellable is processed, every other word is for a person."""
    assert (await outcome(open_with, condition))[1] == asked


async def test_the_table_is_the_operators(open_with):
    """Case 6: a shop may count a condition as clean."""
    assert (await outcome(open_with, "CarrierDamaged", conditions={"CarrierDamaged": PROCESS}))[1] == "process"


async def test_ignore_counts_neither_way(open_with):
    """Case 6: an ignored unit does not spoil a clean return, and does not save a damaged one."""
    table = {"Sellable": PROCESS, "Defective": IGNORE}
    assert (await outcome(open_with, "Sellable", "Defective", conditions=table))[1] == "process"


async def test_ignore_does_not_save_a_damaged_return(open_with):
    """Case 6: beside an ignored unit, a damaged one is still a discrepancy."""
    table = {"Defective": IGNORE}
    assert (await outcome(open_with, "Defective", "CustomerDamaged", conditions=table))[1] == "flag"


@pytest.mark.slow
@pytest.mark.parametrize(("missing", "asked"), [(FLAG, "flag"), (PROCESS, "process"), (IGNORE, "process")])
async def test_missing_is_the_operators(open_with, missing, asked):
    """Case 6: what a missing unit counts as is a choice; by default it is for a person."""
    stage, found = await outcome(open_with, "Sellable", None, missing=missing)
    assert found == asked
    ret = stage.portal.returns["77"]
    assert (ret.lines[1].grade, ret.lines[1].disposition) == ("missing", "missing")


@pytest.mark.parametrize(
    ("rule", "line", "asked"),
    [
        (Rule(then=PROCESS, sku="SOCK-*"), a_line("1", "SOCK-M"), "process"),
        (Rule(then=PROCESS, sku="SOCK-*"), a_line("1", "MUG"), "flag"),
        (Rule(then=PROCESS, reason="too  SMALL"), a_line("1", "MUG", reason="Too small"), "process"),
        (Rule(then=PROCESS, reason="fit*"), a_line("1", "MUG", reason="x", parent_reason="Fit and size"), "process"),
        (Rule(then=PROCESS, reason="broken"), a_line("1", "MUG", reason="Too small"), "flag"),
        (Rule(then=PROCESS, max_value_cents=2000), a_line("1", "MUG", price_cents=2000), "process"),
        (Rule(then=PROCESS, max_value_cents=2000), a_line("1", "MUG", price_cents=2001), "flag"),
        (Rule(then=PROCESS, condition="Defective"), a_line("1", "MUG"), "process"),
        (Rule(then=PROCESS, condition="Customer*"), a_line("1", "MUG"), "flag"),
        (
            Rule(then=PROCESS, sku="SOCK-*", reason="too small", condition="Defective", max_value_cents=2000),
            a_line("1", "SOCK-M", reason="Too small", price_cents=500),
            "process",
        ),
        (
            Rule(then=PROCESS, sku="SOCK-*", reason="too small", condition="Defective", max_value_cents=100),
            a_line("1", "SOCK-M", reason="Too small", price_cents=500),
            "flag",
        ),
    ],
)
async def test_rules_by_sku_reason_condition_and_value(open_with, rule, line, asked):
    """Case 6: a defective unit passes only when every part of a rule fits it."""
    assert (await outcome(open_with, "Defective", lines=[line], rules=(rule,)))[1] == asked


async def test_the_first_rule_that_fits_wins(open_with):
    """Case 6: rules are read in order; a strict one before a lenient one is kept to."""
    rules = (Rule(then=FLAG, sku="SKU-1"), Rule(then=PROCESS))
    stage, asked = await outcome(open_with, "Sellable", "Sellable", rules=rules)
    assert asked == "flag"
    assert notes(stage, "Discrepancy") == ["Discrepancy: SKU-1 sellable. Sent to Needs Review."]


@pytest.mark.parametrize(
    ("condition", "grade", "disposition"),
    [
        ("Sellable", "grade_a", "back_to_stock"),
        ("CustomerDamaged", "grade_d", "resale_hold"),
        ("Defective", "grade_d", "resale_hold"),
        ("CarrierDamaged", "grade_c", "resale_hold"),
        ("FulfillerDamaged", "grade_c", "resale_hold"),
    ],
)
async def test_every_condition_has_its_grade(open_with, condition, grade, disposition):
    """Case 6: each condition is written to Loop as the table says, once."""
    stage, _ = await outcome(open_with, condition)
    ret = stage.portal.returns["77"]
    assert (ret.lines[0].grade, ret.lines[0].disposition) == (grade, disposition)
    assert (ret.grades["1"], ret.assessments["1"]) == (1, 1)


async def test_the_grades_are_the_operators(open_with):
    """Case 6: a shop may write a condition in its own way."""
    own = {**judgement().grades, "Defective": GradeEntry(grade="grade_b", title="B", disposition="liquidate")}
    stage, _ = await outcome(open_with, "Defective", grades=own)
    line = stage.portal.returns["77"].lines[0]
    assert (line.grade, line.disposition) == ("grade_b", "liquidate")
