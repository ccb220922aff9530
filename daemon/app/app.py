"""The composition root: opens everything in order, connects the parts, runs the services, closes in reverse order."""

import asyncio
import platform
import secrets
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from functools import partial

import structlog

from adapters.host.metrics import PrometheusMetrics
from adapters.host.systemd import Notifier
from adapters.http.ops import Readiness
from adapters.http.public import PublicListener
from adapters.sqlite.generation import GenerationFile
from adapters.sqlite.store import sqlite_version
from config.load import Loaded
from config.logging.journal import running_under_systemd
from config.logging.setup import configure
from daemon import __version__
from daemon.app.accounts import Common
from daemon.app.calls import tell_of_call
from daemon.app.console import console_pages
from daemon.app.dispatch import Dispatch
from daemon.app.listeners import offering, open_metrics, open_ops, open_public
from daemon.app.live_config import Current
from daemon.app.nodes import join, recount
from daemon.app.notifications import News, listen_for_news
from daemon.app.notifications import services as news_services
from daemon.app.opening import consent, former_of_shops, label_hosting, recall_names, resume_all, take_stock
from daemon.app.policies import timings
from daemon.app.receivers import receivers
from daemon.app.reloading import Change, Reloader
from daemon.app.resources import Resources, closing, open_resources
from daemon.app.services import STEPS_SHARE, Services
from daemon.app.verbs import Accesses, Answering, answering, count_held, daemon_access, retention
from daemon.domain.returns import State
from daemon.engine.adoption import Adoption
from daemon.engine.announcements import Announcements
from daemon.engine.handlers.context import ShopContext
from daemon.engine.intake import Intake
from daemon.engine.label_hosting import LabelHosting
from daemon.engine.leases import NodeLeases, under_lease
from daemon.engine.overheard import Overheard
from daemon.engine.provenance import Provenance, ServerProvenance, renewing
from daemon.engine.refusals import SharedRefusals
from daemon.engine.shop_pauses import ShopPauses
from daemon.engine.strangers import Strangers
from daemon.engine.supervisor import Heartbeats, Service, supervise
from daemon.engine.walker import try_again_now
from daemon.errors import McfdError, StoreUnavailable
from daemon.operations.adoptions import Adoptions
from daemon.operations.authorization import Authorization
from daemon.operations.errands import Errands
from daemon.operations.rekeying import prove_keys
from daemon.operations.renaming import Former
from daemon.operations.returns import Operator
from daemon.operations.verbs import VERBS
from daemon.ports.host import Clock
from daemon.ports.leases import LEASE, NONE, LeaseBook
from daemon.ports.store import Store

log = structlog.get_logger(__name__)


