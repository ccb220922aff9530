"""One connection in a thread of its own. A lost one is made again when it is next needed."""

import asyncio
import os
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

import psycopg

from adapters.postgresql.connection import POSTGRESQL, PostgresConnection
from adapters.sql.connection import Database

T = TypeVar("T")
Work = Callable[[PostgresConnection], T]

BETWEEN_ATTEMPTS = 1.0
"""Seconds after a failed attempt to connect, in which nobody waits for another."""
LONGEST_STATEMENT = 12.0
"""Seconds until the connection is cut, when the server does not even keep its own time-out."""
LOOK = 1.0


class PostgresEngine:
    """Implements the Engine protocol. `connect` makes a connection that is ready for use, or raises psycopg.Error."""

    database: Database = POSTGRESQL

    def __init__(self, connect: Callable[[], PostgresConnection]) -> None:
        self._connect = connect
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="postgresql")
        self._connection: PostgresConnection | None = None
        self._lock = threading.Lock()
        self._failed: tuple[float, psycopg.Error] | None = None
        self._first: Work[object] = lambda _connection: None

    async def begin_with(self, first: Work[object]) -> None:
        """Run `first` now, and on every new connection before anything else. Raises psycopg.Error."""
        self._first = first
        await self.run(first)

    async def run(self, work: Work[T]) -> T:
        """Run it in the thread; a server that never answers loses the connection."""
        running = asyncio.get_running_loop().run_in_executor(self._thread, self._run, work)
        while not (await asyncio.wait([running], timeout=LOOK))[0]:
            self._cut_if_overdue()
        return running.result()

    async def close(self) -> None:
        """Close the connection, and let the thread end."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        self._thread.shutdown(wait=False)

    def _run(self, work: Work[T]) -> T:
        return work(self._connected())

    def _connected(self) -> PostgresConnection:
        if self._connection is not None and not self._connection.raw.closed:
            return self._connection
        if self._failed is not None and time.monotonic() < self._failed[0] + BETWEEN_ATTEMPTS:
            raise self._failed[1].with_traceback(None)
        try:
            connection = self._made()
        except psycopg.Error as error:
            self._failed = (time.monotonic(), error)
            raise
        with self._lock:
            self._connection = connection
        self._failed = None
        return connection

    def _made(self) -> PostgresConnection:
        connection = self._connect()
        try:
            self._first(connection)
        except BaseException:
            connection.raw.close()
            raise
        return connection

    def _cut_if_overdue(self) -> None:
        with self._lock:
            connection = self._connection
            since = connection.asking_since if connection is not None else None
            if connection is None or since is None or time.monotonic() < since + LONGEST_STATEMENT:
                return
            with suppress(OSError, psycopg.Error), socket.socket(fileno=_copied(connection)) as link:
                link.shutdown(socket.SHUT_RDWR)

    def _close(self) -> None:
        with self._lock:
            if self._connection is not None:
                self._connection.raw.close()
            self._connection = None


class InlineEngine(PostgresEngine):
    """A connection used by the caller itself: blocking and deterministic."""

    async def run(self, work: Work[T]) -> T:
        """Run it at once."""
        return self._run(work)

    async def close(self) -> None:
        """Close it at once."""
        self._close()


def _copied(connection: PostgresConnection) -> int:
    return os.dup(connection.raw.fileno())
