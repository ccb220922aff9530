"""The composition root: opens everything in order, introduces A to B, runs the services, closes in reverse order."""

import asyncio
import platform
import random
import secrets
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from functools import partial

import structlog

from adapters.metrics import PrometheusMetrics
from adapters.public_http import PublicListener
from adapters.sqlite.lock import StateLock
from adapters.sqlite.store import SqliteStore, open_store, sqlite_fixed, sqlite_version
from adapters.systemd import Notifier, Watchdog
from adapters.vault import Vault
from config.load import Loaded
from daemon import __version__
from daemon.acts.desk import Desk
from daemon.choices import timings
from daemon.domain.returns import State
from daemon.errors import McfdError
from daemon.hosting import LabelHosting
from daemon.intake import Intake
from daemon.listeners import open_ops, open_public
from daemon.operator import Operator
from daemon.polls import PortalPolls
from daemon.ports import Clock
from daemon.recorder import Recorder
from daemon.supervisor import Heartbeats, Service, run_every, supervise
from daemon.vendors import Vendors, connect, desks
from daemon.walker import InHand, Walker, try_again_now
from daemon.workflow import Workflow

log = structlog.get_logger(__name__)

WALKERS = (
    ("label_requests", (State.RECEIVED, State.LABEL_READY, State.REFUSED), 200, 30.0),
    ("label_waiter", (State.AWAITING_LABEL,), 1000, 60.0),
    (
        "reconciler",
        (
            State.AWAITING_INSPECTION,
            State.INSPECTED,
            State.SETTLING,
            State.PROCESSING,
            State.IN_REVIEW,
            State.EXPIRED,
            State.CANCELLED,
            State.STUCK,
            State.CLOSED,
        ),
        64,
        1.0,
    ),
)
"""Services by name: the states they own, how many returns each walks at once, how long a walk waits in place (s)."""

DAILY = 86400.0
STEPS_SHARE = 0.8
"""The share of the stop grace that steps in hand get; the rest is for closing."""


