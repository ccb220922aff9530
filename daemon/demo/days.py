"""A clock that lets days go by in a moment, and is the machine's own afterwards."""

import asyncio

from adapters.host.clock import SystemClock


class DaysClock:
    """Implements the Clock port. It begins in the past; `leap` lets time go by, and wakes whoever waits."""

    def __init__(self, back: float) -> None:
        self._real = SystemClock()
        self._back = back
        self._leapt = 0.0
        self._leap = asyncio.Event()

    @property
    def behind(self) -> float:
        """How many seconds it is behind the machine's clock."""
        return self._back - self._leapt

    def now(self) -> float:
        """Unix seconds."""
        return self._real.now() - self.behind

    def monotonic(self) -> float:
        """Seconds, those that were leapt over included."""
        return self._real.monotonic() + self._leapt

    def leap(self, seconds: float) -> None:
        """Let time go by; never beyond the machine's clock."""
        self._leapt += min(seconds, self.behind)
        self._leap, woken = asyncio.Event(), self._leap
        woken.set()

    async def wait(self, event: asyncio.Event, seconds: float | None) -> bool:
        """Return True as soon as `event` is set, False after `seconds`, leaps included."""
        end = None if seconds is None else self.monotonic() + seconds
        while not event.is_set():
            left = None if end is None else end - self.monotonic()
            if left is not None and left <= 0 and seconds:
                return False
            if not self.behind:
                return await self._real.wait(event, left)
            await self._either(event, self._leap, left)
            if not seconds and seconds is not None:
                return event.is_set()
        return True

    async def _either(self, first: asyncio.Event, second: asyncio.Event, seconds: float | None) -> None:
        waits = [asyncio.ensure_future(one.wait()) for one in (first, second)]
        try:
            await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
