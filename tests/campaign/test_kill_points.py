"""A life is killed before every callback of the daemon: in the end every effect is there exactly once."""

import random

import pytest

from tests.campaign.kill_points import LIVES, dying_at, survey
from tests.e2e.world import tell

PAIRS = 12


@pytest.mark.parametrize("life", LIVES)
def test_killed_before_any_callback(life, simulation, moments):
    """Wherever a life is cut off, the next process takes it up, and the vendors end with the same books."""
    plan = LIVES[life]
    callbacks, points = survey(simulation, plan)
    tell([f"{life}: {callbacks} callbacks, of which {len(points)} leave something new behind"])
    assert len(points) > 40
    for point in points[moments.first :: moments.step]:
        outcome = simulation.run(dying_at(plan, point))
        assert outcome.starts == 2
        assert outcome.wrong == [], f"{life}, killed before callback {point}"


@pytest.mark.parametrize("life", LIVES)
def test_killed_twice(life, simulation, moments):
    """A process that dies while it takes up what another left is no different."""
    plan = LIVES[life]
    callbacks, points = survey(simulation, plan)
    dice = random.Random(life)
    for _ in range(max(1, PAIRS // moments.step)):
        first = dice.choice(points)
        second = first + dice.randrange(1, callbacks)
        outcome = simulation.run(dying_at(plan, first, second))
        assert outcome.wrong == [], f"{life}, killed before callbacks {first} and {second}"
