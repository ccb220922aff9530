"""Returns in one SQLite file: the Store port, and the operations that keep the file healthy."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import aiosqlite

from adapters.sql.migration import Migration
from adapters.sql.store import SqlStore
from adapters.sql.writer import Engine, Writer
from adapters.sqlite.backup import examine_database
from adapters.sqlite.checkpoint import checkpoint
from adapters.sqlite.engine import InlineEngine, ThreadEngine
from adapters.sqlite.moving import check_not_moved
from adapters.sqlite.reading import SqliteReader, open_reader
from adapters.sqlite.restore import finish_restore
from adapters.sqlite.schema import check_place, make_ready, migrations
from adapters.sqlite.space import give_back, sizes
from daemon.ports.store import StoreSize

T = TypeVar("T")

BUSY_SECONDS = 2.0
CACHED_STATEMENTS = 256

sqlite_version = sqlite3.sqlite_version


class SqliteStore(SqlStore):
    """Implements the Store port. Open it by `open_store` and close it, or its thread keeps the process alive."""

    def __init__(self, path: Path, writer: Writer, *, inline: bool = False) -> None:
        super().__init__(writer)
        self.path = path
        self._inline = inline

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

    async def reader(self) -> SqliteReader:
        """Open a connection of its own for who only reads. Raises StoreUnavailable."""
        return await open_reader(self.path, inline=self._inline)

    async def _beside(self, work: Callable[[threading.Event], T]) -> T:
        """Run `work` in a thread with its own read-only connection; cancelling the caller aborts it."""
        stop = threading.Event()
        try:
            return await asyncio.to_thread(work, stop)
        finally:
            stop.set()


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
    return SqliteStore(path, Writer(engine), inline=inline)


def _ready(path: Path, steps: Sequence[Migration], connection: sqlite3.Connection) -> None:
    make_ready(path, connection, steps)
    if len(steps) == len(migrations()):
        check_not_moved(path, connection)


async def _connect(path: Path, *, inline: bool) -> Engine:
    if inline:
        return InlineEngine(
            sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, cached_statements=CACHED_STATEMENTS)
        )
    return ThreadEngine(
        await aiosqlite.connect(path, timeout=BUSY_SECONDS, isolation_level=None, cached_statements=CACHED_STATEMENTS)
    )
