"""The queue before a rate limit: two lanes, one timer, no background task.

One of the waiting callers, the leader, does the timed wait for the next permit. When it has one it gives it to whoever
is first by the rules, itself or another, and a leader that leaves (served or cancelled) wakes its successor. So nothing
polls, and each permit wakes at most two callers however many thousands wait. A cancelled caller steps out of its queue;
a permit that it had already been given goes back for the next.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable

from daemon.errors import Transient
from daemon.ports import Lane


class _Waiter:
    __slots__ = ("granted", "woken")

    def __init__(self) -> None:
        self.granted = False
        self.woken = asyncio.Event()


class LaneGate:
    """First come, first served within a lane; SHOPPER first, but while both wait every tenth permit is BACKGROUND's.

    `permit` returns once one call may go, and has counted it; one caller at a time awaits it, and cancelling it must
    count nothing. `give_back` takes back a permit whose caller was cancelled, and wakes whoever awaits `permit`.
    """

    SHOPPERS_IN_A_ROW = 9

    def __init__(self, permit: Callable[[], Awaitable[None]], give_back: Callable[[], None]) -> None:
        self._permit = permit
        self._give_back = give_back
        self._lanes: dict[Lane, OrderedDict[_Waiter, None]] = {lane: OrderedDict() for lane in Lane}
        self._leader: _Waiter | None = None
        self._in_a_row = 0
        self.closed = False

    def close(self) -> None:
        """Let nobody through any more. The owner wakes whoever awaits `permit`, which must then return at once."""
        self.closed = True
        for lane in self._lanes.values():
            for waiter in lane:
                waiter.woken.set()

    async def enter(self, lane: Lane) -> None:
        """Return when it is this caller's turn. Raises Transient once the gate is closed."""
        waiter = _Waiter()
        self._lanes[lane][waiter] = None
        self._leader = self._leader or waiter
        try:
            while not waiter.granted:
                self._check_open()
                if waiter is self._leader:
                    await self._permit()
                    if not self.closed:
                        self._grant()
                else:
                    await waiter.woken.wait()
        except BaseException:
            if waiter.granted:
                self._give_back()
            else:
                del self._lanes[lane][waiter]
            raise
        finally:
            if waiter is self._leader:
                self._leader = self._first()
                if self._leader:
                    self._leader.woken.set()

    def _check_open(self) -> None:
        if self.closed:
            raise Transient("the daemon stops and makes no more calls")

    def _grant(self) -> None:
        lane = self._next_lane()
        contested = all(self._lanes.values())
        self._in_a_row = self._in_a_row + 1 if contested and lane is Lane.SHOPPER else 0
        waiter, _ = self._lanes[lane].popitem(last=False)
        waiter.granted = True
        waiter.woken.set()

    def _next_lane(self) -> Lane:
        if not self._lanes[Lane.SHOPPER]:
            return Lane.BACKGROUND
        its_turn = self._in_a_row >= self.SHOPPERS_IN_A_ROW and self._lanes[Lane.BACKGROUND]
        return Lane.BACKGROUND if its_turn else Lane.SHOPPER

    def _first(self) -> _Waiter | None:
        return next(iter(self._lanes[self._next_lane()]), None)
