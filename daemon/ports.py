"""What the daemon needs from the outside, as protocols. Adapters conform by shape, not by inheritance."""

import asyncio
from enum import StrEnum
from typing import Protocol


class Lane(StrEnum):
    """Which queue a call waits in: a shopper's label goes before reconciliation, and neither starves."""

    SHOPPER = "shopper"
    BACKGROUND = "background"


class Clock(Protocol):
    """Time, as the only way to read it or to let it pass."""

    def now(self) -> float:
        """Wall clock, in Unix seconds (UTC)."""

    def monotonic(self) -> float:
        """A clock that never jumps, in seconds from an arbitrary origin."""

    async def wait(self, event: asyncio.Event, seconds: float | None) -> bool:
        """Wait until `event` is set or `seconds` have passed (None: for ever); True when the event is set."""
