"""The store is deleted at a random instant: everything is taken over, and ends as it should, nothing of it twice."""

import pytest

from tests.campaign.lost_stores import losing_plan

RETURNS = 3
SEEDS = [300, *(pytest.param(seed, marks=pytest.mark.volume) for seed in (301, 302))]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_random_world_loses_its_store(seed, simulation):
    """Crashes, faults and a lost disk: after `adopt --open` each return ends as its story demands."""
    outcome = simulation.run(losing_plan(seed, RETURNS))
    assert outcome.wrong == [], f"replay it: python -m tests.campaign --lost --seed {seed} --returns {RETURNS}"
