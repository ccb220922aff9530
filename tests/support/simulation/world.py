"""A simulated world around the daemon: vendors, carriers and shoppers; the daemon can be killed."""

import asyncio
import random
import shutil
import sqlite3
import threading
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from aiohttp import web

from adapters.host.systemd import Notifier
from adapters.sandbox import SandboxOptions
from adapters.sql.unit_of_work import SqlUnitOfWork
from adapters.sqlite.backup import copy_database
from adapters.sqlite.restore import restore_database
from adapters.sqlite.schema import make_ready, migrations
from adapters.sqlite.store import SqliteStore
from config.load import Loaded
from daemon.app.app import App
from daemon.domain.returns import Return, State
from daemon.operations.notifications import AMAZON_LETTERS
from tests.support.simulation.daemon_process import Door
from tests.support.simulation.line import Line
from tests.support.simulation.queue import ProcessQueue
from tests.support.simulation.vendors import NEIGHBOUR, SHOP, Neighbour, SimulatedVendors
from tests.support.simulation.virtual_loop import START, Process, ProcessClock, VirtualLoop, WorldClock, pass_time

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
RESTART = 1.0  # systemd's RestartSec
LATENCY = 0.05


class World:
    """One daemon, restarted one second after each death, and everything around it.

    `before` is called before each callback of the daemon and may kill it. `steps` counts effects that last. `losses`
    is how often the store was lost, `remembered` the returns that were in it then, `lost_letters` its unread messages.
    """

    def __init__(
        self,
        loop: VirtualLoop,
        loaded: Loaded,
        options: SandboxOptions,
        *,
        seed: int = 0,
        before: Callable[["World"], None] = lambda _world: None,
    ) -> None:
        self.loop = loop
        self.loaded = loaded
        self.seed = seed
        self.clock = WorldClock()
        self.vendors = SimulatedVendors(options, self.clock, self._deliver)
        shared = NEIGHBOUR in loaded.settings.shops
        self.neighbour = Neighbour(self.vendors, self.clock, self._deliver) if shared else None
        self.latency: Callable[[], float] = lambda: LATENCY
        self.steps = 0
        self.callbacks = 0
        self.starts = 0
        self.faults: list[str] = []
        self.empty_store: Path | None = None
        self.losses = 0
        self.remembered: defaultdict[str, set[str]] = defaultdict(set)
        self.lost_letters: set[str] = set()
        self.skew = 0.0
        self.home: Home | None = None
        self._before = before
        self._process: Process | None = None
        self._process_clock: ProcessClock | None = None
        self._running: asyncio.Task[None] | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._stop = asyncio.Event()
        self._wanted = asyncio.Event()
        self._wanted.set()

    # ---- the daemon

    @property
    def up(self) -> bool:
        """Whether the daemon runs and its store is open."""
        return (
            self._process is not None and self._process.alive and self.home is not None and self.home.store is not None
        )

    def kill(self) -> None:
        """End the daemon before its next callback."""
        if self._process is not None and self._process.alive:
            self._process.kill()

    async def down_for(self, seconds: float) -> None:
        """Keep the daemon down."""
        self._wanted.clear()
        self.kill()
        await self.pass_time(seconds)
        self._wanted.set()

    async def lose_store(self, copy: Path | None = None) -> None:
        """The disk is gone: the daemon dies, and starts again over an empty store, or over a backup."""
        self._wanted.clear()
        self.kill()
        while self.home is not None:
            await self.pass_time(0.01)
        await self.pass_time(0.01)  # its tasks are unwound
        path = self.loaded.settings.store.path
        self._remember(path)
        if copy is not None:
            restore_database(copy, path, f"{self.losses}")
        else:
            for file in path.parent.glob(path.name + "*"):
                file.unlink()
            assert self.empty_store is not None
            shutil.copy(self.empty_store, path)
        self.losses += 1
        self._wanted.set()

    def _remember(self, path: Path) -> None:
        """Note what the dead daemon had stored: nobody will say it again."""
        with closing(sqlite3.connect(path)) as connection:
            for shop, return_id in connection.execute("SELECT shop, return_id FROM returns"):
                self.remembered[shop].add(return_id)
            self.lost_letters |= letters_in(connection)

    def copy_store(self, copy: Path) -> bool:
        """Write a backup while the daemon runs; False when it is down."""
        if not self.up:
            return False
        copy_database(self.loaded.settings.store.path, copy, threading.Event())
        return True

    async def ask(self, verb: str, **given: object) -> Any:
        """An operator asks the daemon; None when it is down or dies before it has answered."""
        process, home = self._process, self.home
        if process is None or not process.alive or home is None or verb not in home.verbs:
            return None
        answering = process.start(home.verbs[verb]({"by": "operator", **given}))
        died = asyncio.ensure_future(process.died.wait())
        try:
            await asyncio.wait([answering, died], return_when=asyncio.FIRST_COMPLETED)
        finally:
            died.cancel()
        return answering.result() if process.alive else None

    def jump(self, seconds: float) -> None:
        """Set the daemon's wall clock forward or back; its monotonic clock does not change."""
        self.skew += seconds
        if self._process_clock is not None:
            self._process_clock.skew = self.skew

    def calm(self) -> None:
        """Remove all faults, and let the daemon run."""
        self.vendors.set_faults()
        self._before = lambda _world: None
        self._wanted.set()  # who kept the daemon down may have been broken off

    def fingerprint(self) -> tuple[int, int]:
        """What survives a kill: while it stays the same, the moment of the kill does not matter."""
        return self.steps, self.connection.total_changes if self.up else 0

    @property
    def connection(self) -> sqlite3.Connection:
        """The running daemon's own connection to its store."""
        assert self.home is not None
        assert self.home.store is not None
        connection: sqlite3.Connection = self.home.store._writer._engine._connection  # type: ignore[attr-defined]
        return connection

    async def _keep(self) -> None:
        """Restart the daemon, as systemd does."""
        while True:
            await self._wanted.wait()
            process, running = self._start()
            died = asyncio.ensure_future(process.died.wait())
            await asyncio.wait([running, died], return_when=asyncio.FIRST_COMPLETED)
            died.cancel()
            if process.alive:
                self.faults.append(f"the daemon ended by itself: {_reason(running)}")
                process.kill()
            await self._bury(process)
            await self.pass_time(RESTART)

    def _start(self) -> "tuple[Process, asyncio.Task[None]]":
        self.starts += 1
        random.seed(f"{self.seed}/{self.starts}")
        self.home = home = Home(self)
        self._process = process = Process(home, self._ask)
        home.process = process
        self._process_clock = clock = ProcessClock(process, self.loop)
        clock.skew = self.skew
        self.loop.next_due = self._next_due
        app = App(self.loaded, clock=clock, notifier=Notifier(None, clock))
        return process, process.start(app.run(self._stop))

    def _ask(self, _: Process) -> None:
        self._before(self)
        self.callbacks += 1

    def step(self) -> None:
        """Count something that a kill cannot undo."""
        self.steps += 1

    async def _bury(self, process: Process) -> None:
        """Close its store and unwind its tasks, which can have no further effect."""
        home, self.home = self.home, None
        if home is not None and home.store is not None:
            home.store._writer._engine._connection.close()  # type: ignore[attr-defined]
        self.loop.rounds.clear()
        await process.bury()

    def _next_due(self) -> float | None:
        if not self.up:
            return None
        due = self.connection.execute("SELECT min(due_at) FROM returns").fetchone()[0]
        return None if due is None else float(due) - START - self.skew

    async def _deliver(self, shop: str, signature: str, body: bytes) -> web.StreamResponse | None:
        """Deliver to the daemon; None when it is down or dies before it has answered."""
        await self.pass_time(self.latency())
        process, door = self._process, self.home.public if self.home else None
        if process is None or not process.alive or door is None:
            return None
        self.step()
        answering = process.start(door.deliver(shop, signature, body))
        died = asyncio.ensure_future(process.died.wait())
        try:
            await asyncio.wait([answering, died], return_when=asyncio.FIRST_COMPLETED)
        finally:
            died.cancel()
        self.step()
        return answering.result() if process.alive else None

    # ---- time, and what is stored

    async def pass_time(self, seconds: float) -> None:
        """Let time pass in the world."""
        await pass_time(seconds)

    async def until(self, what: str, seen: Callable[[], Any], *, within: float = DAY, every: float = 1.0) -> Any:
        """Call `seen` every few seconds until its result is true, and return that."""
        end = self.loop.now + within
        while not (value := seen()):
            if self._keeper is not None and self._keeper.done():
                self._keeper.result()  # raises if the restarting itself has failed
            if self.loop.now >= end:
                raise AssertionError(f"never happened: {what}")
            await self.pass_time(every)
        return value

    def returns(self) -> list[Return]:
        """Every stored return."""
        if not self.up:
            return []
        refs = self.connection.execute("SELECT shop, return_id FROM returns ORDER BY id").fetchall()
        return [found for ref in refs if (found := self.stored(*ref))]

    def stored(self, shop: str, return_id: str) -> Return | None:
        """One stored return."""
        return SqlUnitOfWork(self.connection).get(shop, return_id) if self.up else None

    def state(self, return_id: int) -> State | None:
        """The state of a return; None while the daemon is down or does not know it."""
        found = self.stored(SHOP, str(return_id))
        return found.state if found else None

    async def __aenter__(self) -> "World":
        await self.vendors.__aenter__()
        if self.neighbour is not None:
            await self.neighbour.__aenter__()
        self._keeper = asyncio.create_task(self._keep())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._keeper is not None
        self._keeper.cancel()
        await asyncio.wait([self._keeper])
        self.kill()
        if self._process is not None:
            await self._bury(self._process)
        if self.neighbour is not None:
            await self.neighbour.__aexit__(None, None, None)
        await self.vendors.__aexit__(None, None, None)