class App:
    """The whole daemon; `public_port` and `ops_port` are known once it listens.

    `read_again` reads the configuration again for a reload. A `shadow` never writes to vendors.
    """

    def __init__(
        self,
        loaded: Loaded,
        *,
        clock: Clock,
        notifier: Notifier,
        watchdog: float | None = None,
        read_again: Callable[[], Loaded] | None = None,
        shadow: bool = False,
    ) -> None:
        self._current = Current(loaded)
        self._clock = clock
        self._notifier = notifier
        self._watchdog = watchdog
        self._read_again = read_again or (lambda: loaded)
        self._shadow = shadow
        accounts = loaded.settings.account_of
        self._metrics = PrometheusMetrics(__version__, lambda shop: accounts.get(shop, ""))
        self._beats = Heartbeats(clock)
        self._overheard = Overheard()
        self._services = Services(self._beats)
        self._store: Store | None = None
        self._contexts: dict[str, ShopContext] = {}
        self._pauses: ShopPauses | None = None
        self._provenance: Provenance | None = None
        self._former: Former = {"shop": {}, "account": {}}
        self._stop = asyncio.Event()
        self._leases: NodeLeases | None = None
        self._errands: Errands | None = None
        self._refusals: SharedRefusals | None = None
        self._reloader: Reloader | None = None
        self.public_port = 0
        self.ops_port = 0
        self.metrics_port = 0

    async def run(self, stop: asyncio.Event, opened: Callable[[], Awaitable[None]] | None = None) -> None:
        """Serve until `stop` is set. Raises ConfigError, AlreadyRunning, ServiceEnded, CannotListen."""
        settings, self._stop = self._current.settings, stop
        async with AsyncExitStack() as stack:
            resources = await open_resources(stack, self._current, self._clock, self._metrics)
            await prove_keys(resources.store, resources.vault)
            self._store = resources.store
            self._echo()
            if not self._shadow:  # a shadow works on a copy
                await self._prove_store(stack, resources)
            if resources.store.leases is not None:
                self._join(resources, resources.store.leases)
            else:
                await resume_all(resources)
            await take_stock(resources)
            hosting = label_hosting(resources)
            news = await listen_for_news(resources, self._services.wake)
            self._contexts = self._make_contexts(resources, hosting, news)
            await self._recall_pauses(resources)
            self._former = await recall_names(resources, noting=not self._shadow)
            intake = self._intake(resources)
            services = self._own_services(resources)
            announcements = await self._announcements(stack, resources)
            services |= self._services.telling(resources, announcements)
            if not self._shadow:  # a message read by a shadow would never reach the daemon beside it
                services |= await news_services(stack, resources, news, self._beats, self._services.holdings)
            await self._listen(
                stack,
                resources,
                intake=intake,
                hosting=hosting,
                services=services,
                news=news,
                announcements=announcements,
            )
            self._say_ready(resources)
            if opened is not None:
                await opened()
            await supervise(services, stop, clock=self._clock, grace=settings.timings.stop_grace)

    def _say_ready(self, resources: Resources) -> None:
        self._notifier.ready()
        self._notifier.status(self._services.sentence(resources))
        ports = {"public_port": self.public_port, "ops_port": self.ops_port, "metrics_port": self.metrics_port}
        log.info("daemon.ready", **{name: port for name, port in ports.items() if port})

    def _echo(self) -> None:
        """Log what runs here, for readers of the log."""
        for warning in self._current.warnings:
            log.warning("config.warned", text=warning)
        log.info(
            "daemon.starting",
            version=__version__,
            python=platform.python_version(),
            sqlite=sqlite_version,
            shadow=self._shadow,
        )
        for account in self._current.accounts.values():
            source = account.label_source
            log.info("account.serving", account=account.name, shops=sorted(account.settings.shops), label_source=source)

    # ---- opening

    async def _prove_store(self, stack: AsyncExitStack, resources: Resources) -> None:
        """Notice a database that was restored, and make every copy of this one noticeable."""
        if resources.store.servers is not None:
            judging = ServerProvenance(resources.store, resources.store.servers, self._clock)
            await judging.check(self._current.settings.shops)
            return
        beside = GenerationFile(self._current.settings.store.path)
        new_name = partial(secrets.token_urlsafe, 16)
        self._provenance = Provenance(resources.store, beside, self._clock, new_name)
        await self._provenance.check(self._current.settings.shops)
        stack.push_async_callback(self._provenance.last)

    def _join(self, resources: Resources, book: LeaseBook) -> None:
        """Be one of several nodes: from here on, only what works under a lease may change something at a vendor."""
        LEASE.set(NONE)
        self._leases = join(resources, book, changed=partial(self._kept_changed, resources))
        self._leases.tell(self._services.look_again)
        self._services.holdings = self._leases
        known = {name: one.refusals for name, one in resources.vendors.accounts.items()}
        self._refusals = SharedRefusals(resources.store, self._clock, self._leases, known)

    async def _kept_changed(self, resources: Resources) -> None:
        """Take over what another node was told: credentials, settings, pauses."""
        await resources.settings.load()
        await resources.read_credentials()
        if self._pauses is not None:
            await self._pauses.recall(self._contexts)
        self._use_policies()
        resources.vendors.unpark()
        await self._retry_own(resources)

    async def _retry_own(self, resources: Resources) -> None:
        """Try again what this node works: it may have been tried, once more in vain, before the news was here."""
        for account in self._services.worked(resources):
            try_again = partial(try_again_now, resources.store, self._clock, account)
            await under_lease(self._services.holdings, account, try_again)()
        self._services.wake()

    async def _recall_pauses(self, resources: Resources) -> None:
        """Keep paused what an operator has paused."""
        self._pauses = pauses = ShopPauses(resources.store, partial(try_again_now, resources.store, self._clock))
        await pauses.recall(self._contexts)
        for shop, context in self._contexts.items():
            context.paused = partial(pauses.paused, shop)

        def paused() -> dict[tuple[str, ...], float]:
            accounts = self._current.settings.account_of
            return {(accounts[shop], shop): float(pauses.paused(shop)) for shop in self._contexts}

        labels = ("account", "shop")
        self._metrics.watch("mcfd_shop_paused", "1 while an operator has paused the shop.", labels, paused)

    def _intake(self, resources: Resources) -> Intake:
        return Intake(
            resources.store,
            self._clock,
            timings(self._current.settings),
            self._metrics,
            self._services.wake,
            overheard=self._overheard,
            accounts=self._current.settings.account_of,
            former=former_of_shops(self._former),
            makes_labels=lambda shop: shop not in self._contexts or self._contexts[shop].policy.labels,
        )

    def _make_contexts(self, resources: Resources, hosting: LabelHosting, news: News) -> dict[str, ShopContext]:
        common = Common(
            current=self._current,
            store=resources.store,
            clock=self._clock,
            clock_check=resources.clock_check,
            metrics=self._metrics,
            hosting=hosting,
            box=resources.vault,
            overheard=self._overheard,
            shadow=self._shadow,
        )
        found: dict[str, ShopContext] = {}
        for name, vendors in resources.vendors.accounts.items():
            found |= common.contexts(vendors, news.pushes.get(name))
        return found

    async def _listen(
        self,
        stack: AsyncExitStack,
        resources: Resources,
        *,
        intake: Intake,
        hosting: LabelHosting,
        services: dict[str, Service],
        news: News,
        announcements: Announcements,
    ) -> None:
        """Open both listeners, and add the services that belong to them."""
        authorization, clearing = self._consent(resources), retention(resources, self._metrics.forgotten)
        services |= self._services.all(resources, self._contexts, intake, clearing)
        for name in self._beats.names:
            self._metrics.service(name, partial(self._beats.is_late, name))
        accesses = daemon_access(
            resources,
            self._operator(resources),
            clearing,
            authorization,
            offer=offering(self._current, intake, news.heard),
            order_changed=intake.order_changed,
            announcements=announcements,
            adoptions=self._adoptions(resources, services),
            try_again=partial(self._try_again, resources),
            origins=news.origins,
        )
        await self._open_to_operators(stack, resources, self._answering(resources, accesses, services))
        public = await open_public(
            self._current,
            intake,
            hosting,
            authorization,
            box=resources.vault,
            clock=self._clock,
            metrics=self._metrics,
            former=self._former,
        )
        self.public_port, services["public listener"] = public.port, partial(self._front_door, public)

    def _consent(self, resources: Resources) -> Authorization:
        return consent(resources, partial(self._step_again, resources))

    def _answering(
        self, resources: Resources, accesses: Accesses, services: dict[str, Service]
    ) -> Mapping[str, Answering]:
        """Every verb by its path: answered here, or together with other nodes."""
        if self._leases is None or resources.store.errands is None:
            return answering(accesses)
        dispatch = Dispatch(resources, resources.store.errands, self._leases, accesses)
        self._errands = errands = dispatch.errands
        grace = self._current.settings.timings.stop_grace * STEPS_SHARE
        services["errands"] = partial(errands.serve, grace=grace)
        return {verb.path: partial(dispatch.answer, verb) for verb in VERBS}

    def _adoptions(self, resources: Resources, services: dict[str, Service]) -> Adoptions:
        adoptions = Adoptions(
            Adoption(self._contexts, self._services.wake),
            self._contexts,
            resources.store,
            self._clock,
            partial(self._services.lease_of, self._current.settings.account_of),
        )
        services["adoptions"] = adoptions.run
        return adoptions

    async def _open_to_operators(
        self, stack: AsyncExitStack, resources: Resources, verbs: Mapping[str, Answering]
    ) -> None:
        ready = partial(self._ready, resources)
        pages = await console_pages(stack, resources, verbs)
        ops = await open_ops(self._current, verbs, self._metrics, health=self._health, ready=ready, pages=pages)
        stack.push_async_callback(closing, "ops listener", ops.stop)
        self.ops_port = ops.port
        watched = await open_metrics(self._current, self._metrics, health=self._health, ready=ready)
        if watched is not None:
            stack.push_async_callback(closing, "metrics listener", watched.stop)
            self.metrics_port = watched.port

    async def _announcements(self, stack: AsyncExitStack, resources: Resources) -> Announcements:
        told = await receivers(stack, self._current, partial(tell_of_call, self._metrics, ""))
        return Announcements(told, resources.store, self._clock, self._metrics, self._refused(resources))

    def _refused(self, resources: Resources) -> Callable[[], Awaitable[Mapping[str, str]]]:
        """How to learn what vendors refuse to any account: over several nodes, as each tells of its own."""
        if self._refusals is not None:
            return self._refusals.all

        async def here() -> Mapping[str, str]:
            return resources.vendors.refusals()

        return here

    def _operator(self, resources: Resources) -> Operator:
        return Operator(
            resources.store,
            self._clock,
            timings(self._current.settings),
            self._contexts,
            self._services.wake,
            moved=self._metrics.moved,
            nodes=resources.store.leases.look if resources.store.leases is not None else None,
            shops=frozenset(self._current.settings.shops),
            pauses=self._pauses,
        )

    # ---- the daemon's own services

    def _own_services(self, resources: Resources) -> dict[str, Service]:
        self._reloader = Reloader(
            self._current,
            self._read_again,
            partial(self._take_over, resources),
            clock=self._clock,
            notifier=self._notifier,
            metrics=self._metrics,
        )
        resources.settings.changed = partial(self._settings_changed, resources)
        services: dict[str, Service] = {"reload": self._reloader.run, "calls": partial(self._last_calls, resources)}
        if self._leases is not None:
            services["leases"] = self._leases.run
            services["nodes"] = partial(resources.store.listen, self._hear_node)
            services["counts"] = partial(recount, resources)
        if self._refusals is not None:
            services["refusals"] = self._refusals.run
        if self._provenance is not None:
            services["generation"] = partial(renewing, self._provenance, self._clock)
        strangers = Strangers(resources.store, self._contexts, self._clock, self._services.holdings)
        services["strangers"] = strangers.run
        words = "Returns that wait for mcfd adopt: unknown here, or not compared since a restore."
        self._metrics.watch("mcfd_returns_to_adopt", words, ("account", "shop"), lambda: strangers.counts)
        services["held returns"] = partial(count_held, resources)
        if self._watchdog is not None:
            services["watchdog"] = self._services.watchdog(resources, self._notifier, self._watchdog)
        return services

    def _hear_node(self) -> None:
        """Another node has written something, or has let an account go."""
        self._services.wake()
        if self._leases is not None:
            self._leases.sooner.set()
        if self._errands is not None:
            self._errands.sooner.set()

    def reload(self) -> None:
        """Ask for a reload of what can change while running; ignored until the daemon serves."""
        if self._reloader is not None:
            self._reloader.ask()

    async def _take_over(self, resources: Resources, change: Change) -> None:
        self._current.take(change.settings, change.secrets)
        output = change.settings.log
        redactor = configure(output.format, output.level, under_systemd=running_under_systemd())
        redactor.register(change.secrets.values())
        self._use_policies()
        resources.vendors.unpark()
        try:
            await resources.read_credentials()
            await try_again_now(resources.store, self._clock)
        except StoreUnavailable as error:  # the new configuration applies anyway; returns are tried when they are due
            log.warning("config.store_unavailable", error=str(error))
        self._services.wake()

    async def _settings_changed(self, resources: Resources) -> None:
        """Use settings that an operator has just given to the store."""
        self._use_policies()
        await resources.read_credentials()
        await self._try_again(resources)

    def _use_policies(self) -> None:
        """Judge by the configuration of now; a shop that is gone from it keeps its policy."""
        for shop, context in self._contexts.items():
            context.policy = self._current.policy(shop) or context.policy

    async def _try_again(self, resources: Resources, account: str | None = None) -> None:
        """Try again what a vendor refused to an account, or to any."""
        (resources.vendors if account is None else resources.vendors.accounts[account]).unpark()
        await self._step_again(resources, account)

    async def _step_again(self, resources: Resources, account: str | None = None) -> None:
        """Step again at once what was postponed."""
        await try_again_now(resources.store, self._clock, account)
        self._services.wake()

    async def _last_calls(self, resources: Resources, stop: asyncio.Event) -> None:
        """Let running calls finish, but drop queued ones: a queue can take longer than the stop grace."""
        await self._clock.wait(stop, None)
        resources.vendors.hang_up()

    async def _front_door(self, public: PublicListener, stop: asyncio.Event) -> None:
        """Close first: requests being received are still stored, new ones are not accepted."""
        await self._clock.wait(stop, None)
        self._notifier.stopping()
        log.info("shutdown.step", closing="public listener")
        await public.stop(self._current.settings.timings.stop_grace * STEPS_SHARE)

    # ---- state

    async def state_of(self, shop: str, return_id: str) -> str:
        """The state of one return, for code that embeds the daemon; empty if the return is unknown."""
        store = self._store
        if store is None:
            return ""
        ret = await store.read(lambda uow: uow.get(shop, return_id))
        return ret.state.value if ret is not None else ""

    async def next_due(self) -> float | None:
        """When the daemon looks at a return next, for code that embeds it."""
        store = self._store
        return await store.read(lambda uow: uow.next_due(tuple(State))) if store is not None else None

    def label_source_of(self, shop: str) -> str:
        """The shop's current label source, for code that embeds the daemon."""
        context = self._contexts.get(shop)
        return context.policy.label_source.value if context else ""

    async def _health(self) -> Readiness:
        return Readiness(problems=dict.fromkeys(self._beats.late(), "has not been heard of in time"))

    async def _ready(self, resources: Resources) -> Readiness:
        """Whether to send requests here; several accounts are not all unready for the credentials of one."""
        several = len(resources.accounts) > 1
        own = resources.of(*self._services.worked(resources))
        parked = own.vendors.refusals()
        problems = {} if several else dict(parked)
        if self._stop.is_set():
            problems["daemon"] = "it is stopping"
        try:
            await resources.store.alive()
            await resources.store.writable()
        except McfdError as error:
            problems["store"] = str(error)
        if wrong := resources.clock_check.problem():
            problems["clock"] = wrong
        if not several and self._leases is None:
            return Readiness(problems=problems)
        return Readiness(problems=problems, accounts=tuple(own.accounts), parked=parked)
