from dataclasses import replace

import pytest

from daemon.domain.allocation import (
    AMBIGUOUS_CODES,
    adopt,
    allocate,
    freed_lines,
    judge_answer,
    not_returnable,
    take_over,
    transferable,
)
from daemon.domain.matching import (
    covers,
    explode,
    fold,
    list_units,
    reason_code,
    requested_lines,
    wanted_code,
)
from daemon.domain.orders import CreateAnswer, InvalidItem, ShippedItem
from daemon.domain.portal import PortalState
from daemon.domain.returns import RequestState, State, UnitState
from tests.support.builders import (
    NOW,
    a_line,
    a_portal_return,
    a_request,
    a_return,
    a_return_item,
    a_shipment,
    a_unit,
    an_order,
    assigned,
    authorized,
    delivered,
    found,
    processed,
    refused,
)

# ---- lines and units


@pytest.mark.parametrize(
    ("sku_map", "expected"),
    [
        ({}, ("SOCK",)),
        ({"CAP": "HAT"}, ("SOCK",)),
        ({"SOCK": "AMZ-SOCK"}, ("AMZ-SOCK",)),
        ({"SOCK": {"LEFT": 1, "RIGHT": 2}}, ("LEFT", "RIGHT", "RIGHT")),
    ],
)
def test_a_line_explodes_to_what_amazon_calls_it(sku_map, expected):
    """Itself, another name, or a bundle's content."""
    assert explode(a_line(), sku_map) == expected


LINES = (a_line("1"), a_line("2"), a_line("3", "CAP"))


def taken(*line_ids: str, asked: RequestState = RequestState.OPEN):
    """A return whose lines are covered by another label request, q1."""
    return a_return(requests=(a_request("q1", asked),), units=tuple(a_unit(line_id) for line_id in line_ids))


@pytest.mark.parametrize(
    ("ret", "skus", "expected"),
    [
        (a_return(), ["SOCK"], ("1",)),
        (a_return(), ["SOCK", "SOCK"], ("1", "2")),
        (a_return(), ["CAP", "SOCK"], ("1", "3")),
        (a_return(), ["SOCK", "SOCK", "SOCK"], ("1", "2")),
        (a_return(), ["SCARF"], ()),
        (taken("1"), ["SOCK"], ("2",)),
        (taken("1"), ["SOCK", "SOCK"], ("1", "2")),
        (taken("1", asked=RequestState.UNREAD), ["SOCK"], ("2",)),
        (taken("1", asked=RequestState.CANCELLED), ["SOCK"], ("1",)),
        (taken("1", asked=RequestState.DELIVERED), ["SOCK"], ("2",)),
        (taken("1", asked=RequestState.DELIVERED), ["SOCK", "SOCK"], ("1", "2")),
        (taken("1", "2", asked=RequestState.DELIVERED), ["SOCK"], ("1",)),
        (a_return(units=(found(a_unit("1")), authorized(a_unit("2"))), requests=(delivered("q1"),)), ["SOCK"], ("2",)),
        (a_return(units=(a_unit("9"),), requests=(delivered("q1"),)), ["SOCK"], ("1",)),
        (a_return(units=(a_unit("1", request_id="gone"),)), ["SOCK"], ("1",)),
        (a_return(units=(a_unit("1", request_id=""),)), ["SOCK"], ("1",)),
        (a_return(), [], ("1", "2", "3")),
        (a_return(), [""], ("1", "2", "3")),
        (taken("1"), [], ("2", "3")),
    ],
)
def test_a_request_covers_its_products_as_a_multiset(ret, skus, expected):
    """One line per named SKU, the freest first: a second line of an SKU is told from a new label for the first one."""
    assert requested_lines(a_portal_return(*LINES), ret, "q2", skus) == expected


def test_a_requests_own_lines_are_not_taken():
    """Reading a label request again covers the same lines."""
    assert requested_lines(a_portal_return(*LINES), taken("1"), "q1", ["SOCK"]) == ("1",)


def test_units_carry_what_the_shopper_said():
    """One unit per line, with price, reason and the request that covers it."""
    line = a_line(price_cents=1999, reason="Too small", parent_reason="Fit")
    (unit,) = list_units(a_return(), a_portal_return(line, a_line("2")), "q1", ["1"], {})
    assert unit == a_unit(price_cents=1999, reason="Too small", parent_reason="Fit")


