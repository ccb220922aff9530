"""The daemon of the measurements, as far as it replaces parts of the real one."""

from bench.variants import NoLimits
from daemon.app import accounts
from tests.support.virtual_time import FakeClock


def test_the_variant_without_a_limit_is_made_like_the_real_limit():
    """The daemon makes its limits itself, so the replacement must take the same arguments."""
    assert accounts.LoopLimits(FakeClock(), on_pause=lambda: None)
    assert NoLimits(FakeClock(), on_pause=lambda: None)
