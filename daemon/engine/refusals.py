"""What vendors refuse to each account, told by the node that works it: another one may send messages about it."""

import asyncio
import json
from collections.abc import Callable, Mapping
from contextlib import suppress

from daemon.engine.supervisor import run_every
from daemon.errors import LeaseLost
from daemon.ports.host import Clock
from daemon.ports.leases import Holdings, Lease
from daemon.ports.names import at_account
from daemon.ports.store import ReturnStore

MARK = "refused"
EVERY = 10.0
"""Seconds."""

Refusals = Mapping[str, str]


class SharedRefusals:
    """Connections that are parked, and why, by account; kept in the store by the account's node."""

    def __init__(
        self, store: ReturnStore, clock: Clock, holdings: Holdings, known: Mapping[str, Callable[[], Refusals]]
    ) -> None:
        self._store = store
        self._clock = clock
        self._holdings = holdings
        self._known = known
        self._told: dict[str, tuple[Lease, Refusals]] = {}

    async def run(self, stop: asyncio.Event) -> None:
        """Tell what changes until `stop` is set."""
        await run_every(EVERY, self.round, name="refusals", clock=self._clock, stop=stop)

    async def round(self) -> None:
        """Tell what has changed of the accounts that this node works. Raises StoreUnavailable."""
        for account, refusals in self._known.items():
            lease = self._holdings.of(account)
            if lease is not None:
                await self._tell(account, lease, dict(refusals()))

    async def all(self) -> Refusals:
        """What is refused to any account, as last told. Raises StoreUnavailable."""
        marks = [at_account(MARK, account) for account in self._known]
        told = await self._store.read(lambda uow: [uow.mark(mark) for mark in marks])
        return {name: problem for one in told for name, problem in json.loads(one or "{}").items()}

    async def _tell(self, account: str, lease: Lease, refused: Refusals) -> None:
        if self._told.get(account) == (lease, refused):
            return
        with suppress(LeaseLost), lease.reading():
            await self._store.transact(lambda uow: uow.set_mark(at_account(MARK, account), json.dumps(refused)))
            self._told[account] = (lease, refused)
