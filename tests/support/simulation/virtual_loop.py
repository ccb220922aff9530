"""An event loop whose time is simulated, and processes on it that can be killed before any callback.

Everything runs on one loop: the world, and the daemon as a `Process`, which is all code that runs in its context.
"""

import asyncio
import contextvars
import selectors
from asyncio import events
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from daemon.engine.walker import ROUND

T = TypeVar("T")

START = 1_800_000_000.0
_PROCESS: contextvars.ContextVar["Process | None"] = contextvars.ContextVar("process", default=None)


class Gone(BaseException):
    """The process is dead; nothing in it can catch this, and it must have no further effect."""


class Process:
    """A process that can be killed: all callbacks in its context. `before` is called before each of them.

    After a kill none of its callbacks runs, as after SIGKILL, until `bury` unwinds its tasks without effect.
    """

    def __init__(self, home: Any = None, before: Callable[["Process"], None] = lambda _process: None) -> None:
        self.home = home
        self.alive = True
        self.callbacks = 0
        self.died = asyncio.Event()
        self._before = before
        self._burying = False
        self._frozen: list[events.Handle] = []
        self._context = contextvars.copy_context()
        self._context.run(_PROCESS.set, self)

    def start(self, work: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        """Run a coroutine as part of the process."""
        return asyncio.get_running_loop().create_task(work, context=self._context.copy())

    def kill(self) -> None:
        """Kill the process now."""
        self.alive = False
        self.died.set()

    def check(self) -> None:
        """Raise Gone if the process is dead; called before every effect on the world."""
        if not self.alive:
            raise Gone

    def admits(self, callback: events.Handle) -> bool:
        """Whether another of its callbacks may run; if not, keep it for `bury`."""
        if self.alive:
            self._before(self)
        if self.alive:
            self.callbacks += 1
        elif not self._burying:
            self._frozen.append(callback)
            return False
        return True

    async def bury(self) -> None:
        """Remove the dead process's tasks from the loop; `check` keeps them from having effects."""
        self._burying = True
        asyncio.get_running_loop()._ready.extend(self._frozen)  # type: ignore[attr-defined]
        self._frozen.clear()
        while tasks := [task for task in asyncio.all_tasks() if _process_of(task) is self]:
            for task in tasks:
                task.cancel()
            await asyncio.sleep(0)  # noqa: TID251 - yields to the loop, waits for nothing
        self._burying = False


def current_process() -> Process | None:
    """Return the process of the running code; None for code of the world."""
    return _PROCESS.get()


def _process_of(task: "asyncio.Task[Any]") -> Process | None:
    return getattr(task, "process", None)


async def pass_time(seconds: float) -> None:
    """Let time pass in the world."""
    await asyncio.sleep(seconds)  # noqa: TID251 - the time is simulated


class WorldClock:
    """Implements the Clock port on a virtual loop. The loop may skip a process's waits that only poll its store."""

    def now(self) -> float:
        """Unix seconds."""
        return START + asyncio.get_running_loop().time()

    def monotonic(self) -> float:
        """Seconds since the world began."""
        return asyncio.get_running_loop().time()

    async def wait(self, event: asyncio.Event, seconds: float | None) -> bool:
        """Return True as soon as `event` is set, False after `seconds`."""
        if event.is_set():
            return True
        try:
            async with asyncio.timeout(seconds):
                return await event.wait()
        except TimeoutError:
            return False


class ProcessClock(WorldClock):
    """The clock of one process. `skew` is the error of its wall clock, and may change."""

    def __init__(self, process: Process, loop: "VirtualLoop") -> None:
        self.skew = 0.0
        self._process = process
        self._loop = loop

    def now(self) -> float:
        return super().now() + self.skew

    async def wait(self, event: asyncio.Event, seconds: float | None) -> bool:
        self._process.check()
        if seconds != ROUND or event.is_set():
            return await super().wait(event, seconds)
        try:
            async with asyncio.timeout(None) as limit:
                self._loop.rounds[limit] = self._loop.time() + ROUND
                return await event.wait()
        except TimeoutError:
            return False
        finally:
            self._loop.rounds.pop(limit, None)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop that advances time to the next timer when nothing can run.

    A walker asks its store once a second. Rounds that would find nothing are skipped, until the time `next_due`.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self.rounds: dict[asyncio.Timeout, float] = {}
        self.next_due: Callable[[], float | None] = lambda: None
        super().__init__(_Idle(self))
        self.set_task_factory(_named_task)

    def time(self) -> float:
        return self.now

    def _call_soon(self, callback: Any, args: Any, context: Any) -> events.Handle:
        handle = _Handle(callback, args, self, context)
        self._ready.append(handle)  # type: ignore[attr-defined]
        return handle

    def pass_time(self, timeout: float | None) -> None:
        """Advance to the next event."""
        timer = None if timeout is None else self.now + timeout
        if not self.rounds:
            if timer is None:
                raise RuntimeError("every task waits for ever")
            self.now = timer
            return
        wanted = self.next_due()
        horizon = min(
            (at for at in (timer, None if wanted is None else wanted - ROUND) if at is not None), default=None
        )
        if horizon is None:
            raise RuntimeError("every task waits for ever")
        self._skip_to(horizon)
        first = min(self.rounds.values())
        if timer is not None and timer <= first:
            self.now = timer
            return
        self.now = first
        for limit, at in list(self.rounds.items()):
            if at <= first:
                del self.rounds[limit]
                limit.reschedule(0)

    def _skip_to(self, horizon: float) -> None:
        for limit, at in self.rounds.items():
            if at < horizon:
                self.rounds[limit] = at + ROUND * -(-(horizon - at) // ROUND)


class _Idle(selectors.BaseSelector):
    """A selector that advances time instead of sleeping."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return selectors.SelectorKey(fileobj, fileobj if isinstance(fileobj, int) else fileobj.fileno(), events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return selectors.SelectorKey(fileobj, 0, 0, None)

    def get_map(self) -> dict[Any, selectors.SelectorKey]:
        return {}

    def get_key(self, fileobj: Any) -> selectors.SelectorKey:
        raise KeyError(fileobj)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout > 0:
            self._loop.pass_time(timeout)
        return []


class _Handle(events.Handle):
    """A callback that runs only while its process lives."""

    __slots__ = ()

    def _run(self) -> None:
        process = self._context.get(_PROCESS)  # type: ignore[attr-defined]
        if process is None or process.admits(self):
            super()._run()


class _Task(asyncio.Task[Any]):
    """A task that knows its process."""

    process: Process | None = None


def _named_task(loop: asyncio.AbstractEventLoop, work: Any, context: contextvars.Context | None = None) -> Any:
    task = _Task(work, loop=loop) if context is None else _Task(work, loop=loop, context=context)
    task.process = (context or contextvars.copy_context()).get(_PROCESS)
    return task


def run_world(main: Callable[[VirtualLoop], Coroutine[Any, Any, T]]) -> T:
    """Run `main(loop)` on a new virtual loop."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(_within(main))


async def _within(main: Callable[[VirtualLoop], Coroutine[Any, Any, T]]) -> T:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    return await main(loop)
