"""Starts, watches and stops services and tasks; the only module that starts tasks."""

import asyncio
import os
import random
import signal
from collections.abc import Awaitable, Callable, Coroutine, Hashable, Iterable, Mapping
from functools import partial
from types import TracebackType
from typing import Any, Self

import structlog

from daemon.errors import McfdError, ServiceEnded, Transient
from daemon.ports.host import Clock

log = structlog.get_logger(__name__)

BEAT = 30.0
LONGEST_ROUND = 3600.0
"""Seconds between the heartbeats of a waiting round, and the longest that a round may take."""

Service = Callable[[asyncio.Event], Awaitable[None]]


async def supervise(
    services: Mapping[str, Service], stop: asyncio.Event, *, clock: Clock, grace: float
) -> tuple[str, ...]:
    """Run the services until `stop` is set, then give them `grace` seconds; returns the names of late ones.

    If a service ends before `stop` is set, all end: ServiceEnded names it and chains the cause.
    """
    try:
        async with asyncio.TaskGroup() as group:
            tasks = {name: group.create_task(_serve(name, run, stop), name=name) for name, run in services.items()}
            await clock.wait(stop, None)
            return await _dismiss(tasks, clock, grace)
    except ExceptionGroup as ends:
        for end in ends.exceptions[1:]:
            log.warning("service.ended_too", reason=str(end))
        raise ends.exceptions[0] from ends.exceptions[0].__cause__


async def _serve(name: str, run: Service, stop: asyncio.Event) -> None:
    try:
        await run(stop)
    except Exception as error:
        if not stop.is_set():
            text = (
                f": {error}" if isinstance(error, McfdError) else ""
            )  # messages of other errors may quote private data
            raise ServiceEnded(f"service {name} failed: {type(error).__name__}{text}") from error
        log.exception("service.failed_while_stopping", service=name)
    except asyncio.CancelledError as stray:
        # A TaskGroup ignores a cancelled child, but nobody cancelled this one on purpose.
        if _wanted(asyncio.current_task()):
            raise
        raise ServiceEnded(f"service {name} was cancelled from within") from stray
    if not stop.is_set():
        raise ServiceEnded(f"service {name} ended")
    log.info("service.stopped", service=name)


def _wanted(task: "asyncio.Task[Any] | None") -> bool:
    return task is not None and task.cancelling() > 0


async def _dismiss(tasks: Mapping[str, "asyncio.Task[None]"], clock: Clock, grace: float) -> tuple[str, ...]:
    await _wait_for(tasks.values(), clock, grace)
    late = tuple(name for name, task in tasks.items() if not task.done())
    for name in late:
        log.warning("service.overran", service=name, grace=grace)
        tasks[name].cancel()
    return late


async def _wait_for(tasks: Iterable["asyncio.Task[None]"], clock: Clock, seconds: float) -> None:
    running = {task for task in tasks if not task.done()}
    if not running:
        return
    quiet = asyncio.Event()

    def ended(task: "asyncio.Task[None]") -> None:
        running.discard(task)
        if not running:
            quiet.set()

    for task in tuple(running):
        task.add_done_callback(ended)
    await clock.wait(quiet, seconds)


async def run_every(
    seconds: float,
    work: Callable[[], Awaitable[None]],
    *,
    name: str,
    clock: Clock,
    stop: asyncio.Event,
    jitter: float = 0.1,
    beat: Callable[[], None] = lambda: None,
    on_failure: Callable[[str, Exception], None] = lambda _name, _error: None,
    longest: float = LONGEST_ROUND,
    sooner: asyncio.Event | None = None,
    draw: Callable[[], float] = random.random,
) -> None:
    """Do `work` now and then every `seconds`, varied by the fraction `jitter`, until `stop` is set.

    `sooner` starts the next round early. No failure of one round ends the service. `on_failure` counts each. A
    McfdError is logged when it first occurs and when it is over; a bug is logged every time. `draw` returns numbers
    from 0 to 1. A long round sends heartbeats while it runs, for at most `longest` seconds.
    """
    rounds = Rounds(name, on_failure)
    while not stop.is_set():
        if sooner is not None:
            sooner.clear()
        await rounds.attempt(partial(_attend, work, clock, beat, longest))
        beat()
        await _rest(clock, seconds * (1 + jitter * (2 * draw() - 1)), stop, sooner)


async def _rest(clock: Clock, seconds: float, stop: asyncio.Event, sooner: asyncio.Event | None) -> None:
    if sooner is None:
        await clock.wait(stop, seconds)
        return
    stopping = asyncio.ensure_future(clock.wait(stop, None))
    stopping.add_done_callback(lambda _: sooner.set())
    try:
        await clock.wait(sooner, seconds)
    finally:
        stopping.cancel()
        await asyncio.wait([stopping])


async def _attend(work: Callable[[], Awaitable[None]], clock: Clock, beat: Callable[[], None], longest: float) -> None:
    """Send heartbeats while the round runs; one that takes too long is cancelled and counts as failed."""
    ended = asyncio.Event()
    round_ = asyncio.ensure_future(work())
    round_.add_done_callback(lambda _: ended.set())
    until = clock.monotonic() + longest
    try:
        await asyncio.wait([round_], timeout=0)
        while not ended.is_set() and not await clock.wait(ended, BEAT) and clock.monotonic() < until:
            beat()
    finally:
        late = round_.cancel()
        await asyncio.wait([round_])
    if late and round_.cancelled():
        raise Transient(f"the round took longer than {longest:.0f} s and was broken off")
    round_.result()


