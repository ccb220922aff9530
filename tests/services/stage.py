"""A daemon in the hand of a test: real workflow code over a real database, both vendors in memory, time as told."""

import hashlib
import itertools
import shutil
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import inf
from pathlib import Path

import pytest

from adapters.amazon_mcf.wire.notifications import decode_notification
from adapters.host.vault import Vault
from adapters.labels.document import text_of
from adapters.loop_returns.limits import LoopLimits
from adapters.sqlite.schema import make_ready, migrations
from adapters.sqlite.store import SqliteStore, open_store
from daemon.domain.policy import ShopPolicy
from daemon.domain.portal import Message, PortalLabelRequest, PortalLine, RequestIssued
from daemon.domain.returns import MAIN_ACCOUNT, LabelSourceName, Return, ReturnUnit, State
from daemon.domain.schedule import Timings
from daemon.domain.slips import SlipParcel
from daemon.engine.account import Account, ReasonCatalogue
from daemon.engine.clock_check import ClockCheck, ClockKeeper
from daemon.engine.handlers.context import LabelPress, Readings, ShopContext
from daemon.engine.intake import Intake
from daemon.engine.label_hosting import LabelHosting
from daemon.engine.notifications import Addressee, Notifications, Origins
from daemon.engine.order_index import OrderIndex
from daemon.engine.overheard import Overheard
from daemon.engine.polls import PortalPolls
from daemon.engine.push import Push
from daemon.engine.recorder import Recorder
from daemon.engine.workflow import Workflow
from daemon.errors import McfdError
from daemon.operations.client_secrets import ClientSecrets
from daemon.operations.notifications import AMAZON_LETTERS
from daemon.operations.returns import Operator
from daemon.ports.sealed import dead_letter
from daemon.ports.store import DeadLetter, Delivery
from tests.support.builders import a_line, a_shipment, an_order
from tests.support.configured import a_policy, clocks
from tests.support.fakes import FakeNetwork, FakePortal, FakePostage, LoopReturn, RecordingMetrics, WatchedStore
from tests.support.virtual_time import FakeClock

HOUR = 3600.0
DAY = 86400.0
ORDER = "5001"  # what the portal calls the order of a LoopReturn, unless told otherwise
CLIENT = "amzn1.application-oa2-client.test"
ORDER_TEMPLATES = ("{provider_order_id}", "{order_name}", "{order_name_bare}")


@dataclass(frozen=True, kw_only=True)
class Choices:
    """What an operator may have configured."""

    policy: ShopPolicy = a_policy(order_id_templates=ORDER_TEMPLATES)  # noqa: RUF009 - frozen
    timings: Timings = clocks()  # noqa: RUF009 - frozen
    attempts: int = 8
    shops: tuple[str, ...] = ("acme",)


