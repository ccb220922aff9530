"""Part of the composition root: serves the command line while no daemon runs."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from typing import Any

import uvloop

from adapters.host.clock import SystemClock
from config.load import Loaded
from daemon import __version__
from daemon.app.live_config import Current
from daemon.app.policies import timings
from daemon.app.stores import open_configured
from daemon.errors import AlreadyRunning, ConfigError, McfdError, StoreUnavailable
from daemon.operations.access import Examination, StoreAccess
from daemon.operations.reading import ReturnsReader
from daemon.operations.search import Search
from daemon.operations.verb import STORE, Verb

Ask = Callable[[Mapping[str, object]], Any]


@contextmanager
def opened(loaded: Loaded, verb: Verb[Any, Any, Any]) -> Iterator[Ask]:
    """Run a verb as the daemon would, under its lock. Raises ConfigError, AlreadyRunning, McfdError."""
    current, stack = Current(loaded), AsyncExitStack()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            access = runner.run(_open(stack, current, verb))
            yield lambda given: runner.run(verb.call(access, given))
        finally:
            runner.run(stack.aclose())


def hindered(loaded: Loaded, verb: Verb[Any, Any, Any], problem: McfdError) -> object:
    """The answer of a verb that works even if something is missing; `problem` says what is missing."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(verb.call(_without(Current(loaded), problem), {}))


async def _open(stack: AsyncExitStack, current: Current, verb: Verb[Any, Any, Any]) -> object:
    try:
        return await _access(stack, current, verb)
    except (AlreadyRunning, ConfigError, StoreUnavailable) as error:
        if not verb.need.unhindered:
            raise
        return _without(current, error)


async def _access(stack: AsyncExitStack, current: Current, verb: Verb[Any, Any, Any]) -> object:
    """Open the daemon's files but create none: the daemon's user could not open files of root."""
    clock = SystemClock()
    if verb.need is STORE:
        store = await open_configured(stack, current, daemon=False)
        stack.push_async_callback(store.close)
        shops = frozenset(current.settings.shops)
        return StoreAccess(
            store=store,
            returns=ReturnsReader(store, clock, timings(current.settings), shops=shops),
            search=Search(store, clock),
        )
    from adapters.host.metrics import PrometheusMetrics  # noqa: PLC0415 - who only reads the store need not wait
    from daemon.app.doctor import Checkup  # noqa: PLC0415
    from daemon.app.resources import open_resources  # noqa: PLC0415
    from daemon.app.verbs import retention, vendor_access  # noqa: PLC0415

    resources = await open_resources(stack, current, clock, PrometheusMetrics(__version__), noting=False)
    if verb.need.unhindered:
        return Examination(examine=Checkup(current, clock, resources=resources).run)
    return vendor_access(resources, retention(resources))


def _without(current: Current, problem: McfdError) -> Examination:
    from daemon.app.doctor import Checkup  # noqa: PLC0415 - who only reads the store need not wait

    return Examination(examine=Checkup(current, SystemClock(), problem=problem).run)
