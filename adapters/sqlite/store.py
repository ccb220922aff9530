"""Returns in SQLite: the ReturnStore port, and the operations that keep the store healthy."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import aiosqlite

from adapters.sqlite.backup import examine_database
from adapters.sqlite.checkpoint import checkpoint
from adapters.sqlite.maintenance import SqliteUpkeep, give_back, sizes
from adapters.sqlite.restore import finish_restore
from adapters.sqlite.schema import Migration, check_place, make_ready, migrations
from adapters.sqlite.unit_of_work import SqliteUnitOfWork
from adapters.sqlite.writer import Engine, InlineEngine, ThreadEngine, Writer
from daemon.ports.store import StoreSize, UnitOfWork

T = TypeVar("T")

BUSY_SECONDS = 2.0
CACHED_STATEMENTS = 256
PROBE = 64 * 1024  # bytes

sqlite_version = sqlite3.sqlite_version


class SqliteStore:
    """Implements ReturnStore. Open it by `open_store` and close it, or its thread keeps the process alive."""

    def __init__(self, path: Path, writer: Writer) -> None:
        self.path = path
        self._writer = writer

    async def transact(self, work: Callable[[UnitOfWork], T]) -> T:
        """Run `work` in a transaction of its own, and return after the commit. Raises StoreUnavailable."""
        return await self._writer.write(lambda connection: work(SqliteUnitOfWork(connection)))

    async def read(self, work: Callable[[UnitOfWork], T]) -> T:
        """Run `work`, which only reads. Raises StoreUnavailable."""
        return await self._writer.read(lambda connection: work(SqliteUnitOfWork(connection)))

    async def upkeep(self, work: Callable[[SqliteUpkeep], T]) -> T:
        """Run maintenance in a transaction of its own, and return after the commit. Raises StoreUnavailable."""
        return await self._writer.write(lambda connection: work(SqliteUpkeep(connection)))

    async def survey(self, work: Callable[[SqliteUpkeep], T]) -> T:
        """Run maintenance that only reads. Raises StoreUnavailable."""
        return await self._writer.read(lambda connection: work(SqliteUpkeep(connection)))

    async def shrink(self) -> int:
        """Return unused pages to the disk, a few at a time, and empty the log. Return how many bytes were freed."""
        before = self.path.stat().st_size
        while await self._writer.alone(give_back):
            pass
        await self._writer.alone(checkpoint)
        return before - self.path.stat().st_size

    async def sizes(self) -> StoreSize:
        """Measure the database and check all of it, without blocking others. Raises StoreUnavailable."""
        size = await self._writer.read(partial(sizes, self.path))
        return replace(size, finding=size.finding or await self._beside(partial(examine_database, self.path)))

    async def alive(self) -> None:
        """Return once the writer has answered; raises StoreUnavailable when it cannot."""
        await self._writer.read(lambda connection: connection.execute("PRAGMA user_version").fetchone())

    async def writable(self) -> None:
        """Return if units of work can be written; after a failure, try it. Raises StoreUnavailable.

        The trial needs more space than any unit, because a full disk may still have room for small ones.
        """
        if self._writer.trouble is not None:
            for size in (PROBE, 0):
                await self.transact(lambda uow, size=size: uow.set_mark("probe", " " * size))  # type: ignore[misc]
            self._writer.trouble = None

    async def watch(self, stop: asyncio.Event) -> None:
        """Wait for `stop`. Raises StoreUnavailable once a sync has failed, because the process must then end.

        The next start checks the database and rewrites what the disk may have lost.
        """
        waits = [asyncio.ensure_future(event.wait()) for event in (stop, self._writer.broken)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        if self._writer.trouble is not None and self._writer.broken.is_set():
            raise self._writer.trouble

    async def _beside(self, work: Callable[[threading.Event], T]) -> T:
        """Run `work` in a thread with its own read-only connection; cancelling the caller aborts it."""
        stop = threading.Event()
        try:
            return await asyncio.to_thread(work, stop)
        finally:
            stop.set()

    async def close(self) -> None:
        """Finish the waiting units and close; harmless when repeated."""
        await self._writer.close()

    async def __aenter__(self) -> "SqliteStore":
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        await self.close()


async def open_store(path: Path, *, inline: bool = False, steps: Sequence[Migration] | None = None) -> SqliteStore:
    """Open, create or migrate the database. Raises ConfigError when the file is unusable, or StoreUnavailable.

    With `inline` there is no thread: every unit runs at once on the caller's event loop, deterministically.
    """
    steps = migrations() if steps is None else steps
    finish_restore(path)
    check_place(path, len(steps))
    engine = await _connect(path, inline=inline)
    try:
        await engine.run(partial(_ready, path, steps))
    except BaseException:
        await engine.close()
        raise
    return SqliteStore(path, Writer(engine))


def _ready(path: Path, steps: Sequence[Migration], connection: sqlite3.Connection) -> None:
    make_ready(path, connection, steps)


async def _connect(path: Path, *, inline: bool) -> Engine:
    if inline:
        return InlineEngine(
            sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, cached_statements=CACHED_STATEMENTS)
        )
    return ThreadEngine(
        await aiosqlite.connect(path, timeout=BUSY_SECONDS, isolation_level=None, cached_statements=CACHED_STATEMENTS)
    )
