"""The real clocks."""

import asyncio
import time

_MONOTONIC = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""Linux's counts the time in which the machine was suspended, too: leases and limits of others go on meanwhile."""


UNHEEDED = 0.05
"""Differences in seconds that come of the way to the shared clock and back."""


class SystemClock:
    """Implements the Clock port with the system clocks."""

    def now(self) -> float:
        """Unix seconds."""
        return time.time()  # noqa: TID251 - this is the one place that reads it

    def monotonic(self) -> float:
        """Seconds of the monotonic clock."""
        return time.clock_gettime(_MONOTONIC)

    async def wait(self, event: asyncio.Event, seconds: float | None) -> bool:
        """Return True as soon as `event` is set, False after `seconds`."""
        if event.is_set():
            return True
        try:
            async with asyncio.timeout(seconds):
                return await event.wait()
        except TimeoutError:
            return False


class SharedClock(SystemClock):
    """Tells the time of a clock that several machines share; this machine's own until it was first heard."""

    def __init__(self) -> None:
        self._ahead: float | None = None

    def now(self) -> float:
        """Unix seconds of the shared clock."""
        return super().now() if self._ahead is None else self.monotonic() + self._ahead

    def heard(self, now: float, asked: float) -> None:
        """Take over the time that was told between `asked`, on the monotonic clock, and now."""
        ahead = now - (asked + self.monotonic()) / 2
        if self._ahead is None or abs(ahead - self._ahead) > UNHEEDED:
            self._ahead = ahead