def test_a_bundles_parts_know_what_the_whole_cost():
    """A part has its share of the price and the line's whole price, and neither where the portal tells none."""
    bundle = {"SOCK": {"LEFT": 1, "RIGHT": 1}}
    told = list_units(a_return(), a_portal_return(a_line(price_cents=1999)), "q1", ["1"], bundle)
    assert [(u.price_cents, u.line_price_cents) for u in told] == [(999, 1999), (1000, 1999)]
    silent = list_units(a_return(), a_portal_return(a_line(price_cents=None)), "q1", ["1"], bundle)
    assert [(u.price_cents, u.line_price_cents) for u in silent] == [(0, None), (0, None)]


def test_a_bundles_parts_are_units_of_one_line():
    """Parts are counted, so that each has an id of its own."""
    units = list_units(a_return(), a_portal_return(), "q1", ["1"], {"SOCK": {"LEFT": 1, "RIGHT": 1}})
    assert [(u.key, u.portal_sku, u.sku) for u in units] == [(("1", 1), "SOCK", "LEFT"), (("1", 2), "SOCK", "RIGHT")]


@pytest.mark.parametrize(
    ("old", "expected"),
    [
        (authorized(a_unit()), authorized(a_unit(request_id="q2"))),
        (found(a_unit(), graded=True), replace(found(a_unit(), graded=True), request_id="q2")),
        (
            replace(found(a_unit(), "missing", graded=True), processed_at=None),
            authorized(a_unit(request_id="q2")),
        ),
        (refused(a_unit()), None),
        (assigned(a_unit()), None),
    ],
)
def test_asked_again_what_amazon_accepted_changes_hands(old, expected):
    """An accepted unit stays authorized under the new request, a missing one is awaited again, all else starts anew."""
    ret = a_return(units=(old,))
    (unit,) = list_units(ret, a_portal_return(), "q2", ["1"], {})
    assert unit == (expected or a_unit(request_id="q2", reason="Too small"))


# ---- which orders


@pytest.mark.parametrize(
    ("orders", "units", "all_of_them"),
    [
        ([an_order("O1", a_shipment(SOCK=1))], [a_unit()], True),
        ([an_order("O1", a_shipment(SOCK=1))], [a_unit(), a_unit("2", "CAP")], False),
        ([an_order("O1", a_shipment(SOCK=1)), an_order("O2", a_shipment(CAP=1))], [a_unit("2", "CAP")], True),
        ([an_order("O1", a_shipment(HAT=1))], [a_unit()], False),
    ],
)
def test_an_order_counts_by_its_skus(orders, units, all_of_them):
    """Together the orders must know every SKU."""
    assert covers(orders, units) is all_of_them


# ---- allocation (the laws of it are in test_allocation)


def places(units) -> list[tuple[str, str]]:
    """Order and shipment of each unit, empty for one without a place."""
    return [(u.order_id, u.shipment_id) for u in units]


OLD, NEW = a_shipment("S-old", shipped_at=1.0, SOCK=1), a_shipment("S-new", shipped_at=2.0, SOCK=1)
THREE = (a_unit("1"), a_unit("2"), a_unit("3"))


@pytest.mark.parametrize(
    ("orders", "expected"),
    [
        ([an_order("O1", NEW, OLD)], [("O1", "S-old"), ("O1", "S-new"), ("", "")]),
        ([an_order("O1", NEW), an_order("O2", OLD)], [("O2", "S-old"), ("O1", "S-new"), ("", "")]),
        ([an_order("O1", replace(OLD, shipped=False), NEW)], [("O1", "S-new"), ("", ""), ("", "")]),
        ([an_order("O1", NEW, replace(OLD, shipped_at=None))], [("O1", "S-old"), ("O1", "S-new"), ("", "")]),
        ([an_order("O1", a_shipment("S", SOCK=2, CAP=5))], [("O1", "S"), ("O1", "S"), ("", "")]),
        ([an_order("O1", a_shipment("S", CAP=5))], [("", ""), ("", ""), ("", "")]),
        ([], [("", ""), ("", ""), ("", "")]),
    ],
)
def test_units_go_to_the_oldest_shipment_first(orders, expected):
    """Over all orders, in the order of shipping, never above what was shipped."""
    assert places(allocate(a_return(), THREE, orders, ())) == expected


