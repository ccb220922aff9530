"""What happens to nodes and their database while stories run: killed, frozen, cut off, restarted, failed over.

The dice choose the moments; the instants are those of a real machine.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web

from adapters.sandbox import Sandbox
from tests.campaign.judge import Ending
from tests.campaign.real import CHANGING, TOLD, Moment, judged, real_vendors, story
from tests.campaign.real_losses import Operator, RealOutcome, possible
from tests.campaign.scene import Kind
from tests.campaign.tenures import Change, caller, judge_callers, record, tenures
from tests.e2e.cluster import LEASE, REPEATS_AFTER_SECONDS, Cluster, Databases, Node, cluster_of
from tests.e2e.daemon_process import Said
from tests.e2e.world import CLOCK, World, pause

WITHIN = 8.0
"""Seconds after which something happens, however little else does."""

LATEST = REPEATS_AFTER_SECONDS
"""Seconds that a vendor takes at most for what a killed node had asked for."""


@dataclass(frozen=True)
class Trouble:
    """`strike` happens at once, to the node that works the account; `mend` lets some time pass, and makes it whole."""

    name: str
    strike: Callable[["Troubles", Node], None]
    mend: Callable[["Troubles", Node], Awaitable[None]]
    deadly: bool = False


@dataclass
class Troubles:
    """Strikes again and again, in the order of `kinds`, at moments that the dice choose."""

    dice: random.Random
    kinds: Sequence[Trouble]
    effects: int
    told: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    _kind: Trouble | None = None
    _left: int = 0
    _victim: Node | None = None
    _struck: asyncio.Event = field(default_factory=asyncio.Event)
    _cluster: Cluster | None = None
    _sandbox: Sandbox | None = None

    @property
    def cluster(self) -> Cluster:
        """The nodes that it happens to."""
        assert self._cluster is not None
        return self._cluster

    async def watch(self, moment: Moment, request: web.Request) -> bool:
        """Note who calls, and strike if the moment has come.

        What a node has asked for before it was killed has no effect, or has it at once, or somewhat later.
        """
        operation, when = moment
        if when == "arrived" and request.method != "GET" and operation != "token":
            self.changes.append(Change(caller(request), operation, CLOCK.now()))
        await request.read()
        if operation not in CHANGING or self._kind is None:
            return False
        self._left -= 1
        if self._left > 0:
            return False
        kind = self._strike(self._named(caller(request)), f"{operation} {when}")
        if when == "arrived" and kind.deadly:
            if self.dice.random() < 0.5:
                return True
            late = self.dice.choice((0.0, 1.0)) * self.dice.uniform(0.0, LATEST)
            self.told.append(f"it has its effect {late:.1f} s later")
            await pause(late)
        return False

    def happen_to(self, cluster: Cluster, sandbox: Sandbox) -> None:
        """Choose who suffers."""
        self._cluster, self._sandbox = cluster, sandbox

    async def run(self) -> None:
        """Let one trouble after the other happen."""
        for kind in self.kinds:
            self._struck.clear()
            self._left = self.dice.randint(1, self.effects)
            self._kind = kind
            if not await CLOCK.wait(self._struck, self.dice.uniform(WITHIN / 2, WITHIN)):
                self._strike(self._named(next((c.node for c in reversed(self.changes)), "")), "some instant")
            assert self._victim is not None
            await kind.mend(self, self._victim)

    def _strike(self, victim: Node, when: str) -> Trouble:
        kind, self._kind, self._victim = self._kind, None, victim
        assert kind is not None
        self.told.append(f"{kind.name} {victim.name} at {when}")
        kind.strike(self, victim)
        self._struck.set()
        return kind

    def _named(self, name: str) -> Node:
        return next((node for node in self.cluster.nodes if node.name == name), self.cluster.nodes[0])

    async def pause(self, least: float, most: float) -> None:
        """Let so many leases pass."""
        await pause(LEASE * self.dice.uniform(least, most))

    @property
    def databases(self) -> Databases:
        """The servers."""
        return self.cluster.databases

    # ---- what strikes, and how it is mended

    def kill(self, victim: Node) -> None:
        victim.kill()

    def kill_all(self, _: Node) -> None:
        for node in self.cluster.nodes:
            node.kill()

    def freeze(self, victim: Node) -> None:
        victim.freeze()

    def stall(self, victim: Node) -> None:
        for cable in victim.cables:
            cable.stall()

    def cut(self, victim: Node) -> None:
        for cable in victim.cables:
            cable.cut()

    def stop_server(self, _: Node) -> None:
        self.databases.stop()

    def kill_and_stop_server(self, victim: Node) -> None:
        victim.kill()
        self.databases.stop()

    def nothing(self, _: Node) -> None:
        """What is done in order is done while it is mended."""

    async def revive(self, _: Node) -> None:
        await self.pause(0.0, 2.0)
        await self.cluster.start()

    async def thaw(self, victim: Node) -> None:
        await self.pause(1.7, 3.0)
        victim.thaw()

    async def thaw_soon(self, victim: Node) -> None:
        await self.pause(0.1, 1.0)
        victim.thaw()

    async def connect(self, victim: Node) -> None:
        await self.pause(0.3, 3.0)
        lost = self.dice.random() < 0.5
        for cable in victim.cables:
            cable.mend(lost=lost)

    async def start_server(self, _: Node) -> None:
        await self.pause(0.0, 1.5)
        await self.databases.start()
        await self.cluster.start()

    async def fail_over(self, victim: Node) -> None:
        if not self.databases.can_fail_over:
            await self.start_server(victim)
            return
        await self.pause(0.0, 0.5)
        await self.databases.fail_over()
        assert self._sandbox is not None
        operator = Operator(self._sandbox, self._ask, self.told, self.wrong)
        await operator.adopt()
        await operator.retry_unflagged()

    async def _ask(self, *verb: str) -> Said:
        """Ask a node that works, as an operator does."""
        return await next(node for node in self.cluster.nodes if node.works).daemon.cli(*verb)

    async def roll(self, _: Node) -> None:
        await self.cluster.restart()


KINDS = {
    kind.name: kind
    for kind in (
        Trouble("kill", Troubles.kill, Troubles.revive, deadly=True),
        Trouble("kill-all", Troubles.kill_all, Troubles.revive, deadly=True),
        Trouble("freeze", Troubles.freeze, Troubles.thaw),
        Trouble("hold", Troubles.freeze, Troubles.thaw_soon),
        Trouble("stall", Troubles.stall, Troubles.connect),
        Trouble("cut", Troubles.cut, Troubles.connect),
        Trouble("restart-server", Troubles.stop_server, Troubles.start_server),
        Trouble("kill-and-restart-server", Troubles.kill_and_stop_server, Troubles.start_server, deadly=True),
        Trouble("fail-over", Troubles.stop_server, Troubles.fail_over),
        Trouble("roll", Troubles.nothing, Troubles.roll),
    )
}

ONCE = frozenset({"fail-over"})
MOST_APART = 600.0
"""Seconds that nodes' clocks may be wrong."""


