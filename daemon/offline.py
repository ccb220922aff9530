"""The part of the composition root that serves the command line while no daemon runs."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

from adapters.clock import SystemClock
from adapters.metrics import PrometheusMetrics
from adapters.sqlite.lock import StateLock
from adapters.sqlite.store import open_store
from config.load import Loaded
from daemon import __version__
from daemon.arguments import Verb
from daemon.checkup import Checkup
from daemon.choices import timings
from daemon.current import Current
from daemon.errors import AlreadyRunning, ConfigError, StoreUnavailable
from daemon.house import open_house
from daemon.housekeeping import housekeeping, retention
from daemon.operator import Operator

READ = frozenset({"status", "show"})
"""Verbs that need the store and nothing else."""


@asynccontextmanager
async def opened(loaded: Loaded, verb: str) -> AsyncIterator[Verb]:
    """Do what the daemon would do, under its lock. Raises ConfigError, AlreadyRunning, McfdError."""
    current, clock = Current(loaded), SystemClock()
    async with AsyncExitStack() as stack:
        if verb in READ:
            stack.enter_context(StateLock(current.settings.store.path.parent))
            store = await stack.enter_async_context(await open_store(current.settings.store.path))
            shops = frozenset(current.settings.shops)
            yield Operator(store, clock, timings(current.settings), {}, shops=shops).verbs()[verb]
            return
        try:
            house = await open_house(stack, current, clock, PrometheusMetrics(__version__))
        except (AlreadyRunning, ConfigError, StoreUnavailable) as error:
            if verb != "doctor":
                raise
            checkup = Checkup(current, clock, problem=str(error))
            yield lambda _: checkup.run()
            return
        verbs: Mapping[str, Verb] = housekeeping(house, retention(house), None)
        yield verbs[verb]
