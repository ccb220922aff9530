"""The single writer: units of work wait in a queue, and all waiting units share the next commit.

A unit of work is a plain function of a sqlite3 connection. A whole batch is one hop to the connection's thread, so a
cancelled caller cannot leave half a unit or an open transaction behind.

Group commit: a commit waits for the disk as long for a hundred units as for one. Units that arrive meanwhile form the
next batch, each in a savepoint of its own. A batch never waits for more units: a single one is written at once.
"""

import asyncio
import sqlite3
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

import aiosqlite

from adapters.sqlite.checkpoint import checkpoint
from daemon.errors import StoreUnavailable

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]

LARGEST_BATCH = 256

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


def unavailable(error: BaseException) -> bool:
    """Whether the environment, not the statement, caused the error. The low byte of SQLite's code is its kind."""
    return isinstance(error, sqlite3.Error) and getattr(error, "sqlite_errorcode", 0) & 0xFF in _SURROUNDINGS


class Engine(Protocol):
    """Runs functions on one connection in order, each to its end, even when its caller was cancelled."""

    async def run(self, work: Work[T]) -> T:
        """Run `work`; return or raise what it returns or raises."""

    async def close(self) -> None:
        """Close the connection."""


class ThreadEngine:
    """A connection in aiosqlite's thread."""

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

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    async def run(self, work: Work[T]) -> T:
        """Run it at once."""
        return work(self._connection)

    async def close(self) -> None:
        """Close it at once."""
        self._connection.close()


def _trouble(error: Exception) -> StoreUnavailable:
    name = getattr(error, "sqlite_errorname", "")
    trouble = StoreUnavailable(f"the database cannot be used: {error}" + (f" ({name})" if name else ""))
    trouble.__cause__ = error
    return trouble


class _Job(Generic[T]):
    """A unit of work and its outcome. The connection's thread sets `result` or `error`, but never `done`."""

    __slots__ = ("done", "error", "result", "work", "writes")

    def __init__(self, work: Work[T], done: asyncio.Future[None], *, writes: bool) -> None:
        self.work = work
        self.writes = writes
        self.done = done
        self.result: T | None = None
        self.error: Exception | None = None

    def attempt(self, connection: sqlite3.Connection) -> None:
        """Run the unit as it is, without a transaction of its own."""
        try:
            self.result = self.work(connection)
            self.error = None
        except Exception as error:  # noqa: BLE001 - it belongs to the caller, whatever it is
            if unavailable(error):
                self.fail(error)
            else:
                self.error = error

    def attempt_alone(self, connection: sqlite3.Connection) -> None:
        """Run the unit so that its failure undoes the unit and nothing else."""
        connection.execute("SAVEPOINT unit")
        self.attempt(connection)
        if not connection.in_transaction:
            return
        if self.error is not None:
            connection.execute("ROLLBACK TO unit")
        connection.execute("RELEASE unit")

    def fail(self, error: Exception) -> None:
        """Note that the database failed and nothing of the unit was stored."""
        self.result = None
        self.error = _trouble(error)

    def outcome(self) -> T:
        """Return what the unit returned, or raise what it raised."""
        if self.error is not None:
            raise self.error
        return self.result  # type: ignore[return-value]  # a unit may well return None

    def wake(self) -> None:
        """Wake the caller, if it still waits."""
        if not self.done.done():
            self.done.set_result(None)


def run_batch(jobs: Sequence[_Job[Any]], connection: sqlite3.Connection) -> None:
    """Run the jobs in order; all that write share one commit. If it fails, they all fail, and reads are repeated."""
    if not any(job.writes for job in jobs):
        for job in jobs:
            job.attempt(connection)
        return
    try:
        _commit_together(jobs, connection)
    except sqlite3.Error as error:
        for job in jobs:
            if job.writes:
                job.fail(error)
            else:
                job.attempt(connection)


def _commit_together(jobs: Sequence[_Job[Any]], connection: sqlite3.Connection) -> None:
    try:
        connection.execute("BEGIN IMMEDIATE")
        for job in jobs:
            _attempt_within(job, connection)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            with suppress(sqlite3.Error):  # the first error matters
                connection.execute("ROLLBACK")
        raise


