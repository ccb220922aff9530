"""The real clock."""

import asyncio
import time


class SystemClock:
    """Implements the Clock port with the system clocks."""

    def now(self) -> float:
        """Unix seconds."""
        return time.time()  # noqa: TID251 - this is the one place that reads it

    def monotonic(self) -> float:
        """Seconds of the monotonic clock."""
        return time.monotonic()

    async def wait(self, event: asyncio.Event, seconds: float | None) -> bool:
        """Return True as soon as `event` is set, False after `seconds`."""
        if event.is_set():
            return True
        try:
            async with asyncio.timeout(seconds):
                return await event.wait()
        except TimeoutError:
            return False
