"""Stories that are played in a calm world, each with the pages of Amazon and with bought labels."""

from dataclasses import replace

import pytest

from tests.campaign.scenarios_portal import edited_and_back, edited_at_once, left_behind, swapped
from tests.campaign.scenarios_vendors import NAMESAKES, VENDORS_KINDS, split
from tests.campaign.simulated import Plan
from tests.support.simulation.vendors import OPTIONS


@pytest.mark.parametrize("buys_labels", [False, True])
def test_what_was_left_behind_is_sent_after_it(buys_labels, simulation):
    """A unit that was forgotten at home gets a label of its own, and the return is paid for once both are there."""
    assert simulation.run(Plan(kinds=[left_behind], buys_labels=buys_labels)).wrong == []


@pytest.mark.parametrize("kind", [*VENDORS_KINDS, edited_at_once, edited_and_back, swapped])
def test_what_vendors_and_merchants_do_beside_the_pages(kind, simulation):
    """Split orders, another tool's return items, stock counted twice, edits: each ends as it should."""
    assert simulation.run(Plan(kinds=[kind])).wrong == []


@pytest.mark.parametrize("kind", NAMESAKES)
def test_two_shops_with_an_order_of_the_same_name(kind, simulation):
    """Nobody gets the goods of the other shop's shopper."""
    assert simulation.run(Plan(kinds=[kind], neighbour=True)).wrong == []


@pytest.mark.parametrize("order_list", ["repeats", "empty"])
def test_a_split_order_on_a_list_without_end(order_list, simulation):
    """What the list does not show is refused after the deadline, and nothing waits for ever."""
    options = replace(OPTIONS, list_of_orders=order_list, list_page_size=1)
    assert simulation.run(Plan(kinds=[split], options=options)).wrong == []
