"""Random worlds: whatever goes wrong, nothing happens twice and nothing is lost."""

import pytest

from tests.campaign.random_worlds import random_plan
from tests.campaign.simulated import Plan
from tests.support.simulation.world import DAY

RETURNS = 12
SEEDS = [1, 2, 3, 4]


@pytest.mark.volume
@pytest.mark.parametrize("seed", SEEDS)
def test_a_random_world(seed, simulation):
    """Crashes, faults, outages, lost and doubled messages: each return ends as its story demands."""
    outcome = simulation.run(random_plan(seed, RETURNS))
    assert outcome.wrong == [], f"replay it: make campaign SEED={seed} RETURNS={RETURNS} WORLDS=1"


def test_nothing_to_do_is_little_done(simulation):
    """On a day without returns no service wakes every few seconds to see whether somebody has asked for it."""

    async def nothing_happens(scene):
        await scene.place.pause(DAY)
        return ()

    outcome = simulation.run(Plan(kinds=[nothing_happens]))
    assert outcome.wrong == []
    assert outcome.callbacks < 20_000
