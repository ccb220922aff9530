"""Time under a test's control: exact, deterministic and without a real sleep."""

import asyncio
import heapq
import itertools
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class FakeClock:
    """Implements the Clock port. Time stands still until `advance`; inside `run_virtual` it moves by itself.

    `waits` counts the calls of `wait`, for tests of how often a task wakes.
    """

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self._epoch = now
        self._elapsed = 0.0
        self._order = itertools.count()
        self._timers: list[tuple[float, int, asyncio.Timeout]] = []
        self.waits = 0

    def now(self) -> float:
        """Unix seconds."""
        return self._epoch + self._elapsed

    def monotonic(self) -> float:
        """Seconds since this clock was made."""
        return self._elapsed

    def jump(self, seconds: float) -> None:
        """Set the wall clock forward or back; the monotonic clock does not change."""
        self._epoch += seconds

    def advance(self, seconds: float) -> None:
        """Let time pass; every wait that ends by then returns when its task next runs."""
        self._move_to(self._elapsed + seconds)

    async def wait(self, event: asyncio.Event, seconds: float | None) -> bool:
        """Return True as soon as `event` is set, False once `seconds` have passed on this clock."""
        self.waits += 1
        if event.is_set():
            return True
        try:
            async with asyncio.timeout(None if seconds is None or seconds > 0 else 0) as limit:
                if seconds is not None and seconds > 0:
                    heapq.heappush(self._timers, (self._elapsed + seconds, next(self._order), limit))
                return await event.wait()
        except TimeoutError:
            return False
        finally:
            self._timers = [timer for timer in self._timers if timer[2] is not limit]
            heapq.heapify(self._timers)

    def next_timer(self) -> float | None:
        """Return when (monotonic) the next wait ends, or None if nothing waits for time."""
        return self._timers[0][0] if self._timers else None

    def _move_to(self, when: float) -> None:
        self._elapsed = when
        while self._timers and self._timers[0][0] <= when:
            _, _, limit = heapq.heappop(self._timers)
            limit.reschedule(0)


def run_virtual(main: Callable[[FakeClock], Coroutine[Any, Any, T]]) -> T:
    """Run `main(clock)` on a new loop that uses the clock's time; when no task can run, time moves on.

    `asyncio.sleep` and `asyncio.timeout` follow it. Threads and sockets do not: no server, no database.
    """
    clock = FakeClock()
    with asyncio.Runner(loop_factory=lambda: _VirtualLoop(clock)) as runner:
        return runner.run(main(clock))


async def settle(rounds: int = 20) -> None:
    """Let every ready task run, without time passing."""
    for _ in range(rounds):
        await asyncio.sleep(0)  # noqa: TID251 - yields to the loop, waits for nothing


class _VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        super().__init__(_Idle(clock))

    def time(self) -> float:
        return self._clock.monotonic()


class _Idle(selectors.DefaultSelector):
    """A selector that advances the clock instead of sleeping."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        events = super().select(0)
        if events or timeout == 0:
            return events
        now = self._clock.monotonic()
        ends = [
            end for end in (self._clock.next_timer(), None if timeout is None else now + timeout) if end is not None
        ]
        if not ends:
            raise RuntimeError("every task waits for ever")
        self._clock._move_to(max(now, min(ends)))
        return []
