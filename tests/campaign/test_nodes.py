"""Real nodes that share a PostgreSQL database, while they, their clocks, their cables and the server itself fail.

The seed repeats stories and troubles; the instants are those of a real machine.
"""

import asyncio
import random

import pytest

from tests.campaign.nodes import KINDS, Troubles, nodes_world, troubled
from tests.campaign.real import TOLD, story
from tests.campaign.scenarios import clean, late, missing, silent
from tests.campaign.tenures import Change, Tenure, judge_callers, tenures
from tests.e2e.world import tell, until

RETURNS = 8
OFTEN = 4
"""How often a node stands still: not each time has it anything left to do afterwards."""

QUICK = [kind for kind in TOLD if kind not in {late, missing, silent}]
"""Stories in which nobody waits for what never comes."""

TROUBLES = [("restart-server", "fail-over"), ("kill", "roll"), ("freeze", "stall", "hold"), ("cut", "kill-all")]

TENURES = [Tenure("north", 10.0, 20.0), Tenure("south", 21.0, 30.0), Tenure("north", 30.0, 40.0)]


@pytest.mark.volume
@pytest.mark.timeout(300)
@pytest.mark.parametrize("troubles", TROUBLES, ids="+".join)
async def test_nodes_in_trouble(troubles, tmp_path):
    """Whatever happens to nodes and to the server: every effect is there once, and only who has the lease acts."""
    stories = random.choices(QUICK, k=RETURNS)  # pytest-randomly's seed repeats them
    outcome = await nodes_world(tmp_path, random.getrandbits(32), RETURNS, kinds=troubles, stories=stories)
    tell(outcome.told)
    assert outcome.wrong == []


@pytest.mark.volume
@pytest.mark.timeout(300)
@pytest.mark.parametrize("nodes", [1, 2])
async def test_every_story_over_postgresql(nodes, tmp_path):
    """All stories end as they should over PostgreSQL when the node is killed in the middle, with and without another."""
    outcome = await nodes_world(tmp_path, 1, len(TOLD), nodes=nodes, kinds=["kill"], stories=TOLD)
    tell(outcome.told)
    assert outcome.wrong == []


@pytest.mark.volume
@pytest.mark.timeout(300)
async def test_nodes_that_mind_no_lease_are_found_out(tmp_path):
    """When nothing keeps a node that stood still from going on without its lease, the campaign sees it."""
    troubles = Troubles(random.Random(1), [KINDS["freeze"]] * OFTEN, effects=RETURNS)
    async with troubled(tmp_path, 1, troubles, 2, fenced=False) as world:
        lives = [asyncio.create_task(story(world, number, clean, 1)) for number in range(OFTEN * RETURNS)]
        striking = asyncio.create_task(troubles.run())
        without = lambda: judge_callers(troubles.changes, tenures(troubles.databases))  # noqa: E731
        try:
            await until("a call without a lease", without, seconds=120)
        finally:
            tell(troubles.told)
            for task in (striking, *lives):
                task.cancel()


@pytest.mark.parametrize(
    ("node", "at", "right"),
    [
        ("north", 15.0, True),
        ("north", 9.0, False),
        ("south", 15.0, False),
        ("south", 31.0, True),
        ("south", 32.0, False),
        ("north", 35.0, True),
        ("", 15.0, False),
    ],
)
def test_who_may_change_something(node, at, right):
    """A node may while it has the account, and a moment longer, in which its call is under way."""
    assert (judge_callers([Change(node, "addNote", at)], TENURES) == []) is right


def test_two_at_once():
    """No node may have an account while the lease of another has not ended."""
    (wrong,) = judge_callers([], [Tenure("north", 10.0, 20.0), Tenure("south", 19.0, 30.0)])
    assert wrong == "south got the account 1.0 s before the lease of north had ended"
