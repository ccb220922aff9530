"""The daemon of the measurements, as far as it replaces parts of the real one."""

from adapters.loop_returns.limits import LoopLimits
from bench.variants import NoLimits
from daemon.app import accounts
from daemon.ports.vendors import Lane
from tests.support.virtual_time import FakeClock


def test_the_variant_without_a_limit_is_made_like_the_real_limit():
    """The daemon makes its limits itself, so the replacement must take the same arguments."""
    assert accounts.LoopLimits(FakeClock(), on_pause=lambda: None)
    assert NoLimits(FakeClock(), on_pause=lambda: None)


async def test_the_variant_without_a_limit_lets_more_calls_go_at_once_than_the_first_of_a_start():
    """Who makes a crowd of calls waits for none."""
    limits = NoLimits(FakeClock(), on_pause=lambda: None)
    for _ in range(10 * LoopLimits.FIRST):
        await limits.acquire(Lane.SHOPPER)
