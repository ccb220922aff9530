"""Whether the machine's clock can be believed, by what the vendors' answers say and by the clock that never jumps.

A machine boots with a wrong clock, a virtual machine wakes up days later, somebody sets the date: whatever is decided
then by "so long ago" cannot be taken back, so it is not decided.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from math import inf

import structlog

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
"""Whose clock counts for what is asked of the portal."""

TOLERANCE = 300.0
"""Seconds by which our clock and a vendor's may differ."""

STEP = 60.0
"""Seconds of change that are a step, and no second rounded away or an answer that was long on its way."""


class ClockCheck:
    """Remembers each vendor's time by the steady clock, so that a step of ours, forward or back, shows at once.

    `news` is set by the first answer of a vendor, and by the first one after a step of our clock or of theirs.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.news = asyncio.Event()
        self._began = self._offset = clock.now() - clock.monotonic()
        self._vendors: dict[str, float] = {}

    def heard(self, vendor: str, at: float) -> None:
        """A vendor's answer bears that date (Unix seconds)."""
        before, theirs = self._vendors.get(vendor, -inf), at - self._clock.monotonic()
        ours = self._clock.now() - self._clock.monotonic()
        if abs(theirs - before) > STEP or abs(ours - self._offset) > STEP:
            self.news.set()
        self._vendors[vendor], self._offset = theirs, ours

    def ahead(self) -> dict[str, float]:
        """By how many seconds our clock is ahead of each vendor's."""
        ours = self._clock.now() - self._clock.monotonic()
        return {vendor: ours - theirs for vendor, theirs in self._vendors.items()}

    def vendor_now(self, vendor: str) -> float:
        """The hour as that vendor tells it; ours, while it has told none."""
        theirs = self._vendors.get(vendor)
        return self._clock.now() if theirs is None else theirs + self._clock.monotonic()

    def problem(self) -> str:
        """Why no clock may decide now; empty when one may."""
        ahead = self.ahead() or {"itself when mcfd started": self._clock.now() - self._clock.monotonic() - self._began}
        vendor, seconds = max(ahead.items(), key=lambda item: abs(item[1]))
        if abs(seconds) <= TOLERANCE:
            return ""
        how = "ahead of" if seconds > 0 else "behind"
        return f"this machine's clock is {abs(seconds) / 60:.0f} minutes {how} {vendor}: set it right (NTP)"

    @property
    def trusted(self) -> bool:
        """Whether the machine's clock may decide."""
        return not self.problem()


class ClockKeeper:
    """Tells people of a clock that is wrong, and puts right what was noted under one when it is right again."""

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
        """Warn, once for each trouble; once the vendors confirm our clock, bring back what lies far in the future."""
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
    """Label requests that were heard while our clock was ahead are due later than they should: all are tried now."""
    later = uow.due_after(tuple(LABEL_STATES), now, AT_ONCE)
    stored = [uow.get(shop, return_id) for _, shop, return_id in later]
    return [uow.defer(replace(ret, due_at=now)) for ret in stored if ret is not None]
