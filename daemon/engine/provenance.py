"""Notices that the store is not the one that the last process wrote, and has its returns wait for a comparison."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

import structlog

from daemon.domain.provenance import Origin, Proof, origin
from daemon.engine.supervisor import run_every
from daemon.errors import StoreUnavailable
from daemon.ports.host import Clock
from daemon.ports.names import GENERATION, SERVER, proof_of
from daemon.ports.store import MaintainedStore, Maintenance, ReturnStore, Servers, UnitOfWork

log = structlog.get_logger(__name__)

RENEWED_EVERY = 3600.0
"""Seconds: so much work at most can be lost unnoticed by a copy of the files of a running daemon."""

RESTORED = "the database was restored from a copy"
OTHER_SERVER = "the database is on another server, or was restored, and may lack what was stored last"


class Beside(Protocol):
    """The file beside the store. Raises StoreUnavailable."""

    def read(self) -> Sequence[str] | None:
        """The names that the store may have; None if there is no file."""

    def write(self, *names: str) -> None:
        """Replace them."""


class Provenance:
    """Compares and renews the store's name. `new_name` draws one."""

    def __init__(self, store: MaintainedStore, beside: Beside, clock: Clock, new_name: Callable[[], str]) -> None:
        self._store = store
        self._beside = beside
        self._clock = clock
        self._new_name = new_name

    async def check(self, shops: Collection[str]) -> None:
        """Judge the store at the start, and renew its name."""
        now = self._clock.now()
        kept, counts = await self._store.read(lambda uow: (uow.mark(GENERATION), uow.counts()))
        stored = {shop for shop, _ in counts}
        found = origin(kept, self._beside.read(), empty=not stored)
        if found is Origin.RESTORED:
            doubted = await self._store.upkeep(lambda keep: _doubt(keep, {*shops, *stored}, now, RESTORED))
            _warn(doubted, RESTORED)
        await _begin(self._store, [shop for shop in shops if shop not in stored], now)
        await self.renew()

    async def renew(self) -> None:
        """Give the store another name. The file has both meanwhile, so a crash between the two does no harm."""
        old, name = await self._store.read(lambda uow: uow.mark(GENERATION)), self._new_name()
        self._beside.write(*([old] if old else []), name)
        await self._store.transact(lambda uow: uow.set_mark(GENERATION, name))
        self._beside.write(name)

    async def last(self) -> None:
        """Renew it at the stop, so that older copies are noticed; a store that fails must not hinder the stop."""
        try:
            await self.renew()
        except StoreUnavailable as error:
            log.warning("store.not_renewed", error=str(error))


class ServerProvenance:
    """Notices that a database server took over, or was restored: it may lack the last commits of the one before."""

    def __init__(self, store: ReturnStore, servers: Servers, clock: Clock) -> None:
        self._store = store
        self._servers = servers
        self._clock = clock
        self._shops: Collection[str] = ()

    async def check(self, shops: Collection[str]) -> None:
        """Judge the store at the start, and from then on whenever a lost connection has been made again."""
        self._shops = shops
        await self._servers.judge(self._judge)
        stored = await self._store.read(_stored)
        await _begin(self._store, [shop for shop in shops if shop not in stored], self._clock.now())

    def _judge(self, uow: UnitOfWork, keep: Maintenance, server: str) -> None:
        kept = uow.mark(SERVER)
        if kept == server:
            return
        if kept:
            _warn(_doubt(keep, {*self._shops, *_stored(uow)}, self._clock.now(), OTHER_SERVER), OTHER_SERVER)
        keep.set_mark(SERVER, server)


def _stored(uow: UnitOfWork) -> set[str]:
    return {shop for shop, _ in uow.counts()}


def _doubt(keep: Maintenance, shops: Collection[str], now: float, why: str) -> int:
    for shop in sorted(shops):
        keep.set_mark(proof_of(shop), Proof(since=now, whole=True, why=why).to_text())
    return keep.doubt_all()


def _warn(doubted: int, why: str) -> None:
    log.warning("store.unproven", returns=doubted, text=f"{why}: run mcfd adopt --open")


async def _begin(store: ReturnStore, shops: Sequence[str], now: float) -> None:
    """Note since when there is something of these shops in the store, unless that is known."""
    new = await store.read(lambda uow: [shop for shop in shops if not uow.mark(proof_of(shop))])

    def work(uow: UnitOfWork) -> None:
        for shop in new:
            uow.set_mark(proof_of(shop), Proof(since=now).to_text())

    if new:
        await store.transact(work)


def proofs(uow: UnitOfWork, shops: Collection[str]) -> Mapping[str, Proof]:
    """How far each shop's part of the store can be trusted."""
    return {shop: Proof.from_text(uow.mark(proof_of(shop))) for shop in shops}


async def renewing(provenance: Provenance, clock: Clock, stop: asyncio.Event) -> None:
    """The service that renews the store's name."""
    await run_every(RENEWED_EVERY, provenance.renew, name="generation", clock=clock, stop=stop)
