"""The real process between the sandbox's real sockets, killed and lied to while stories run."""

import asyncio
import random
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from aiohttp import web

from adapters.sandbox import Sandbox, SandboxOptions
from adapters.sandbox.listener import Handler, Route, Vendor
from adapters.sandbox.loop.http import LoopVendor
from tests.campaign.judge import Ending, judge, judge_deliveries, judge_ending
from tests.campaign.scenarios import KINDS, corrected
from tests.campaign.scenarios_portal import fails, unflagged
from tests.campaign.scene import Kind, Scene
from tests.e2e.daemon_process import DaemonProcess
from tests.e2e.world import CLOCK, RaisedSandbox, World, configuration, fresh_secret, pause, secret_files, until

SECOND_OF_STORY = 0.02
"""Seconds that an hour of a story takes."""

TIMINGS = {
    "unmatched_deadline": "2s",
    "missing_sibling": "20s",
    "missing_delivered": "30s",
    "missing_in_transit": "30s",
    "missing_lost": "20s",
    "missing_silent": "30s",
    "late_look": "1s",
    "late_watch": "120s",
    "condition_grace": "500ms",
    "review_watch": "2s",
    "return_poll": "12s",
    "label_request_poll": "4s",
    "inspection_idle": "1s",
    "inspection_moving": "1s",
    "inspection_arrived": "1s",
    "http_timeout": "2s",
}

CHANGING = frozenset(
    [
        *("createFulfillmentReturn", "purchaseShipment", "cancelShipment", "createLabel", "updateLabel", "addNote"),
        *("grade", "assess", "flagReturn", "processReturn", "removeLineItems", "createLabelRequestError"),
    ]
)
"""Calls that change something at a vendor. That a process dies while it reads is for the simulation to try."""

NOT_TOLD = {corrected, unflagged, fails}
"""Left to the simulation. People and inspectors act in a moment here, also while the daemon is dead: nobody would see the
correction, or the flag before it is lifted. And a failed processing is told by webhook only, to a port that is gone.
"""

TOLD: tuple[Kind, ...] = tuple(kind for kind in KINDS if kind not in NOT_TOLD)
"""Stories that end as they should beside a real process, too."""

Moment = tuple[str, str]
"""An operation, and `arrived` (nothing has happened yet) or `performed` (it has, and nobody was told)."""

Watch = Callable[[Moment, web.Request], Awaitable[bool]]
"""Says whether the caller has died at that moment: a call that had only arrived has no effect then."""


class WatchedSandbox(RaisedSandbox):
    """The sandbox that tells of every call as it arrives, and again when it is performed and not yet answered."""

    def __init__(self, options: SandboxOptions, watch: Watch) -> None:
        super().__init__(options, CLOCK)
        self._watch = watch

    def _amazon_vendors(self) -> list[Vendor]:
        return [_Watched(vendor, self._watch) for vendor in super()._amazon_vendors()]

    def _loop_vendor(self) -> LoopVendor:
        return _Watched(super()._loop_vendor(), self._watch)  # type: ignore[return-value]


class _Watched:
    """A vendor whose handlers are watched."""

    def __init__(self, vendor: Vendor, watch: Watch) -> None:
        self._vendor = vendor
        self._watch = watch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._vendor, name)

    def routes(self) -> Sequence[Route]:
        return [replace(route, handle=self._watched(route.operation, route.handle)) for route in self._vendor.routes()]

    def _watched(self, operation: str, handle: Handler) -> Handler:
        async def watched(request: web.Request) -> web.Response:
            if await self._watch((operation, "arrived"), request):
                return web.Response(status=503)
            response = await handle(request)
            await self._watch((operation, "performed"), request)
            return response

        return watched


@dataclass
class Killer:
    """Kills the daemon at each moment of each call that changes something, once, and at random instants.

    Each time it is started again.
    """

    world: World | None = None
    moments: set[Moment] = field(default_factory=set)
    instants: int = 0
    _dead: asyncio.Event = field(default_factory=asyncio.Event)

    async def watch(self, moment: Moment, _: web.Request) -> bool:
        """Strike, if there was no such moment before; whoever called is dead then."""
        if moment[0] not in CHANGING or moment in self.moments or not self._strike():
            return False
        self.moments.add(moment)
        return True

    def _strike(self) -> bool:
        world = self.world
        if world is None or self._dead.is_set() or not world.daemon.running:
            return False
        world.daemon.signal(signal.SIGKILL)
        self._dead.set()
        return True

    async def at_random(self, dice: random.Random) -> None:
        """Strike at instants that have nothing to do with calls, and so around commits, too.

        A life ends before Loop's 300 calls a minute are spent.
        """
        while True:
            await pause(dice.uniform(0.2, 15.0))
            self.instants += self._strike()

    async def revive(self) -> None:
        """Start the daemon again, for ever."""
        assert self.world is not None
        while True:
            await self._dead.wait()
            await self.world.daemon.ended()
            await self.world.daemon.start()
            self.world.subscribe()
            self._dead.clear()