class Stage:
    """Shops, their daemon and both vendors."""

    def __init__(self, path: Path, clock: FakeClock, choices: Choices, watch: Callable[[str], None]) -> None:
        self.path = path
        self.clock = clock
        self.choices = choices
        self.portals = {shop: FakePortal(clock) for shop in choices.shops}
        self.portal = self.portals[choices.shops[0]]
        self.network = FakeNetwork(clock)
        self.postage = FakePostage(clock)
        self.portal_limits: dict[str, LoopLimits] = {}
        self.box = Vault([bytes(32)])
        self.metrics = RecordingMetrics()
        self.filed_secrets = ["filed"]
        self.used_secrets: list[Sequence[str]] = []
        self.woken = 0
        self.on_wake: Callable[[], None] = lambda: None
        self._watch = watch
        self._numbers = itertools.count(1)

    async def start(self) -> None:
        """Start a daemon: everything but the vendors and the file is new."""
        self.begin(await open_relaxed(self.path))

    def begin(self, store: SqliteStore) -> None:
        """Start a daemon over a database that is open: everything but the vendors and the database is new."""
        self.sqlite = store
        self.store = WatchedStore(store)
        self.store.watch = self._watch
        for vendor in (*self.portals.values(), self.network, self.postage):
            vendor.watch = self._watch
        timings = self.choices.timings
        self.hosting = LabelHosting(
            self.store,
            self.box,
            self.clock,
            public_url="https://returns.test",
            retention=30 * DAY,
            new_token=lambda: f"token-{next(self._numbers)}",
        )
        self.push = Push(MAIN_ACCOUNT, self.store, self.clock, slower=4.0)
        self.index = OrderIndex(
            self.network,
            self.store,
            self.clock,
            amazons_time=self.network.time,
            wake=self._wake,
            troubled=self.metrics.trouble,
        )
        account = Account(
            name="main",
            network=self.network,
            order_index=self.index,
            reasons=ReasonCatalogue(self.network, self.clock),
            label_sources={LabelSourceName.AMAZON_SHIPPING: self.postage},
            push=self.push,
        )
        self.clock_check = ClockCheck(self.clock)
        labels = LabelPress(hosting=self.hosting, box=self.box, read_text=_read, print_labels=_print)
        overheard = Overheard()
        self.contexts = {
            shop: ShopContext(
                account=account,
                portal=portal,
                policy=self.choices.policy,
                labels=labels,
                timings=timings,
                clock=self.clock,
                clock_check=self.clock_check,
                store=self.store,
                metrics=self.metrics,
                overheard=overheard,
            )
            for shop, portal in self.portals.items()
        }
        recorder = Recorder(self.store, self.clock, timings, self.metrics)
        self.workflow = Workflow(self.contexts, recorder, attempts=self.choices.attempts, jitter=lambda: 1.0)
        self.origins = Origins(MAIN_ACCOUNT)
        self.secrets = ClientSecrets(
            self.store,
            self.box,
            from_file=lambda: self.filed_secrets,
            use=self.used_secrets.append,
            conceal=lambda _: None,
        )
        self.news = Notifications(
            self.store,
            self.clock,
            self.metrics,
            decode=decode_notification,
            bury=self._bury,
            addressees=[Addressee(origins=self.origins, client_id=CLIENT, credentials=self.secrets)],
            wake=self._wake,
        )
        self.intake = Intake(
            self.store,
            self.clock,
            timings,
            self.metrics,
            self._wake,
            overheard=overheard,
            makes_labels=lambda shop: shop not in self.contexts or self.contexts[shop].policy.labels,
        )
        self.operator = Operator(self.store, self.clock, timings, self.contexts, self._wake)
        self.clock_keeper = ClockKeeper(
            self.clock_check, self.store, self.clock, timings, metrics=self.metrics, wake=self._wake
        )
        self.polls = PortalPolls(self.portals, self.intake, self.store, self.clock_check)

    def _bury(self, body: bytes, reason: str) -> DeadLetter:
        digest = hashlib.sha256(body).hexdigest()
        sealed = self.box.seal(body, dead_letter(AMAZON_LETTERS))
        return DeadLetter(
            shop=AMAZON_LETTERS, digest=digest, reason=reason, sealed=sealed, received_at=self.clock.now()
        )

    async def stop(self) -> None:
        """Close the database; nothing of the process is left."""
        await self.sqlite.close()

    async def restart(self) -> None:
        """Another process over the same database and the same vendors."""
        await self.stop()
        await self.start()

    def _wake(self) -> None:
        self.woken += 1
        self.on_wake()

    # ---- the world

    def ship(self, order_id: str = ORDER, **quantities: int) -> None:
        """Amazon has shipped an order of these quantities by SKU."""
        self.network.add(an_order(order_id, a_shipment("S1", **quantities)))

    async def submit(
        self,
        *lines: PortalLine,
        return_id: str = "77",
        request: PortalLabelRequest | None = None,
        **fields: object,
    ) -> None:
        """A shopper submits a return, and the webhook about its label request is delivered."""
        ret = LoopReturn(return_id=return_id, lines=list(lines or (a_line(),)), **fields)  # type: ignore[arg-type]
        self.portal.submit(ret, request)
        await self.tell(
            RequestIssued(return_id=return_id, request_id=request.request_id if request else "q" + return_id)
        )

    async def tell(self, message: Message | None, *, digest: str = "", return_id: str = "77") -> bool:
        """Deliver a webhook; the same digest means the same delivery again. False when it was a repeated one."""
        delivery = Delivery(
            shop="acme",
            topic="label.request",
            trigger="label.request.issued",
            subject="",
            return_id=message.return_id if message else return_id,
            digest=digest or f"delivery-{next(self._numbers)}",
            received_at=self.clock.now(),
        )
        return await self.intake.deliver(delivery, message)

    async def inspect(self, condition: str | None = "Sellable", *, line: str = "1", return_id: str = "77") -> None:
        """A fulfillment center looks at one unit; nobody tells the daemon."""
        self.network.inspect(await self.unit(line, return_id), condition)

    # ---- what is stored

    async def ret(self, return_id: str = "77", shop: str = "acme") -> Return:
        """The return as it is stored."""
        found = await self.store.read(lambda uow: uow.get(shop, return_id))
        assert found is not None
        return found

    async def unit(self, line: str = "1", return_id: str = "77") -> ReturnUnit:
        """The (first) unit of a line as it is stored."""
        return next(u for u in (await self.ret(return_id)).units if u.line_id == line)

    async def history(self, return_id: str = "77") -> list[str]:
        """The names of the events, oldest first."""
        return [row.event for row in await self.store.read(lambda uow: uow.history("acme", return_id))]

    # ---- work and time

    async def step(self, return_id: str = "77") -> Return:
        """One step of one return, due or not."""
        return await self.workflow.step(await self.ret(return_id))

    async def step_to(self, state: State, *, within: float = DAY, return_id: str = "77") -> Return:
        """Step one return until it is in that state, and no further; time passes when it must."""
        end = self.clock.now() + within
        while (ret := await self.ret(return_id)).state is not state:
            if ret.due_at is None or ret.due_at > end:
                pytest.fail(f"the return is {ret.state} ({ret.problem}), not {state}")
            self.clock.advance(max(0.0, ret.due_at - self.clock.now()))
            await self.step(return_id)
        return ret

    async def work(self) -> None:
        """Step what is due until nothing is, each return in one walk."""
        walks: defaultdict[str, Readings] = defaultdict(Readings)
        for _ in range(100):
            due = await self.store.read(lambda uow: uow.due(tuple(State), self.clock.now(), 100))
            if not due and not await self._read_list():
                return
            for _, shop, return_id in due:
                await self.workflow.step(await self.ret(return_id, shop), walks[f"{shop}/{return_id}"])
        pytest.fail("the daemon works on without a pause")

    async def _read_list(self) -> bool:
        """One round of the service that reads Amazon's list of orders; whether it read anything."""
        before = self.index._guard, self.index._not_before
        with suppress(McfdError):
            await self.index.round()
        return (self.index._guard, self.index._not_before) != before

    async def _next(self) -> float | None:
        """When the daemon is to do something next."""
        due = await self.store.read(lambda uow: uow.next_due(tuple(State)))
        if not self.index._waiting:
            return due
        return min(due or inf, self.clock.now() + max(1.0, self.index._not_before - self.clock.monotonic()))

    async def pass_time(self, seconds: float) -> None:
        """Let time pass, and let the daemon do at each instant what is due then."""
        end = self.clock.now() + seconds
        await self.work()
        while (due := await self._next()) is not None and due <= end:
            self.clock.advance(due - self.clock.now())
            await self.work()
        self.clock.advance(end - self.clock.now())

    async def reach(self, state: State, *, within: float = DAY, return_id: str = "77") -> Return:
        """Let time pass until a return is in that state; fail when it is not in time."""
        end = self.clock.now() + within
        await self.work()
        while (ret := await self.ret(return_id)).state is not state:
            due = await self._next()
            if due is None or due > end:
                pytest.fail(f"the return is {ret.state} ({ret.problem}), not {state}")
            self.clock.advance(due - self.clock.now())
            await self.work()
        return ret

    async def sent(self, *lines: PortalLine, return_id: str = "77", **fields: object) -> Return:
        """A return whose label is in the shopper's hands; the order holds its lines and nothing else."""
        lines = lines or (a_line(),)
        self.ship(ORDER, **Counter(line.sku for line in lines))
        await self.submit(*lines, return_id=return_id, **fields)  # type: ignore[arg-type]
        return await self.reach(State.AWAITING_INSPECTION, return_id=return_id)


