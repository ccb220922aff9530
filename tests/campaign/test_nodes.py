"""Real nodes that share a PostgreSQL database, while they, their clocks, their cables and the server itself fail.

The seed repeats stories and troubles; the instants are those of a real machine.
"""

import pytest

from tests.campaign.nodes import nodes_world
from tests.campaign.real import TOLD
from tests.campaign.tenures import Change, Tenure, judge_callers
from tests.e2e.world import tell

RETURNS = 8
TROUBLES = [("kill", "roll"), ("freeze", "stall", "hold"), ("cut", "kill-all"), ("restart-server", "fail-over")]

TENURES = [Tenure("north", 10.0, 20.0), Tenure("south", 21.0, 30.0), Tenure("north", 30.0, 40.0)]


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("troubles", TROUBLES, ids="+".join)
async def test_nodes_in_trouble(troubles, tmp_path):
    """Whatever happens to nodes and to the server: every effect is there once, and only who has the lease acts."""
    outcome = await nodes_world(tmp_path, 1, RETURNS, kinds=troubles)
    tell(outcome.told)
    assert outcome.wrong == []


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("nodes", [1, 2])
async def test_every_story_over_postgresql(nodes, tmp_path):
    """All stories end as they should over PostgreSQL when the node is killed in the middle, with and without another."""
    outcome = await nodes_world(tmp_path, 1, len(TOLD), nodes=nodes, kinds=["kill"], stories=TOLD)
    tell(outcome.told)
    assert outcome.wrong == []


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_a_node_that_minds_no_lease_is_found_out(tmp_path):
    """When nothing keeps a node that stood still from going on, the campaign says so."""
    outcome = await nodes_world(tmp_path, 2, RETURNS, kinds=["freeze"] * 3, fenced=False)
    tell(outcome.told)
    assert any("after its lease had ended" in what for what in outcome.wrong)


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
