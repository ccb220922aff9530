"""The queue in front of a rate limit: lanes, one timer, no background task.

One of the waiting callers, the leader, waits for the time of the next call. Then it releases the caller whose turn it
is, which may be itself. A leader that leaves (served or cancelled) wakes its successor. So nothing polls, and each
call wakes at most two callers, even if thousands wait. A cancelled caller leaves its queue; if it already had a turn,
the next caller gets it.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Iterator
from itertools import chain, pairwise
from typing import Protocol

from daemon.errors import McfdError, RateLimited, Transient
from daemon.ports.host import Clock
from daemon.ports.vendors import ON_BEHALF_OF, URGENCY, Lane

LANES = tuple(Lane)
LONGEST_PAUSE = 30.0
"""The longest pause, in seconds, that callers wait out here. A longer one raises, so that the caller can plan."""


class Limit(Protocol):
    """The rate limit behind the gate."""

    def delay(self, lane: Lane) -> float:
        """Return the seconds until a call of that lane may go; 0 or less means now."""

    async def take(self, lane: Lane) -> None:
        """Count a call that goes now, without waiting."""

    def give_back(self, lane: Lane) -> None:
        """Uncount the last call, because its caller was cancelled."""

    def pause_left(self) -> float:
        """Return the seconds left of the pause that the vendor demands, or 0."""


class _Waiter:
    __slots__ = ("error", "granted", "lane", "shop", "urgency", "woken")

    def __init__(self, lane: Lane) -> None:
        self.lane = lane
        self.shop = ON_BEHALF_OF.get()
        self.urgency = URGENCY.get()
        self.granted = False
        self.error: McfdError | None = None
        self.woken = asyncio.Event()

    def check(self) -> None:
        if self.error is not None:
            raise self.error

    def turn_away(self, error: McfdError) -> None:
        self.error = error
        self.woken.set()


class _Line:
    """The callers waiting in a lane: shops take turns; within a shop the most urgent goes, of equals the first."""

    def __init__(self) -> None:
        self._shops: OrderedDict[str, OrderedDict[_Waiter, None]] = OrderedDict()

    def __len__(self) -> int:
        return sum(map(len, self._shops.values()))

    def __bool__(self) -> bool:
        return bool(self._shops)

    def __iter__(self) -> Iterator[_Waiter]:
        return chain.from_iterable(self._shops.values())

    def join(self, waiter: _Waiter) -> None:
        self._shops.setdefault(waiter.shop, OrderedDict())[waiter] = None

    def next(self) -> _Waiter:
        shop, waiters = self._shops.popitem(last=False)
        waiter = max(waiters, key=lambda waiter: waiter.urgency())
        del waiters[waiter]
        if waiters:
            self._shops[shop] = waiters
        return waiter

    def leave(self, waiter: _Waiter) -> None:
        waiters = self._shops[waiter.shop]
        del waiters[waiter]
        if not waiters:
            del self._shops[waiter.shop]


class LaneGate:
    """Serves the lanes in order. After nine calls of one lane, the next goes to a lower lane; shops take turns.

    When the limit makes one lane wait, higher lanes go on, but no lower lane overtakes it. Nobody waits out a long
    pause here. With `even`, SHOPPER and OPENING take turns.
    """

    IN_A_ROW = 9

    def __init__(self, clock: Clock, limit: Limit, *, even: bool = False) -> None:
        self._clock = clock
        self._limit = limit
        self._even = even
        self._lanes: dict[Lane, _Line] = {lane: _Line() for lane in LANES}
        self._in_a_row = dict.fromkeys(LANES, 0)
        self._leader: _Waiter | None = None
        self._changed = asyncio.Event()
        self.closed = False

    def close(self) -> None:
        """Let nobody through any more: every waiting and later caller gets Transient."""
        self.closed = True
        self._turn_away_all()

    def look_again(self) -> None:
        """Recompute the wait, because the limit has changed."""
        self._changed.set()

    def paused(self) -> None:
        """React to a pause that the vendor demands: if it is long, every waiting caller gets RateLimited."""
        if self._limit.pause_left() > LONGEST_PAUSE:
            self._turn_away_all()

    def _turn_away_all(self) -> None:
        error = self._closed_to_all()
        for waiter in [waiter for lane in self._lanes.values() for waiter in lane]:
            if error is not None:
                waiter.turn_away(error)
        self.look_again()

    def _closed_to_all(self) -> McfdError | None:
        if self.closed:
            return Transient("the daemon stops and makes no more calls")
        left = self._limit.pause_left()
        if left > LONGEST_PAUSE:
            return RateLimited(f"the vendor wants no calls for another {left:.0f} s", retry_after=left)
        return None

    async def enter(self, lane: Lane) -> None:
        """Return when it is this caller's turn.

        Raises Transient once the gate is closed, and RateLimited while the vendor wants a long pause.
        """
        if (error := self._closed_to_all()) is not None:
            raise error
        if self._leader is None and self._limit.delay(lane) <= 0:
            await self._limit.take(lane)
            return
        waiter = _Waiter(lane)
        first = not self._lanes[lane]
        self._lanes[lane].join(waiter)
        if self._leader is None:
            self._leader = waiter
        elif first:  # the first of a lane that the leader did not know to be waiting
            self.look_again()
        try:
            while not waiter.granted:
                waiter.check()
                await (self._lead() if waiter is self._leader else waiter.woken.wait())
        except BaseException:
            self._leave(waiter)
            raise
        finally:
            if waiter is self._leader:
                self._leader = self._successor()

    async def _lead(self) -> None:
        """Release one caller as soon as the limit allows."""
        lanes = self._next_lanes()
        delays = [self._limit.delay(lane) for lane in lanes]
        lane = next((lane for lane, delay in zip(lanes, delays, strict=True) if delay <= 0), None)
        if lane is None:
            self._changed.clear()
            await self._clock.wait(self._changed, min(delays))
        else:
            await self._limit.take(lane)
            self._grant(lane)

    def _next_lanes(self) -> list[Lane]:
        """The lane whose turn it is, then the higher lanes, in case that one has to wait."""
        waiting = [lane for lane, waiters in self._lanes.items() if waiters]
        contested = pairwise(waiting)
        turn = next((lane for lane, behind in contested if self._in_a_row[lane] < self._most(behind)), waiting[-1])
        return [turn, *waiting[: waiting.index(turn)]]

    def _most(self, behind: Lane) -> int:
        """How many calls of a lane may go in a row while the other lane waits."""
        return 1 if self._even and behind is Lane.OPENING else self.IN_A_ROW

    def _grant(self, lane: Lane) -> None:
        place = LANES.index(lane)
        self._in_a_row.update(dict.fromkeys(LANES[:place], 0))
        contested = any(self._lanes[lower] for lower in LANES[place + 1 :])
        self._in_a_row[lane] = self._in_a_row[lane] + 1 if contested else 0
        waiter = self._lanes[lane].next()
        waiter.granted = True
        waiter.woken.set()

    def _leave(self, waiter: _Waiter) -> None:
        if waiter.granted:
            self._limit.give_back(waiter.lane)
        else:
            self._lanes[waiter.lane].leave(waiter)
        self.look_again()

    def _successor(self) -> _Waiter | None:
        first = next((next(iter(lane)) for lane in self._lanes.values() if lane), None)
        if first is not None:
            first.woken.set()
        return first
