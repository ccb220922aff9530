"""The store's operations that every database has: units of work, maintenance, and whether it can be used."""

import asyncio
from collections.abc import Callable
from typing import Self, TypeVar

from adapters.sql.maintenance import SqlUpkeep
from adapters.sql.unit_of_work import SqlUnitOfWork
from adapters.sql.writer import Writer
from daemon.ports.errands import ErrandBook
from daemon.ports.leases import LeaseBook
from daemon.ports.store import Servers, UnitOfWork

T = TypeVar("T")

PROBE = 64 * 1024  # bytes


class SqlStore:
    """Implements the Store port, but for `shrink` and `sizes`."""

    leases: LeaseBook | None = None
    servers: Servers | None = None
    """None: nobody shares this store."""

    errands: ErrandBook | None = None

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    async def transact(self, work: Callable[[UnitOfWork], T]) -> T:
        """Run `work` in a transaction of its own, and return after the commit. Raises StoreUnavailable."""
        return await self._writer.write(lambda connection: work(SqlUnitOfWork(connection)))

    async def read(self, work: Callable[[UnitOfWork], T]) -> T:
        """Run `work`, which only reads. Raises StoreUnavailable."""
        return await self._writer.read(lambda connection: work(SqlUnitOfWork(connection)))

    async def upkeep(self, work: Callable[[SqlUpkeep], T]) -> T:
        """Run maintenance in a transaction of its own, and return after the commit. Raises StoreUnavailable."""
        return await self._writer.write(lambda connection: work(SqlUpkeep(connection)))

    async def survey(self, work: Callable[[SqlUpkeep], T]) -> T:
        """Run maintenance that only reads. Raises StoreUnavailable."""
        return await self._writer.read(lambda connection: work(SqlUpkeep(connection)))

    async def listen(self, told: Callable[[], None], stop: asyncio.Event) -> None:  # noqa: ARG002 - nobody is there
        """Wait for `stop`: there is no other node."""
        await stop.wait()

    async def alive(self) -> None:
        """Return once the writer has answered; raises StoreUnavailable when it cannot."""
        await self.read(lambda uow: uow.mark("probe"))

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

    async def close(self) -> None:
        """Finish the waiting units and close; harmless when repeated."""
        await self._writer.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        await self.close()
