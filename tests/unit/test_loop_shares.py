"""Loop's minute is used whole: crowds before the limit in virtual time, with Amazon's buckets behind it."""

import asyncio
import contextlib
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace

import asyncio_throttle.throttler
import pytest

from adapters.amazon_mcf.limits import AmazonLimits
from adapters.loop_returns.limits import LoopLimits
from daemon.errors import RateLimited
from daemon.ports.vendors import Lane
from tests.support.virtual_time import FakeClock, run_virtual

SHOPPER, OPENING, BACKGROUND = Lane
WARM = 30.0
PERIOD = LoopLimits.PERIOD


@dataclass
class Crowd:
    """When calls were made, label requests had been read, and labels were out, in seconds since the crowd came."""

    calls: list[float] = field(default_factory=list)
    read: list[float] = field(default_factory=list)
    labels: list[float] = field(default_factory=list)

    def per_minute(self) -> list[int]:
        """Calls in each whole period in which somebody waited to the end."""
        last = max(self.calls)
        return [sum(n * PERIOD <= at < (n + 1) * PERIOD for at in self.calls) for n in range(int(last // PERIOD))]


@contextlib.contextmanager
def throttler_on(clock: FakeClock) -> Iterator[None]:
    """Let asyncio-throttle, which reads the machine's clock itself, read this one."""
    real = asyncio_throttle.throttler.time
    asyncio_throttle.throttler.time = SimpleNamespace(monotonic=clock.monotonic)
    try:
        yield
    finally:
        asyncio_throttle.throttler.time = real


def crowd_of(size: int, *, ours: float, label_calls: int, late: float = 0.0) -> Crowd:
    """So many label requests at once, of which a part is ours: what became of them."""
    crowd = Crowd()

    async def main(clock: FakeClock) -> None:
        limits, amazon = LoopLimits(clock, jitter=lambda: 0.0), AmazonLimits(clock, {}, jitter=lambda: 0.0)
        limits.observe({})
        chance, places = random.Random(1), asyncio.Semaphore(200)

        async def call(lane: Lane) -> None:
            await limits.acquire(lane)
            crowd.calls.append(clock.monotonic() - WARM)
            await sleep(clock, 0.1)
            limits.observe({})

        async def request() -> None:
            async with places:
                await asyncio.gather(call(OPENING), call(OPENING))
                crowd.read.append(clock.monotonic() - WARM)
                if chance.random() < ours:
                    await amazon.acquire("getFulfillmentOrder", SHOPPER)
                    await amazon.acquire("createFulfillmentReturn", SHOPPER)
                    await sleep(clock, 0.5 + late)
                    for _ in range(label_calls):
                        await call(SHOPPER)
                    crowd.labels.append(clock.monotonic() - WARM)

        await sleep(clock, WARM)
        await asyncio.gather(*(request() for _ in range(size)))

    run_on_throttler(main)
    assert all(b - a > 60.0 for a, b in zip(crowd.calls, crowd.calls[300:], strict=False))
    return crowd


def run_on_throttler(main) -> None:
    """In virtual time, the throttler's too."""

    async def wrapped(clock: FakeClock) -> None:
        with throttler_on(clock):
            await main(clock)

    run_virtual(wrapped)


async def sleep(clock: FakeClock, seconds: float) -> None:
    """Let time pass."""
    await clock.wait(asyncio.Event(), seconds)


@pytest.mark.parametrize("ours", [0.0, 0.05, 0.1, 0.5])
def test_whoever_waits_gets_what_the_others_leave(ours):
    """Five hundred label requests at once, most of another destination: each minute is used to 98 percent."""
    crowd = crowd_of(500, ours=ours, label_calls=3)
    assert min(crowd.per_minute()) >= 0.98 * 300


def test_a_crowd_of_another_destination_is_read_five_times_a_second():
    """A thousand readings take three periods and a third, not eight."""
    assert max(crowd_of(500, ours=0.0, label_calls=3).read) < 3.5 * PERIOD


@pytest.mark.parametrize("late", [0.0, 20.0])
def test_labels_under_way_go_first(late):
    """Two hundred shoppers of ours, whose labels are bought: sixty have theirs in each minute, none waits for a reader.

    Of each period two fifths are readings, and the rest is for the labels of what was read; also where Amazon is late.
    """
    crowd = crowd_of(200, ours=1.0, label_calls=3, late=late)
    for period in range(3):
        out = [at for at in crowd.labels if at < period * PERIOD + 32.0 + late]
        assert len(out) >= 60 * (period + 1) - (4 if late else 0)
    assert len(crowd.labels) == 200
    assert max(crowd.labels) < 3 * PERIOD + 3.0 + late


def test_labels_that_take_fewer_calls_leave_the_rest_to_readers():
    """A label that is not bought takes four calls: seventy-five shoppers have theirs in a minute, not sixty."""
    crowd = crowd_of(200, ours=1.0, label_calls=2)
    assert min(crowd.per_minute()) >= 0.98 * 300
    assert max(crowd.labels) < 2 * PERIOD + 25.0


def test_notes_get_what_a_crowd_leaves():
    """Readers and notes wait together: the minute is used whole, and the notes get their tenth and all that is left."""
    times: dict[Lane, list[float]] = {lane: [] for lane in Lane}

    async def main(clock: FakeClock) -> None:
        limits = LoopLimits(clock, jitter=lambda: 0.0)
        limits.observe({})

        async def call(lane: Lane) -> None:
            await limits.acquire(lane)
            times[lane].append(clock.monotonic())

        await asyncio.gather(*(call(lane) for lane in (OPENING, BACKGROUND) for _ in range(600)))

    run_on_throttler(main)
    everything = sorted(at for made in times.values() for at in made)
    periods = [
        sum(n * PERIOD <= at < (n + 1) * PERIOD for at in everything) for n in range(int(everything[-1] // PERIOD))
    ]
    assert min(periods) >= 0.98 * 300


def test_a_brown_out_is_probed_labels_first():
    """Loop turns five of six calls away for minutes: three labels of five calls each come all the same, in two minutes.

    Nobody storms: a hundred notes wait as well, and in no second go more than twenty calls.
    """
    out: list[float] = []
    calls: list[float] = []

    async def main(clock: FakeClock) -> None:
        chance = random.Random(3)
        limits = LoopLimits(clock, jitter=chance.random)
        limits.observe({})

        async def call(lane: Lane) -> None:
            while True:
                await limits.acquire(lane)
                calls.append(clock.monotonic())
                await sleep(clock, 0.1)
                if chance.random() < 1 / 6:
                    limits.observe({})
                    return
                await sleep(clock, limits.throttled(None))

        async def label() -> None:
            for _ in range(5):
                await call(SHOPPER)
            out.append(clock.monotonic())

        notes = [asyncio.create_task(call(BACKGROUND)) for _ in range(100)]
        await asyncio.gather(*(label() for _ in range(3)))
        for note in notes:
            note.cancel()

    run_on_throttler(main)
    assert max(out) < 120.0
    known = [at for at in calls if at > 1.0]  # the first second is over before the first refusal is heard
    assert max(sum(at <= other < at + 1.0 for other in known) for at in known) <= 20


async def test_a_refused_call_is_told_how_long_the_pause_is():
    """The pause after a 429 without Retry-After is short, and doubles up to some seconds."""
    clock = FakeClock()
    limits = LoopLimits(clock, jitter=lambda: 1.0)
    pauses = []
    for _ in range(6):
        pauses.append(limits.throttled(None))
        clock.advance(pauses[-1])
    assert pauses == [0.5, 1.0, 2.0, 4.0, 4.0, 4.0]
    limits.throttled(40.0)
    with pytest.raises(RateLimited):
        await limits.acquire(SHOPPER)
