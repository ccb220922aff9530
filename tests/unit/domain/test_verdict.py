from dataclasses import replace

import pytest

from daemon.domain.orders import SELLABLE
from daemon.domain.portal import PortalState
from daemon.domain.returns import Finding, ReturnUnit, Settlement, UnitState
from daemon.domain.verdict import (
    UNKNOWN_GRADE,
    GradeEntry,
    Rule,
    Treatment,
    conclude,
    grades,
    processing_record,
    treat,
)
from tests.support.builders import (
    NOW,
    a_line,
    a_portal_return,
    a_return,
    a_unit,
    an_authorization,
    an_awaited_return,
    assigned,
    authorized,
    found,
    refused,
)
from tests.support.configured import judgement

T = Treatment
SHOP = judgement(
    conditions={"Sellable": T.PROCESS, "Defective": T.FLAG, "CarrierDamaged": T.PROCESS, "CustomerDamaged": T.IGNORE}
)
MISSED = replace(authorized(a_unit()), finding=Finding(condition="missing", found_at=NOW))
REMOVED = replace(found(a_unit(), "Defective"), standing=UnitState.REMOVED)


# ---- one unit


@pytest.mark.parametrize(
    ("unit", "policy", "expected"),
    [
        (found(a_unit()), judgement(), T.PROCESS),
        (found(a_unit(), "Defective"), judgement(), T.FLAG),
        (found(a_unit(), "Wet"), judgement(), T.FLAG),
        (found(a_unit(), "CarrierDamaged"), SHOP, T.PROCESS),
        (found(a_unit(), "CustomerDamaged"), SHOP, T.IGNORE),
        (found(a_unit(), "sellable"), SHOP, T.FLAG),
        (found(a_unit()), judgement(conditions={}), T.FLAG),
        (MISSED, judgement(), T.FLAG),
        (MISSED, judgement(missing=T.IGNORE), T.IGNORE),
        (found(a_unit(), ""), judgement(), T.FLAG),
        (found(a_unit(), ""), judgement(absent=T.PROCESS), T.PROCESS),
        (refused(a_unit()), judgement(), T.FLAG),
        (refused(a_unit()), judgement(not_returnable=T.PROCESS), T.PROCESS),
        (refused(found(a_unit())), judgement(), T.FLAG),
        (assigned(a_unit()), judgement(), T.FLAG),
        (authorized(a_unit()), judgement(), T.FLAG),
        (REMOVED, judgement(), T.IGNORE),
        (REMOVED, judgement(rules=[Rule(then=T.FLAG)]), T.IGNORE),
    ],
)
def test_what_a_unit_counts_as(unit, policy, expected):
    """The table of conditions decides; what nobody listed is flagged, and a removed line never counts."""
    assert treat(unit, policy) is expected


DEFECTIVE = found(a_unit(sku="SOCK-RED", price_cents=2000, reason="Seam", parent_reason="Quality"), "Defective")


@pytest.mark.parametrize(
    ("rule", "applies"),
    [
        ({}, True),
        ({"sku": "SOCK-*"}, True),
        ({"sku": "CAP-*"}, False),
        ({"sku": "sock-*"}, False),
        ({"reason": "seam"}, True),
        ({"reason": " QUAL* "}, True),
        ({"reason": "fit"}, False),
        ({"condition": "Defective"}, True),
        ({"condition": "Sellable"}, False),
        ({"max_value_cents": 2000}, True),
        ({"max_value_cents": 1999}, False),
        ({"sku": "SOCK-*", "reason": "Seam", "condition": "D*", "max_value_cents": 5000}, True),
        ({"sku": "SOCK-*", "condition": "missing"}, False),
    ],
)
def test_a_rule_applies_when_all_of_it_fits(rule, applies):
    """SKU, reason, condition and value must all fit; what is not said fits everything."""
    policy = judgement(rules=[Rule(then=T.PROCESS, **rule)])
    assert treat(DEFECTIVE, policy) is (T.PROCESS if applies else T.FLAG)


@pytest.mark.parametrize(
    ("pattern", "sku", "fits"),
    [
        ("TEE[RED]", "TEE[RED]", True),
        ("TEE[RED]", "TEER", False),
        ("TEE[!X]*", "TEE[!X]-M", True),
        ("T.E", "TEE", False),
        ("T?E*", "TEE-M", True),
        ("TEE", "TEE-M", False),
        ("*", "", True),
    ],
)
def test_only_two_signs_of_a_pattern_are_special(pattern, sku, fits):
    """SKUs hold brackets, dots and plus signs, which stand for themselves."""
    unit = replace(DEFECTIVE, sku=sku, portal_sku=sku)
    assert treat(unit, judgement(rules=[Rule(then=T.IGNORE, sku=pattern)])) is (T.IGNORE if fits else T.FLAG)