def _attempt_within(job: _Job[Any], connection: sqlite3.Connection) -> None:
    if job.writes:
        job.attempt_alone(connection)
    else:
        job.attempt(connection)
    if not connection.in_transaction:  # SQLite itself rolls back when disk or memory fails
        raise sqlite3.OperationalError(f"the transaction was undone: {job.error}")


class Writer:
    """The queue in front of the connection. A task runs only while something waits.

    `trouble` is the reason of the last failed write, until somebody clears it. `broken` is set for good once a sync has
    failed: the disk's content is then unknown, and even a later successful sync proves nothing. So nothing more
    is written.
    """

    def __init__(self, engine: Engine, *, largest_batch: int = LARGEST_BATCH) -> None:
        self.trouble: StoreUnavailable | None = None
        self.broken = asyncio.Event()
        self._engine = engine
        self._largest_batch = largest_batch
        self._queue: deque[_Job[Any]] = deque()
        self._round: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None

    async def write(self, work: Work[T]) -> T:
        """Run `work` and return after the commit. Raises its own error, or StoreUnavailable."""
        return await self._enqueue(work, writes=True)

    async def read(self, work: Work[T]) -> T:
        """Run `work`, which only reads; it sees everything queued before it."""
        return await self._enqueue(work, writes=False)

    async def alone(self, work: Work[T]) -> T:
        """Run `work` between two batches, outside any transaction. Raises StoreUnavailable."""
        if self._closing is not None:
            raise StoreUnavailable("the store is closed")
        if self.broken.is_set():
            raise self._end()
        try:
            return await self._engine.run(work)
        except sqlite3.Error as error:
            trouble = _trouble(error)
            self._note(trouble)
            raise trouble from error

    async def close(self) -> None:
        """Finish the queue, checkpoint and close. Cancelling the caller does not stop it; repeating it is harmless."""
        if self._closing is None:
            self._closing = asyncio.create_task(self._close())
        await asyncio.shield(self._closing)

    async def _enqueue(self, work: Work[T], *, writes: bool) -> T:
        if self._closing is not None:
            raise StoreUnavailable("the store is closed")
        job = _Job(work, asyncio.get_running_loop().create_future(), writes=writes)
        self._queue.append(job)
        if self._round is None or self._round.done():
            self._round = asyncio.create_task(self._run())
        await job.done
        return job.outcome()

    async def _run(self) -> None:
        batch: list[_Job[Any]] = []
        try:
            while batch := self._take():
                await self._run_batch(batch)
        except BaseException:
            for job in (*batch, *self._queue):
                job.done.cancel()
            self._queue.clear()
            raise

    async def _run_batch(self, batch: Sequence[_Job[Any]]) -> None:
        broken = self.broken.is_set()
        possible = [job for job in batch if not (job.writes and broken)]
        try:
            await self._engine.run(partial(run_batch, possible))
        except Exception as error:  # noqa: BLE001 - the connection itself is unusable
            for job in possible:
                job.fail(error)
        for job in possible:
            if job.writes and isinstance(job.error, StoreUnavailable):
                self._note(job.error)
        for job in batch:
            if job.writes and broken:
                job.error = self._end()
            job.wake()

    def _note(self, trouble: StoreUnavailable) -> None:
        self.trouble = trouble
        if getattr(trouble.__cause__, "sqlite_errorcode", 0) in _UNSYNCED:
            self.broken.set()

    def _end(self) -> StoreUnavailable:
        return StoreUnavailable(f"nothing is written until the next start: {self.trouble}")

    def _take(self) -> list[_Job[Any]]:
        """Take waiting jobs, up to the bound, without those whose caller was cancelled."""
        batch: list[_Job[Any]] = []
        while self._queue and len(batch) < self._largest_batch:
            job = self._queue.popleft()
            if not job.done.cancelled():
                batch.append(job)
        return batch

    async def _close(self) -> None:
        if self._round is not None:
            await asyncio.wait([self._round])
        try:
            if not self.broken.is_set():
                with suppress(sqlite3.Error):  # the next start reads the log anyway
                    await self._engine.run(checkpoint)
        finally:
            await self._engine.close()
