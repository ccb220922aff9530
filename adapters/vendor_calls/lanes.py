"""The queue before a rate limit: lanes, one timer, no background task.

One of the waiting callers, the leader, does the timed wait. When a call may go it lets go whoever is first by the
rules, itself or another, and a leader that leaves (served or cancelled) wakes its successor. So nothing polls, and each
call wakes at most two callers however many thousands wait. A cancelled caller steps out of its queue; a turn that it
had already been given goes to the next.
"""

import asyncio
from collections import OrderedDict
from typing import Protocol

from daemon.errors import Transient
from daemon.ports.host import Clock
from daemon.ports.vendors import Lane

LANES = tuple(Lane)


class Limit(Protocol):
    """What the gate stands before."""

    def delay(self, lane: Lane) -> float:
        """Return the seconds until a call of that lane may go; 0 or less: now."""

    async def take(self, lane: Lane) -> None:
        """Count a call that goes now; never waits."""

    def give_back(self, lane: Lane) -> None:
        """Take back the call counted last: its caller was cancelled."""


class _Waiter:
    __slots__ = ("granted", "lane", "woken")

    def __init__(self, lane: Lane) -> None:
        self.lane = lane
        self.granted = False
        self.woken = asyncio.Event()


class LaneGate:
    """First come, first served within a lane; the lanes in their order, but every tenth call is of a lane further down.

    A lane may have to wait longer than others: those before it go on, nobody from behind overtakes it.
    """

    IN_A_ROW = 9

    def __init__(self, clock: Clock, limit: Limit) -> None:
        self._clock = clock
        self._limit = limit
        self._lanes: dict[Lane, OrderedDict[_Waiter, None]] = {lane: OrderedDict() for lane in LANES}
        self._in_a_row = dict.fromkeys(LANES, 0)
        self._leader: _Waiter | None = None
        self._changed = asyncio.Event()
        self.closed = False

    def close(self) -> None:
        """Let nobody through any more: whoever waits, or comes, gets Transient."""
        self.closed = True
        self.look_again()
        for lane in self._lanes.values():
            for waiter in lane:
                waiter.woken.set()

    def look_again(self) -> None:
        """Hear that the limit has changed."""
        self._changed.set()

    async def enter(self, lane: Lane) -> None:
        """Return when it is this caller's turn. Raises Transient once the gate is closed."""
        self._check_open()
        if self._leader is None and self._limit.delay(lane) <= 0:
            await self._limit.take(lane)
            return
        waiter = _Waiter(lane)
        self._lanes[lane][waiter] = None
        if self._leader is None:
            self._leader = waiter
        elif len(self._lanes[lane]) == 1:  # of a lane that the leader has not reckoned with
            self.look_again()
        try:
            while not waiter.granted:
                self._check_open()
                await (self._lead() if waiter is self._leader else waiter.woken.wait())
        except BaseException:
            self._leave(waiter)
            raise
        finally:
            if waiter is self._leader:
                self._leader = self._successor()

    def _check_open(self) -> None:
        if self.closed:
            raise Transient("the daemon stops and makes no more calls")

    async def _lead(self) -> None:
        """Let one caller go, as soon as one may."""
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
        """The lane whose turn it is; then, should it have to wait, those before it."""
        waiting = [lane for lane, waiters in self._lanes.items() if waiters]
        turn = next((lane for lane in waiting[:-1] if self._in_a_row[lane] < self.IN_A_ROW), waiting[-1])
        return [turn, *waiting[: waiting.index(turn)]]

    def _grant(self, lane: Lane) -> None:
        place = LANES.index(lane)
        self._in_a_row.update(dict.fromkeys(LANES[:place], 0))
        contested = any(self._lanes[lower] for lower in LANES[place + 1 :])
        self._in_a_row[lane] = self._in_a_row[lane] + 1 if contested else 0
        waiter, _ = self._lanes[lane].popitem(last=False)
        waiter.granted = True
        waiter.woken.set()

    def _leave(self, waiter: _Waiter) -> None:
        if waiter.granted:
            self._limit.give_back(waiter.lane)
        else:
            del self._lanes[waiter.lane][waiter]
        self.look_again()

    def _successor(self) -> _Waiter | None:
        first = next((next(iter(lane)) for lane in self._lanes.values() if lane), None)
        if first is not None:
            first.woken.set()
        return first
