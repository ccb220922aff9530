"""SQLite's connections, and what its errors mean."""

import sqlite3
from collections.abc import Callable
from typing import TypeVar

import aiosqlite

from adapters.sql.connection import Database
from adapters.sqlite.checkpoint import checkpoint

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]

_SURROUNDINGS = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOLFS,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_READONLY,
    }
)
"""Result codes about disk, memory and other processes. All others mean a bug in a statement."""

_UNSYNCED = frozenset({sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_IOERR_DIR_FSYNC})


class Sqlite:
    """Implements the Database protocol."""

    begin = "BEGIN IMMEDIATE"
    begin_reading = ""
    error: type[Exception] = sqlite3.Error

    def unavailable(self, error: BaseException) -> bool:
        """Look at the low byte of SQLite's code, which is its kind."""
        return isinstance(error, sqlite3.Error) and getattr(error, "sqlite_errorcode", 0) & 0xFF in _SURROUNDINGS

    def breaks(self, error: BaseException) -> bool:
        """Whether a sync failed."""
        return getattr(error, "sqlite_errorcode", 0) in _UNSYNCED

    def reason(self, error: Exception) -> str:
        """Return SQLite's text, which names columns but no values, and its name of the error."""
        name = getattr(error, "sqlite_errorname", "")
        return f"{error}" + (f" ({name})" if name else "")

    def discreet(self, error: Exception) -> Exception:
        """Return it as it is: SQLite's errors name columns but no values."""
        return error

    def settle(self, connection: sqlite3.Connection) -> None:
        """Empty the log, so that the next start need not read it."""
        checkpoint(connection)


SQLITE = Sqlite()


class ThreadEngine:
    """A connection in aiosqlite's thread."""

    database: Database = SQLITE

    def __init__(self, connection: aiosqlite.Connection) -> None:
        self._connection = connection

    async def run(self, work: Work[T]) -> T:
        """Run it in the thread."""
        result: T = await self._connection._execute(work, self._connection._conn)  # type: ignore[no-untyped-call]
        return result

    async def close(self) -> None:
        """Close, and wait for the thread to end, because it would keep the interpreter from exiting."""
        await self._connection.close()


class InlineEngine:
    """A connection used by the caller itself: blocking and deterministic."""

    database: Database = SQLITE

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    async def run(self, work: Work[T]) -> T:
        """Run it at once."""
        return work(self._connection)

    async def close(self) -> None:
        """Close it at once."""
        self._connection.close()
