"""Remembers pauses that vendors ask for over a restart, so that a new process does not call too early."""

import json
from collections.abc import Callable, Mapping

from daemon.domain.returns import MAIN_ACCOUNT
from daemon.ports.host import Clock
from daemon.ports.names import at_account
from daemon.ports.store import ReturnStore

MARK = "vendor-pauses"
WORTH_KEEPING = 30.0
LONGEST = 3600.0
"""The longest pause, in seconds, whatever a clock says; very short ones end before a restart does."""


class PauseKeeper:
    """Stores an account's pauses. `running` returns the current ones, in seconds left; `resume` starts one again."""

    def __init__(
        self,
        store: ReturnStore,
        clock: Clock,
        running: Callable[[], Mapping[str, float]],
        resume: Callable[[str, float], None],
        *,
        account: str = MAIN_ACCOUNT,
    ) -> None:
        self._store = store
        self._mark = at_account(MARK, account)
        self._clock = clock
        self._running = running
        self._resume = resume
        self._kept: dict[str, float] = {}

    async def recall(self) -> None:
        """Resume the pauses that the previous process left."""
        saved = await self._store.read(lambda uow: uow.mark(self._mark))
        for name, until in json.loads(saved or "{}").items():
            left = until - self._clock.now()
            if 0 < left <= LONGEST + WORTH_KEEPING:
                self._resume(name, left)

    async def round(self) -> None:
        """Store what has changed since the last round."""
        now = self._clock.now()
        ends = {name: now + left for name, left in self._running().items() if left > WORTH_KEEPING}
        if ends.keys() != self._kept.keys() or any(abs(ends[name] - self._kept[name]) > 1 for name in ends):
            await self._store.transact(lambda uow: uow.set_mark(self._mark, json.dumps(ends)))
            self._kept = ends