def test_a_rule_judges_what_the_line_cost():
    """Each part of a bundle counts with the price of the whole; a price that the portal does not tell is not low."""
    cheap = judgement(rules=[Rule(then=T.PROCESS, max_value_cents=2000)])
    for line_price, expected in ((2000, T.PROCESS), (5000, T.FLAG), (0, T.PROCESS), (None, T.FLAG)):
        part = replace(DEFECTIVE, price_cents=0, line_price_cents=line_price)
        assert treat(part, cheap) is expected


def test_a_rule_knows_both_names_of_a_unit():
    """The shop's SKU and Amazon's are as good."""
    bundled = replace(DEFECTIVE, portal_sku="SET-1")
    for pattern in ("SET-*", "SOCK-*"):
        assert treat(bundled, judgement(rules=[Rule(then=T.IGNORE, sku=pattern)])) is T.IGNORE


def test_the_first_rule_that_applies_decides():
    """Rules are an ordered list of exceptions."""
    rules = [Rule(then=T.FLAG, sku="CAP"), Rule(then=T.IGNORE, condition="Def*"), Rule(then=T.PROCESS)]
    assert treat(DEFECTIVE, judgement(rules=rules)) is T.IGNORE


@pytest.mark.parametrize(
    ("unit", "condition"),
    [(MISSED, "missing"), (refused(a_unit()), "not_returnable"), (found(a_unit(), ""), "")],
)
def test_a_rule_can_name_what_amazon_has_no_word_for(unit, condition):
    """Missing, not returnable and absent are conditions to a rule."""
    assert treat(unit, judgement(rules=[Rule(then=T.IGNORE, condition=condition)])) is T.IGNORE


# ---- grades


@pytest.mark.parametrize(
    ("condition", "entry", "description"),
    [
        ("Sellable", judgement().grades["Sellable"], "Amazon: Sellable"),
        ("FulfillerDamaged", judgement().grades["FulfillerDamaged"], "Amazon: FulfillerDamaged"),
        ("missing", judgement().grades["missing"], "Amazon: not received"),
        ("Wet", UNKNOWN_GRADE, "Amazon: Wet"),
    ],
)
def test_a_line_is_graded_by_its_condition(condition, entry, description):
    """Grade, disposition, Amazon's word and the time of the inspection."""
    (grade,) = grades(a_return(units=(found(a_unit(), condition),)), ["1"], SHOP)
    assert (grade.grade, grade.title, grade.disposition) == (entry.grade, entry.title, entry.disposition)
    assert (grade.line_id, grade.description, grade.inspected_at) == ("1", description, NOW)


def test_the_merchants_grades_replace_the_defaults():
    """A condition that the merchant's table leaves out gets the grade of the unknown."""
    policy = judgement(grades={SELLABLE: GradeEntry(grade="A+", title="Like new", disposition="shelf")})
    ret = a_return(units=(found(a_unit()), found(a_unit("2"), "Defective")))
    assert [g.grade for g in grades(ret, ["1", "2"], policy)] == ["A+", UNKNOWN_GRADE.grade]


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        (["Sellable", "Sellable"], "Amazon: Sellable"),
        (["Sellable", "Defective"], "Amazon: Defective"),
        (["CarrierDamaged", "Sellable"], "Amazon: CarrierDamaged"),
        (["Defective", "missing"], "Amazon: not received"),
        (["", "Sellable"], "Amazon: Sellable"),
    ],
)
def test_a_bundle_is_graded_by_its_worst_part(parts, expected):
    """What counts as a discrepancy is worse than what does not, then the lower grade is worse."""
    units = tuple(found(a_unit(part=n), condition) for n, condition in enumerate(parts, start=1))
    (grade,) = grades(a_return(units=units), ["1"], SHOP)
    assert grade.description == expected


def test_what_amazon_gave_no_condition_for_is_not_graded():
    """Neither an absent condition nor a unit that was not inspected invents a grade."""
    assert grades(a_return(units=(found(a_unit(), ""), authorized(a_unit("2")))), ["1", "2"], SHOP) == ()


# ---- the verdict

CLEAN, BAD = found(a_unit("1")), found(a_unit("2", "CAP"), "Defective")
BOTH = (a_line("1"), a_line("2", "CAP"))
EXCHANGES = judgement(auto_process=True)


