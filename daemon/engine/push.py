"""Measures how reliably Amazon announces inspections: while it does, polling can be slower."""

from collections import deque
from collections.abc import Sequence

from daemon.ports.host import Clock
from daemon.ports.names import at_account
from daemon.ports.store import ReturnStore

READ_WITHIN = 15 * 60.0
"""Seconds within which the queue must have been read."""

LAST, AT_LEAST = 10, 9
"""Of the last findings, how many must have been announced before they were found."""


class Push:
    """Which of a seller's inspections were announced, and whether the queue is read. Kept over a restart.

    `slower` is the factor by which the intervals between readings may grow.
    """

    def __init__(self, account: str, store: ReturnStore, clock: Clock, *, slower: float) -> None:
        self.account = account
        self._mark = at_account("findings-announced", account)
        self._store = store
        self._clock = clock
        self._slower = slower
        self._found: deque[bool] = deque(maxlen=LAST)
        self._read_at: float | None = None

    async def load(self) -> None:
        """Load what an earlier process saw."""
        kept = await self._store.read(lambda uow: uow.mark(self._mark)) or ""
        self._found.extend(letter == "y" for letter in kept)

    def queue_read(self) -> None:
        """Note that the queue was just read."""
        self._read_at = self._clock.monotonic()

    def queue_failed(self) -> None:
        """Note that the queue could not be read: announcements cannot be relied on from now on."""
        self._read_at = None

    async def found(self, announced: Sequence[bool]) -> None:
        """Note that processed units were found at Amazon, and whether it had announced them."""
        self._found.extend(announced)
        letters = "".join("y" if one else "n" for one in self._found)
        await self._store.transact(lambda uow: uow.set_mark(self._mark, letters))

    @property
    def spacing(self) -> float:
        """The factor for intervals between readings now; 1 while announcements are not reliable."""
        read = self._read_at is not None and self._clock.monotonic() - self._read_at <= READ_WITHIN
        return self._slower if read and sum(self._found) >= AT_LEAST else 1.0
