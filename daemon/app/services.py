"""Part of the composition root: names the services that walk, poll and clear up."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import partial

from adapters.host.systemd import Notifier, Watchdog
from daemon.app.policies import timings
from daemon.app.resources import Resources
from daemon.domain.durations import DAY, HOUR
from daemon.domain.leases import CHORES
from daemon.domain.queues import Queue
from daemon.domain.returns import State
from daemon.engine.announcements import EVERY, Announcements
from daemon.engine.clock_check import ClockKeeper
from daemon.engine.handlers.context import ShopContext
from daemon.engine.intake import Intake
from daemon.engine.leases import under_lease, when_won
from daemon.engine.order_index import IDLE, OrderIndex
from daemon.engine.polls import PortalPolls
from daemon.engine.purchase_watch import EVERY as LOOK_AT_PURCHASES
from daemon.engine.purchase_watch import PurchaseWatch
from daemon.engine.recorder import Recorder
from daemon.engine.supervisor import Heartbeats, Service, run_every
from daemon.engine.walker import Claims, Walker
from daemon.engine.workflow import Workflow
from daemon.errors import McfdError
from daemon.operations.insights import Sums
from daemon.operations.retention import Retention
from daemon.ports.leases import EveryAccount, Holdings, Lease
from daemon.ports.names import at_account

WALKERS = (
    ("label_requests", Queue.LABELS, 200, 1.0),
    ("label_waiter", Queue.AUTHORIZATIONS, 1000, 60.0),
    ("held_requests", Queue.HELD, 4, 1.0),
    ("reconciler", Queue.LOOKS, 64, 1.0),
    ("portal_writer", Queue.PORTAL, 64, 1.0),
)
"""Services by name: the queue, how many returns of each shop are walked at once, how long a walk waits in place (s)."""

Periodic = tuple[str, str, float, Callable[[], Awaitable[None]]]
"""Account, name, seconds between the rounds, and the work of a round."""
UNASKED = 300.0
"""Seconds between the rounds of services that are woken when there is something to do."""
MOST_PARKED = 5
"""Parked connections that the sentence names."""
STEPS_SHARE = 0.8
"""The share of the stop grace that steps in hand get; the rest is for closing."""


def _recorder(resources: Resources) -> Recorder:
    clocks = timings(resources.current.settings)
    return Recorder(resources.store, resources.clock, clocks, resources.metrics, journal=resources.journal)


async def keep_pauses(resources: Resources, holdings: Holdings) -> None:
    """Remember the pauses that vendors ask for, of each account that this node works."""
    for name, one in resources.accounts.items():
        await under_lease(holdings, name, one.pauses.round)()


class Services:
    """Makes the services, and wakes the walkers. Each works what `holdings` says that this node holds."""

    def __init__(self, beats: Heartbeats) -> None:
        self.holdings: Holdings = EveryAccount()
        self._beats = beats
        self._claims = Claims()
        self._walkers: tuple[Walker, ...] = ()

    def worked(self, resources: Resources) -> list[str]:
        """The accounts that this node works."""
        return [name for name in resources.accounts if self.holdings.of(name) is not None]

    def sentence(self, resources: Resources) -> str:
        """One sentence on the state, for `systemctl status`."""
        held = resources.metrics.held()
        open_ones = held.total() - held[State.CLOSED] - held[State.CANCELLED]
        parts = [f"{open_ones} open returns of {held.total()}, {held[State.STUCK]} stuck"]
        refusals = resources.of(*self.worked(resources)).vendors.refusals()
        parked = [f"{name}: {problem}" for name, problem in refusals.items()]
        more = [f"{len(parked) - MOST_PARKED} more connections parked"] if len(parked) > MOST_PARKED else []
        return "; ".join([*parts, *parked[:MOST_PARKED], *more])

    def wake(self) -> None:
        """Wake the walkers: something may be due now."""
        for walker in self._walkers:
            walker.wake.set()

    def look_again(self, _account: str) -> None:
        """Let every walk that waits look whether it may go on: what this node holds has changed."""
        self._claims.poke_all()
        self.wake()

    def all(
        self, resources: Resources, contexts: Mapping[str, ShopContext], intake: Intake, retention: Retention
    ) -> dict[str, Service]:
        """Every service by name, except the listeners and the watchdog."""
        settings = resources.current.settings
        recorder = _recorder(resources)
        workflow = Workflow(contexts, recorder, attempts=settings.attempts, jitter=random.random)
        self._walkers = tuple(
            self._walker(resources, name, queue, workflow, places=places, patience=patience)
            for name, queue, places, patience in WALKERS
        )
        keeper = ClockKeeper(
            resources.clock_check,
            resources.store,
            resources.clock,
            timings(settings),
            metrics=resources.metrics,
            wake=self.wake,
        )
        services: dict[str, Service] = {walker.name: walker.run for walker in self._walkers}
        services["store"] = resources.store.watch
        for account in {context.account.name: context.account for context in contexts.values()}.values():
            account.order_index.wake = self.wake
            name = at_account("order_index", account.name)
            services[name] = self._reading(resources, name, account.order_index)
        for owner, name, seconds, work in (
            *self._polls(resources, intake),
            (CHORES, "retention", DAY, retention.nightly),
            (CHORES, "sums", DAY, Sums(resources.store, resources.clock).nightly),
        ):
            services[name] = self._leased(resources, owner, name, seconds, work)
        for owner, name, seconds, work in self._parcels(resources, contexts, recorder):
            services[name] = self._leased(resources, owner, name, seconds, work, sends=True)
        for name, asked, work in (
            ("clock", resources.clock_check.news, keeper.round),
            ("pauses", resources.vendors.paused, partial(keep_pauses, resources, self.holdings)),
        ):
            services[name] = self._periodic(resources, name, UNASKED, work, sooner=asked)
        services["call_journal"] = self._writing_calls(resources)
        return services

    def _polls(self, resources: Resources, intake: Intake) -> Iterator[Periodic]:
        """Each shop has its own polling services, so that one shop's limit or long list does not delay another."""
        clocks = resources.current.settings.timings
        for shop, portal in resources.vendors.portals.items():
            polls = PortalPolls({shop: portal}, intake, resources.store, resources.clock_check)
            account = resources.current.settings.account_of[shop]
            yield account, f"label_request_poll/{shop}", clocks.label_request_poll, polls.label_requests
            yield account, f"cancelled_request_poll/{shop}", HOUR, polls.cancelled_requests
            yield account, f"return_poll/{shop}", clocks.return_poll, polls.returns

    def _writing_calls(self, resources: Resources) -> Service:
        journal = resources.journal

        async def run(stop: asyncio.Event) -> None:
            round_ = partial(journal.round, resources.clock, stop)
            await self._periodic(resources, "call_journal", UNASKED, round_, sooner=journal.news)(stop)

        return run

    def _parcels(
        self, resources: Resources, contexts: Mapping[str, ShopContext], recorder: Recorder
    ) -> Iterator[Periodic]:
        """Each account that buys labels has a service of its own that follows them."""
        for name, vendors in resources.vendors.accounts.items():
            if vendors.easypost is not None:
                parcels = PurchaseWatch(
                    resources.store,
                    recorder,
                    contexts,
                    resources.metrics,
                    account=name,
                    unused_after=resources.current.settings.accounts[name].easypost.void_unused_after,
                )
                yield name, at_account("purchases", name), LOOK_AT_PURCHASES, parcels.round

    def telling(self, resources: Resources, announcements: Announcements) -> dict[str, Service]:
        """The service that sends messages to people; none if there are no receivers."""
        if not announcements.has_receivers:
            return {}
        return {
            "announcements": self._leased(resources, CHORES, "announcements", EVERY, announcements.round, sends=True)
        }

    def watchdog(self, resources: Resources, notifier: Notifier, interval: float) -> Service:
        """The service that pings systemd."""
        return Watchdog(
            notifier,
            interval=interval,
            clock=resources.clock,
            store_alive=resources.store.alive,
            late=self._beats.late,
            status=partial(self.sentence, resources),
        ).run

    def _walker(
        self,
        resources: Resources,
        name: str,
        queue: Queue,
        workflow: Workflow,
        *,
        places: int,
        patience: float,
    ) -> Walker:
        self._beats.promise(name, 60.0)
        return Walker(
            name,
            queue,
            workflow=workflow,
            store=resources.store,
            clock=resources.clock,
            metrics=resources.metrics,
            claims=self._claims,
            beat=partial(self._beats.beat, name),
            places=places,
            patience=patience,
            grace=resources.current.settings.timings.stop_grace * STEPS_SHARE,
            lease_of=partial(self.lease_of, resources.current.settings.account_of),
        )

    def lease_of(self, account_of: Mapping[str, str], shop: str) -> Lease | None:
        """The lease under which a shop's returns are worked; those of a shop that is gone belong to the chores."""
        return self.holdings.of(account_of.get(shop, CHORES))

    def _reading(self, resources: Resources, name: str, index: OrderIndex) -> Service:
        self._beats.promise(name, 3 * IDLE)

        def failed(_: str, error: BaseException) -> None:
            resources.metrics.trouble("poll_failed" if isinstance(error, McfdError) else "bug")

        return partial(index.run, beat=partial(self._beats.beat, name), on_failure=failed)

    def _leased(
        self,
        resources: Resources,
        account: str,
        name: str,
        seconds: float,
        work: Callable[[], Awaitable[None]],
        *,
        sends: bool = False,
    ) -> Service:
        """A periodic service on the node that works the account; it begins as soon as this one does."""
        round_ = under_lease(self.holdings, account, work, sends=sends)
        return self._periodic(resources, name, seconds, round_, sooner=when_won(self.holdings, account))

    def _periodic(
        self,
        resources: Resources,
        name: str,
        seconds: float,
        work: Callable[[], Awaitable[None]],
        *,
        sooner: asyncio.Event | None = None,
    ) -> Service:
        self._beats.promise(name, 3 * seconds + 600.0)

        def failed(_: str, error: Exception) -> None:
            resources.metrics.trouble("poll_failed" if isinstance(error, McfdError) else "bug")

        async def run(stop: asyncio.Event) -> None:
            await run_every(
                seconds,
                work,
                name=name,
                clock=resources.clock,
                stop=stop,
                beat=partial(self._beats.beat, name),
                on_failure=failed,
                sooner=sooner,
            )

        return run
