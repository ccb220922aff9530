"""Which orders are tried, and what speaks against one or for it."""

from dataclasses import replace

import pytest

from daemon.domain.candidates import (
    DAY,
    OrderFacts,
    Origin,
    bears,
    confirmed,
    doubt_words,
    named_candidates,
    one_order,
    unfit,
)
from tests.support.builders import NOW, a_shipment, a_unit, an_order

FACTS = OrderFacts(provider_order_id="5001", order_name="#1001", order_number="1", prefix="US-", submitted_at=NOW)
ORDER = an_order("5001", a_shipment(SOCK=1), displayable_order_id="#1001", received_at=NOW - 9 * DAY)


@pytest.mark.parametrize(
    ("templates", "facts", "expected"),
    [
        (["{provider_order_id}", "{order_name}"], FACTS, ("5001", "#1001")),
        (["{order_name}", "#{order_name_bare}"], FACTS, ("#1001",)),
        (["{order_name_bare}", "{order_number}"], FACTS, ("1001", "1")),
        (["{prefix}{order_name_bare}", "order-{order_number}"], FACTS, ("US-1001", "order-1")),
        (["{provider_order_id}", "{order_name_bare}"], replace(FACTS, provider_order_id=""), ("1001",)),
        (["{order_name_bare}"], replace(FACTS, order_name="#"), ()),
        (["{prefix}{order_number}"], replace(FACTS, prefix=""), ("1",)),
        (["{prefix}"], replace(FACTS, prefix=""), ()),
        (["fixed"], FACTS, ("fixed",)),
        ([], FACTS, ()),
    ],
)
def test_templates_make_the_ids_to_try(templates, facts, expected):
    """In the merchant's order, each id once, none whose value is unknown."""
    assert tuple(candidate.order_id for candidate in named_candidates(templates, facts)) == expected


def test_an_id_that_another_shops_order_may_have_is_marked():
    """By the template that makes it first."""
    made = named_candidates(["{provider_order_id}", "{order_name}"], FACTS, {"{order_name}"})
    assert [candidate.origin for candidate in made] == [Origin.NAMED, Origin.SHARED]


def test_a_person_may_know_the_order_by_three_names():
    """With the sign and without it, and by the shop system's id; what is unknown is none."""
    assert FACTS.names == ("#1001", "1001", "5001")
    assert replace(FACTS, provider_order_id="", order_name="1001").names == ("1001",)


@pytest.mark.parametrize(
    ("name", "is_borne"),
    [
        ("41003", True),
        *((f"41003{mark}", True) for mark in ("-1", "_2", ".2", " 3", "B", "b", "-B", "-12")),
        *((f"41003{mark}", False) for mark in ("2", "00", "-123", "BB", "-EXC", "/1", "-", "#1", "²")),
        ("4100", False),
        ("A41003", False),
    ],
)
def test_parts_of_an_order_are_told_from_other_orders(name, is_borne):
    """Connectors mark parts by a separator and a number, or by a letter; a longer number is another order."""
    assert bears(name, {"41003"}) is is_borne


@pytest.mark.parametrize(
    ("changes", "speaks_against_it"),
    [
        ({}, ""),
        ({"items": ()}, "lacks SOCK"),
        ({"shipments": (), "status": "Cancelled"}, "nothing of it has shipped, or will"),
        ({"shipments": (), "status": "Planning"}, ""),
        ({"received_at": NOW + 2 * DAY}, "Amazon received it after the shopper had asked to return it"),
        ({"received_at": NOW + DAY / 2}, ""),
        ({"received_at": None}, ""),
        ({"displayable_order_id": "#2002"}, "shoppers know it as #2002"),
        ({"displayable_order_id": "2002"}, "shoppers know it as 2002"),
        ({"displayable_order_id": "Shop #2002"}, "shoppers know it as Shop #2002"),
        *(
            ({"displayable_order_id": shown}, "")
            for shown in ("", "1001", "#1001-B", "Shop #1001", "5001", "1", "ACME-2002", "98765432", "112-3456789")
        ),
    ],
)
def test_what_both_vendors_tell_must_not_contradict_a_match(changes, speaks_against_it):
    """The units, what shipped, the dates, and the name that shoppers see; what is not told contradicts nothing."""
    assert unfit(replace(ORDER, **changes), Origin.NAMED, FACTS, [a_unit()]) == speaks_against_it


def test_without_what_the_portal_does_not_tell_nothing_is_contradicted():
    """Neither the date of the return nor the order's name is known."""
    late = replace(ORDER, received_at=NOW + 9 * DAY, displayable_order_id="#2002")
    assert unfit(late, Origin.NAMED, replace(FACTS, submitted_at=None, order_name=""), [a_unit()]) == ""


def test_before_the_units_are_known_no_order_lacks_them():
    """Then an order is only looked at."""
    assert unfit(ORDER, Origin.NAMED, FACTS, []) == ""


def test_a_persons_word_is_not_doubted():
    """What an operator linked may be named and dated as it likes; it must hold the units."""
    odd = replace(ORDER, displayable_order_id="#2002", received_at=NOW + 9 * DAY)
    assert unfit(odd, Origin.KNOWN, FACTS, [a_unit()]) == ""
    assert unfit(odd, Origin.KNOWN, FACTS, [a_unit(sku="HAT")]) == "lacks HAT"


@pytest.mark.parametrize(
    ("changes", "code", "prefixes", "is_confirmed"),
    [
        ({}, "", (), False),
        ({"postal_code": "45402"}, "45402", (), True),
        ({"postal_code": "45402-1234"}, "45402", (), True),
        ({"postal_code": "454021234"}, " 45402 ", (), True),
        ({"postal_code": "45402"}, "45403", (), False),
        ({"postal_code": "sw1a 1aa"}, "SW1A1AA", (), True),
        ({"postal_code": ""}, "", (), False),
        ({"order_id": "US-1001"}, "", ("US-",), True),
        ({"displayable_order_id": "US-1001"}, "", ("US-",), True),
        ({"order_id": "DE-1001"}, "", ("US-",), False),
        ({"order_id": "1001"}, "", ("",), False),
        ({"order_id": "shopify-5001"}, "", (), True),
        ({"order_id": "15001"}, "", (), False),
    ],
)
def test_what_confirms_a_name_that_others_may_bear(changes, code, prefixes, is_confirmed):
    """The shop's own prefix, the shop system's id, or the postal code, as far as one is told."""
    order = replace(ORDER, **{"order_id": "C-1", "displayable_order_id": "#1001", **changes})
    assert confirmed(order, FACTS, code, prefixes=prefixes) is is_confirmed


def test_an_unknown_id_confirms_nothing():
    """Without the shop system's id, no order holds it."""
    assert not confirmed(replace(ORDER, order_id="C-1"), replace(FACTS, provider_order_id=""), "")


def test_parts_of_one_order_go_to_one_place():
    """Two codes are two orders; one code, or none told, may be one."""
    here, there = replace(ORDER, postal_code="45402"), replace(ORDER, postal_code="10001")
    assert one_order([here, here])
    assert one_order([])
    assert not one_order([here, there])


def test_a_doubt_names_what_is_in_question():
    """And says how a person ends it."""
    words = doubt_words(["C-1", "C-2"])
    assert "C-1, C-2" in words
    assert "mcfd link" in words
