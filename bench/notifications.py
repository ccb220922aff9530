"""From Amazon's inspection to the outcome in Loop, with and without notifications, in virtual time.

The daemon's own walkers, workflow, store, buckets and queue reader run behind strict limits, over the same open returns
and the same inspections: once Amazon sends each to a queue, once the daemon has to ask.
"""

import asyncio
import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from bench.machine import progress
from bench.report import Report, main
from bench.virtual_daemon import READ, VirtualDaemon, living, run_virtual
from daemon.domain.returns import State
from daemon.engine import walker
from daemon.engine.notifications import QueueReader
from tests.support.fake_queue import FakeQueue, a_return_message
from tests.support.virtual_time import FakeClock

HOUR, DAY = 3600.0, 86400.0
SQS_SECONDS = 0.05
"""One way to the queue."""

PUBLISHED = 0.5
"""Seconds from the inspection to the message in the queue; Amazon's delay is unknown."""

OPEN_RETURNS = 10_000
"""So many are to be open at once. By the time that 200 take, they need a quarter of an hour of a core."""

WARM = 12
"""Returns inspected beforehand; the daemon relies on a queue after ten messages."""

ROUND = 120.0
"""Seconds between two rounds of a walker that nobody wakes: many days pass in here. Asked looks are that much later."""


@contextmanager
def rare_rounds(daemon: VirtualDaemon, every: float = ROUND) -> Iterator[None]:
    """Let walkers make few rounds, and wait for what is due before the next one."""
    real, walker.ROUND = walker.ROUND, every
    for one in daemon.walkers:
        one._patience = max(one._patience, every)
    try:
        yield
    finally:
        walker.ROUND = real


@dataclass
class Run:
    """Seconds from inspection to outcome, sorted, and the reads for each return."""

    seconds: list[float]
    reads: float
    refused: int

    def at(self, share: float) -> float:
        return self.seconds[min(len(self.seconds) - 1, int(share * len(self.seconds)))]


class DistantQueue(FakeQueue):
    """A queue with the latency of SQS."""

    async def receive(self):
        found = await super().receive()
        await self.clock.wait(asyncio.Event(), SQS_SECONDS)
        return found

    async def delete(self, receipts):
        await self.clock.wait(asyncio.Event(), SQS_SECONDS)
        await super().delete(receipts)


def simulate(count: int, days: float, *, pushed: bool) -> Run:
    """All labels are out; the units are inspected at random instants, two of three as they should be."""

    async def simulated(clock: FakeClock) -> Run:
        chance = random.Random(23)
        stack = ExitStack()
        async with living(clock, lambda: 0.0, seed=5) as daemon:
            stack.enter_context(rare_rounds(daemon))
            warm = [f"w{n}" for n in range(WARM)]
            await _labels_out(daemon, [*warm, *map(str, range(count))])
            queue = DistantQueue(clock, long_poll=600.0)
            reading = asyncio.create_task(_reader(daemon, queue).run(daemon.stop)) if pushed else None
            feed = queue if pushed else None
            await _inspect_all(daemon, feed, warm, [0.0] * WARM, chance)
            before = daemon.network.served[READ]
            instants = sorted(chance.uniform(0.0, days * DAY) for _ in range(count))
            at = await _inspect_all(daemon, feed, [str(n) for n in range(count)], instants, chance)
            seconds = await _outcomes(daemon, at)
            reads = (daemon.network.served[READ] - before) / count
            refused = daemon.network.refused
            daemon.stop.set()
            if reading is not None:
                await reading
            stack.close()
        return Run(seconds, reads, refused)

    return run_virtual(simulated)


def _reader(daemon: VirtualDaemon, queue: FakeQueue) -> QueueReader:
    stage = daemon.stage
    return QueueReader(
        "notifications",
        queue,
        stage.news.hear,
        clock=daemon.clock,
        pushes=[stage.push],
        read=lambda: None,
        failed=lambda _name, _error: None,
        beat=lambda: None,
    )


async def _labels_out(daemon: VirtualDaemon, return_ids: list[str]) -> None:
    """As quickly as the limits allow."""
    await daemon.wait(20.0)
    for return_id in return_ids:
        await daemon.submit(return_id)
        await daemon.wait(2.0)
    while len(daemon.portal.delivered_at) < len(return_ids):
        await daemon.wait(60.0)


async def _inspect_all(
    daemon: VirtualDaemon, queue: FakeQueue | None, return_ids: list[str], instants: list[float], chance: random.Random
) -> dict[str, float]:
    start, at = daemon.clock.now(), {}
    order = chance.sample(return_ids, len(return_ids))
    for return_id, instant in zip(order, instants, strict=True):
        await daemon.wait(max(0.0, start + instant - daemon.clock.now()))
        condition = "Sellable" if chance.random() < 2 / 3 else "CustomerDamaged"
        daemon.network.inspect(await daemon.stage.unit(return_id, return_id), condition)
        at[return_id] = daemon.clock.now()
        if queue is not None:
            await daemon.wait(PUBLISHED)
            queue.send(a_return_message(return_id))
            await _as_ever(daemon)
    return at


async def _as_ever(daemon: VirtualDaemon) -> None:
    """For as long as a return is on its way to its outcome, walkers go round once a second, as they do."""
    for _ in range(8):
        await daemon.wait(1.0)
        daemon._wake()


async def _outcomes(daemon: VirtualDaemon, at: dict[str, float]) -> list[float]:
    """When Loop was asked to pay, or to put the return into review, after each inspection."""
    settled = (State.PROCESSING, State.IN_REVIEW, State.CLOSED)
    for _ in range(400):
        if all([(await daemon.stored(n)).state in settled for n in at]):
            break
        await daemon.wait(600.0)
    calls = [call for call in daemon.portal.calls if call.operation in {"process", "flag"}]
    asked = {str(call.arguments[0]): call.at for call in calls}
    return sorted(asked[n] - at[n] for n in at)


def measure(full: bool) -> Report:
    return compare(OPEN_RETURNS, 20.0) if full else compare(100, 16.0)


def compare(count: int, days: float) -> Report:
    """The same inspections of so many returns within so many days, once only asked for and once pushed."""
    report = Report("Notifications: seconds from the inspection to the outcome in Loop (virtual time)")
    report.add(
        f"open returns, inspected within {days:.0f} days", f"{count:,}", f"{OPEN_RETURNS:,}", count >= OPEN_RETURNS
    )
    progress("asked only")
    asked = simulate(count, days, pushed=False)
    progress("pushed")
    pushed = simulate(count, days, pushed=True)
    for what, run in (("asked only", asked), ("pushed", pushed)):
        text = f"median {run.at(0.5):.1f}, p99 {run.at(0.99):.1f}, max {run.seconds[-1]:.1f}; {run.reads:.1f} reads each; {run.refused} x 429"
        report.add(what, text)
    report.at_most("median, pushed", pushed.at(0.5), 2.0, "s")
    report.at_most("p99, pushed", pushed.at(0.99), 5.0, "s")
    report.at_most("reads for each return, pushed : asked only", pushed.reads / asked.reads, 1 / 3, "", digits=2)
    report.remark(
        f"walkers go round every {ROUND:.0f} s here while nothing happens, and once a second after a message: what is only "
        "asked for may be that much later than in the daemon"
    )
    report.remark(f"of that {PUBLISHED} s are Amazon's, from the inspection to its message: a guess")
    return report


if __name__ == "__main__":
    main(measure)