class Home:
    """The environment of one daemon process."""

    def __init__(self, world: World) -> None:
        self.process: Process | None = None
        self.store: SqliteStore | None = None
        self.public: Door | None = None
        self.verbs: Mapping[str, Any] = {}
        self._world = world

    def line(self, user_agent: str) -> Line:
        """Open a line to the vendors."""
        world = self._world
        assert self.process is not None
        return Line(self.process, world.vendors.hosts, user_agent=user_agent, latency=world.latency, step=world.step)

    def queue(self) -> ProcessQueue:
        """The line to the queue."""
        world = self._world
        assert self.process is not None
        return ProcessQueue(
            self.process, world.vendors.queue, latency=world.latency, step=world.step, pick=world.vendors.queue_fault
        )


def letters_in(connection: sqlite3.Connection) -> set[str]:
    """The digests of the messages of Amazon's that could not be read and are kept."""
    query = "SELECT digest FROM dead_letters WHERE shop = ?"
    return {digest for (digest,) in connection.execute(query, (AMAZON_LETTERS,))}


def _reason(task: "asyncio.Task[None]") -> str:
    return "quietly" if task.cancelled() or task.exception() is None else repr(task.exception())


def empty_database(path: Path) -> Path:
    """Copy a migrated, empty database. Migrating takes longer than a whole simulated life, so it is done once."""
    connection = sqlite3.connect(path, isolation_level=None)
    make_ready(path, connection, migrations())
    connection.close()
    return path
