"""Stories that are played in a calm world, each with the pages of Amazon and with bought labels."""

import pytest

from tests.campaign.scenarios_portal import left_behind
from tests.campaign.simulated import Plan


@pytest.mark.parametrize("buys_labels", [False, True])
def test_what_was_left_behind_is_sent_after_it(buys_labels, simulation):
    """A unit that was forgotten at home gets a label of its own, and the return is paid for once both are there."""
    assert simulation.run(Plan(kinds=[left_behind], buys_labels=buys_labels)).wrong == []
