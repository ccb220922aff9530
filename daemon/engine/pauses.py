"""Pauses that vendors ask for, remembered over a restart: a new process must not call at once and be told again."""

import json
from collections.abc import Callable, Mapping

from daemon.ports.host import Clock
from daemon.ports.store import ReturnStore

MARK = "vendor-pauses"
WORTH_KEEPING = 30.0
LONGEST = 3600.0
"""Seconds: shorter pauses are over before a restart is, and none may be longer, whatever a clock says."""


class PauseKeeper:
    """`running` tells the pauses that run, in seconds left by name; `resume` begins one again."""

    def __init__(
        self,
        store: ReturnStore,
        clock: Clock,
        running: Callable[[], Mapping[str, float]],
        resume: Callable[[str, float], None],
    ) -> None:
        self._store = store
        self._clock = clock
        self._running = running
        self._resume = resume
        self._kept: dict[str, float] = {}

    async def recall(self) -> None:
        """Begin the pauses again that the process before this one has left."""
        saved = await self._store.read(lambda uow: uow.mark(MARK))
        for name, until in json.loads(saved or "{}").items():
            left = until - self._clock.now()
            if 0 < left <= LONGEST + WORTH_KEEPING:
                self._resume(name, left)

    async def round(self) -> None:
        """Keep what has changed since the last round."""
        now = self._clock.now()
        ends = {name: now + left for name, left in self._running().items() if left > WORTH_KEEPING}
        if ends.keys() != self._kept.keys() or any(abs(ends[name] - self._kept[name]) > 1 for name in ends):
            await self._store.transact(lambda uow: uow.set_mark(MARK, json.dumps(ends)))
            self._kept = ends
