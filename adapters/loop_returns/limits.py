"""Loop's limit: so many calls in any minute, for each API key."""

import math
import random
from collections.abc import Mapping

from asyncio_throttle.throttler import Throttler

from adapters.vendor_calls.lanes import LaneGate
from adapters.vendor_calls.token_bucket import Jitter, Penalty
from daemon.ports.host import Clock
from daemon.ports.vendors import Lane


class LoopLimits:
    """Loop's limit per API key: so many calls in any minute, whoever makes them.

    asyncio-throttle keeps the log of the last minute. It would wait by polling, so its log is asked when the next slot
    opens. Its period is half a second longer than the minute, against arrivals closer together than departures.

    A crowd of new label requests would use the minute up by being read, and nobody's label could be delivered before
    the next one. A bought label takes five calls, two of them to read what is asked for: those may take OPENING of the
    minute. What the process before this one has used up is not known, so before Loop's first answer, or for 10 s, only
    FIRST calls are made.
    """

    PERIOD = 60.5
    BELIEVED = 10.0
    OPENING = 2 / 5
    FIRST = 20

    def __init__(self, clock: Clock, per_minute: int = 300, *, jitter: Jitter = random.random) -> None:
        self._clock = clock
        self._per_minute = per_minute
        self._window = _Window(min(self.FIRST, per_minute), period=self.PERIOD)
        self._opening = _Window(max(1, int(per_minute * self.OPENING)), period=self.PERIOD)
        self._answered = False
        self._believed_until = clock.monotonic() + self.BELIEVED
        self._penalty = Penalty(clock, jitter)
        self._gate = LaneGate(clock, self)

    async def acquire(self, lane: Lane) -> None:
        """Wait for a turn; cancelling the wait costs nothing. Raises RateLimited during a long pause."""
        await self._gate.enter(lane)

    def observe(self, headers: Mapping[str, str]) -> None:
        """Leave room for others who use the same key, when Loop counts fewer calls remaining than we do.

        The difference is believed for 10 s; then one call is let through to ask again.
        """
        value = headers.get("x-ratelimit-remaining", "")
        if value.isascii() and value.isdigit() and len(value) <= 9:
            self._leave_room(self._per_minute - self._window.used() - int(value))
        elif not self._answered:
            self._leave_room(0)
        self._answered = True

    def throttled(self, retry_after: float | None) -> float:
        """Hold back all callers after a 429; return for how long."""
        paused_for = self._penalty.strike(retry_after or 0.0, 1.0)
        self._gate.paused()
        return paused_for

    def pause_left(self) -> float:
        """Return the seconds for which nobody may call."""
        return self._penalty.left()

    def level(self) -> float:
        """Return how many calls could go at once."""
        return max(0.0, float(self._window.rate_limit - self._window.used()))

    def close(self) -> None:
        """Give no more turns: whoever waits, or comes, gets Transient."""
        self._gate.close()

    async def take(self, lane: Lane) -> None:
        """Log a call."""
        await self._window.acquire()  # type: ignore[no-untyped-call]
        if lane is Lane.OPENING:
            await self._opening.acquire()  # type: ignore[no-untyped-call]

    def give_back(self, lane: Lane) -> None:
        """Strike the last call out again."""
        self._window.forget_last()
        if lane is Lane.OPENING:
            self._opening.forget_last()

    def delay(self, lane: Lane) -> float:
        """Return the seconds until the minute has room for a call."""
        now = self._clock.monotonic()
        others = self._per_minute - int(self._window.rate_limit)
        if others and now >= self._believed_until:
            self._leave_room(min(others, self._per_minute - self._window.used() - 1) if self._answered else 0)
        opens_in = self._window.opens_at() - now
        if others:
            opens_in = min(opens_in, self._believed_until - now)
        if lane is Lane.OPENING:
            opens_in = max(opens_in, self._opening.opens_at() - now)
        return max(self._penalty.left(), opens_in)

    def _leave_room(self, others: int) -> None:
        self._window.rate_limit = max(1, self._per_minute - max(0, others))
        self._believed_until = self._clock.monotonic() + self.BELIEVED
        self._gate.look_again()


class _Window(Throttler):
    def used(self) -> int:
        self.flush()  # type: ignore[no-untyped-call]
        return len(self._task_logs)

    def opens_at(self) -> float:
        surplus = self.used() - int(self.rate_limit)
        return float(self._task_logs[surplus]) + float(self.period) if surplus >= 0 else -math.inf

    def forget_last(self) -> None:
        if self._task_logs:
            self._task_logs.pop()
