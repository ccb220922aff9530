"""One daemon for all tests that leave it alone; those that stop, kill or configure it start their own."""

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.e2e.world import CALM, World, tell, world

FEW = 150
"""Calls after which the daemon is started anew: it makes at most 300 a minute to Loop, and the tests must not wait."""


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def _gentle_world(tmp_path_factory) -> AsyncIterator[World]:
    async with world(tmp_path_factory.mktemp("gentle"), timings=CALM) as made:
        yield made


@pytest_asyncio.fixture(loop_scope="session")
async def w(_gentle_world: World) -> AsyncIterator[World]:
    """The world as a test finds it: no faults, labels at once; no error may be in the log when the test is over."""
    _gentle_world.sandbox.set_faults()
    _gentle_world.sandbox.set_label_after(0.0)
    if _gentle_world.loop_calls_of_this_start() > FEW:
        await _gentle_world.restart()
    complaints, lines = len(_gentle_world.daemon.complaints), len(_gentle_world.daemon.lines)
    yield _gentle_world
    tell(_gentle_world.daemon.lines[lines:])
    assert _gentle_world.daemon.complaints[complaints:] == []
