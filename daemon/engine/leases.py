"""A node's part among several: says that it lives, claims accounts, renews their leases, and lets them go."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import suppress
from math import inf

import structlog

from daemon.domain.leases import Standing, to_claim, to_leave
from daemon.errors import LeaseLost, McfdError, StoreUnavailable
from daemon.ports.host import Clock
from daemon.ports.leases import Holdings, Lease, LeaseBook

log = structlog.get_logger(__name__)

LOOK_EVERY = 1.0
"""Seconds between two looks at the database, if nobody says sooner that something has changed."""

RENEWALS = 3
"""Renewals within the time of a lease."""

MARGIN = 0.1
"""The part of a lease at whose end this node does not count on it any more."""

REPEATED_AFTER = 90.0
"""Seconds after an account was taken from a node that had not handed it over, in which its last calls may still arrive.
"""

ONE_LEAVES_EVERY = 30.0
DRAINED_EVERY = 0.05

Gained = Callable[[Lease], Awaitable[None]]


def under_lease(
    holdings: Holdings, account: str, work: Callable[[], Awaitable[object]], *, sends: bool = False
) -> Callable[[], Awaitable[None]]:
    """The same work, done only while this node works the account. What only reads is left behind at a hand-over."""

    async def leased() -> None:
        lease = holdings.of(account)
        if lease is not None:
            with suppress(LeaseLost), lease.working() if sends else lease.reading():
                await work()

    return leased


def when_won(holdings: Holdings, account: str) -> asyncio.Event:
    """An event that is set when this node has won the account."""
    won = asyncio.Event()
    holdings.tell(lambda name: won.set() if name == account else None)
    return won


class NodeLeases:
    """Implements Holdings. `gained` is called before the work on an account begins, and again if it fails.

    `changed` is called at first, and when somebody has changed what all nodes keep in memory.
    """

    def __init__(
        self,
        book: LeaseBook,
        clock: Clock,
        *,
        node: str,
        accounts: Sequence[str],
        seconds: float,
        new_token: Callable[[], str],
        gained: Gained,
        changed: Callable[[], Awaitable[None]],
        heard: Callable[[float, float], None],  # the database's time, and when it was asked for
        grace: float,
    ) -> None:
        self.sooner = asyncio.Event()
        self.standing: Standing | None = None
        self._book = book
        self._clock = clock
        self.node = node
        self._accounts = accounts
        self._seconds = seconds
        self._new_token = new_token
        self._gained = gained
        self._changed = changed
        self._heard = heard
        self._grace = grace
        self._held: dict[str, Lease] = {}
        self._new: dict[str, Lease] = {}
        self._leaving: dict[str, Lease] = {}
        self._listeners: list[Callable[[str], None]] = []
        self._renewed_at = self._left_at = -inf
        self._trouble = ""
        self._kept = ""

    def of(self, account: str) -> Lease | None:
        """The account's lease while it stands, and new work may begin under it."""
        lease = self._held.get(account)
        return lease if lease is not None and lease.stands else None

    def tell(self, changed: Callable[[str], None]) -> None:
        """Call `changed` with each account that this node has won or lost."""
        self._listeners.append(changed)

    @property
    def working(self) -> tuple[str, ...]:
        """The accounts that this node works."""
        return tuple(sorted(name for name in self._held if self.of(name) is not None))

    # ---- the service

    async def run(self, stop: asyncio.Event) -> None:
        """Hold what should be held until `stop` is set, then hand over each account as its work ends."""
        watching = asyncio.create_task(self._hear(stop))
        try:
            while not stop.is_set():
                self.sooner.clear()
                await self._round()
                await self._clock.wait(self.sooner, LOOK_EVERY)
        finally:
            watching.cancel()
            await asyncio.wait([watching])
        await self._hand_everything_over()

    async def _hear(self, stop: asyncio.Event) -> None:
        await self._clock.wait(stop, None)
        self.sooner.set()

    async def _round(self) -> None:
        try:
            await self._look()
            await self._beat()
            await self._let_go()
            await self._take_over_what_is_kept()
            await self._begin_work()
        except McfdError as error:  # the leases end by themselves
            self._tell_trouble(str(error))
        else:
            self._tell_trouble("")

    async def _look(self) -> None:
        asked = self._clock.monotonic()
        self.standing = standing = await self._book.look()
        self._heard(standing.now, asked)

    async def _beat(self) -> None:
        """Renew and claim in one transaction, if it is time to or there is something to claim."""
        mine = self._mine()
        standing = self.standing
        wanted = to_claim(standing, self.node, self._accounts, mine) if standing is not None else []
        if not wanted and not self._renewal_due():
            return
        ends_at = self._renewing()
        tokens = {name: self._new_token() for name in wanted}
        beat = await self._book.beat(self.node, self._seconds, _tokens(mine), tokens)
        self._renewed(mine, beat.kept, ends_at)
        for name, handed_over in beat.won.items():
            repeats_from = beat.now + (0.0 if handed_over else REPEATED_AFTER)
            self._new[name] = Lease(name, tokens[name], self._clock.monotonic, ends_at, repeats_from)
            log.info("lease.won", account=name, handed_over=handed_over)

    def _renewal_due(self) -> bool:
        return self._clock.monotonic() >= self._renewed_at + self._seconds / RENEWALS

    def _renewing(self) -> float:
        """Note that a renewal is asked for now; returns until when this node counts on what is kept."""
        self._renewed_at = self._clock.monotonic()
        return self._renewed_at + self._seconds * (1 - MARGIN)

    def _renewed(self, mine: Mapping[str, Lease], kept: Collection[str], ends_at: float) -> None:
        for name, lease in mine.items():
            if name in kept:
                lease.ends_at = ends_at
            else:
                self._forget(name, lease)
                log.warning("lease.lost", account=name)

    def _forget(self, name: str, lease: Lease) -> None:
        lease.ends_at = self._clock.monotonic()
        for leases in (self._new, self._held, self._leaving):
            leases.pop(name, None)
        self._tell_all(name)

    async def _take_over_what_is_kept(self) -> None:
        standing = self.standing
        if standing is not None and standing.kept != self._kept:
            await self._changed()
            self._kept = standing.kept

    async def _begin_work(self) -> None:
        """Begin with all new accounts at once: one after the other, they would keep the renewal waiting."""
        begun = await asyncio.gather(*map(self._begin, list(self._new.items())), return_exceptions=True)
        for outcome in begun:
            if outcome is not None:
                raise outcome

    async def _begin(self, new: tuple[str, Lease]) -> None:
        name, lease = new
        await self._gained(lease)
        self._held[name] = self._new.pop(name)
        self._tell_all(name)

    def _tell_all(self, account: str) -> None:
        for tell in self._listeners:
            tell(account)

    def _mine(self) -> dict[str, Lease]:
        return {**self._new, **self._held, **self._leaving}

    # ---- letting go

    async def _let_go(self) -> None:
        """Let one account go at a time while there are too many, an idle one first."""
        now = self._clock.monotonic()
        if self.standing is not None and not self._leaving and now >= self._left_at + ONE_LEAVES_EVERY:
            working = {name: lease.at_work for name, lease in self._held.items()}
            name = to_leave(self.standing, self.node, self._accounts, working)
            if name is not None:
                self._left_at = now
                self._leaving[name] = self._held.pop(name)
                self._tell_all(name)
        await self._hand_over_idle()

    async def _hand_over_idle(self) -> None:
        """Hand over what is being left and has no work under way."""
        idle = {name: lease for name, lease in self._leaving.items() if not lease.at_work}
        for name, lease in idle.items():
            self._forget(name, lease)
        for clean in (True, False):
            going = {name: lease for name, lease in idle.items() if lease.broken_off is not clean}
            if going:
                await self._book.hand_over(_tokens(going), clean=clean)
                log.info("lease.handed_over", accounts=sorted(going), clean=clean)

    async def _hand_everything_over(self) -> None:
        """Hand each account over as soon as its work has ended, and renew it until then.

        What lasts too long ends with its lease.
        """
        self._leaving, self._held, self._new = self._mine(), {}, {}
        until, never = self._clock.monotonic() + self._grace, asyncio.Event()
        with suppress(StoreUnavailable):
            await self._book.leave(self.node)
            while self._leaving and self._clock.monotonic() < until:
                await self._hand_over_idle()
                await self._renew()
                await self._clock.wait(never, DRAINED_EVERY)

    async def _renew(self) -> None:
        mine = self._mine()
        if mine and self._renewal_due():
            ends_at = self._renewing()
            self._renewed(mine, await self._book.renew(self._seconds, _tokens(mine)), ends_at)

    def _tell_trouble(self, trouble: str) -> None:
        if trouble and not self._trouble:
            log.warning("lease.not_renewed", error=trouble)
        elif self._trouble and not trouble:
            log.info("lease.renewed_again")
        self._trouble = trouble


def _tokens(leases: Mapping[str, Lease]) -> dict[str, str]:
    return {name: lease.token for name, lease in leases.items()}
