"""One order of the shop may be several fulfillment orders: the search goes on while a unit has no place."""

from dataclasses import replace

import pytest

from daemon.domain.returns import State, UnitState
from tests.services.stage import HOUR
from tests.support.builders import a_line, a_shipment, an_order
from tests.support.configured import a_policy

BY_NAME = a_policy(order_id_templates=("{order_name_bare}",), hold_unmatched=False)


def a_part(order_id: str, name: str = "#1001", **quantities: int):
    """One of the fulfillment orders that a shopper knows by one name."""
    shipment = a_shipment(f"S-{order_id}", **(quantities or {"SOCK": 1}))
    return replace(an_order(order_id, shipment), displayable_order_id=name)


async def where(stage, return_id: str = "77") -> list[str]:
    """The fulfillment order of each unit."""
    return [unit.order_id for unit in (await stage.ret(return_id)).units]


async def test_two_of_one_article_in_two_linked_orders(open_with):
    """The second order is read although the first one knows the article."""
    stage = await open_with(policy=a_policy(order_id_templates=("{order_name}",)))
    await stage.submit(a_line("1"), a_line("2"))
    await stage.pass_time(3 * HOUR)
    stage.network.add(a_part("ODD-1", "x"), a_part("ODD-2", "x"))
    await stage.operator.link("77", ["ODD-1", "ODD-2"], "ann")
    await stage.reach(State.AWAITING_INSPECTION)

    assert await where(stage) == ["ODD-1", "ODD-2"]


async def test_two_of_one_article_in_two_named_orders(open_with):
    """Templates of parts are all tried, until every unit has a place."""
    stage = await open_with(policy=a_policy(order_id_templates=("{order_name_bare}-1", "{order_name_bare}-2")))
    stage.network.add(a_part("1001-1"), a_part("1001-2"))
    await stage.submit(a_line("1"), a_line("2"))
    await stage.reach(State.AWAITING_INSPECTION, within=HOUR)

    assert await where(stage) == ["1001-1", "1001-2"]


async def test_the_second_return_gets_the_second_order(stage):
    """The one unit of the first order is on its way back already."""
    stage.network.add(a_part("C-1"), a_part("C-2"))
    await stage.submit(a_line("1"))
    await stage.reach(State.AWAITING_INSPECTION)
    await stage.submit(a_line("2"), return_id="78")
    await stage.reach(State.AWAITING_INSPECTION, return_id="78", within=HOUR)

    assert await where(stage, "78") == ["C-2"]


async def test_a_cancelled_order_does_not_hide_its_replacement(stage):
    """5001 was cancelled before it shipped, and made anew as 5001-R."""
    stage.network.add(replace(a_part("5001"), status="Cancelled", shipments=()), a_part("5001-R"))
    await stage.submit(a_line("1"))
    await stage.reach(State.AWAITING_INSPECTION, within=HOUR)

    assert await where(stage) == ["5001-R"]


@pytest.mark.parametrize("mark", ["-1", "_2", ".2", "B"])
async def test_parts_that_are_known_by_their_suffix_alone(open_with, mark):
    """The displayable id of a part is the part's own, so that nothing but the family of its name leads to it."""
    stage = await open_with(policy=BY_NAME)
    part = "41003" + mark
    stage.network.add(a_part("41003", "41003"), a_part(part, part, CAP=1))
    await stage.submit(a_line("1"), a_line("2", "CAP"), order_name="#41003")
    await stage.reach(State.AWAITING_INSPECTION, within=HOUR)

    assert await where(stage) == ["41003", part]


async def test_a_longer_number_is_no_part(open_with):
    """410032 is somebody else's order."""
    stage = await open_with(policy=BY_NAME)
    stage.network.add(a_part("41003", "41003"), a_part("410032", "410032", CAP=1))
    await stage.submit(a_line("1"), a_line("2", "CAP"), order_name="#41003")
    await stage.pass_time(2 * HOUR)

    assert "410032" not in await where(stage)


async def test_a_part_that_went_to_another_address_is_no_part(open_with):
    """1001B is another order of another shopper, by the postal code that Amazon tells."""
    stage = await open_with(policy=BY_NAME)
    stage.network.add(
        replace(a_part("1001", "1001"), postal_code="45402"), replace(a_part("1001B", "1001B"), postal_code="10001")
    )
    await stage.submit(a_line("1"), a_line("2"))
    await stage.pass_time(2 * HOUR)

    assert [(u.order_id, u.standing) for u in (await stage.ret()).units] == [
        ("1001", UnitState.AUTHORIZED),
        ("", UnitState.NOT_RETURNABLE),
    ]
