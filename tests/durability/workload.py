"""What a daemon writes, by the real intake and the real units of work, with a record of what it was promised."""

import asyncio
import hashlib
import marshal
import random
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from adapters.sqlite.store import SqliteStore
from daemon.domain.events import returns as ev
from daemon.domain.portal import Message, PortalState, RequestCancelled, RequestIssued, ReturnChanged
from daemon.domain.returns import Return
from daemon.engine.intake import Intake
from daemon.errors import StaleReturn, StoreUnavailable
from daemon.ports.store import DeadLetter, Delivery, UnitOfWork
from daemon.ports.vendors import OrderHead
from tests.durability.apsw_store import ApswConnection, open_recorded
from tests.durability.recorded_disk import Op, RecordedDisk
from tests.services.store_conformance import make_full_return, make_unit
from tests.support.configured import clocks
from tests.support.fakes import RecordingMetrics
from tests.support.virtual_time import FakeClock

SHOP = "acme"
PRINTED = 200_000  # bytes of a sealed label: a few of them fill the log up to its automatic checkpoint
NAMES = 4

Unit = Callable[[UnitOfWork], object]


@dataclass
class Committed:
    """What the database held after a commit. Times are numbers of disk operations."""

    content: bytes
    pending_calls: int
    done: int | None = None


@dataclass
class Recording:
    """A workload as the disk and its callers saw it."""

    ops: list[Op]
    commits: list[Committed] = field(default_factory=list)
    acknowledged: list[tuple[int, str]] = field(default_factory=list)
    """When a webhook was answered 200, and its digest."""
    refused: set[str] = field(default_factory=set)
    """Digests of webhooks that were answered 503."""

    def promised(self, cut: int) -> set[str]:
        """Digests of what was acknowledged before the cut."""
        return {digest for at, digest in self.acknowledged if at <= cut}

    def possible(self, cut: int) -> set[bytes]:
        """What a database may hold after the cut: the last finished commit, or one that was under way or failed."""
        finished = max((n for n, c in enumerate(self.commits) if c.done is not None and c.done <= cut), default=0)
        return {c.content for c in self.commits[finished:] if c.pending_calls <= cut}


def content(connection: "sqlite3.Connection | ApswConnection") -> bytes:
    """A hash of every row of every table, and of the schema."""
    digest = hashlib.blake2b()
    schema = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table' ORDER BY name").fetchall()
    for name, sql in schema:
        digest.update(marshal.dumps((name, sql), 2))
        for row in connection.execute(f"SELECT * FROM {name}"):
            digest.update(marshal.dumps(row, 2))  # of version 2: it depends on nothing but the values
    return digest.digest()


