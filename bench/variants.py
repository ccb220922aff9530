"""Variants of the daemon with one change, for comparison: `python -m bench.variants NAME run --config ...`."""

import cProfile
import os
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import adapters.sqlite.store
import daemon.app.accounts
import daemon.app.app
from adapters.loop_returns.limits import LoopLimits
from adapters.sql.writer import Writer
from adapters.sqlite.store import SqliteStore
from daemon.cli import main as cli
from daemon.cli import serving
from daemon.domain.returns import Return
from daemon.ports.host import Clock
from daemon.ports.store import Delivery, UnitOfWork
from daemon.ports.vendors import Lane

T = TypeVar("T")


class NothingStored:
    """A unit of work that stores nothing, with the methods that a webhook needs."""

    def record_delivery(self, _: Delivery) -> bool:
        return True

    def buried(self, _digest: str) -> bool:
        return False

    def get(self, _shop: str, _return_id: str) -> None:
        return None

    def add(self, ret: Return) -> Return:
        return ret

    def mark(self, _name: str) -> None:
        return None

    def set_mark(self, _name: str, _value: str) -> None:
        return None


class ForgetfulStore(SqliteStore):
    """Answers webhooks without storing them."""

    async def transact(self, work: Callable[[UnitOfWork], T]) -> T:
        if not work.__qualname__.startswith("Intake.deliver"):
            return await super().transact(work)
        return work(NothingStored())  # type: ignore[arg-type]  # enough of one


def no_store() -> None:
    """Skip storing: the upper bound of the listener."""
    daemon.app.app.SqliteStore = adapters.sqlite.store.SqliteStore = ForgetfulStore  # type: ignore[misc]


def commit_each() -> None:
    """Commit each unit of work alone instead of all waiting units together."""
    adapters.sqlite.store.Writer = partial(Writer, largest_batch=1)  # type: ignore[misc,assignment]


class NoLimits(LoopLimits):
    """No limit at all, whatever number of remaining calls Loop reports."""

    def __init__(self, clock: Clock, *, on_pause: Callable[[], None]) -> None:
        super().__init__(clock, per_minute=1_000_000, on_pause=on_pause)

    def observe(self, headers: Mapping[str, str], used: int | None = None) -> None:
        """Ignore the headers."""

    def delay(self, _lane: Lane) -> float:
        """Let everything go at once."""
        return 0.0

    async def take(self, _lane: Lane) -> None:
        """Keep no log: it would be far longer than Loop's limit ever lets it grow, and slow."""


def many_calls() -> None:
    """Remove Loop's limit, so that only the daemon determines how long a life takes."""
    daemon.app.accounts.LoopLimits = NoLimits  # type: ignore[misc]


def profiled() -> None:
    """Like `many_calls`, and profile the event loop's thread (file `profile` in the folder)."""
    many_calls()
    folder = Path(sys.argv[sys.argv.index("--config") + 1]).parent
    profile = cProfile.Profile(time.thread_time, builtins=False)
    profile.enable()
    real_serve = serving.serve

    async def serve(*args: Any, **kwargs: Any) -> None:
        try:
            await real_serve(*args, **kwargs)
        finally:
            profile.disable()
            profile.dump_stats(folder / "profile")
            os.sync()

    serving.serve = serve


VARIANTS: Mapping[str, Callable[[], None]] = {
    "no-store": no_store,
    "commit-each": commit_each,
    "many-calls": many_calls,
    "profiled": profiled,
}

if __name__ == "__main__":
    VARIANTS[sys.argv.pop(1)]()
    cli.main()