class App:
    """The whole daemon; `public_port` and `ops_port` are known once it listens."""

    def __init__(self, loaded: Loaded, *, clock: Clock, notifier: Notifier, watchdog: float | None = None) -> None:
        self._loaded = loaded
        self._settings = loaded.settings
        self._clock = clock
        self._notifier = notifier
        self._watchdog = watchdog
        self._timings = timings(loaded.settings)
        self._metrics = PrometheusMetrics(__version__)
        self._beats = Heartbeats(clock)
        self._in_hand = InHand()
        self._walkers: tuple[Walker, ...] = ()
        self._store: SqliteStore | None = None
        self.public_port = 0
        self.ops_port = 0

    async def run(self, stop: asyncio.Event, opened: Callable[[], Awaitable[None]] | None = None) -> None:
        """Serve until `stop` is set. Raises ConfigError, AlreadyRunning, ServiceEnded, OSError (a port is taken)."""
        async with AsyncExitStack() as stack:
            stack.enter_context(StateLock(self._settings.store.path.parent))
            store = self._store = await open_store(self._settings.store.path)
            stack.push_async_callback(_closing, "store", store.close)
            self._echo()
            await try_again_now(store, self._clock)
            counts = await store.read(lambda uow: uow.counts())
            self._metrics.stock(counts)
            vendors = await connect(stack, self._loaded, self._clock, self._metrics)
            vault = Vault(self._loaded.secrets.vault_key_bytes)
            hosting = self._hosting(store, vault)
            at_desks = desks(
                vendors,
                self._loaded,
                store=store,
                clock=self._clock,
                metrics=self._metrics,
                hosting=hosting,
                box=vault,
                pending=self._pending,
            )
            intake = Intake(store, self._clock, self._timings, self._metrics, self._wake)
            services = self._services(store, at_desks, vendors, intake)
            operator = Operator(store, self._clock, self._timings, at_desks, self._wake)
            ready = partial(self._ready, store, vendors)
            ops = await open_ops(self._loaded, operator, self._metrics, health=self._health, ready=ready)
            stack.push_async_callback(_closing, "ops listener", ops.stop)
            public = await open_public(
                self._loaded, intake, hosting, box=vault, clock=self._clock, metrics=self._metrics
            )
            self.public_port, self.ops_port = public.port, ops.port
            services["public listener"] = partial(self._front_door, public)
            self._notifier.ready()
            self._notifier.status(f"{sum(counts.values())} returns known, {len(self._settings.shops)} shops")
            log.info("daemon.ready", public_port=self.public_port, ops_port=self.ops_port)
            if opened is not None:
                await opened()
            await supervise(services, stop, clock=self._clock, grace=self._settings.timings.stop_grace)

    def _hosting(self, store: SqliteStore, vault: Vault) -> LabelHosting:
        return LabelHosting(
            store,
            vault,
            self._clock,
            public_url=self._settings.public_url,
            retention=self._settings.retention.labels,
            new_token=partial(secrets.token_urlsafe, 32),
        )

    def _echo(self) -> None:
        """What runs here, for whoever reads the log later."""
        for warning in self._loaded.warnings:
            log.warning("config.warning", text=warning)
        log.info(
            "daemon.starting",
            version=__version__,
            python=platform.python_version(),
            sqlite=sqlite_version,
            sqlite_fixed=sqlite_fixed,
            shops=sorted(self._settings.shops),
            label_source=self._settings.amazon.label_source_in_use(self._loaded.secrets),
        )

    def _wake(self) -> None:
        for walker in self._walkers:
            walker.wake.set()

    # ---- the services

    def _services(
        self, store: SqliteStore, at_desks: Mapping[str, Desk], vendors: Vendors, intake: Intake
    ) -> dict[str, Service]:
        recorder = Recorder(store, self._clock, self._timings, self._metrics)
        workflow = Workflow(at_desks, recorder, attempts=self._settings.attempts, jitter=random.random)
        self._walkers = tuple(
            self._walker(name, states, workflow, store, limit=limit, patience=patience)
            for name, states, limit, patience in WALKERS
        )
        polls = PortalPolls(vendors.portals, intake, store, self._clock)
        seconds = self._settings.timings
        services: dict[str, Service] = {walker.name: walker.run for walker in self._walkers}
        services["label_request_poll"] = self._periodic(
            "label_request_poll", seconds.label_request_poll, polls.label_requests
        )
        services["return_poll"] = self._periodic("return_poll", seconds.return_poll, polls.returns)
        services["retention"] = self._periodic("retention", DAILY, partial(self._drop_old, store))
        if self._watchdog is not None:
            services["watchdog"] = Watchdog(
                self._notifier,
                interval=self._watchdog,
                clock=self._clock,
                store_alive=store.alive,
                late=self._beats.late,
            ).run
        return services

    def _walker(
        self,
        name: str,
        states: tuple[State, ...],
        workflow: Workflow,
        store: SqliteStore,
        *,
        limit: int,
        patience: float,
    ) -> Walker:
        self._beats.promise(name, 60.0)
        return Walker(
            name,
            states,
            workflow=workflow,
            store=store,
            clock=self._clock,
            metrics=self._metrics,
            in_hand=self._in_hand,
            beat=partial(self._beats.beat, name),
            limit=limit,
            patience=patience,
            grace=self._settings.timings.stop_grace * STEPS_SHARE,
        )

    def _pending(self) -> int:
        return max((w.walking for w in self._walkers if w.name == "label_waiter"), default=1)

    def _periodic(self, name: str, seconds: float, work: Callable[[], Awaitable[None]]) -> Service:
        self._beats.promise(name, 3 * seconds + 600.0)

        async def run(stop: asyncio.Event) -> None:
            await run_every(
                seconds,
                work,
                name=name,
                clock=self._clock,
                stop=stop,
                beat=partial(self._beats.beat, name),
                on_failure=self._failed_round,
            )

        return run

    async def _drop_old(self, store: SqliteStore) -> None:
        dropped = await store.transact(lambda uow: uow.drop_documents(self._clock.now()))
        if dropped:
            log.info("labels.dropped", count=dropped)

    def _failed_round(self, _: str, error: Exception) -> None:
        self._metrics.trouble("poll_failed" if isinstance(error, McfdError) else "bug")

    # ---- stopping, and how it is

    async def _front_door(self, public: PublicListener, stop: asyncio.Event) -> None:
        """The first to close: what is being received is still stored, nothing new is taken."""
        await self._clock.wait(stop, None)
        self._notifier.stopping()
        log.info("shutdown.step", closing="public listener")
        await public.stop(self._settings.timings.stop_grace * STEPS_SHARE)

    async def state_of(self, shop: str, return_id: str) -> str:
        """The state of one return, for whoever runs the daemon inside his own process; empty when it is not known."""
        store = self._store
        if store is None:
            return ""
        ret = await store.read(lambda uow: uow.get(shop, return_id))
        return ret.state.value if ret is not None else ""

    def reload(self) -> None:
        """Take over what can change while running; so far nothing can, and the log says so."""
        log.warning("config.reload_ignored", text="restart to take over a changed configuration")

    async def _health(self) -> dict[str, str]:
        return dict.fromkeys(self._beats.late(), "has not been heard of in time")

    async def _ready(self, store: SqliteStore, vendors: Vendors) -> dict[str, str]:
        problems = {}
        try:
            await store.alive()
        except McfdError as error:
            problems["store"] = str(error)
        if vendors.tokens.state not in {"ok", "untried"}:
            problems["amazon"] = f"credentials: {vendors.tokens.state}"
        return problems


async def _closing(what: str, close: Callable[[], Awaitable[object]]) -> None:
    """Each step of the shutdown has a name, so that a hanging one is known."""
    log.info("shutdown.step", closing=what)
    await close()
