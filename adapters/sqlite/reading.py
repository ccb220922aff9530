"""A connection beside the writer's that can only read: lists and pages never hold up a shopper's label."""

import sqlite3
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import aiosqlite

from adapters.sql.maintenance import SqlUpkeep
from adapters.sql.unit_of_work import SqlUnitOfWork
from adapters.sql.writer import Engine
from adapters.sqlite.engine import SQLITE, InlineEngine, ThreadEngine
from daemon.errors import StoreUnavailable

T = TypeVar("T")

LONGEST = 10.0
"""Seconds that one reading may take. A long one would keep the log from being emptied into the database."""
STEPS = 20_000
"""Steps of SQLite's machine between two looks at the time: about a millisecond."""
CACHED_STATEMENTS = 128


class SqliteReader:
    """Implements ReadableStore. Each reading sees one state of the store, and whatever was committed before it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def read(self, work: Callable[[SqlUnitOfWork], T]) -> T:
        """Run `work`, which only reads. Raises StoreUnavailable."""
        return await self._run(lambda connection: work(SqlUnitOfWork(connection)))

    async def survey(self, work: Callable[[SqlUpkeep], T]) -> T:
        """Run `work`, which only reads. Raises StoreUnavailable."""
        return await self._run(lambda connection: work(SqlUpkeep(connection)))

    async def close(self) -> None:
        """Close the connection, and end its thread."""
        await self._engine.close()

    async def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            return await self._engine.run(partial(_in_one_state, work))
        except sqlite3.Error as error:
            if not SQLITE.unavailable(error):
                raise
            raise StoreUnavailable(f"the database cannot be read: {error}") from error
        except ValueError as error:  # aiosqlite says so of a connection that was closed
            raise StoreUnavailable("the store is closed") from error


def _in_one_state(work: Callable[[sqlite3.Connection], T], connection: sqlite3.Connection) -> T:
    began = time.monotonic()
    connection.set_progress_handler(lambda: time.monotonic() - began > LONGEST, STEPS)
    connection.execute("BEGIN")
    try:
        return work(connection)
    finally:
        connection.set_progress_handler(None, 0)
        connection.execute("ROLLBACK")


async def open_reader(path: Path, *, inline: bool = False) -> SqliteReader:
    """Open a query-only connection to a database that is there; `inline` as for the store. Raises StoreUnavailable."""
    try:
        engine = await _connect(f"{path.as_uri()}?mode=ro", inline=inline)
    except sqlite3.Error as error:
        raise StoreUnavailable(f"the database cannot be read: {error}") from error
    await engine.run(lambda connection: connection.execute("PRAGMA query_only = ON"))
    await engine.run(lambda connection: connection.execute("PRAGMA temp_store = MEMORY"))
    return SqliteReader(engine)


async def _connect(uri: str, *, inline: bool) -> Engine:
    options: Any = {"uri": True, "isolation_level": None, "cached_statements": CACHED_STATEMENTS}
    if inline:
        return InlineEngine(sqlite3.connect(uri, **options))
    return ThreadEngine(await aiosqlite.connect(uri, **options))
