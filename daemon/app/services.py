"""The part of the composition root that names the services: who walks, who polls, who clears up."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from functools import partial

from adapters.host.systemd import Notifier, Watchdog
from daemon.app.policies import timings
from daemon.app.resources import House
from daemon.domain.returns import State
from daemon.engine.handlers.context import Desk
from daemon.engine.intake import Intake
from daemon.engine.polls import PortalPolls
from daemon.engine.recorder import Recorder
from daemon.engine.supervisor import Heartbeats, Service, run_every
from daemon.engine.walker import InHand, Walker
from daemon.engine.workflow import Workflow
from daemon.errors import McfdError
from daemon.operations.retention import Retention

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


def sentence(house: House) -> str:
    """How it is, for `systemctl status`."""
    held = house.metrics.held()
    open_ones = held.total() - held[State.CLOSED] - held[State.CANCELLED]
    parts = [f"{open_ones} open returns of {held.total()}, {held[State.STUCK]} stuck"]
    return "; ".join([*parts, *(f"{name}: {problem}" for name, problem in house.vendors.refusals().items())])


class Services:
    """Makes them, and knows the walkers that are to be woken."""

    def __init__(self, beats: Heartbeats) -> None:
        self._beats = beats
        self._in_hand = InHand()
        self._walkers: tuple[Walker, ...] = ()

    def wake(self) -> None:
        """Something may be due now."""
        for walker in self._walkers:
            walker.wake.set()

    def all(self, house: House, desks: Mapping[str, Desk], intake: Intake, retention: Retention) -> dict[str, Service]:
        """Every service by name, but for the doors and the watchdog."""
        settings = house.current.settings
        recorder = Recorder(house.store, house.clock, timings(settings), house.metrics)
        workflow = Workflow(desks, recorder, attempts=settings.attempts, jitter=random.random)
        self._walkers = tuple(
            self._walker(house, name, states, workflow, limit=limit, patience=patience)
            for name, states, limit, patience in WALKERS
        )
        polls = PortalPolls(house.vendors.portals, intake, house.store, house.clock)
        services: dict[str, Service] = {walker.name: walker.run for walker in self._walkers}
        services["store"] = house.store.watch
        for name, seconds, work in (
            ("label_request_poll", settings.timings.label_request_poll, polls.label_requests),
            ("return_poll", settings.timings.return_poll, polls.returns),
            ("retention", DAILY, retention.nightly),
        ):
            services[name] = self._periodic(house, name, seconds, work)
        return services

    def watchdog(self, house: House, notifier: Notifier, interval: float) -> Service:
        """The service that pings systemd."""
        return Watchdog(
            notifier,
            interval=interval,
            clock=house.clock,
            store_alive=house.store.alive,
            late=self._beats.late,
            status=partial(sentence, house),
        ).run

    def _walker(
        self, house: House, name: str, states: tuple[State, ...], workflow: Workflow, *, limit: int, patience: float
    ) -> Walker:
        self._beats.promise(name, 60.0)
        return Walker(
            name,
            states,
            workflow=workflow,
            store=house.store,
            clock=house.clock,
            metrics=house.metrics,
            in_hand=self._in_hand,
            beat=partial(self._beats.beat, name),
            limit=limit,
            patience=patience,
            grace=house.current.settings.timings.stop_grace * STEPS_SHARE,
        )

    def _periodic(self, house: House, name: str, seconds: float, work: Callable[[], Awaitable[None]]) -> Service:
        self._beats.promise(name, 3 * seconds + 600.0)

        def failed(_: str, error: Exception) -> None:
            house.metrics.trouble("poll_failed" if isinstance(error, McfdError) else "bug")

        async def run(stop: asyncio.Event) -> None:
            await run_every(
                seconds,
                work,
                name=name,
                clock=house.clock,
                stop=stop,
                beat=partial(self._beats.beat, name),
                on_failure=failed,
            )

        return run