class Rounds:
    """Remembers the last round's failure, so that an outage causes two log lines and not thousands."""

    def __init__(self, name: str, on_failure: Callable[[str, Exception], None]) -> None:
        self._name = name
        self._on_failure = on_failure
        self._failures = 0
        self._kind: type[Exception] | None = None

    async def attempt(self, work: Callable[[], Awaitable[None]]) -> None:
        """Run one round; never raises its failures."""
        try:
            await work()
        except Exception as error:
            self._failures += 1
            if not isinstance(error, McfdError):
                log.exception("round.broke", service=self._name)
            elif type(error) is not self._kind:
                log.warning("round.failed", service=self._name, error=type(error).__name__, reason=str(error))
            self._kind = type(error)
            self._on_failure(self._name, error)
        else:
            if self._failures:
                log.info("round.recovered", service=self._name, failures=self._failures)
            self._failures, self._kind = 0, None


class TaskPool:
    """Tasks for single returns: at most one per key and `limit` at once; every task is awaited.

    As a context manager it leaves no task behind. `on_failure(key, error)` is called for every failed task.
    """

    def __init__(
        self, name: str, limit: int, *, clock: Clock, on_failure: Callable[[Hashable, BaseException], None]
    ) -> None:
        self._name = name
        self._limit = limit
        self._clock = clock
        self._on_failure = on_failure
        self._tasks: dict[Hashable, asyncio.Task[None]] = {}
        self._closed = False

    def start(self, key: Hashable, work: Callable[[], Coroutine[Any, Any, None]]) -> bool:
        """Start the work for `key`; False if it is already running, there is no room, or the pool is draining."""
        if self._closed or key in self._tasks or not self.room:
            return False
        task = asyncio.create_task(work(), name=f"{self._name} {key}")
        self._tasks[key] = task
        task.add_done_callback(partial(self._ended, key))
        return True

    def busy(self, key: Hashable) -> bool:
        """Whether the key's work is running."""
        return key in self._tasks

    @property
    def room(self) -> int:
        """How many more can be started."""
        return self._limit - len(self._tasks)

    async def drain(self, grace: float) -> tuple[Hashable, ...]:
        """Stop starting work and wait `grace` seconds; returns the keys whose work was then cancelled."""
        self._closed = True
        await _wait_for(self._tasks.values(), self._clock, grace)
        late = {key: task for key, task in self._tasks.items() if not task.done()}
        for key, task in late.items():
            log.warning("task.overran", crew=self._name, key=str(key))
            task.cancel()
        if late:
            await asyncio.wait(late.values())
        return tuple(late)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.drain(0)

    def _ended(self, key: Hashable, task: "asyncio.Task[None]") -> None:
        del self._tasks[key]
        if not task.cancelled():
            if error := task.exception():
                self._on_failure(key, error)
        elif not _wanted(task):
            self._on_failure(key, asyncio.CancelledError("cancelled from within"))


class Heartbeats:
    """Which services promised heartbeats, and which are late. Durations are in seconds."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._promises: dict[str, float] = {}
        self._heard: dict[str, float] = {}

    def promise(self, name: str, seconds: float) -> None:
        """Expect a beat of `name` at least every `seconds`, from now on."""
        self._promises[name] = seconds
        self._heard[name] = self._clock.monotonic()

    def beat(self, name: str) -> None:
        """Note a beat of `name`. Raises KeyError if it never promised one."""
        if name not in self._promises:
            raise KeyError(name)
        self._heard[name] = self._clock.monotonic()

    def late(self) -> list[str]:
        """The names of services whose beat is late."""
        return sorted(name for name in self._promises if self.is_late(name))

    def is_late(self, name: str) -> bool:
        """Whether the beat of `name` is late."""
        return self._clock.monotonic() - self._heard[name] > self._promises[name]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all services that promised beats."""
        return tuple(self._promises)


def install_signals(
    loop: asyncio.AbstractEventLoop,
    stop: asyncio.Event,
    reload: Callable[[], None],
    *,
    leave: Callable[[int], object] = os._exit,
) -> Callable[[], None]:
    """Let SIGTERM and SIGINT set `stop`, a second one exit at once with status 1, and SIGHUP call `reload`.

    Returns the function that removes the handlers.
    """
    asked: list[signal.Signals] = []

    def ask(signum: signal.Signals) -> None:
        asked.append(signum)
        if len(asked) > 1:
            log.warning("daemon.killed", signal=signum.name)
            leave(1)
        else:
            log.info("daemon.stopping", signal=signum.name)
            stop.set()

    def remove() -> None:
        for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.remove_signal_handler(signum)

    loop.add_signal_handler(signal.SIGTERM, ask, signal.SIGTERM)
    loop.add_signal_handler(signal.SIGINT, ask, signal.SIGINT)
    loop.add_signal_handler(signal.SIGHUP, reload)
    return remove
