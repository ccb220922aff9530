"""Loop's limit: a number of calls in any minute, for each API key."""

import math
import random
from bisect import bisect
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from itertools import takewhile
from types import MappingProxyType

from asyncio_throttle import throttler

from adapters.vendor_calls.lanes import LaneGate
from adapters.vendor_calls.token_bucket import Jitter, Penalty
from daemon.ports.host import Clock
from daemon.ports.vendors import Lane


class LoopLimits:
    """Loop's limit per API key: a number of calls in any minute, whoever makes them.

    asyncio-throttle keeps the log of the last minute. It would wait by polling, so we only ask its log when the next
    slot opens. Its period is half a second longer than the minute, because calls may arrive closer together than they
    left.

    If a crowd of new label requests were read at once, the reads would use up the minute, and no label could be
    delivered before the next one. So reads leave room for the label calls that earlier reads will lead to (see
    `_awaited`). The slots left over are spread over the time until the minute has room again, so that an unexpected
    label still finds one. So is the last tenth for calls that no shopper waits for. As we do not know how many calls
    the previous process made, only FIRST calls go out before Loop's first answer, or for 10 s.

    After a 429 everybody pauses for a moment. Then a few calls try, labels first, and the rest follow slowly until the
    pace is normal again.
    """

    PERIOD = 60.5
    BELIEVED = 10.0
    FIRST = 20
    PAUSE = 0.25
    PROBES = 10
    LAST = 1 / 10

    def __init__(
        self,
        clock: Clock,
        per_minute: int = 300,
        *,
        jitter: Jitter = random.random,
        on_pause: Callable[[], None] = lambda: None,
    ) -> None:
        self._clock = clock
        self._per_minute = per_minute
        self._window = _Window(clock, min(self.FIRST, per_minute), period=self.PERIOD)
        self._expected = _Expected(clock, per_minute)
        self._on_pause = on_pause
        self._probes = 0
        self._taken_at = -math.inf
        self._background_at = 0.0
        self._answered = False
        self._believed_until = clock.monotonic() + self.BELIEVED
        self._penalty = Penalty(clock, jitter)
        self._gate = LaneGate(clock, self)

    async def acquire(self, lane: Lane) -> None:
        """Wait for a turn; cancelling the wait costs nothing. Raises RateLimited during a long pause."""
        await self._gate.enter(lane)

    def used(self) -> int:
        """Return how many calls of ours are in the minute."""
        return self._window.used()

    def observe(self, headers: Mapping[str, str], used: int | None = None) -> None:
        """Leave room for other users of the key, when Loop reports fewer remaining calls than we count.

        `used` calls of ours were in the minute when the answered one was sent: Loop need not know of later ones. The
        difference is assumed for 10 s; then one call goes out to ask again.
        """
        value = headers.get("x-ratelimit-remaining", "")
        if value.isascii() and value.isdigit() and len(value) <= 9:
            self._leave_room(self._per_minute - (self.used() if used is None else used) - int(value))
        elif not self._answered:
            self._leave_room(0)
        self._answered = True

    def begin_anew(self) -> None:
        """Be as careful as at the start: another process made this key's calls until now."""
        self._answered = False
        self._leave_room(self._per_minute - self.FIRST)

    def throttled(self, retry_after: float | None) -> float:
        """Hold back all callers after a 429; return for how long."""
        paused_for = self._penalty.strike(retry_after or 0.0, self.PAUSE)
        self._probes = 0
        self._gate.paused()
        self._on_pause()
        return paused_for

    def pause_left(self) -> float:
        """Return the seconds left of the pause."""
        return self._penalty.left()

    def level(self) -> float:
        """Return how many calls could go right now."""
        return max(0.0, float(self._window.rate_limit - self._window.used()))

    def close(self) -> None:
        """Give no more turns: every waiting and later caller gets Transient."""
        self._gate.close()

    async def take(self, lane: Lane) -> None:
        """Log a call."""
        await self._window.acquire()  # type: ignore[no-untyped-call]
        self._expected.taken(lane)
        self._probes += 1
        self._taken_at = self._clock.monotonic()
        if lane is Lane.BACKGROUND:
            self._background_at = self._taken_at

    def give_back(self, lane: Lane) -> None:
        """Remove the last call from the log."""
        self._window.forget_last()
        self._expected.forget_last(lane)

    def delay(self, lane: Lane) -> float:
        """Return the seconds until the minute has room for a call."""
        now = self._clock.monotonic()
        others = self._per_minute - int(self._window.rate_limit)
        if others and now >= self._believed_until:
            self._leave_room(min(others, self._per_minute - self._window.used() - 1) if self._answered else 0)
        opens_in = self._window.opens_at() - now
        if others:
            opens_in = min(opens_in, self._believed_until - now)
        if lane is not Lane.SHOPPER:
            free = int(self._window.rate_limit) - self._window.used()
            if lane is Lane.OPENING:
                opens_in = max(opens_in, self._expected.delay(free, self._window.frees()))
            elif free <= self.LAST * self._window.rate_limit:
                opens_in = max(opens_in, _spread(self._background_at, self._window.frees_at(), free) - now)
        return max(self._penalty.left(), self._slowly(now), opens_in)

    def _slowly(self, now: float) -> float:
        """Return the seconds to hold a call back because of a recent 429."""
        pace = self._penalty.pace()
        if pace >= 1 or self._probes < self.PROBES:
            return 0.0
        return self._taken_at + self.PERIOD / (self._per_minute * pace) - now

    def _leave_room(self, others: int) -> None:
        self._window.rate_limit = max(1, self._per_minute - max(0, others))
        self._believed_until = self._clock.monotonic() + self.BELIEVED
        self._gate.look_again()