@pytest.mark.parametrize(
    ("units", "details", "policy", "ret", "expected"),
    [
        # all clean
        ((CLEAN,), {}, SHOP, {}, Settlement.PROCESS),
        ((CLEAN, replace(BAD, finding=CLEAN.finding)), {}, SHOP, {}, Settlement.PROCESS),
        # any discrepancy
        ((CLEAN, BAD), {}, SHOP, {}, Settlement.FLAG),
        ((CLEAN, refused(a_unit("2"))), {}, SHOP, {}, Settlement.FLAG),
        # the portal has the word
        ((CLEAN,), {"state": PortalState.CLOSED}, SHOP, {}, Settlement.NOTHING),
        ((BAD,), {"state": PortalState.CANCELLED}, SHOP, {}, Settlement.NOTHING),
        ((BAD,), {"state": PortalState.REVIEW}, SHOP, {}, Settlement.NOTHING),
        ((CLEAN,), {"was_processed": True}, SHOP, {}, Settlement.NOTHING),
        ((CLEAN,), {"state": PortalState.EXPIRED}, SHOP, {}, Settlement.FLAG),
        # processed once, and failed
        ((CLEAN,), {}, SHOP, {"processing_failed": True}, Settlement.FLAG),
        ((CLEAN, BAD), {"has_exchange": True}, EXCHANGES, {"processing_failed": True}, Settlement.FLAG),
        # an exchange goes on without its discrepant lines, if the merchant wants that
        ((CLEAN, BAD), {"has_exchange": True}, EXCHANGES, {}, Settlement.REMOVE),
        ((CLEAN, BAD), {"has_exchange": True}, SHOP, {}, Settlement.FLAG),
        ((CLEAN, BAD), {"has_exchange": False}, EXCHANGES, {}, Settlement.FLAG),
        ((CLEAN, BAD), {"has_exchange": True, "state": PortalState.EXPIRED}, EXCHANGES, {}, Settlement.FLAG),
        # never when every line is discrepant: that would cancel the return
        ((BAD,), {"has_exchange": True}, EXCHANGES, {}, Settlement.FLAG),
        ((found(a_unit("1"), "Wet"), BAD), {"has_exchange": True}, EXCHANGES, {}, Settlement.FLAG),
        ((replace(BAD, part=2), found(a_unit("2", "CAP"))), {"has_exchange": True}, EXCHANGES, {}, Settlement.FLAG),
        ((replace(CLEAN, line_id="9"), BAD), {"has_exchange": True}, EXCHANGES, {}, Settlement.FLAG),
    ],
)
def test_what_is_done_about_a_verdict(units, details, policy, ret, expected):
    """Clean is processed, a discrepancy flagged or removed; a settled or reviewed return is left alone."""
    lines = [line for line in BOTH if line.line_id in {u.line_id for u in units}]
    event = conclude(an_awaited_return(*units, **ret), a_portal_return(*lines, **details), policy, NOW)
    assert event.settlement is expected


def judged(units: list[ReturnUnit], line_ids: list[str]) -> dict[str, ReturnUnit]:
    """The units of a verdict on a return that has these lines by now."""
    details = a_portal_return(*(a_line(line_id) for line_id in line_ids))
    return {u.line_id: u for u in conclude(a_return(units=tuple(units)), details, SHOP, NOW).units}


def test_a_line_edited_out_leaves_the_verdict():
    """What the merchant took out of the return does not count."""
    units = judged([CLEAN, BAD], ["1"])
    assert [units[n].standing for n in ("1", "2")] == [UnitState.AUTHORIZED, UnitState.REMOVED]
    assert units["2"].finding == BAD.finding


def test_a_line_edited_in_was_never_authorized():
    """Processing would pay for it, so it is a discrepancy, with its reason."""
    added = judged([CLEAN], ["1", "3"])["3"]
    assert (added.standing, added.problem) == (
        UnitState.NOT_RETURNABLE,
        "added to the return without a label request",
    )
    assert (added.sku, added.price_cents) == ("SOCK", 1000)


def test_a_line_that_is_part_of_the_return_again_is_not_ignored():
    """What was struck out once and is back would be paid for without any inspection."""
    assert judged([CLEAN, REMOVED], ["1"])["1"].standing is UnitState.NOT_RETURNABLE


def test_the_verdict_is_told_in_words():
    """The note says why, and what is done."""
    event = conclude(an_awaited_return(CLEAN, BAD), a_portal_return(*BOTH), SHOP, NOW)
    assert event.summary == "Discrepancy: CAP defective. Sent to Needs Review."
    cancelled = a_portal_return(*BOTH, state=PortalState.CANCELLED)
    nothing = conclude(an_awaited_return(REMOVED, refused(a_unit("2"))), cancelled, SHOP, NOW)
    assert nothing.summary.endswith("Nothing was done: the return is cancelled in Loop.")
    unseen = conclude(an_awaited_return(authorized(a_unit())), a_portal_return(state=PortalState.CANCELLED), SHOP, NOW)
    assert unseen.summary == "Nothing came back. Nothing was done: the return is cancelled in Loop."


def test_the_record_beside_a_processed_return_names_amazons_ids():
    """Orders, RMAs and conditions; nothing about the shopper."""
    ret = an_awaited_return(
        found(a_unit()),
        replace(authorized(a_unit("2", "CAP"), "A2", "O2")),
        authorizations=(an_authorization("A1"), an_authorization("A2")),
    )
    assert processing_record(ret) == {
        "processed_by": "mcfd",
        "amazon_order": "O1, O2",
        "amazon_rma": "RMA-A1, RMA-A2",
        "amazon_condition": "SOCK: sellable",
    }


def test_details_without_a_line_change_no_unit():
    """A return that is over may show no line: what came is still said of it."""
    details = replace(a_portal_return(state=PortalState.CANCELLED), lines=())
    assert conclude(an_awaited_return(BAD), details, SHOP, NOW).units == (BAD,)