def test_an_order_line_in_two_packages_counts_both():
    """A shipment may list one line once per package; what came back is subtracted once."""
    entry = ShippedItem(item_id="item-SOCK", sku="SOCK", quantity=1)
    listed = a_return_item(authorized(a_unit("9")))
    order = an_order("O1", replace(a_shipment(), items=(entry, entry)), return_items=(listed,))
    assert places(allocate(a_return(), THREE, [order], ())) == [("O1", "S1"), ("", ""), ("", "")]


OTHERS = replace(assigned(a_unit("5")), return_item_id="theirs")


@pytest.mark.parametrize(
    ("listed", "promised", "units", "free"),
    [
        ([], [], (), 2),
        ([OTHERS], [], (), 1),
        ([], [OTHERS], (), 1),
        ([OTHERS], [OTHERS], (), 1),
        ([], [replace(OTHERS, order_id="O9")], (), 2),
        ([], [], (assigned(a_unit("8")),), 1),
        ([], [], (authorized(a_unit("8")),), 1),
        ([], [], (refused(assigned(a_unit("8"))),), 2),
        ([authorized(a_unit("8"))], [], (authorized(a_unit("8")),), 1),
        ([OTHERS], [OTHERS], (assigned(a_unit("8")),), 0),
    ],
)
def test_what_is_promised_is_not_given_twice(listed, promised, units, free):
    """Amazon's list, other returns' promises and this return's own count, each unit once."""
    order = an_order("O1", a_shipment(SOCK=2), return_items=tuple(a_return_item(u) for u in listed))
    placed = allocate(a_return(units=units), THREE, [order], promised)
    assert sum(1 for u in placed if u.return_item_id) == free


def test_an_earlier_life_of_the_unit_is_adopted():
    """Amazon lists our own id: nothing is asked again, and no other unit's place is taken."""
    order = an_order("O1", a_shipment(SOCK=1), return_items=(a_return_item(authorized(a_unit())),))
    assert allocate(a_return(), [a_unit()], [order], ()) == (authorized(a_unit()),)


def test_an_id_lent_to_another_return_is_not_ours_any_more():
    """What another return took over stays that one's; a unit that is free beside it is asked for under another id."""
    order = an_order("O1", a_shipment(SOCK=2), return_items=(a_return_item(authorized(a_unit())),))
    assert allocate(a_return(), [a_unit()], [order], [authorized(a_unit("9"), "A1")])[0].return_item_id
    lent = replace(a_unit("9"), order_id="O1", return_item_id=authorized(a_unit()).return_item_id)
    (placed,) = allocate(a_return(), [a_unit()], [order], [lent])
    assert placed.return_item_id not in {"", lent.return_item_id}
    one = replace(order, shipments=(a_shipment(SOCK=1),))
    assert allocate(a_return(), [a_unit()], [one], [lent]) == (a_unit(),)


def test_what_is_left_is_counted_per_order_line():
    """Others may ask under shipments that are none: what they name cannot be asked back again, from the oldest on."""
    theirs = replace(assigned(a_unit("9"), shipment_id="DUMMY-1"), return_item_id="theirs")
    order = an_order("O1", NEW, OLD, return_items=(a_return_item(theirs),))
    assert places(allocate(a_return(), THREE, [order], [])) == [("O1", "S-old"), ("", ""), ("", "")]
    full = replace(order, return_items=(a_return_item(theirs), a_return_item(replace(theirs, return_item_id="x"))))
    assert places(allocate(a_return(), THREE, [full], [])) == [("", "")] * 3


@pytest.mark.parametrize(
    ("state", "lines", "freed"),
    [
        (PortalState.OPEN, ("1", "2"), set()),
        (PortalState.OPEN, ("1",), {"2"}),
        (PortalState.OPEN, (), set()),
        (PortalState.REVIEW, ("2",), {"1"}),
        (PortalState.EXPIRED, ("1", "2"), {"1", "2"}),
        (PortalState.CANCELLED, (), {"1", "2"}),
        (PortalState.CLOSED, ("1", "2"), set()),
    ],
)
def test_the_portal_says_which_lines_may_be_returned_anew(state, lines, freed):
    """All of a return that is cancelled or has expired, and else those that have left it; no lines at all say nothing."""
    struck_out = replace(authorized(a_unit("2")), standing=UnitState.REMOVED)
    ret = a_return(units=(authorized(a_unit()), struck_out, found(a_unit("3")), refused(a_unit("4"))))
    details = a_portal_return(state=state)
    assert freed_lines(ret, replace(details, lines=tuple(a_line(line) for line in lines))) == freed


