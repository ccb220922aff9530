"""What happens to callers that wait for a rate limit when the daemon stops."""

import asyncio

import pytest

from adapters.amazon_mcf.limits import AmazonLimits
from adapters.loop_returns.limits import LoopLimits
from adapters.vendor_calls.token_bucket import TokenBucket
from daemon.errors import Transient
from daemon.ports.vendors import Lane
from tests.support.virtual_time import FakeClock, run_virtual, settle


@pytest.mark.parametrize("lane", list(Lane))
def test_everybody_who_waits_is_sent_away_at_once(lane):
    """However long the queue, nobody waits any longer once the bucket is closed, and no time passes."""

    async def main(clock: FakeClock) -> None:
        bucket = TokenBucket(clock, 1 / 3600, 1, jitter=lambda: 1.0)
        waiting = [asyncio.create_task(bucket.acquire(lane)) for _ in range(500)]
        await settle()
        bucket.close()
        ends = await asyncio.gather(*waiting, return_exceptions=True)
        assert {type(end) for end in ends} == {Transient}
        assert clock.monotonic() == 0.0

    run_virtual(main)


def test_whoever_comes_later_is_sent_away_too():
    """A closed bucket gives no turn even when it holds tokens."""

    async def main(clock: FakeClock) -> None:
        limits = AmazonLimits(clock, {}, jitter=lambda: 1.0)
        clock.advance(60.0)
        await limits.acquire("getFulfillmentOrder", Lane.SHOPPER)
        limits.close()
        with pytest.raises(Transient):
            await limits.acquire("getFulfillmentOrder", Lane.SHOPPER)

    run_virtual(main)


def test_a_turn_that_was_given_is_not_taken_back():
    """A caller that got its turn before the end makes its call."""

    async def main(clock: FakeClock) -> None:
        bucket = TokenBucket(clock, 1.0, 1, jitter=lambda: 1.0)
        first, second = (asyncio.create_task(bucket.acquire(Lane.SHOPPER)) for _ in range(2))
        await first
        bucket.close()
        with pytest.raises(Transient):
            await second

    run_virtual(main)


async def test_loops_window_closes_as_well():
    """With its minute used up, the window sends everybody away instead of keeping them for the next."""
    limits = LoopLimits(FakeClock(), per_minute=1)
    await limits.acquire(Lane.SHOPPER)
    waiting = [asyncio.create_task(limits.acquire(lane)) for lane in Lane]
    await settle()
    limits.close()
    ends = await asyncio.gather(*waiting, return_exceptions=True)
    assert {type(end) for end in ends} == {Transient}