@dataclass
class RealPlace:
    """Implements Place beside a real process."""

    sandbox: Sandbox
    dice: random.Random
    hour: float = SECOND_OF_STORY
    patience: float = 180.0
    neighbour: None = None

    async def pause(self, seconds: float) -> None:
        await pause(seconds)

    async def until(self, what: str, seen: Callable[[], Any]) -> None:
        await until(what, seen, self.patience)


@asynccontextmanager
async def real_vendors(folder: Path, watch: Watch, *, seed: int = 0, **options: Any) -> AsyncIterator[World]:
    """Both vendors, and a daemon that buys its labels, which nobody has started yet."""
    chosen = SandboxOptions(
        seed=seed,
        client_secret=fresh_secret("lwa"),
        refresh_token=fresh_secret("refresh"),
        loop_api_key=fresh_secret("loop"),
        webhook_secret=fresh_secret("webhook"),
        process_after=0.1,
        retry_unit=0.3,
        enforce_limits=False,
        **options,
    )
    async with WatchedSandbox(chosen, watch) as sandbox:
        shop = {"exchanges": {"auto_process": True}, "on_unmatched": "refuse"}
        daemon = DaemonProcess(folder, configuration(folder, sandbox, TIMINGS, shop), secret_files(chosen))
        daemon.config["amazon"]["label_source"] = "amazon_shipping"
        daemon.secrets["amazon_return_service_id"] = chosen.return_service_id
        yield World(sandbox, daemon)


@asynccontextmanager
async def real_world(folder: Path, watch: Watch, *, seed: int = 0, **options: Any) -> AsyncIterator[World]:
    """Both vendors and a running daemon that buys its labels."""
    async with real_vendors(folder, watch, seed=seed, **options) as world:
        await world.daemon.start()
        world.subscribe()
        try:
            yield world
        finally:
            if world.daemon.running:
                await world.daemon.sigkill()


async def story(world: World, number: int, kind: Kind, seed: int, spread: float = 1.0) -> Sequence[Ending]:
    """Tell one story, which begins in the first `spread` seconds; how it must have ended."""
    place = RealPlace(world.sandbox, random.Random(f"{seed}/{number}"))
    await pause(spread * place.dice.random())
    return await kind(Scene(place, f"#{1001 + number}"))


async def tell_all(world: World, kinds: Sequence[Kind], seed: int) -> list[Ending]:
    """Tell stories all at once; how each must have ended."""
    told = await asyncio.gather(*(story(world, number, kind, seed) for number, kind in enumerate(kinds)))
    return [ending for endings in told for ending in endings]


async def judged(world: World, endings: Sequence[Ending], remembered: AbstractSet[str] = frozenset()) -> list[str]:
    """Let the daemon come to rest, and judge what the vendors hold; `remembered` was known to a store that is lost."""
    if not world.daemon.running:
        await world.daemon.start()
    known = {str(ret) for ret in world.sandbox.shop.returns if (await world.daemon.show(ret))["state"]} | remembered
    wrong = await _settled(world)
    wrong += judge(world.sandbox, storms=True, deaths=True) + judge_deliveries(world.sandbox, known)
    wrong += [what for ending in endings for what in judge_ending(world.sandbox, ending)]
    return wrong + [f"log: {line}" for line in world.daemon.complaints]


async def _settled(world: World, seconds: float = 30.0) -> list[str]:
    """Wait until the daemon has nothing more to say about any return."""
    end = CLOCK.monotonic() + seconds
    while CLOCK.monotonic() < end:
        everything = [await world.daemon.show(return_id) for return_id in world.sandbox.shop.returns]
        shown = [s for s in everything if s["state"]]  # one that was closed at once may never have been heard of
        busy = [s for s in shown if s["state"] not in {"closed", "cancelled"} or not s["owes"].startswith("nothing")]
        if not busy:
            return []
        await pause(0.2)
    return [f"{s['return']} is {s['state']} and owes {s['owes']}: {s['problem']}" for s in busy]
