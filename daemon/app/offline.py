"""The part of the composition root that serves the command line while no daemon runs."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from adapters.host.clock import SystemClock
from adapters.host.metrics import PrometheusMetrics
from adapters.sqlite.lock import StateLock
from adapters.sqlite.store import open_store
from config.load import Loaded
from daemon import __version__
from daemon.app.doctor import Checkup
from daemon.app.live_config import Current
from daemon.app.policies import timings
from daemon.app.resources import open_house
from daemon.app.verbs import housekeeping, retention
from daemon.errors import AlreadyRunning, ConfigError, McfdError, NoDatabase, StoreUnavailable
from daemon.operations.parameters import Verb
from daemon.operations.returns import Operator
from daemon.ports.host import Clock

READ = frozenset({"status", "show"})
"""Verbs that need the store and nothing else."""


@asynccontextmanager
async def opened(loaded: Loaded, verb: str) -> AsyncIterator[Verb]:
    """Do what the daemon would do, under its lock. Raises ConfigError, AlreadyRunning, McfdError."""
    current, clock = Current(loaded), SystemClock()
    async with AsyncExitStack() as stack:
        try:
            verbs = await _verbs(stack, current, clock, verb)
        except (AlreadyRunning, ConfigError, StoreUnavailable) as error:
            if verb != "doctor":
                raise
            verbs = {verb: examining(current, clock, error)}
        yield verbs[verb]


def examining(current: Current, clock: Clock, problem: McfdError) -> Verb:
    """The doctor without a store; `problem` says why."""
    checkup = Checkup(current, clock, problem=problem)
    return lambda _: checkup.run()


async def _verbs(stack: AsyncExitStack, current: Current, clock: Clock, verb: str) -> Mapping[str, Verb]:
    """Reads what the daemon keeps and makes nothing: root's files would be closed to the daemon's user."""
    path = current.settings.store.path
    _look_for(path)
    if verb in READ:
        stack.enter_context(StateLock(path.parent))
        store = await stack.enter_async_context(await open_store(path))
        return Operator(store, clock, timings(current.settings), {}, shops=frozenset(current.settings.shops)).verbs()
    resources = await open_house(stack, current, clock, PrometheusMetrics(__version__), noting=False)
    return housekeeping(resources, retention(resources), None)


def _look_for(path: Path) -> None:
    try:
        path.stat()
    except FileNotFoundError:
        if path.parent.is_dir():
            raise NoDatabase([f"{path}: there is no database yet; the first start of mcfd makes it"]) from None
    except OSError:
        pass  # which the lock tells in words
