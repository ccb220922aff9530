"""Collects the calls made for each return, and writes them with the next change of that return.

A call is a line in memory until its return is saved, so the journal costs no commit of its own; what no save takes
along is written every few seconds. A kill may lose these lines, and no error of the journal reaches a step.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import TypeVar

from daemon.ports.host import Clock
from daemon.ports.store import ReturnStore, UnitOfWork, VendorCall
from daemon.ports.vendors import RETURN_AT_HAND

T = TypeVar("T")
Ref = tuple[str, str]

EVERY = 5.0
"""Seconds after a line until it is written, if no save has taken it along."""

MOST_LINES = 10_000
"""How many lines wait at most; while the store cannot write, later ones are dropped."""

AT_ONCE = 200
"""Lines written in one transaction, so that webhooks do not wait long."""


class CallJournal:
    """The lines not yet written, by return. `news` is set when there are some."""

    def __init__(self, store: ReturnStore) -> None:
        self.news = asyncio.Event()
        self._store = store
        self._lines: defaultdict[Ref, list[VendorCall]] = defaultdict(list)
        self._count = 0

    def heard(self, describe: Callable[[str, str], VendorCall]) -> None:
        """Note a call of the return at hand, if there is one; `describe` gets its shop and id."""
        ref = RETURN_AT_HAND.get()
        if ref is not None and self._count < MOST_LINES:
            self._lines[ref].append(describe(*ref))
            self._count += 1
            self.news.set()

    async def transact(self, ref: Ref, work: Callable[[UnitOfWork], T]) -> T:
        """Run `work` in a transaction, and write the return's lines in the same one."""
        lines = self._take(ref)
        if not lines:
            return await self._store.transact(work)

        def both(uow: UnitOfWork) -> T:
            result = work(uow)
            uow.keep_calls(lines)
            return result

        try:
            return await self._store.transact(both)
        except Exception:  # nothing was written, whoever is to blame
            self._put_back(lines)
            raise

    async def round(self, clock: Clock, stop: asyncio.Event) -> None:
        """Write what no save has taken along after a while; nothing is waited for when there is nothing to write."""
        if self._lines:
            await clock.wait(stop, EVERY)
            await self.flush()

    async def flush(self) -> None:
        """Write all lines. Raises StoreUnavailable."""
        while self._lines:
            lines: list[VendorCall] = []
            for ref in tuple(self._lines):
                if len(lines) < AT_ONCE:
                    lines += self._take(ref)
            try:
                await self._store.transact(lambda uow, lines=lines: uow.keep_calls(lines))  # type: ignore[misc]
            except Exception:
                self._put_back(lines)
                raise

    def _take(self, ref: Ref) -> Sequence[VendorCall]:
        lines = self._lines.pop(ref, [])
        self._count -= len(lines)
        return lines

    def _put_back(self, lines: Sequence[VendorCall]) -> None:
        for line in reversed(lines):
            self._lines[line.shop, line.return_id].insert(0, line)
        self._count += len(lines)
        self.news.set()
