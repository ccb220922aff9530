"""The daemon with one thing changed, to compare it with: `python -m bench.variants NAME run --config ...`."""

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
from adapters.sqlite.store import SqliteStore
from adapters.sqlite.writer import Writer
from daemon.cli import main as cli
from daemon.cli import serving
from daemon.domain.returns import Return
from daemon.ports.host import Clock
from daemon.ports.store import Delivery, UnitOfWork

T = TypeVar("T")


class NothingStored:
    """A unit of work that knows nothing and keeps nothing; only what a webhook needs."""

    def record_delivery(self, _: Delivery) -> bool:
        return True

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
    """Everything but storing: what the listener could do at most."""
    daemon.app.app.SqliteStore = adapters.sqlite.store.SqliteStore = ForgetfulStore  # type: ignore[misc]


def commit_each() -> None:
    """One commit per unit of work instead of one for all that wait."""
    adapters.sqlite.store.Writer = partial(Writer, largest_batch=1)  # type: ignore[misc,assignment]


class NoLimits(LoopLimits):
    """Loop lets us call as often as we like, whatever it says remains."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock, per_minute=1_000_000)

    def observe(self, headers: Mapping[str, str]) -> None:
        """Believe nothing."""


def many_calls() -> None:
    """Without Loop's limit, so that a life is as long as the daemon makes it."""
    daemon.app.accounts.LoopLimits = NoLimits  # type: ignore[misc]


def profiled() -> None:
    """As `many_calls`, and tell where the event loop's thread spends its time (file `profile` in the folder)."""
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