async def open_stage(
    folder: Path,
    template: Path,
    choices: Choices | None = None,
    *,
    clock: FakeClock | None = None,
    watch: Callable[[str], None] = lambda _point: None,
) -> Stage:
    """A stage in that folder whose daemon has started over a copy of the template."""
    path = folder / "mcfd.db"
    shutil.copy(template, path)
    stage = Stage(path, clock or FakeClock(), choices or Choices(), watch)
    await stage.start()
    return stage


def make_template(path: Path) -> Path:
    """An empty database. Migrating one costs more than most tests, so it is done once, and copied."""
    connection = sqlite3.connect(path, isolation_level=None)
    make_ready(path, connection, migrations())
    connection.close()
    return path


async def _print(parcels: Sequence[SlipParcel], order_name: str) -> bytes:
    """All labels one after the other, which is what printing comes to."""
    return b"\n".join([order_name.encode(), *(p.label_pdf or p.rma_id.encode() for p in parcels)])


async def _read(label: bytes) -> str:
    """As the daemon does, without a thread."""
    return text_of(label)


async def open_relaxed(path: Path) -> SqliteStore:
    """A real store that does not wait for the disk: these processes are killed, the machine keeps its power."""
    store = await open_store(path, inline=True)
    await store._writer.read(lambda connection: connection.execute("PRAGMA synchronous = OFF"))
    return store
