"""The real process whose store is lost once while stories run, or replaced by an older backup, and taken over after it.

The operator has the command line alone, and does what the documentation says: `mcfd backup`, `mcfd restore`,
`mcfd adopt --open` until nothing failed, and `mcfd retry` for a return that Loop's history
shows as never flagged.
"""

import asyncio
import random
import shutil
import signal
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

from aiohttp import web

from adapters.sandbox import Sandbox
from tests.campaign.judge import Ending
from tests.campaign.real import CHANGING, TOLD, Moment, judged, real_world, story
from tests.campaign.scene import Kind
from tests.e2e.daemon_process import Said
from tests.e2e.world import CLOCK, World, pause

ADVISED = "mcfd retry settles it"
"""What the problem of such a return says."""

ROUNDS = 60
EFFECTS = 16
"""About as many moments has a return at which something is changed for it."""

LATEST = 40.0
"""Seconds after which the store is lost, however little happens."""


@dataclass
class Operator:
    """Does what the documentation asks for once the store knows less than it did; `cli` runs a verb."""

    sandbox: Sandbox
    cli: Callable[..., Awaitable[Said]]
    told: list[str]
    wrong: list[str]

    async def adopt(self) -> None:
        """Ask for everything, again when the daemon died meanwhile or something failed."""
        for _ in range(ROUNDS):
            said = await self.cli("adopt", "--open", "--json")
            if said.stdout and not said.json["summary"].get("failed"):
                self.told.append(f"adopt: {said.json['summary']}")
                return
            self.told.append("adopt once more")
            await pause(0.5)
        self.wrong.append(f"adopt never came to its end: {said.stderr[-300:]}")

    async def retry_unflagged(self) -> None:
        """A verdict that was told and never flagged is settled by mcfd; a flag that was lifted stays lifted."""
        for return_id, ret in list(self.sandbox.shop.returns.items()):
            shown = await self.cli("show", str(return_id), "--json")
            flagged_once = any(line["what"].startswith("Loop: review") for line in ret.history)
            if shown.status == 0 and ADVISED in str(shown.json.get("problem")) and not flagged_once:
                self.told.append(f"retried {return_id}")
                said = await self.cli("retry", str(return_id))
                self.wrong += [f"retry failed: {said.stderr[-300:]}"] if said.status else []


@dataclass
class Loss:
    """One store's end and what follows: `dice` say when, how old the backup is, and how often the daemon dies after it."""

    dice: random.Random
    returns: int
    restored: bool
    told: list[str] = field(default_factory=list)
    remembered: set[str] = field(default_factory=set)
    wrong: list[str] = field(default_factory=list)
    _world: World | None = None
    _left: int = 0
    _deadly: bool = False
    _reached: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def world(self) -> World:
        """The world of the store."""
        assert self._world is not None
        return self._world

    async def watch(self, moment: Moment, _: web.Request) -> bool:
        """Count a moment at which something is changed at a vendor, and strike at the last one, if that is wanted."""
        if moment[0] not in CHANGING or not self._left:
            return False
        self._left -= 1
        if self._left:
            return False
        self._reached.set()
        if self._deadly:
            self._kill(f"{moment[0]} {moment[1]}")
        return self._deadly

    async def run(self, world: World) -> None:
        """Lose the store, start again, and take everything over."""
        self._world = world
        moments, after = self.dice.randint(1, EFFECTS * self.returns), self.dice.choice((0.0, 0.0, 1.0))
        copy = world.daemon.folder / "backup.db" if self.restored else None
        if copy is not None:
            await self._happened(self.dice.randint(1, moments), LATEST / 2)
            self._must(await world.daemon.cli("backup", str(copy)))
        await self._strike(moments, LATEST, after * self.dice.random())
        self.remembered |= _stored(world.daemon.state / "mcfd.db")
        await self._lose(copy)
        await self._start()
        await pause(self.dice.choice((0.0, 0.0, 3.0)) * self.dice.random())
        operator = Operator(world.sandbox, world.daemon.cli, self.told, self.wrong)
        adopting = asyncio.create_task(operator.adopt())
        for _ in range(self.dice.choice((0, 0, 1, 2))):
            await self._strike(self.dice.randint(1, EFFECTS), self.dice.uniform(0.1, 6.0))
            await self._start()
        await adopting
        await operator.retry_unflagged()

    async def _happened(self, moments: int, within: float, *, deadly: bool = False) -> bool:
        """Wait for so many moments from now; False when the time is up before."""
        self._reached.clear()
        self._left, self._deadly = moments, deadly
        reached = await CLOCK.wait(self._reached, within)
        self._left = 0
        return reached

    async def _strike(self, moments: int, within: float, after: float = 0.0) -> None:
        """Kill at that moment of the next ones or somewhat after it, or when the time is up."""
        if not await self._happened(moments, within, deadly=not after) or after:
            await pause(after)
            self._kill("at some instant")
        await self.world.daemon.ended()

    def _kill(self, when: str) -> None:
        self.told.append(f"killed: {when}")
        self.world.daemon.signal(signal.SIGKILL)

    async def _lose(self, copy: Path | None) -> None:
        daemon = self.world.daemon
        if copy is not None:
            self._must(await daemon.cli("restore", str(copy)))
        else:
            shutil.rmtree(daemon.state)

    async def _start(self) -> None:
        await self.world.daemon.start()
        self.world.subscribe()

    def _must(self, said: Said) -> None:
        if said.status:
            self.wrong.append(f"a command failed: {said.stderr[-300:]}")


def _stored(path: Path) -> set[str]:
    """The returns of a store whose daemon is dead."""
    with closing(sqlite3.connect(path)) as connection:
        return {name for (name,) in connection.execute("SELECT return_id FROM returns")}


@dataclass(kw_only=True)
class RealOutcome:
    """What became of a world; `wrong` is empty when all is well."""

    wrong: list[str]
    told: Sequence[str]
    returns: int
    seconds: float


async def lost_world(folder: Path, seed: int, returns: int, *, restored: bool) -> RealOutcome:
    """Let the world of a seed lose its store, and judge it."""
    begun = CLOCK.monotonic()
    dice = random.Random(f"{seed}/loss")
    kinds: Sequence[Kind] = dice.choices(TOLD, k=returns)
    spread = dice.choice((1.0, 10.0))
    loss = Loss(dice, returns, restored)
    async with real_world(folder, loss.watch, seed=seed) as world:
        losing = asyncio.create_task(loss.run(world))
        stories = (story(world, number, kind, seed, spread) for number, kind in enumerate(kinds))
        told = await asyncio.gather(*stories, losing, return_exceptions=True)
        wrong = [f"{type(error).__name__}: {error}" for error in told if isinstance(error, BaseException)]
        endings: list[Ending] = [one for endings in told[:-1] if isinstance(endings, list) for one in endings]
        endings = [await possible(world, ending) for ending in endings]
        wrong += loss.wrong + await judged(world, endings, loss.remembered)
    return RealOutcome(wrong=wrong, told=loss.told, returns=len(endings), seconds=CLOCK.monotonic() - begun)


async def possible(world: World, ending: Ending) -> Ending:
    """Of a label that Amazon Shipping sold to a lost store nothing but the tracking is known: it cannot be given back."""
    history = (await world.daemon.show(ending.return_id))["history"] if ending.given_back else []
    kept = any(row["event"] == "Adopted" and "void:kept" in str(row["detail"]) for row in history)
    return replace(ending, given_back=False) if kept else ending
