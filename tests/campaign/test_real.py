"""The real process between real sockets, killed by SIGKILL again and again while stories of nearly every kind run.

The seed repeats the stories and the dice; the instants are those of a real machine. What repeats exactly, and dies at
every point, is the simulation.
"""

import asyncio
import random

import pytest

from tests.campaign.real import CHANGING, TOLD, Killer, judged, real_world, tell_all
from tests.e2e.world import tell

ROUNDS = 2


@pytest.mark.volume
@pytest.mark.timeout(400)
async def test_killed_at_every_effect_and_at_any_instant(tmp_path):
    """Whether a call was lost, or its answer, or none was under way: in the end every effect is there once."""
    seed = random.getrandbits(32)  # pytest-randomly's, so that its seed repeats the run
    tell([f"seed {seed}"])
    killer = Killer()
    async with real_world(tmp_path, killer.watch, seed=seed) as world:
        killer.world = world
        killers = [asyncio.create_task(work) for work in (killer.revive(), killer.at_random(random.Random(seed)))]
        endings = await tell_all(world, TOLD * ROUNDS, seed)
        for task in killers:
            task.cancel()
        wrong = await judged(world, endings)
        tell([f"{len(endings)} returns, killed at {sorted(killer.moments)} and {killer.instants} instants"])
        assert wrong == []
    assert {operation for operation, _ in killer.moments} == CHANGING
