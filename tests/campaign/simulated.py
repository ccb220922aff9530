"""Stories in the simulated world, with whatever is to go wrong in it, and the judgement at its end."""

import asyncio
import random
import shutil
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from structlog.testing import capture_logs

from adapters.sandbox import Sandbox, SandboxOptions
from daemon.domain.returns import Return
from tests.campaign.judge import (
    Ending,
    judge,
    judge_deliveries,
    judge_ending,
    judge_messages,
    judge_store,
    judge_words,
)
from tests.campaign.scene import PERSON, Kind, Scene
from tests.support.simulation.daemon_process import configuration, simulated_doors
from tests.support.simulation.vendors import NEIGHBOUR, OPTIONS, SHOP
from tests.support.simulation.virtual_loop import VirtualLoop, run_world
from tests.support.simulation.world import DAY, HOUR, MINUTE, World, empty_database, letters_in

CLOCKS = {
    "label_request_poll": 1.0,
    "return_poll": 2.0,
    "unmatched_deadline": 0.5,
    "inspection_idle": 4.0,
    "inspection_moving": 2.0,
    "inspection_arrived": 0.5,
    "missing_sibling": 24.0,
    "missing_delivered": 48.0,
    "missing_in_transit": 96.0,
    "missing_lost": 24.0,
    "missing_silent": 120.0,
    "condition_grace": 6.0,
    "late_look": 12.0,
    "late_watch": 72.0,
    "review_watch": 6.0,
}
"""An operator's clocks in hours of the story, shortened: they decide the same, and simulated days cost time, too."""

Trouble = Callable[[World, random.Random], Awaitable[None]]
BROKEN = frozenset({"error", "critical"})
PATIENCE = 60 * DAY


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A world: what happens in it, and what goes wrong. The same plan is the same world, callback by callback."""

    kinds: Sequence[Kind]
    seed: int = 0
    buys_labels: bool | str = False
    pushed: bool = False
    neighbour: bool = False
    options: SandboxOptions = OPTIONS
    hour: float = HOUR
    timings: Mapping[str, str] = field(default_factory=dict)
    easypost: Mapping[str, object] = field(default_factory=dict)
    spread: float = 0.0
    latency: Callable[[], float] | None = None
    before: Callable[[World], None] = lambda _world: None
    trouble: Trouble | None = None
    storms: bool = False


@dataclass(kw_only=True)
class Outcome:
    """What became of a world; `wrong` is empty when all is well."""

    wrong: list[str]
    callbacks: int = 0
    starts: int = 0
    calls: int = 0
    days: float = 0.0
    returns: int = 0


class Simulation:
    """Runs plans in a folder, one after the other, each on a fresh store."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "mcfd.db"
        self._template = empty_database(folder / "empty.db")
        self.logs: list[Any] = []

    def run(self, plan: Plan) -> Outcome:
        """Let a world live, and judge it."""
        for leftover in self._path.parent.glob("mcfd.db*"):
            leftover.unlink()
        shutil.copy(self._template, self._path)
        with capture_logs() as self.logs, simulated_doors():
            outcome = run_world(lambda loop: self._live(loop, plan))
        outcome.wrong += [f"log: {_shortly(entry)}" for entry in self.logs if entry["log_level"] in BROKEN]
        return outcome

    async def _live(self, loop: VirtualLoop, plan: Plan) -> Outcome:
        shop = {"exchanges": {"auto_process": True}, "on_unmatched": "refuse"}
        clocks = {name: f"{hours * plan.hour:.0f}s" for name, hours in CLOCKS.items()} | dict(plan.timings)
        loaded = configuration(
            self._path,
            plan.options,
            buys_labels=plan.buys_labels,
            pushed=plan.pushed,
            neighbour=plan.neighbour,
            timings=clocks,
            shop=shop,
            easypost=plan.easypost,
            retention={"dead_letters": "400d"},
        )
        world = World(loop, loaded, plan.options, seed=plan.seed, before=plan.before)
        world.latency = plan.latency or world.latency
        world.empty_store = self._template
        if plan.pushed:
            world.vendors.announce_everything()
        async with world:
            return await _Performance(world, plan, self.logs).go()


