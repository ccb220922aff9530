"""Random worlds: whatever goes wrong, nothing happens twice and nothing is lost."""

import pytest

from tests.campaign.random_worlds import random_plan

RETURNS = 12


@pytest.mark.parametrize("seed", range(1, 9))
def test_a_random_world(seed, simulation):
    """Crashes, faults, outages, lost and doubled messages: each return ends as its story demands."""
    outcome = simulation.run(random_plan(seed, RETURNS))
    assert outcome.wrong == [], f"replay it: make campaign SEED={seed} RETURNS={RETURNS} WORLDS=1"
