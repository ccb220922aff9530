"""An operator's request to take over many returns: a job in the daemon, whose results are asked for page by page."""

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace

import structlog

from daemon.domain.durations import DAY
from daemon.domain.portal import PortalState, list_windows
from daemon.engine.adoption import Adoption, Kind
from daemon.engine.clock_check import PORTAL
from daemon.engine.handlers.context import ShopContext
from daemon.engine.provenance import proofs
from daemon.errors import (
    ContractBroken,
    CredentialsRefused,
    ListCut,
    McfdError,
    OperatorError,
    StaleReturn,
    StoreUnavailable,
    Transient,
)
from daemon.operations.verbs.adoption import Adopt, AdoptedRow
from daemon.operations.verbs.adoption import Adoptions as AdoptionsPage
from daemon.ports.host import Clock
from daemon.ports.leases import ANY, Lease
from daemon.ports.names import proof_of
from daemon.ports.store import MaintainedStore, UnitOfWork
from daemon.ports.vendors import ON_BEHALF_OF

log = structlog.get_logger(__name__)

AT_ONCE = 4
"""Returns of one shop that are read at the same time; all calls wait in the background lane."""

ANSWERS_WITHIN = 20.0
TRIES = 8
RETRY_FIRST, RETRY_MOST = 2.0, 60.0
JOBS_KEPT = 8
MOST_DOUBTED = 1_000_000
AWAITED = (PortalState.OPEN, PortalState.REVIEW, PortalState.EXPIRED, PortalState.CANCELLED)
"""Returns in these states may still await a parcel, a person, or a label that is to be given back."""

QUIET = frozenset({Kind.KNOWN, Kind.NOT_OURS, Kind.NOTHING_YET})
"""What is only counted when nobody has asked for this return by name."""

FAILED = "failed"
UNSETTLED = frozenset({FAILED, Kind.AMBIGUOUS.value})
"""What was said of a return that waits on."""

MOST_FAILURES = 20
"""Returns in a row that cannot be read before the job is given up: a vendor answers nobody."""

_PASSING = (Transient, CredentialsRefused, ContractBroken, StaleReturn, StoreUnavailable)


@dataclass(slots=True)
class _Job:
    """One request. `news` is set when there are more rows, or when it is done."""

    given: Adopt
    rows: list[AdoptedRow] = field(default_factory=list)
    summary: Counter[str] = field(default_factory=Counter)
    found: int = 0
    failures: int = 0  # in a row
    done: bool = False
    problem: str = ""
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def tell(self, row: AdoptedRow, *, quietly: bool) -> None:
        """Count a result, and list it unless that would only be noise."""
        self.summary[row.result] += 1
        self.failures = self.failures + 1 if row.result == FAILED else 0
        if not quietly:
            self.rows.append(row)
            self.news.set()

    @property
    def progress(self) -> str:
        """How far it is, for people."""
        return f"{self.summary.total()} of {self.found} returns read"


