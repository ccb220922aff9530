"""What all fake vendors share: a journal of calls, and faults to come."""

from collections import defaultdict, deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from daemon.ports.host import Clock
from tests.support.virtual_time import settle

Action = Callable[[], Awaitable[object]]


class Killed(BaseException):
    """The process was killed; nothing in it can catch this."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call that a vendor received."""

    operation: str
    arguments: tuple[object, ...]
    at: float


class Vendor:
    """A journal of calls, and faults: `outage` for all calls, `outages` for those of one operation.

    `watch` is called before and after the effect of every call, and so is the coroutine function `meet`.
    """

    def __init__(self, clock: Clock) -> None:
        self.calls: list[Call] = []
        self.outage: Exception | None = None
        self.outages: dict[str, Exception] = {}
        self.watch: Callable[[str], None] = lambda _point: None
        self.meet: Callable[[str], Awaitable[object]] = _nobody
        self._clock = clock
        self._before: defaultdict[str, deque[Action]] = defaultdict(deque)
        self._after: defaultdict[str, deque[Action]] = defaultdict(deque)

    def fail(self, operation: str, error: Exception, *, after: bool = False, times: int = 1) -> None:
        """Let the next calls fail, without effect or (`after`) with the effect done and the answer lost."""

        async def raise_it() -> None:
            raise error

        for _ in range(times):
            self.meanwhile(operation, raise_it, after=after)

    def meanwhile(self, operation: str, action: Action, *, after: bool = False) -> None:
        """Run an action during the next call, before its effect or after it."""
        (self._after if after else self._before)[operation].append(action)

    def made(self, operation: str) -> list[Call]:
        """The calls of one operation, oldest first."""
        return [call for call in self.calls if call.operation == operation]

    def count(self, operation: str) -> int:
        """How often an operation was called."""
        return len(self.made(operation))

    @asynccontextmanager
    async def _call(self, operation: str, *arguments: object) -> AsyncIterator[None]:
        self.calls.append(Call(operation, arguments, self._clock.now()))
        self.watch(f"before {operation}")
        await self.meet(operation)
        await settle(1)
        if self.outage is not None:
            raise self.outage
        if operation in self.outages:
            raise self.outages[operation]
        if self._before[operation]:
            await self._before[operation].popleft()()
        yield
        if self._after[operation]:
            await self._after[operation].popleft()()
        await self.meet(operation)
        self.watch(f"after {operation}")


async def _nobody(_: str) -> None:
    """Do nothing."""