def test_a_freed_line_may_be_lent_by_a_return_that_goes_on():
    """The other lines are still awaited there."""
    ret = a_return(state=State.AWAITING_INSPECTION, units=(authorized(a_unit()), authorized(a_unit("2"))))
    assert [u.line_id for u in transferable(ret, ["O1"], {"2"})] == ["2"]


# ---- taking over what a cancelled return left


@pytest.mark.parametrize(
    ("ret", "expected"),
    [
        (a_return(state=State.CANCELLED, units=(authorized(a_unit()),)), 1),
        (a_return(state=State.AWAITING_INSPECTION, units=(authorized(a_unit()),)), 0),
        (a_return(state=State.AWAITING_INSPECTION, units=(authorized(a_unit(request_id="")),)), 1),
        (a_return(state=State.CANCELLED, units=(found(a_unit()),)), 0),
        (a_return(state=State.CANCELLED, units=(assigned(a_unit()),)), 0),
        (a_return(state=State.CANCELLED, units=(authorized(a_unit(), order_id="O9"),)), 0),
    ],
)
def test_what_nobody_asks_for_any_more_may_be_lent(ret, expected):
    """Accepted, not yet seen, on these orders, and given up by a return that was cancelled as a whole."""
    assert len(transferable(ret, ["O1", "O2"])) == expected


CANCELLED = a_return(return_id="70", state=State.CANCELLED)
LENT = replace(authorized(a_unit("5")), return_item_id="mcfd-acme-70-5-1")


def test_a_cancelled_returns_unit_is_taken_over_under_its_id():
    """Asked again in another return, the unit is not asked anew: Amazon knows it already."""
    order = an_order("O1", a_shipment(SOCK=1), return_items=(a_return_item(LENT),))
    placed, borrowed = take_over([a_unit(), a_unit("2")], [order], [(CANCELLED, LENT)])
    assert placed == (replace(authorized(a_unit()), return_item_id=LENT.return_item_id), a_unit("2"))
    assert borrowed == ((CANCELLED, LENT),)


@pytest.mark.parametrize("items", [(), (processed(LENT),), (a_return_item(authorized(a_unit("6"))),)])
def test_only_what_amazon_still_expects_is_taken_over(items):
    """A unit that was processed meanwhile, or that Amazon does not list, is not lent."""
    order = an_order("O1", a_shipment(SOCK=1), return_items=items)
    assert take_over([a_unit()], [order], [(CANCELLED, LENT)]) == ((a_unit(),), ())


def test_only_a_unit_of_the_same_sku_is_taken_over():
    """A cap does not stand in for a sock."""
    order = an_order("O1", a_shipment(SOCK=1), return_items=(a_return_item(LENT),))
    assert take_over([a_unit("1", "CAP")], [order], [(CANCELLED, LENT)]) == ((a_unit("1", "CAP"),), ())


# ---- Amazon's answer


def test_adopting_takes_amazons_word():
    """Order line, shipment and authorization are as Amazon lists them; units it does not list are left out."""
    unit = replace(assigned(a_unit()), authorization_id="A0")
    item = a_return_item(unit, shipment_id="S2", order_item_id="other", authorization_id=None)
    expected = replace(unit, standing=UnitState.AUTHORIZED, shipment_id="S2", order_item_id="other")
    assert adopt([unit, assigned(a_unit("2"))], [item]) == (expected,)
    assert adopt([unit], [replace(item, authorization_id="A9")])[0].authorization_id == "A9"


def invalid(unit, code: str, description: str = "") -> InvalidItem:
    """A refusal of one unit."""
    return InvalidItem(return_item_id=unit.return_item_id, code=code, description=description)


