"""Waiting for one's turn: Amazon's token buckets and Loop's 300 calls a minute, each behind the same gate of lanes."""

import math
import random
from collections.abc import Callable, Mapping

from asyncio_throttle.throttler import Throttler

from adapters.lane_gate import LaneGate
from daemon.ports import Clock, Lane

Jitter = Callable[[], float]
"""A number between 0 and 1, another one each time."""


class Penalty:
    """What a 429 costs: a pause for everybody, then a slower pace that doubles every 10 s until it is whole again.

    Each further 429 halves the pace (to a sixteenth at most) and so doubles the pause, which is jittered. Answers of
    calls that were under way when the pause began count once. From the worst, all is forgiven within a minute.
    """

    SLOWEST = 1 / 16
    DOUBLES_IN = 10.0

    def __init__(self, clock: Clock, jitter: Jitter) -> None:
        self._clock = clock
        self._jitter = jitter
        self._pace = 1.0
        self.until = -math.inf

    def strike(self, at_least: float, unit: float) -> float:
        """Begin a pause of `unit / pace` seconds or prolong one, and return the seconds it will last."""
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
        """Return the part of the normal rate to be used, between 1/16 and 1."""
        calm = max(0.0, self._clock.monotonic() - self.until)
        return min(1.0, self._pace * 2 ** min(calm / self.DOUBLES_IN, 64.0))


class TokenBucket:
    """At most `burst + rate * t` turns in any t seconds; `rate` is per second. Starts empty.

    A crash loop must not spend the burst again with each start.
    """

    def __init__(self, clock: Clock, rate: float, burst: float, *, jitter: Jitter = random.random) -> None:
        self._clock = clock
        self._rate, self._burst = _checked(rate, burst)
        self._tokens = 0.0
        self._updated = clock.monotonic()
        self._penalty = Penalty(clock, jitter)
        self._pace = 1.0
        self._gate = LaneGate(clock, self)

    async def acquire(self, lane: Lane) -> None:
        """Wait for a turn; cancelling the wait costs nothing."""
        await self._gate.enter(lane)

    def set_rate(self, rate: float, burst: float | None = None) -> None:
        """Change the limit from now on; whoever waits is served by the new one."""
        self._refill()
        self._rate, self._burst = _checked(rate, self._burst if burst is None else burst)
        self._tokens = min(self._tokens, self._burst)
        self._gate.look_again()

    def pause(self, seconds: float = 0.0) -> float:
        """Answer a 429: drain the bucket and hold everybody back for this long, or longer; return how long."""
        self._refill()
        self._tokens = min(self._tokens, 0.0)
        return self._penalty.strike(seconds, max(1.0, 1 / self._rate))

    def level(self) -> float:
        """Return how many calls could go at once."""
        self._refill()
        return max(0.0, self._tokens)

    def close(self) -> None:
        """Give no more turns: whoever waits, or comes, gets Transient."""
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
        if missing < 1e-6:  # a timer may ring early by a rounding error; what is lent here is paid back by the next
            missing = 0.0
        return self._penalty.left() + missing / (self._rate * self._pace)

    def _refill(self) -> None:
        now = self._clock.monotonic()
        earning = now - max(self._updated, self._penalty.until)
        if earning > 0:
            self._tokens = min(self._burst, self._tokens + earning * self._rate * self._pace)
        self._updated = now
        self._pace = self._penalty.pace()


class AmazonLimits:
    """One bucket per SP-API operation, kept by `x-amzn-RateLimit-Limit` and by 429s.

    Amazon counts arrivals, we count departures. Were our bucket as large as Amazon's, a full burst whose calls arrive
    closer together than they left, by J seconds, would break the limit by `rate * J`. So that much is kept back from
    the burst, for J of half a second. The rate is taken half a percent low for clocks that differ. Calls that left a
    bucket which started empty then never exceed Amazon's, wherever its own windows begin.
    """

    ARRIVAL_JITTER = 0.5
    RATE_MARGIN = 0.995
    FULFILLMENT = (
        "createFulfillmentReturn",
        "getFulfillmentOrder",
        "listAllFulfillmentOrders",
        "listReturnReasonCodes",
        "getPackageTrackingDetails",
    )
    SHIPPING = (
        "getRates",
        "purchaseShipment",
        "getShipmentDocuments",
        "cancelShipment",
        "getTracking",
        "getCarrierAccountFormInputs",
    )

    def __init__(
        self, clock: Clock, limits: Mapping[str, tuple[float, float]], *, jitter: Jitter = random.random
    ) -> None:
        """Take (rate per second, burst) of the operations for which it is not the published one."""
        self.clock = clock
        published = dict.fromkeys(self.FULFILLMENT, (2.0, 30.0)) | dict.fromkeys(self.SHIPPING, (80.0, 100.0))
        self._limits = published | dict(limits)
        # Made now, not at the first call: they fill while nobody needs them.
        self._buckets = {
            operation: TokenBucket(clock, *self._within(*limit), jitter=jitter)
            for operation, limit in self._limits.items()
        }

    async def acquire(self, operation: str, lane: Lane) -> None:
        """Wait for a turn."""
        await self._buckets[operation].acquire(lane)

    def observe(self, operation: str, headers: Mapping[str, str]) -> None:
        """Take over the rate that Amazon says it applies, lower or higher; what cannot be one is ignored."""
        rate = _positive(headers.get("x-amzn-RateLimit-Limit"))
        if rate is not None:
            self._buckets[operation].set_rate(*self._within(rate, self._limits[operation][1]))

    def throttled(self, operation: str, retry_after: float | None) -> None:
        """Hold back all callers of the operation after a 429."""
        self._buckets[operation].pause(retry_after or 0.0)

    def close(self) -> None:
        """Give no more turns: whoever waits, or comes, gets Transient."""
        for bucket in self._buckets.values():
            bucket.close()

    def levels(self) -> dict[str, float]:
        """Return how many calls of each operation could go at once."""
        return {operation: bucket.level() for operation, bucket in self._buckets.items()}

    def _within(self, rate: float, burst: float) -> tuple[float, float]:
        return rate * self.RATE_MARGIN, max(1.0, burst - rate * self.ARRIVAL_JITTER)


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
        """Wait for a turn; cancelling the wait costs nothing."""
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
        return self._penalty.strike(retry_after or 0.0, 1.0)

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


def _checked(rate: float, burst: float) -> tuple[float, float]:
    if not (0 < rate < math.inf and 1 <= burst < math.inf):
        raise ValueError(f"a bucket needs a positive rate and a burst of at least 1, not {rate} and {burst}")
    return rate, burst


def _positive(value: str | None) -> float | None:
    """Read a rate between one call in a quarter of an hour and 1000 a second; anything else is not one."""
    try:
        rate = float(value or "")
    except ValueError:
        return None
    return rate if 0.001 <= rate <= 1000 else None