class _Performance:
    def __init__(self, world: World, plan: Plan, logs: Sequence[Any]) -> None:
        self.world = world
        self.plan = plan
        self.logs = logs
        self.dice = random.Random(plan.seed)

    async def go(self) -> Outcome:
        world, plan = self.world, self.plan
        troubles = [asyncio.ensure_future(plan.trouble(world, self.dice))] if plan.trouble else []
        stories = [self._story(number, kind) for number, kind in enumerate(plan.kinds)]
        told = await asyncio.gather(*stories, return_exceptions=True)
        endings = [ending for endings in told if not isinstance(endings, BaseException) for ending in endings]
        wrong = [_failure(kind, error) for kind, error in zip(plan.kinds, told, strict=True) if _is_error(error)]
        for trouble in troubles:
            trouble.cancel()
        await asyncio.gather(*troubles, return_exceptions=True)
        world.calm()
        wrong += await self._rest()
        wrong += await self._messages()
        deaths = world.starts > 1
        wrong += world.faults + judge(world.vendors, neighbour=world.neighbour, storms=plan.storms, deaths=deaths)
        stored = world.returns()
        endings = [self._possible(ending, stored) for ending in endings]
        wrong += [what for ending in endings for what in judge_ending(self._shop_of(ending), ending)]
        wrong += judge_store(stored, world.clock.now())
        for shop, books in self._shops.items():
            wrong += judge_deliveries(
                books, {ret.return_id for ret in stored if ret.shop == shop} | world.remembered[shop]
            )
        wrong += judge_words(self._shops.values(), [*world.connection.iterdump(), *map(_shortly, self.logs)], PERSON)
        return Outcome(
            wrong=wrong,
            callbacks=world.callbacks,
            starts=world.starts,
            calls=len(world.vendors.calls()),
            days=world.loop.now / DAY,
            returns=len(stored),
        )

    @property
    def _shops(self) -> Mapping[str, Sandbox]:
        neighbour = self.world.neighbour
        return {SHOP: self.world.vendors} | ({} if neighbour is None else {NEIGHBOUR: neighbour})

    def _shop_of(self, ending: Ending) -> Sandbox:
        known = [books for books in self._shops.values() if ending.return_id in books.shop.returns]
        return known[0] if known else self.world.vendors

    def _possible(self, ending: Ending, stored: Sequence[Return]) -> Ending:
        """Of a label that Amazon Shipping sold to a lost store the tracking alone is known: it cannot be given back."""
        taken_over = [ret for ret in stored if ret.return_id == str(ending.return_id) and ret.adopted_at is not None]
        lost = self.plan.buys_labels is True and all(p.tracked_only for ret in taken_over for p in ret.postage)
        return replace(ending, given_back=False) if taken_over and lost else ending

    async def _story(self, number: int, kind: Kind) -> Sequence[Ending]:
        place = SimulatedPlace(self.world, self.plan, random.Random(f"{self.plan.seed}/{number}"))
        await self.world.pass_time(place.dice.random() * self.plan.spread)
        return await kind(Scene(place, f"#{1001 + number}"))

    async def _rest(self) -> list[str]:
        """Wait until nothing is due any more: no clock runs, nobody is waited for."""
        try:
            await self.world.until("rest", self._rests, within=PATIENCE, every=self.plan.hour)
        except AssertionError:
            waiting = [ret for ret in self.world.returns() if ret.due_at is not None]
            return [f"{ret.ref} never rests: {ret.state}, {ret.problem}" for ret in waiting]
        return []

    async def _messages(self) -> list[str]:
        """Wait until the daemon has heard every message."""
        world, queue = self.world, self.world.vendors.queue
        with suppress(AssertionError):
            await world.until("the queue is empty", lambda: world.up and not queue.messages, within=HOUR, every=MINUTE)
        letters = letters_in(world.connection) | world.lost_letters
        return judge_messages(len(queue.messages), queue.deleted, len(letters))

    def _rests(self) -> bool:
        query = "SELECT count(*), max(due_at) FROM returns"
        return self.world.up and self.world.connection.execute(query).fetchone()[1] is None


class SimulatedPlace:
    """Implements Place in a simulated world."""

    def __init__(self, world: World, plan: Plan, dice: random.Random) -> None:
        self.sandbox = world.vendors
        self.neighbour = world.neighbour
        self.dice = dice
        self.hour = plan.hour
        self._world = world

    async def pause(self, seconds: float) -> None:
        await self._world.pass_time(seconds)

    async def until(self, what: str, seen: Callable[[], Any]) -> None:
        await self._world.until(what, seen, within=PATIENCE, every=self.hour / 30)


def _is_error(told: object) -> bool:
    return isinstance(told, BaseException)


def _failure(kind: Kind, error: object) -> str:
    if not isinstance(error, AssertionError):
        assert isinstance(error, BaseException)
        raise error
    return f"{kind.__name__}: {error}"


def _shortly(entry: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in entry.items())
