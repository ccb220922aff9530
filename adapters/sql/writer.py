"""The single writer: units of work wait in a queue, and all waiting units share the next commit.

A unit of work is a plain function of a connection. A whole batch is one hop to the connection's thread, so a
cancelled caller cannot leave half a unit or an open transaction behind.

Group commit: a commit waits for the disk as long for a hundred units as for one. Units that arrive meanwhile form the
next batch, each in a savepoint of its own. A batch never waits for more units: a single one is written at once.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

from adapters.sql.connection import Connection, Database
from daemon.errors import StoreUnavailable

T = TypeVar("T")
Work = Callable[[Any], T]

LARGEST_BATCH = 256


class Engine(Protocol):
    """Runs functions on one connection in order, each to its end, even when its caller was cancelled."""

    database: Database

    async def run(self, work: Work[T]) -> T:
        """Run `work`; return or raise what it returns or raises."""

    async def close(self) -> None:
        """Close the connection."""


def _trouble(error: Exception, database: Database) -> StoreUnavailable:
    reason = database.reason(error) if isinstance(error, database.error) else str(error)
    trouble = StoreUnavailable(f"the database cannot be used: {reason}")
    trouble.__cause__ = error
    return trouble


class _Job(Generic[T]):
    """A unit of work and its outcome. The connection's thread sets `result` or `error`, but never `done`."""

    __slots__ = ("database", "done", "error", "result", "work", "writes")

    def __init__(self, work: Work[T], done: asyncio.Future[None], database: Database, *, writes: bool) -> None:
        self.work = work
        self.database = database
        self.writes = writes
        self.done = done
        self.result: T | None = None
        self.error: Exception | None = None

    def attempt(self, connection: Connection) -> None:
        """Run the unit as it is, without a transaction of its own."""
        try:
            self.result = self.work(connection)
            self.error = None
        except Exception as error:  # noqa: BLE001 - it belongs to the caller, whatever it is
            if self.database.unavailable(error):
                self.fail(error)
            else:
                self.error = self.database.discreet(error) if isinstance(error, self.database.error) else error

    def attempt_alone(self, connection: Connection) -> None:
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
        self.error = _trouble(error, self.database)

    def outcome(self) -> T:
        """Return what the unit returned, or raise what it raised."""
        if self.error is not None:
            raise self.error
        return self.result  # type: ignore[return-value]  # a unit may well return None

    def wake(self) -> None:
        """Wake the caller, if it still waits."""
        if not self.done.done():
            self.done.set_result(None)


def run_batch(jobs: Sequence[_Job[Any]], database: Database, connection: Connection) -> None:
    """Run the jobs in order; all that write share one commit. If it fails, they all fail, and reads are repeated."""
    if not any(job.writes for job in jobs):
        _read_together(jobs, database, connection)
        return
    try:
        _commit_together(jobs, database, connection)
    except database.error as error:
        for job in jobs:
            if job.writes:
                job.fail(error)
        _read_together([job for job in jobs if not job.writes], database, connection)


def _read_together(jobs: Sequence[_Job[Any]], database: Database, connection: Connection) -> None:
    """Run jobs that only read; where the database has snapshots, each sees one."""
    for job in jobs:
        if not database.begin_reading:
            job.attempt(connection)
            continue
        try:
            connection.execute(database.begin_reading)
            job.attempt(connection)
        except database.error as error:
            job.fail(error)
        finally:
            _roll_back(database, connection)


def _commit_together(jobs: Sequence[_Job[Any]], database: Database, connection: Connection) -> None:
    try:
        connection.execute(database.begin)
        for job in jobs:
            _attempt_within(job, database, connection)
        connection.execute("COMMIT")
    except BaseException:
        _roll_back(database, connection)
        raise


def _roll_back(database: Database, connection: Connection) -> None:
    if connection.in_transaction:
        with suppress(database.error):  # the first error matters
            connection.execute("ROLLBACK")


def _attempt_within(job: _Job[Any], database: Database, connection: Connection) -> None:
    if job.writes or database.begin_reading:
        job.attempt_alone(connection)
    else:
        job.attempt(connection)
    if not connection.in_transaction:  # the database itself rolls back when disk, memory or the connection fails
        raise database.error(f"the transaction was undone: {job.error}")


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
        self._database = engine.database
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
        except self._database.error as error:
            trouble = _trouble(error, self._database)
            self._note(trouble)
            raise trouble from error

    async def close(self) -> None:
        """Finish the queue and close. Cancelling the caller does not stop it; repeating it is harmless."""
        if self._closing is None:
            self._closing = asyncio.create_task(self._close())
        await asyncio.shield(self._closing)

    async def _enqueue(self, work: Work[T], *, writes: bool) -> T:
        if self._closing is not None:
            raise StoreUnavailable("the store is closed")
        job = _Job(work, asyncio.get_running_loop().create_future(), self._database, writes=writes)
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
            await self._engine.run(partial(run_batch, possible, self._database))
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
        if trouble.__cause__ is not None and self._database.breaks(trouble.__cause__):
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
                with suppress(self._database.error):  # the next start does it, too
                    await self._engine.run(self._database.settle)
        finally:
            await self._engine.close()
