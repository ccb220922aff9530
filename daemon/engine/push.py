"""How far Amazon's own word can be relied on: while inspections are announced, asking for them is mostly in vain."""

from collections import deque
from collections.abc import Sequence

from daemon.ports.host import Clock
from daemon.ports.store import ReturnStore

READ_WITHIN = 15 * 60.0
"""Seconds in which the queue must have been read."""

LAST, AT_LEAST = 10, 9
"""Of so many findings, so many must have been announced before they were found."""


class Push:
    """What was announced of one seller's inspections, and whether the queue is read. Kept over a restart.

    `slower` is how many times as far apart looks may be.
    """

    def __init__(self, account: str, store: ReturnStore, clock: Clock, *, slower: float) -> None:
        self._mark = f"announced/{account}"
        self._store = store
        self._clock = clock
        self._slower = slower
        self._found: deque[bool] = deque(maxlen=LAST)
        self._read_at: float | None = None

    async def load(self) -> None:
        """Take over what an earlier process saw."""
        kept = await self._store.read(lambda uow: uow.mark(self._mark)) or ""
        self._found.extend(letter == "y" for letter in kept)

    def queue_read(self) -> None:
        """The queue has just been read."""
        self._read_at = self._clock.monotonic()

    def queue_failed(self) -> None:
        """The queue could not be read: from now on nothing can be relied on."""
        self._read_at = None

    async def found(self, announced: Sequence[bool]) -> None:
        """Amazon was found to have processed units, which it had announced before, or not."""
        self._found.extend(announced)
        letters = "".join("y" if one else "n" for one in self._found)
        await self._store.transact(lambda uow: uow.set_mark(self._mark, letters))

    @property
    def spacing(self) -> float:
        """How many times as far apart as usual looks may be now; 1 while the queue is not to be relied on."""
        read = self._read_at is not None and self._clock.monotonic() - self._read_at <= READ_WITHIN
        return self._slower if read and sum(self._found) >= AT_LEAST else 1.0
