"""The real process loses its store once while stories run: everything is taken over, and ends as it should."""

import pytest

from tests.campaign.real_losses import lost_world
from tests.e2e.world import tell

RETURNS = 5


@pytest.mark.volume
@pytest.mark.timeout(300)
@pytest.mark.parametrize(("fault", "seed"), [("lost", 4), ("restored", 4)])
async def test_a_real_store_is(fault, seed, tmp_path):
    """After `mcfd adopt --open` each return ends as its story demands, with nothing done twice."""
    outcome = await lost_world(tmp_path, seed, RETURNS, restored=fault == "restored")
    tell(outcome.told)
    assert outcome.wrong == [], (
        f"replay it: python -m tests.campaign --real --{fault} --seed {seed} --returns {RETURNS}"
    )
