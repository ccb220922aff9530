"""The one writer: units of work wait in a queue, and all that wait share the next commit.

A unit of work is a plain function of a sqlite3 connection. A whole batch is one hop to the connection's thread, so no
cancelled caller can leave half a unit or an open transaction behind.

Group commit: a commit waits for the disk, and as long for one unit as for a hundred. Units that come meanwhile gather;
the next batch commits them all, each in a savepoint of its own. Nobody lingers for company: one alone goes at once.
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
"""Result codes that speak of disk, memory and other processes. All others mean a mistake in a statement."""

_UNSYNCED = frozenset({sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_IOERR_DIR_FSYNC})


def unavailable(error: BaseException) -> bool:
    """The error is the surroundings' fault, not the statement's. The low byte of SQLite's code is the plain one."""
    return isinstance(error, sqlite3.Error) and getattr(error, "sqlite_errorcode", 0) & 0xFF in _SURROUNDINGS


class Engine(Protocol):
    """Runs functions of one connection, one after the other, each to its end even when its caller is gone."""

    async def run(self, work: Work[T]) -> T:
        """Run `work`, and hand over what it returns or raises."""

    async def close(self) -> None:
        """Close the connection."""


class ThreadEngine:
    """A connection that lives in aiosqlite's thread."""

    def __init__(self, connection: aiosqlite.Connection) -> None:
        self._connection = connection

    async def run(self, work: Work[T]) -> T:
        """One hop to the thread and back."""
        result: T = await self._connection._execute(work, self._connection._conn)  # type: ignore[no-untyped-call]
        return result

    async def close(self) -> None:
        """Wait for the thread to end: it would keep the interpreter from exiting."""
        await self._connection.close()


class InlineEngine:
    """A connection that is used right here: blocking, and the same at every repetition."""

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
    """A unit of work and what became of it. The connection's thread fills in `result` or `error`, never `done`."""

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
        """Nothing of the unit was kept, because of the database itself."""
        self.result = None
        self.error = _trouble(error)

    def outcome(self) -> T:
        """What the unit returned; raises what it raised."""
        if self.error is not None:
            raise self.error
        return self.result  # type: ignore[return-value]  # a unit may well return None

    def wake(self) -> None:
        """Tell the caller, if there still is one."""
        if not self.done.done():
            self.done.set_result(None)


def run_batch(jobs: Sequence[_Job[Any]], connection: sqlite3.Connection) -> None:
    """Run the jobs in order; those that write share one commit. Should it fail, they all do; reads are repeated."""
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
            with suppress(sqlite3.Error):  # what matters is the first error
                connection.execute("ROLLBACK")
        raise


def _attempt_within(job: _Job[Any], connection: sqlite3.Connection) -> None:
    if job.writes:
        job.attempt_alone(connection)
    else:
        job.attempt(connection)
    if not connection.in_transaction:  # SQLite undoes all of it by itself when disk or memory fail
        raise sqlite3.OperationalError(f"the transaction was undone: {job.error}")


class Writer:
    """The queue in front of the connection. It needs no care: a task runs only while something waits.

    `trouble` is why a unit was not written, until somebody takes it back. `broken` is set for good once a sync has
    failed: what the disk holds is not known then, and a later sync that succeeds does not tell. So nothing is written
    any more.
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
        """Run `work`, which only reads; it sees everything that was asked for before."""
        return await self._enqueue(work, writes=False)

    async def alone(self, work: Work[T]) -> T:
        """Run `work` between two batches, outside of any transaction. Raises StoreUnavailable."""
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
        """Finish what waits, checkpoint, close. A cancelled caller does not stop it; repeating it is harmless."""
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
        """All that wait, up to the bound; nobody runs what its caller has given up before its turn."""
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
                with suppress(sqlite3.Error):  # what is not checkpointed now is read from the log at the next start
                    await self._engine.run(checkpoint)
        finally:
            await self._engine.close()
