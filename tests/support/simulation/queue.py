"""A queue in the simulated world: what a process asks of it travels on when the process dies, as with SQS.

It meets the faults of the vendor `queue`, as the errors that the daemon's own client makes of them.
"""

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from adapters.sandbox import Fault
from daemon.errors import CredentialsRefused, McfdError, RateLimited, Unavailable
from daemon.ports.notifications import QueueMessage
from tests.support.fake_queue import FakeQueue
from tests.support.simulation.virtual_loop import Process, WorldClock, pass_time

T = TypeVar("T")

LONG_POLL = 120.0
"""Seconds; longer than SQS waits, so that an idle queue adds few callbacks to a life."""

PATIENCE = 35.0
"""Seconds after which the daemon's client gives up on an answer."""

URL, REGION = "https://sqs.us-east-1.amazonaws.com/123456789012/mcfd", "us-east-1"
ARN = "arn:aws:sqs:us-east-1:123456789012:mcfd"


class WorldQueue(FakeQueue):
    """The queue itself; implements the sandbox's Queue. What it holds outlives every process."""

    def __init__(self) -> None:
        super().__init__(WorldClock(), long_poll=LONG_POLL)

    async def put(self, body: str) -> bool:
        """Accept a message from Amazon."""
        self.send(body.encode())
        return True


class SandboxQueue:
    """Implements the sandbox's Queue."""

    def __init__(self, queue: WorldQueue) -> None:
        self._queue = queue

    async def send(self, body: str) -> bool:
        return await self._queue.put(body)

    async def close(self) -> None:
        """There is nothing to close."""


class ProcessQueue:
    """Implements MessageQueue for one process.

    `step` is called at everything that a kill cannot undo, and `pick` chooses what goes wrong with a request.
    """

    def __init__(
        self,
        process: Process,
        queue: WorldQueue,
        *,
        latency: Callable[[], float],
        step: Callable[[], None],
        pick: Callable[[], Fault | None],
    ) -> None:
        self._process = process
        self._queue = queue
        self._latency = latency
        self._step = step
        self._pick = pick

    async def receive(self) -> Sequence[QueueMessage]:
        return await self._ask(self._queue.receive)

    async def delete(self, receipts: Sequence[str]) -> None:
        self._step()
        await self._ask(lambda: self._queue.delete(receipts))

    async def close(self) -> None:
        """There is nothing to close."""

    async def _ask(self, work: Callable[[], Awaitable[T]]) -> T:
        self._process.check()
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().create_task(self._carry(work, answer), context=contextvars.Context())
        return await answer

    async def _carry(self, work: Callable[[], Awaitable[T]], answer: "asyncio.Future[T]") -> None:
        await pass_time(self._latency())
        fault = self._pick()
        if fault is not None and fault.kind == "delay":
            await pass_time(fault.seconds)
            fault = None
        found = await work() if fault is None or fault.after_effect else None
        if found != []:  # reading an empty queue has no effect
            self._step()
        if fault is not None and fault.kind == "hang":
            await pass_time(PATIENCE)
        await pass_time(self._latency())
        if answer.done():
            return
        if fault is None:
            answer.set_result(found)  # type: ignore[arg-type]
        else:
            answer.set_exception(_error(fault))


def _error(fault: Fault) -> McfdError:
    if fault.kind in {"status", "error"} and fault.status in {401, 403}:
        return CredentialsRefused(f"the queue answers {fault.status}")
    if fault.kind in {"status", "error"} and fault.status == 429:
        return RateLimited("the queue is throttled")
    return Unavailable(f"the queue: {fault.kind}", unclear=False)
