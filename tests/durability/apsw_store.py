"""The real store on a connection of apsw's, whose disk a test can watch and break."""

import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw

from adapters.sql.writer import Writer
from adapters.sqlite.engine import InlineEngine
from adapters.sqlite.schema import Migration, check_place, make_ready, migrations
from adapters.sqlite.store import BUSY_SECONDS, SqliteStore
from tests.durability.recorded_disk import RecordedDisk


class Rows(list[tuple[Any, ...]]):
    """The answer to a statement, as much of sqlite3's cursor as the store uses."""

    rowcount = -1

    def fetchone(self) -> tuple[Any, ...] | None:
        return self[0] if self else None

    def fetchall(self) -> list[tuple[Any, ...]]:
        return self


class ApswConnection:
    """As much of sqlite3.Connection as the store uses, and its errors. `synchronous` overrules the store's setting.

    `around_commit(connection)` is a generator function: it runs up to its yield before each COMMIT, and on after it.
    """

    def __init__(self, path: Path, disk: RecordedDisk, *, synchronous: str | None = None) -> None:
        self._connection = apsw.Connection(str(path), vfs=disk.name)
        self._connection.set_busy_timeout(int(BUSY_SECONDS * 1000))
        self._connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)  # closing as a killed process does
        self._synchronous = synchronous
        self.around_commit: Callable[[ApswConnection], Iterator[None]] | None = None

    @property
    def in_transaction(self) -> bool:
        return self._connection.in_transaction

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> Rows:
        if self._synchronous is not None and sql == "PRAGMA synchronous = FULL":
            sql = f"PRAGMA synchronous = {self._synchronous}"
        if sql == "COMMIT" and self.around_commit is not None:
            watcher = self.around_commit(self)
            next(watcher)
            rows = self._run(sql, parameters)
            next(watcher, None)
            return rows
        return self._run(sql, parameters)

    def executemany(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        for row in rows:
            self._run(sql, row)

    def executescript(self, sql: str) -> None:
        self._run(sql, ())

    def checkpoint_on_close(self) -> None:
        """Close as a process does that was asked to."""
        self._connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0)

    def close(self) -> None:
        with _sqlite3s_errors():
            self._connection.close()

    def _run(self, sql: str, parameters: Sequence[Any]) -> Rows:
        with _sqlite3s_errors():
            rows = Rows(self._connection.execute(sql, tuple(parameters)))
        rows.rowcount = self._connection.changes()
        return rows


@contextmanager
def _sqlite3s_errors() -> Iterator[None]:
    try:
        yield
    except apsw.Error as error:
        kind = sqlite3.IntegrityError if isinstance(error, apsw.ConstraintError) else sqlite3.OperationalError
        translated = kind(str(error))
        code = getattr(error, "extendedresult", 0) or error.result
        translated.sqlite_errorcode = code
        translated.sqlite_errorname = str((apsw.mapping_extended_result_codes | apsw.mapping_result_codes)[code])
        raise translated from error


@contextmanager
def _noting_rewrites(log: Path, disk: RecordedDisk) -> Iterator[None]:
    """Record what the store itself writes to the log, past SQLite and its disk."""
    known = len(disk.ops)
    if log.exists():
        os.utime(log, ns=(0, 0))
    yield
    by_sqlite = any(op.kind in {"write", "truncate"} for op in disk.ops[known:])
    if log.exists() and log.stat().st_mtime_ns and not by_sqlite:
        disk.written_and_synced(log.name, log.read_bytes())


def open_recorded(
    path: Path, disk: RecordedDisk, *, synchronous: str | None = None, steps: Sequence[Migration] | None = None
) -> tuple[SqliteStore, ApswConnection]:
    """Open the store as `open_store` does, on the recorded disk."""
    steps = migrations() if steps is None else steps
    check_place(path, len(steps))
    connection = ApswConnection(path, disk, synchronous=synchronous)
    try:
        with _noting_rewrites(path.with_name(path.name + "-wal"), disk):
            make_ready(path, connection, steps)  # type: ignore[arg-type] # it quacks
    except BaseException:
        connection.close()
        raise
    return SqliteStore(path, Writer(InlineEngine(connection))), connection  # type: ignore[arg-type]
