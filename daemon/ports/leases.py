"""Leases: which of several nodes on one database works an account. With a store of its own, a node needs none."""

from asyncio import CancelledError
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from math import inf
from typing import Protocol

from daemon.domain.leases import Standing
from daemon.errors import LeaseLost, TooEarly


@dataclass(slots=True, eq=False)
class Lease:
    """One acquisition of an account by this node; another acquisition is another lease, with another token.

    `ends_at` is on the monotonic clock: until then no other node can have got the account. What an earlier holder had
    begun is only read, and not repeated, before `repeats_from` (Unix seconds). `at_work` counts what runs under it and
    may send something; `broken_off` says that such work was cancelled, so what it had sent last may still arrive.
    """

    account: str
    token: str = field(repr=False)
    monotonic: Callable[[], float] = field(repr=False)
    ends_at: float
    repeats_from: float = -inf
    at_work: int = 0
    broken_off: bool = False

    @property
    def stands(self) -> bool:
        """Whether no other node can work the account yet."""
        return self.monotonic() < self.ends_at

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Do what follows in this task, and in those that it starts, under this lease. It sends nothing."""
        before = LEASE.set(self)
        try:
            yield
        finally:
            LEASE.reset(before)

    @contextmanager
    def working(self) -> Iterator[None]:
        """Do what follows under this lease, which is not handed over meanwhile."""
        self.at_work += 1
        try:
            with self.reading():
                yield
        except CancelledError:
            self.broken_off = True
            raise
        finally:
            self.at_work -= 1

    def let_out(self, what: str) -> None:
        """Raise LeaseLost if a call that changes something may not be sent, TooEarly if it may not be repeated yet."""
        if not self.stands:
            raise LeaseLost(f"{what}: not sent, this node does not work the account")
        if ONLY_LOOKING.get():
            raise TooEarly(f"{what}: not sent, another node may have just sent it")


ANY = Lease("", "", lambda: 0.0, inf)
"""Where nobody else can work the account."""

NONE = Lease("", "", lambda: 0.0, -inf)
"""What runs on every node: it may read, and write hints, and sends nothing that changes something at a vendor."""

LEASE: ContextVar[Lease] = ContextVar("lease", default=ANY)
"""The lease under which the current task works."""

ONLY_LOOKING: ContextVar[bool] = ContextVar("only_looking", default=False)
"""Whether the current task looks for what another node may have just done, and must not do it again yet."""


class Holdings(Protocol):
    """What this node holds."""

    def of(self, account: str) -> Lease | None:
        """The account's lease, or None if another node works it."""

    def tell(self, changed: Callable[[str], None]) -> None:
        """Call `changed` with each account that this node has won or lost."""


class EveryAccount:
    """Implements Holdings for a daemon that has its store for itself."""

    def of(self, account: str) -> Lease | None:  # noqa: ARG002 - all of them
        """Return the lease that needs no renewal."""
        return ANY

    def tell(self, changed: Callable[[str], None]) -> None:
        """Nothing: what is held never changes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """What the database made of a heartbeat: `kept` are accounts, `won` maps accounts to whether they were handed over.

    `now` is the database's clock, in Unix seconds.
    """

    now: float
    kept: Collection[str]
    won: Mapping[str, bool]


class LeaseBook(Protocol):
    """The leases in the database. Every method raises StoreUnavailable. Tokens are by account."""

    async def look(self) -> Standing:
        """Read who holds what, and which nodes live."""

    async def beat(self, node: str, seconds: float, held: Mapping[str, str], wanted: Mapping[str, str]) -> Beat:
        """Say that the node lives, renew what it holds, and claim of what it wants whatever is free."""

    async def renew(self, seconds: float, held: Mapping[str, str]) -> Collection[str]:
        """Renew what the node still holds, without saying that it will go on; returns the accounts kept."""

    async def leave(self, node: str) -> None:
        """Count on the node no longer."""

    async def hand_over(self, held: Mapping[str, str], *, clean: bool) -> None:
        """Let others have these accounts at once. `clean`: nothing that was sent under their tokens is under way."""