def test_a_create_answer_is_sorted():
    """Accepted, refused with Amazon's words, and doubtful: asked before as it seems, or not mentioned at all."""
    units = [assigned(a_unit(str(n))) for n in range(1, 6)]
    answer = CreateAnswer(
        return_items=(a_return_item(units[0]),),
        invalid_items=(
            invalid(units[1], "InvalidValues", "too old"),
            invalid(units[2], "DuplicateRequest"),
            invalid(units[4], "Odd"),
        ),
    )
    accepted, refusals, doubtful = judge_answer(units, answer, asked_before=False)
    assert [u.line_id for u in accepted] == ["1"]
    assert [(u.line_id, u.problem) for u in refusals] == [("2", "InvalidValues: too old"), ("5", "Odd")]
    assert all(u.standing is UnitState.NOT_RETURNABLE for u in refusals)
    assert [(u.line_id, u.problem) for u in doubtful] == [
        ("3", "DuplicateRequest"),
        ("4", "Amazon did not mention the unit"),
    ]


@pytest.mark.parametrize("code", sorted(AMBIGUOUS_CODES))
@pytest.mark.parametrize("asked_before", [True, False])
def test_a_lack_of_returnable_units_is_doubtful_only_after_an_unclear_call(code, asked_before):
    """A duplicate is always read back; no returnable quantity may be our own doing only if we have asked before."""
    unit = assigned(a_unit())
    answer = CreateAnswer(invalid_items=(invalid(unit, code),))
    _, refusals, doubtful = judge_answer([unit], answer, asked_before=asked_before)
    assert bool(doubtful) == (asked_before or code == "DuplicateRequest")
    assert bool(refusals) != bool(doubtful)


def test_units_that_do_not_come_back_say_why():
    """Every unit gets the reason."""
    assert not_returnable([a_unit(), a_unit("2")], "x") == (refused(a_unit(), "x"), refused(a_unit("2"), "x"))


# ---- reasons

CODES = {("fit", "too small"): "CR-SMALL", ("", "broken"): "CR-BROKEN", ("fit", ""): "CR-FIT"}
DEFAULT = "CR-UNWANTED_ITEM"
ALL = ["CR-SMALL", "CR-BROKEN", "CR-FIT", DEFAULT]


@pytest.mark.parametrize(
    ("parent", "reason", "wanted"),
    [
        ("Fit", "Too small", "CR-SMALL"),
        ("  FIT ", "too   SMALL", "CR-SMALL"),
        ("Quality", "Broken", "CR-BROKEN"),
        ("Fit", "Broken", "CR-BROKEN"),
        ("Fit", "Too large", "CR-FIT"),
        ("Fit", "", "CR-FIT"),
        ("", "Too small", DEFAULT),
        ("", "", DEFAULT),
    ],
)
def test_reasons_are_looked_up_from_the_closest(parent, reason, wanted):
    """Parent and reason, the reason alone, the parent alone, the default; case and blanks do not matter."""
    unit = a_unit(parent_reason=parent, reason=reason)
    assert wanted_code(parent, reason, {**CODES, ("", ""): "never"}, DEFAULT) == wanted
    assert reason_code(unit, CODES, DEFAULT, ALL) == wanted


@pytest.mark.parametrize(
    ("allowed", "expected"),
    [
        (["CR-SMALL"], "CR-SMALL"),
        (["CR-OTHER", DEFAULT], DEFAULT),
        (["CR-OTHER", "CR-ELSE"], "CR-OTHER"),
        ([], DEFAULT),
    ],
)
def test_a_reason_never_fails_a_return(allowed, expected):
    """What the SKU does not allow becomes the default, then the first allowed; without a list, the default."""
    assert reason_code(a_unit(parent_reason="Fit", reason="Too small"), CODES, DEFAULT, allowed) == expected


@pytest.mark.parametrize(
    ("text", "expected"), [("  Zu  GROSS\n", "zu gross"), ("STRASSE", "strasse"), ("Straße", "strasse")]
)
def test_reasons_are_folded(text, expected):
    """Case, and blanks outside or doubled, do not distinguish reasons."""
    assert fold(text) == expected


def test_a_delivered_requests_units_are_kept_for_the_next():
    """A re-issue after delivery covers the same accepted units."""
    ret = a_return(requests=(delivered("q1"),), units=(authorized(a_unit()),), created_at=NOW)
    lines = requested_lines(a_portal_return(), ret, "q2", ["SOCK"])
    assert list_units(ret, a_portal_return(), "q2", lines, {}) == (authorized(a_unit(request_id="q2")),)