class _Expected:
    """Estimates how many label calls the label requests read in the last minute will still lead to.

    A label takes two reads and then up to three label calls. Fresh reads are expected to lead to labels as often as
    the older reads of the minute did; without enough older ones, all are expected to. While labels keep coming, the
    rate of the last moments is expected to continue, up to the number still possible. Those calls will need their slots
    within SOON seconds, so slots that become free before then need not be kept for them.
    """

    SHARE = 2 / 5
    CALLS = 1.5
    FRESH = 10.0
    OLD = 30.0
    MOMENTS = 5.0
    ONGOING = 4
    KNOWN = 20
    SOON = 30.0
    AGAIN = 1.0
    _CHANGES: Mapping[Lane, float] = MappingProxyType({Lane.OPENING: CALLS, Lane.SHOPPER: -1.0, Lane.BACKGROUND: 0.0})
    """How a call of each lane changes the number of label calls still possible."""

    def __init__(self, clock: Clock, per_minute: int) -> None:
        self._clock = clock
        self._share = max(1, int(per_minute * self.SHARE))
        self._readings: deque[float] = deque()
        self._labels: deque[float] = deque()
        self._possible = 0.0

    def taken(self, lane: Lane) -> None:
        """Note a call."""
        if lane is not Lane.BACKGROUND:
            self._of(lane).append(self._clock.monotonic())
        self._possible = max(0.0, self._possible + self._CHANGES[lane])

    def forget_last(self, lane: Lane) -> None:
        """Forget the last call of that lane, which was not made after all."""
        if lane is not Lane.BACKGROUND and self._of(lane):
            self._of(lane).pop()
        self._possible = max(0.0, self._possible - self._CHANGES[lane])

    def delay(self, free: int, frees: Sequence[float]) -> float:
        """Return the seconds until a read may go, given the `free` slots and the times when others become free."""
        now = self._forget_old()
        if len(self._readings) < self._share:
            return 0.0
        next_free = max(now, frees[0]) if frees else now
        spare = free - self._kept(now, frees)
        if spare < 1:
            return min(self.AGAIN, max(0.01, next_free - now))
        return _spread(self._readings[-1], next_free, spare) - now

    def _kept(self, now: float, frees: Sequence[float]) -> float:
        """How many slots to keep for the expected label calls until enough others become free."""
        awaited = self._awaited(now)
        return max(awaited * part - bisect(frees, now + self.SOON * part) for part in (0.0, 0.05, 0.1, 0.25, 0.5, 1.0))

    def _awaited(self, now: float) -> float:
        labels = len(self._labels)
        old = len(self._readings) - _since(self._readings, now - self.OLD)
        if old < self.KNOWN:
            expected = self.CALLS * _since(self._readings, now - self.OLD)
        else:
            expected = min(self.CALLS, labels / old) * _since(self._readings, now - self.FRESH)
        expected = max(expected, self.ONGOING * _since(self._labels, now - self.MOMENTS))
        self._possible = min(self._possible, self.CALLS * len(self._readings))
        return min(self._possible, expected)

    def _of(self, lane: Lane) -> "deque[float]":
        return self._readings if lane is Lane.OPENING else self._labels

    def _forget_old(self) -> float:
        now = self._clock.monotonic()
        for log in (self._readings, self._labels):
            while log and log[0] <= now - LoopLimits.PERIOD:
                log.popleft()
        return now


def _since(log: "deque[float]", begin: float) -> int:
    return sum(1 for _ in takewhile(lambda at: at > begin, reversed(log)))


def _spread(last: float, next_free: float, slots: float) -> float:
    """When the next call goes if these slots are spread from the last call until another slot becomes free."""
    return last + max(0.0, next_free - last) / (slots + 1)


class _Window(throttler.Throttler):
    """The log, with its times by our clock: asyncio-throttle's does not count the time in which a machine slept."""

    def __init__(self, clock: Clock, rate_limit: int, period: float) -> None:
        super().__init__(rate_limit, period)
        self._clock = clock

    def used(self) -> int:
        self.flush()  # type: ignore[no-untyped-call]
        return len(self._task_logs)

    def opens_at(self) -> float:
        surplus = self.used() - int(self.rate_limit)
        return float(self._task_logs[surplus]) + self._ahead() if surplus >= 0 else -math.inf

    def frees_at(self) -> float:
        """When the oldest call in the log leaves the window."""
        return float(self._task_logs[0]) + self._ahead() if self.used() else -math.inf

    def frees(self) -> list[float]:
        """When each call in the log leaves the window, oldest first."""
        self.used()
        ahead = self._ahead()
        return [float(at) + ahead for at in self._task_logs]

    def forget_last(self) -> None:
        if self._task_logs:
            self._task_logs.pop()

    def _ahead(self) -> float:
        """From a time in the log to when that call leaves the window, by our clock."""
        behind = self._clock.monotonic() - throttler.time.monotonic()  # type: ignore[attr-defined]
        return float(self.period + behind)
