"""Notices that the store is not the one that the last process wrote, and has its returns wait for a comparison."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

import structlog

from daemon.domain.provenance import Origin, Proof, origin
from daemon.engine.supervisor import run_every
from daemon.errors import StoreUnavailable
from daemon.ports.host import Clock
from daemon.ports.names import GENERATION, proof_of
from daemon.ports.store import MaintainedStore, Maintenance, UnitOfWork

log = structlog.get_logger(__name__)

RENEWED_EVERY = 3600.0
"""Seconds: so much work at most can be lost unnoticed by a copy of the files of a running daemon."""

RESTORED = "the database was restored from a copy"


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
            proof = Proof(since=now, whole=True, why=RESTORED)
            doubted = await self._store.upkeep(lambda keep: _doubt(keep, {*shops, *stored}, proof))
            log.warning("store.unproven", returns=doubted, text=f"{RESTORED}: run mcfd adopt --open")
        elif new := await self._store.read(
            lambda uow: [s for s in shops if s not in stored and not uow.mark(proof_of(s))]
        ):
            await self._store.transact(lambda uow: _begin(uow, new, Proof(since=now)))
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


def _doubt(keep: Maintenance, shops: Collection[str], proof: Proof) -> int:
    for shop in sorted(shops):
        keep.set_mark(proof_of(shop), proof.to_text())
    return keep.doubt_all()


def _begin(uow: UnitOfWork, shops: Collection[str], proof: Proof) -> None:
    for shop in shops:
        uow.set_mark(proof_of(shop), proof.to_text())


def proofs(uow: UnitOfWork, shops: Collection[str]) -> Mapping[str, Proof]:
    """How far each shop's part of the store can be trusted."""
    return {shop: Proof.from_text(uow.mark(proof_of(shop))) for shop in shops}


async def renewing(provenance: Provenance, clock: Clock, stop: asyncio.Event) -> None:
    """The service that renews the store's name."""
    await run_every(RENEWED_EVERY, provenance.renew, name="generation", clock=clock, stop=stop)
