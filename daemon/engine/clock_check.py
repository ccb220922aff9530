"""Checks the machine's clock against the vendors' dates and the monotonic clock.

A machine may boot with a wrong clock, a virtual machine may wake up days later, somebody may set the date. Decisions by
elapsed time could not be undone then, so they are not made.
"""

import asyncio
from collections.abc import Callable
from math import inf

import structlog

from daemon.domain.copies import replace
from daemon.domain.events.returns import ClockPutRight
from daemon.domain.lifecycle import apply
from daemon.domain.returns import Return, State
from daemon.domain.schedule import Timings, longest_wait, plan
from daemon.domain.transitions.labels import LABEL_STATES
from daemon.ports.host import Clock, Metrics
from daemon.ports.store import ReturnStore, UnitOfWork

log = structlog.get_logger(__name__)

AT_ONCE = 1000
PORTAL = "loop"
"""The vendor whose clock counts for calls to the portal."""

TOLERANCE = 300.0
"""The largest tolerated difference to a vendor's clock, in seconds."""

STEP = 60.0
"""Seconds of change that are a step, and no second rounded away or an answer that was long on its way."""


class ClockCheck:
    """Remembers each vendor's time by the monotonic clock, so that any jump of our clock shows at once.

    `news` is set by a vendor's first answer, and by the first answer after a jump of our clock or of the vendor's.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.news = asyncio.Event()
        self._began = self._offset = clock.now() - clock.monotonic()
        self._vendors: dict[str, float] = {}

    def heard(self, vendor: str, at: float) -> None:
        """Note the date of a vendor's answer (Unix seconds)."""
        before, theirs = self._vendors.get(vendor, -inf), at - self._clock.monotonic()
        ours = self._clock.now() - self._clock.monotonic()
        if abs(theirs - before) > STEP or abs(ours - self._offset) > STEP:
            self.news.set()
        self._vendors[vendor], self._offset = theirs, ours

    def ahead(self) -> dict[str, float]:
        """The seconds by which our clock is ahead of each vendor's."""
        ours = self._clock.now() - self._clock.monotonic()
        return {vendor: ours - theirs for vendor, theirs in self._vendors.items()}

    def vendor_now(self, vendor: str) -> float:
        """The time by that vendor's clock; ours until it has answered."""
        theirs = self._vendors.get(vendor)
        return self._clock.now() if theirs is None else theirs + self._clock.monotonic()

    def problem(self) -> str:
        """Why decisions by the clock must wait; empty if they need not."""
        ahead = self.ahead() or {"itself when mcfd started": self._clock.now() - self._clock.monotonic() - self._began}
        vendor, seconds = max(ahead.items(), key=lambda item: abs(item[1]))
        if abs(seconds) <= TOLERANCE:
            return ""
        how = "ahead of" if seconds > 0 else "behind"
        return f"this machine's clock is {abs(seconds) / 60:.0f} minutes {how} {vendor}: set it right (NTP)"

    @property
    def trusted(self) -> bool:
        """Whether decisions by the machine's clock are allowed."""
        return not self.problem()


class ClockKeeper:
    """Warns people of a wrong clock, and corrects stored times once the clock is right again."""

    def __init__(
        self,
        check: ClockCheck,
        store: ReturnStore,
        clock: Clock,
        timings: Timings,
        *,
        metrics: Metrics,
        wake: Callable[[], None],
    ) -> None:
        self._check = check
        self._store = store
        self._clock = clock
        self._timings = timings
        self._metrics = metrics
        self._wake = wake
        self._told = ""
        self._highest = self._offset

    @property
    def _offset(self) -> float:
        return self._clock.now() - self._clock.monotonic()

    async def round(self) -> None:
        """Warn once for each problem; when the vendors confirm our clock, correct times far in the future."""
        problem = self._check.problem()
        if problem and not self._told:
            log.warning("clock.wrong", problem=problem)
            self._metrics.trouble("clock")
        elif self._told and not problem:
            log.info("clock.right")
        self._told = problem
        self._highest = max(self._highest, self._offset)
        if problem or not self._check.ahead():
            return
        set_back, self._highest = self._highest - self._offset > TOLERANCE, self._offset
        found = await self._store.transact(self._put_right)
        if set_back:
            found += await self._store.transact(lambda uow: _hasten(uow, self._clock.now()))
        if found:
            log.warning("clock.put_right", returns=len(found))
            self._wake()

    def _put_right(self, uow: UnitOfWork) -> list[Return]:
        now = self._clock.now()
        far = uow.due_after(tuple(State), now + longest_wait(self._timings), AT_ONCE)
        stored = [uow.get(shop, return_id) for _, shop, return_id in far]
        event = ClockPutRight(at=now)
        return [
            uow.save(plan(ret, apply(ret, event), now, self._timings), event, ret.state)
            for ret in stored
            if ret is not None
        ]


def _hasten(uow: UnitOfWork, now: float) -> list[Return]:
    """Try all label requests now: those received while our clock was ahead have due times that are too late."""
    later = uow.due_after(tuple(LABEL_STATES), now, AT_ONCE)
    stored = [uow.get(shop, return_id) for _, shop, return_id in later]
    return [uow.defer(replace(ret, due_at=now)) for ret in stored if ret is not None]