class Life:
    """One process after the other on one disk, each at work until it is stopped, killed or the disk fails."""

    def __init__(self, folder: Path, seed: int, *, synchronous: str | None = None) -> None:
        self.disk = RecordedDisk()
        self.recording = Recording(self.disk.ops)
        self.path = folder / "mcfd.db"
        self._dice = random.Random(seed)
        self._synchronous = synchronous
        self._number = 0
        self._known: list[str] = []

    async def session(self, rounds: int, *, ends_well: bool, printed: float = 0.1) -> None:
        """Open, let callers come in `rounds` crowds, and end. `printed` is the share of labels among the units."""
        store, connection = open_recorded(self.path, self.disk, synchronous=self._synchronous)
        if not self.recording.commits:
            self.recording.commits.append(Committed(content(connection), 0, len(self.disk.ops)))
        connection.around_commit = self._around_commit
        clock = FakeClock()
        intake = Intake(store, clock, clocks(), RecordingMetrics(), lambda: None)
        try:
            for _ in range(rounds):
                clock.advance(1.0)
                callers = [self._caller(store, intake, clock, printed) for _ in range(self._dice.choice((1, 1, 2, 6)))]
                await asyncio.gather(*callers)
            if ends_well:
                connection.checkpoint_on_close()
                await store.close()
        finally:
            connection.close()

    def _around_commit(self, connection: ApswConnection) -> Iterator[None]:
        commit = Committed(content(connection), len(self.disk.ops))
        self.recording.commits.append(commit)
        yield
        commit.done = len(self.disk.ops)

    async def _caller(self, store: SqliteStore, intake: Intake, clock: FakeClock, printed: float) -> None:
        self._number += 1
        if self._dice.random() < 0.4:
            await self._webhook(intake, clock)
            return
        with suppress(StaleReturn, StoreUnavailable):
            await store.transact(self._unit(printed))

    async def _webhook(self, intake: Intake, clock: FakeClock) -> None:
        message = self._message()
        digest = hashlib.sha256(repr((message, self._number)).encode()).hexdigest()
        delivery = Delivery(
            shop=SHOP,
            topic="label.request",
            trigger="issued",
            subject=str(self._number),
            return_id=message.return_id,
            digest=digest,
            received_at=clock.now(),
        )
        try:
            await intake.deliver(delivery, message)
        except StoreUnavailable:
            self.recording.refused.add(digest)
        else:
            self.recording.acknowledged.append((len(self.disk.ops), digest))
            self._known.append(message.return_id)

    def _message(self) -> Message:
        kind = self._dice.random()
        if not self._known or kind < 0.6:
            return RequestIssued(return_id=f"r{self._number}", request_id=f"q{self._number}")
        return_id = self._dice.choice(self._known)
        if kind < 0.8:
            return RequestIssued(return_id=return_id, request_id=f"q{self._number}")
        if kind < 0.9:
            return RequestCancelled(return_id=return_id, request_id=f"q{return_id[1:]}")
        return ReturnChanged(return_id=return_id, state=PortalState.CLOSED)

    def _unit(self, printed: float) -> Unit:
        if self._dice.random() < printed:
            name, sealed = f"label-{self._dice.randrange(NAMES)}", self._dice.randbytes(PRINTED)
            return lambda uow: uow.keep_document(name, sealed, 1e10)
        units: tuple[Unit, ...] = (self._open, self._save, self._save, self._defer, self._bury, self._index, self._fail)
        return self._dice.choice(units)

    def _open(self, uow: UnitOfWork) -> None:
        ret = make_full_return(f"f{self._number}")
        uow.add(replace(ret, units=tuple(replace(u, order_id=f"o{self._number}") for u in ret.units)))

    def _some(self, uow: UnitOfWork) -> Return:
        found = uow.get(SHOP, self._dice.choice(self._known or ["none"]))
        if found is None:
            raise StaleReturn("no such return yet")
        return found

    def _save(self, uow: UnitOfWork) -> None:
        ret = self._some(uow)
        parts = self._dice.randrange(4)
        units = tuple(make_unit(f"l{n}", order_id=f"o{ret.return_id}") for n in range(parts))
        ret = replace(ret, problem=f"at {self._number}", units=units)
        uow.save(ret, ev.ReturnRead(at=float(self._number)), ret.state)

    def _defer(self, uow: UnitOfWork) -> None:
        ret = self._some(uow)
        uow.defer(replace(ret, due_at=float(self._number), needs_read=True))

    def _bury(self, uow: UnitOfWork) -> None:
        sealed = self._dice.randbytes(700)
        uow.keep_dead_letter(
            DeadLetter(shop=SHOP, digest=f"d{self._number}", reason="no JSON", sealed=sealed, received_at=1.0)
        )

    def _index(self, uow: UnitOfWork) -> None:
        heads = [OrderHead(order_id=f"{self._number}-{n}", displayable_order_id=f"#{n}") for n in range(10)]
        uow.index_orders("main", heads)
        uow.set_mark("order-index", str(self._number))

    def _fail(self, uow: UnitOfWork) -> Any:
        self._save(uow)
        raise StaleReturn("somebody else was first")


async def live(folder: Path, seed: int, *, synchronous: str | None = None) -> Recording:
    """What three processes did: one was killed, one stopped, one is at work to the end."""
    life = Life(folder, seed, synchronous=synchronous)
    await life.session(40, ends_well=False)
    await life.session(30, ends_well=True)
    await life.session(60, ends_well=False, printed=0.3)
    return life.recording
