"""Stopping under load: soon, with status 0, and without losing what was acknowledged."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

import pytest

from adapters.sandbox import Fault
from tests.durability.harmed_daemon import QUIET, Trial, stored, trial
from tests.e2e.world import CLOCK, SOCK, until

HANG = Fault(vendor="amazon", kind="hang", seconds=60.0, operation="createFulfillmentReturn")
SLOW = Fault(vendor="amazon", kind="delay", seconds=0.3, operation="createFulfillmentReturn")


@asynccontextmanager
async def under_load(folder, fault: Fault, stop_grace: str) -> AsyncIterator[Trial]:
    """A daemon with twenty steps in hand, more waiting for Loop's limit, and deliveries by the hundred coming in."""
    async with trial(folder, loop_answers=True, timings=QUIET | {"stop_grace": stop_grace, "http_timeout": "50s"}) as t:
        t.world.sandbox.set_faults([fault])
        await t.daemon.start()
        t.world.subscribe()
        for number in range(20):
            t.world.submit(f"#12{number:02}", SOCK)
        await until("Amazon is asked", lambda: t.world.calls("createFulfillmentReturn"))
        over = asyncio.Event()
        load = asyncio.ensure_future(t.deliveries.go_on(32, over))
        await until("hundreds are acknowledged", lambda: len(t.deliveries.acknowledged) >= 500)
        yield t
        over.set()
        await load
        assert not t.daemon.running
        assert set(t.deliveries.acknowledged) <= stored(t.daemon.state)
        assert set(t.deliveries.statuses) <= {200, 0}
        assert not t.daemon.complaints


def stopping_took(t: Trial) -> float:
    """Seconds from the signal to the last thing that the daemon does, by its own log; the rest is Python's."""
    began, ended = (
        datetime.fromisoformat(t.daemon.heard(event)[0]["timestamp"]) for event in ("daemon.stopping", "daemon.stopped")
    )
    return (ended - began).total_seconds()


async def test_nothing_hangs_and_it_ends_at_once(tmp_path):
    """With nothing that hangs it ends in a fraction of the grace, and no step is cut off."""
    async with under_load(tmp_path, SLOW, "20s") as t:
        assert await t.daemon.sigterm() == 0
        assert stopping_took(t) < 3.0
        assert not t.daemon.heard("task.overran")
        assert not t.daemon.heard("service.overran")


async def test_a_call_that_hangs_is_cut_off_within_the_grace(tmp_path):
    """Calls that do not come back are given up before the grace is over; the exit is still 0."""
    async with under_load(tmp_path, HANG, "2s") as t:
        assert await t.daemon.sigterm() == 0
        assert 1.5 < stopping_took(t) < 3.0
        assert t.daemon.heard("task.overran")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_second_signal_ends_it_at_once(tmp_path, number):
    """Whoever asks twice does not wait for what hangs: the exit is 1, and what was acknowledged is stored."""
    async with under_load(tmp_path, HANG, "20s") as t:
        t.daemon.signal(signal.SIGTERM)
        await until("it is stopping", lambda: t.daemon.heard("daemon.stopping"))
        began = CLOCK.monotonic()
        t.daemon.signal(number)
        assert await t.daemon.ended() == 1
        assert CLOCK.monotonic() - began < 5.0