class Adoptions:
    """Runs the jobs, one after the other; the same request asked for again joins the job that runs."""

    def __init__(
        self,
        adoption: Adoption,
        contexts: Mapping[str, ShopContext],
        store: MaintainedStore,
        clock: Clock,
        lease_of: Callable[[str], Lease | None] = lambda _shop: ANY,
    ) -> None:
        self._adoption = adoption
        self._store = store
        self._contexts = contexts
        self._clock = clock
        self._lease_of = lease_of
        self._jobs: dict[tuple[object, ...], _Job] = {}
        self._waiting: asyncio.Queue[_Job] = asyncio.Queue()
        self._asked = asyncio.Event()

    async def page(self, given: Adopt) -> AdoptionsPage:
        """Begin or join a job, wait a little for results, and answer those that were not told yet.

        `given.after` is 0 at first, and then one more than the number of results told.
        """
        job = self._job(given)
        told = max(0, given.after - 1)
        if len(job.rows) <= told and not job.done:
            job.news.clear()
            await self._clock.wait(job.news, ANSWERS_WITHIN)
        if job.done and job.problem and len(job.rows) <= told:
            raise OperatorError(job.problem)
        rows = job.rows[told:]
        return AdoptionsPage(
            rows=rows,
            next=None if job.done and not job.problem else told + len(rows) + 1,
            summary=dict(job.summary),
            progress=job.progress,
        )

    def _job(self, given: Adopt) -> _Job:
        names = (*given.returns, given.open_, given.since, given.shop, given.dry_run)
        job = self._jobs.get(names)
        if job is not None and (given.after or not job.done):
            return job
        if given.after:
            raise OperatorError("the daemon was restarted meanwhile; ask again: what was taken over is known")
        self._check(given)
        job = _Job(given)
        self._jobs = {name: one for name, one in self._jobs.items() if not one.done}
        if len(self._jobs) >= JOBS_KEPT:
            raise OperatorError(f"{len(self._jobs)} such requests wait already; let them finish")
        self._jobs[names] = job
        self._waiting.put_nowait(job)
        self._asked.set()
        return job

    def _check(self, given: Adopt) -> None:
        if bool(given.returns) is given.open_:
            raise OperatorError("name the returns to take over, or say --open for all that await something")
        if given.shop is not None and given.shop not in self._contexts:
            raise OperatorError(f"there is no shop {given.shop}; there are {', '.join(sorted(self._contexts))}")
        for name in given.returns:
            self._named(name, given.shop)

    def _named(self, name: str, only: str | None) -> tuple[str, str]:
        shop, _, return_id = name.rpartition("/")
        shop = shop or only or (next(iter(self._contexts)) if len(self._contexts) == 1 else "")
        if not shop:
            raise OperatorError(f"{name}: say of which shop, as shop/id; there are {', '.join(sorted(self._contexts))}")
        if shop not in self._contexts:
            raise OperatorError(f"{name}: there is no shop {shop}; there are {', '.join(sorted(self._contexts))}")
        return shop, return_id

    # ---- the service

    async def run(self, stop: asyncio.Event) -> None:
        """Work off the jobs until `stop` is set; what is not done then is asked for again."""
        stopping = asyncio.ensure_future(self._clock.wait(stop, None))
        stopping.add_done_callback(lambda _: self._asked.set())
        try:
            while not stop.is_set():
                self._asked.clear()
                while not self._waiting.empty() and not stop.is_set():
                    await self._work(self._waiting.get_nowait(), stop)
                await self._clock.wait(self._asked, None)
        finally:
            stopping.cancel()
            await asyncio.wait([stopping])

    async def _work(self, job: _Job, stop: asyncio.Event) -> None:
        try:
            wanted = await self._wanted(job.given, stop)
            await self._read_all(job, wanted, stop)
            if job.given.open_ and not job.given.dry_run and not stop.is_set():
                await self._compared(job, wanted)
                await self._read_all(job, await self._doubted_since(job, wanted), stop)
        except* McfdError as errors:
            job.problem = str(errors.exceptions[0])
        except* Exception:
            log.exception("adoption.crashed")
            job.problem = "the daemon failed; its log says why"
        job.done = True
        job.news.set()
        log.info("adoption.ended", dry_run=job.given.dry_run, **job.summary)

    async def _read_all(self, job: _Job, wanted: Mapping[str, Collection[str]], stop: asyncio.Event) -> None:
        job.found += sum(len(ids) for ids in wanted.values())
        async with asyncio.TaskGroup() as group:
            for shop, ids in wanted.items():
                names = iter(ids)
                for _ in range(AT_ONCE):
                    group.create_task(self._one_by_one(job, shop, names, stop))

    async def _doubted_since(self, job: _Job, shops: Collection[str]) -> Mapping[str, Collection[str]]:
        """Returns that began to wait for a comparison after the job had passed them by."""
        unsettled = {row.return_ for row in job.rows if row.result in UNSETTLED}
        waiting = {shop: await self._doubted(shop) for shop in shops}
        return {shop: [name for name in ids if f"{shop}/{name}" not in unsettled] for shop, ids in waiting.items()}

    async def _compared(self, job: _Job, shops: Collection[str]) -> None:
        """A store that was restored is trusted again once every open return was compared."""
        if job.summary[FAILED]:
            return

        def work(uow: UnitOfWork) -> None:
            for shop, proof in proofs(uow, shops).items():
                if proof.whole:
                    uow.set_mark(proof_of(shop), replace(proof, whole=False, why="").to_text())

        await self._store.transact(work)

    async def _wanted(self, given: Adopt, stop: asyncio.Event) -> Mapping[str, Collection[str]]:
        """The ids of the returns to read, by shop, oldest first."""
        if given.returns:
            named: dict[str, dict[str, None]] = {}
            for shop, return_id in (self._named(name, given.shop) for name in given.returns):
                named.setdefault(shop, {})[return_id] = None
            return named
        shops = [given.shop] if given.shop is not None else sorted(self._contexts)
        listed = {shop: await self._listed(shop, int(given.since[:-1]) * DAY, stop) for shop in shops}
        return {
            shop: [*ids, *(name for name in await self._doubted(shop) if name not in ids)]
            for shop, ids in listed.items()
        }

    async def _doubted(self, shop: str) -> Collection[str]:
        """The returns that wait for a comparison, whatever Loop says of them."""
        return await self._store.survey(lambda keep: keep.unproven(shop, MOST_DOUBTED))

    async def _listed(self, shop: str, since: float, stop: asyncio.Event) -> Collection[str]:
        ids: dict[str, None] = {}
        now = self._contexts[shop].clock_check.vendor_now(PORTAL)
        for state in AWAITED:
            for window in list_windows(now - since, now):
                if stop.is_set():
                    return ids
                ids |= dict.fromkeys(await self._window(shop, state, *window, stop))
        return ids

    async def _window(
        self, shop: str, state: PortalState, start: float, end: float, stop: asyncio.Event
    ) -> Collection[str]:
        portal = self._contexts[shop].portal
        for attempt in range(TRIES):
            lease = self._held(shop)
            try:
                with lease.reading():
                    return await portal.updated_returns(state, start, end)
            except ListCut as cut:
                log.warning("adoption.list_cut", shop=shop, state=state, error=str(cut))
                return cut.found
            except _PASSING as error:
                await self._clock.wait(stop, _pause(attempt, error))
        raise OperatorError(f"{shop}: Loop does not list its returns; try again later")

    def _held(self, shop: str) -> Lease:
        """The lease under which the shop's returns are taken over. Raises OperatorError if another node has it now."""
        lease = self._lease_of(shop)
        if lease is None:
            raise OperatorError(f"{shop}: another node works its account now; ask again: what was taken over is known")
        return lease

    async def _one_by_one(self, job: _Job, shop: str, ids: Iterator[str], stop: asyncio.Event) -> None:
        ON_BEHALF_OF.set(shop)
        for return_id in ids:
            if stop.is_set():
                return
            if job.failures >= MOST_FAILURES:
                raise OperatorError(
                    f"{MOST_FAILURES} returns in a row could not be read; see the daemon's log, and ask again"
                )
            row = await self._row(job.given, shop, return_id, stop)
            job.tell(row, quietly=job.given.open_ and row.result in QUIET)

    async def _row(self, given: Adopt, shop: str, return_id: str, stop: asyncio.Event) -> AdoptedRow:
        """What came of one return; a vendor that does not answer is asked again for a while."""
        name, why = f"{shop}/{return_id}", ""
        for attempt in range(TRIES):
            lease = self._held(shop)
            try:
                with lease.reading():
                    result = await self._adoption.adopt(shop, return_id, dry_run=given.dry_run, by=given.by)
            except _PASSING as error:
                why = str(error)
                if await self._clock.wait(stop, _pause(attempt, error)):
                    break
            except McfdError as error:
                why = str(error)
                break
            except Exception:  # a bug in one return must not keep the others from it
                log.exception("adoption.failed", ref=name)
                why = "the daemon failed; its log says why"
                break
            else:
                state = result.state.value if result.state is not None else ""
                return AdoptedRow(return_=name, result=result.kind.value, state=state, why=result.why)
        return AdoptedRow(return_=name, result=FAILED, state="", why=why)


def _pause(attempt: int, error: Exception) -> float:
    asked = getattr(error, "retry_after", None) or 0.0
    return min(RETRY_MOST, max(asked, RETRY_FIRST * 2.0**attempt))