async def nodes_world(
    folder: Path,
    seed: int,
    returns: int,
    *,
    nodes: int = 2,
    kinds: Sequence[str] = (),
    stories: Sequence[Kind] = (),
) -> RealOutcome:
    """Let nodes work while one trouble after the other happens, and judge the world.

    The troubles and the stories are those given, or any.
    """
    begun = CLOCK.monotonic()
    dice = random.Random(f"{seed}/nodes")
    told = stories or dice.choices(TOLD, k=returns)
    happens = [KINDS[name] for name in kinds] or _any_kinds(dice)
    troubles = Troubles(dice, happens, effects=4 * returns)
    async with troubled(folder, seed, troubles, nodes) as world:
        outcomes = await asyncio.gather(troubles.run(), *_lives(world, told, seed, dice), return_exceptions=True)
        wrong = [f"{type(error).__name__}: {error}" for error in outcomes if isinstance(error, BaseException)]
        endings: list[Ending] = [one for endings in outcomes if isinstance(endings, list) for one in endings]
        endings = [await possible(world, ending) for ending in endings]  # a failover has returns adopted
        wrong += troubles.wrong + await judged(world, endings)
        wrong += judge_callers(troubles.changes, tenures(troubles.databases))
        if wrong:
            (folder / "log").write_text("\n".join(troubles.cluster.lines))
    return RealOutcome(wrong=wrong, told=troubles.told, returns=len(endings), seconds=CLOCK.monotonic() - begun)


def _any_kinds(dice: random.Random) -> list[Trouble]:
    names = dice.choices(sorted(KINDS), k=dice.randint(3, 6))
    return [KINDS[name] for number, name in enumerate(names) if name not in ONCE or name not in names[:number]]


def _lives(world: World, kinds: Sequence[Kind], seed: int, dice: random.Random) -> list[Awaitable[Sequence[Ending]]]:
    spread = dice.choice((1.0, 10.0))
    return [story(world, number, kind, seed, spread) for number, kind in enumerate(kinds)]


@asynccontextmanager
async def troubled(
    folder: Path, seed: int, troubles: Troubles, count: int, *, fenced: bool = True
) -> AsyncIterator[World]:
    """The vendors, and running nodes whose leases are noted; nodes that are not `fenced` go on without theirs."""
    async with real_vendors(folder, troubles.watch, seed=seed) as made:
        replica = any(kind.name in ONCE for kind in troubles.kinds)
        one, sandbox = made.daemon, made.sandbox
        async with cluster_of(count, folder, one.config, one.secrets, replica=replica) as cluster:
            for node in cluster.nodes:
                node.unfenced = not fenced
                node.ahead = troubles.dice.choice((0.0, 1.0)) * troubles.dice.uniform(-MOST_APART, MOST_APART)
            await cluster.start()
            record(cluster.databases)
            troubles.happen_to(cluster, sandbox)
            world = World(sandbox, cluster)  # type: ignore[arg-type]
            world.subscribe()
            yield world
