"""A token bucket behind a gate of lanes, and the pause after a 429."""

import math
import random
from collections.abc import Callable

from adapters.vendor_calls.lanes import LaneGate
from daemon.ports.host import Clock
from daemon.ports.vendors import Lane

Jitter = Callable[[], float]
"""Returns a random number between 0 and 1."""


class Penalty:
    """What a 429 costs: a pause for everybody, then a slower pace that doubles every 10 s until it is normal again.

    Each further 429 halves the pace (down to 1/16) and so doubles the pause, which is jittered. All 429s of calls that
    were under way when the pause began count once. Even the slowest pace is normal again within a minute.
    """

    SLOWEST = 1 / 16
    DOUBLES_IN = 10.0

    def __init__(self, clock: Clock, jitter: Jitter) -> None:
        self._clock = clock
        self._jitter = jitter
        self._pace = 1.0
        self.until = -math.inf

    def strike(self, at_least: float, unit: float) -> float:
        """Begin or prolong a pause of `unit / pace` seconds, and return how long it will last."""
        now = self._clock.monotonic()
        seconds = at_least
        if now >= self.until:
            self._pace = max(self.SLOWEST, self.pace() / 2)
            seconds = max(at_least, unit / self._pace * (1 + self._jitter()) / 2)
        self.until = max(self.until, now + seconds)
        return self.until - now

    def left(self) -> float:
        """Return the seconds until the pause is over, or 0."""
        return max(0.0, self.until - self._clock.monotonic())

    def pace(self) -> float:
        """Return the share of the normal rate to use, between 1/16 and 1."""
        calm = max(0.0, self._clock.monotonic() - self.until)
        return min(1.0, self._pace * 2 ** min(calm / self.DOUBLES_IN, 64.0))


class TokenBucket:
    """At most `burst + rate * t` turns in any t seconds; `rate` is per second. Starts empty.

    A crash loop must not spend the burst again with each start.
    """

    def __init__(
        self, clock: Clock, rate: float, burst: float, *, jitter: Jitter = random.random, even: bool = False
    ) -> None:
        self._clock = clock
        self._rate, self._burst = _checked(rate, burst)
        self._tokens = 0.0
        self._updated = clock.monotonic()
        self._penalty = Penalty(clock, jitter)
        self._pace = 1.0
        self._gate = LaneGate(clock, self, even=even)

    async def acquire(self, lane: Lane) -> None:
        """Wait for a turn; cancelling the wait costs nothing. Raises RateLimited during a long pause."""
        await self._gate.enter(lane)

    def set_rate(self, rate: float, burst: float | None = None) -> None:
        """Change the limit from now on, also for those who already wait."""
        self._refill()
        self._rate, self._burst = _checked(rate, self._burst if burst is None else burst)
        self._tokens = min(self._tokens, self._burst)
        self._gate.look_again()

    def pause(self, seconds: float = 0.0) -> float:
        """React to a 429: empty the bucket and hold everybody back for at least this long; return for how long."""
        self.empty()
        paused_for = self._penalty.strike(seconds, max(1.0, 1 / self._rate))
        self._gate.paused()
        return paused_for

    def empty(self) -> None:
        """Take all tokens out."""
        self._refill()
        self._tokens = min(self._tokens, 0.0)

    def pause_left(self) -> float:
        """Return the seconds left of the pause."""
        return self._penalty.left()

    def level(self) -> float:
        """Return how many calls could go right now."""
        self._refill()
        return max(0.0, self._tokens)

    def close(self) -> None:
        """Give no more turns: every waiting and later caller gets Transient."""
        self._gate.close()

    async def take(self, _lane: Lane) -> None:
        """Spend a token."""
        self._tokens -= 1

    def give_back(self, _lane: Lane) -> None:
        """Take a token back."""
        self._tokens = min(self._burst, self._tokens + 1)

    def delay(self, _lane: Lane) -> float:
        """Return the seconds until there is a token."""
        self._refill()
        missing = 1 - self._tokens
        if missing < 1e-6:  # a timer may fire early by a rounding error; the next call makes up for it
            missing = 0.0
        return self._penalty.left() + missing / (self._rate * self._pace)

    def _refill(self) -> None:
        now = self._clock.monotonic()
        earning = now - max(self._updated, self._penalty.until)
        if earning > 0:
            self._tokens = min(self._burst, self._tokens + earning * self._rate * self._pace)
        self._updated = now
        self._pace = self._penalty.pace()


def _checked(rate: float, burst: float) -> tuple[float, float]:
    if not (0 < rate < math.inf and 1 <= burst < math.inf):
        raise ValueError(f"a bucket needs a positive rate and a burst of at least 1, not {rate} and {burst}")
    return rate, burst
