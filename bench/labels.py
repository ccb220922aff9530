"""The time from a label's existence at Amazon until it is found, and until it is in Loop, in virtual time.

The daemon's own walkers, workflow, store and buckets run behind strict limits. Each return costs one look-up in the
bucket of the polls.
"""

import math
import random
import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from bench.machine import progress
from bench.report import Report, main
from bench.virtual_daemon import READ, VirtualDaemon, living, run_virtual
from daemon.domain.label_times import LabelTimes
from daemon.engine.handlers import authorization as authorizing
from tests.support.virtual_time import FakeClock

MEDIAN, SIGMA = 20.0, math.log(3) / 2.326
"""Lognormal, 1 % above 60 s."""

FIXED = {0.01: 1.2, 0.1: 1.2, 0.5: 5.2, 0.8: 11.0}
"""Mean lag of asking every 2 s behind one bucket, from a simple simulation."""

BOUND = {0.01: 0.23, 0.1: 0.53, 0.5: 2.9, 0.8: 7.8}
"""Lower bound of the mean lag of any policy without foresight, by dynamic programming over ages."""


@dataclass
class Run:
    """The results of one simulation, in seconds, sorted."""

    found: list[float]
    delivered: list[float]
    whole: list[float]
    refused: int
    reads: float

    def mean(self) -> float:
        return statistics.fmean(self.found)


def lognormal(chance: random.Random, median: float = MEDIAN, tail: float = 0.0) -> Callable[[], float]:
    """Draw how long Amazon takes; a share of `tail` takes between one and thirty minutes."""
    return lambda: (
        chance.uniform(60, 1800) if chance.random() < tail else chance.lognormvariate(math.log(median), SIGMA)
    )


@contextmanager
def every_two_seconds(fixed: bool) -> Iterator[None]:
    """Replace the daemon's policy by the fixed one, for comparison."""
    policy, learnt = authorizing.label_pause, LabelTimes.learnt
    if fixed:
        authorizing.label_pause = lambda *_: 2.0
        LabelTimes.learnt = lambda times, *_: times  # type: ignore[method-assign,assignment]
    try:
        yield
    finally:
        authorizing.label_pause, LabelTimes.learnt = policy, learnt  # type: ignore[method-assign]


def simulate(rate: float, count: int, *, ready: Callable[[random.Random], Callable[[], float]], fixed: bool) -> Run:
    """Let `count` returns arrive at random. The first tenth is left out, because the buckets start empty."""

    async def simulated(clock: FakeClock) -> Run:
        arrivals, nature = random.Random(7), random.Random(11)
        async with living(clock, ready(nature), seed=3) as daemon:
            await daemon.wait(20.0)
            for n in range(count):
                await daemon.wait(arrivals.expovariate(rate))
                await daemon.submit(str(n))
            await _all_delivered(daemon, count)
            return _result(daemon, count)

    with every_two_seconds(fixed):
        return run_virtual(simulated)


async def _all_delivered(daemon: VirtualDaemon, count: int) -> None:
    for _ in range(4000):
        if len(daemon.portal.delivered_at) == count:
            return
        await daemon.wait(5.0)
    raise RuntimeError(f"{count - len(daemon.portal.delivered_at)} labels were never delivered")


def _result(daemon: VirtualDaemon, count: int) -> Run:
    network, kept = daemon.network, [str(n) for n in range(count // 10, count)]
    found = sorted(max(0.0, network.found_at.get(n, network.ready_at[n]) - network.ready_at[n]) for n in kept)
    delivered = sorted(daemon.portal.delivered_at[n] - network.ready_at[n] for n in kept)
    whole = sorted(daemon.portal.delivered_at[n] - daemon.submitted_at[n] for n in kept)
    return Run(found, delivered, whole, network.refused, network.served[READ] / count - 1)


def _at(values: list[float], share: float) -> float:
    return values[min(len(values) - 1, int(share * len(values)))]


def _row(report: Report, what: str, ours: Run, reach: str, met: bool | None) -> None:
    lag = f"found after {ours.mean():.2f} (p99 {_at(ours.found, 0.99):.1f}, max {ours.found[-1]:.1f})"
    rest = f"delivered after {statistics.fmean(ours.delivered):.2f}, {statistics.fmean(ours.whole):.1f} from the request; {ours.reads:.1f} polls each; {ours.refused} x 429"
    report.add(what, f"{lag}; {rest}", reach, met)


def measure(full: bool) -> Report:
    report = Report(
        "Labels: seconds from the label's existence at Amazon until the daemon found and delivered it (virtual time)"
    )
    counts = {0.01: 150, 0.1: 800, 0.5: 2000, 0.8: 2500} if full else {0.01: 30, 0.1: 80, 0.5: 300, 0.8: 400}
    progress("in the create answer")
    at_once = simulate(0.8, counts[0.5], ready=lambda _: lambda: 0.0, fixed=False)
    _row(
        report,
        "in the create answer, 0.8 returns/s",
        at_once,
        "0 polls, 0 x 429",
        at_once.reads < 0.01 and not at_once.refused,
    )
    for rate, count in counts.items():
        progress(f"{rate} returns/s")
        fixed = simulate(rate, count, ready=lognormal, fixed=True)
        ours = simulate(rate, count, ready=lognormal, fixed=False)
        reach = 1.25 * BOUND[rate] + 0.3
        _row(
            report,
            f"lognormal 20 s / 60 s, {rate} returns/s",
            ours,
            f"<= {reach:.2f}, max <= 30 s, 0 x 429",
            ours.mean() <= reach and ours.found[-1] <= 30 and not ours.refused,
        )
        report.add(
            f"  ours : fixed 2 s : bound, {rate} returns/s",
            f"{ours.mean() / fixed.mean():.2f} : 1 : {BOUND[rate] / fixed.mean():.2f}",
        )
        report.remark(
            f"{rate}/s: a model gave fixed 2 s {FIXED[rate]} s and the bound {BOUND[rate]} s; the daemon gives fixed 2 s "
            f"{fixed.mean():.2f} s ({fixed.reads:.1f} polls each)"
        )
    for rate in (0.1, 0.5):
        progress(f"three times slower, {rate} returns/s")
        slow = simulate(rate, counts[rate] // 2, ready=lambda c: lognormal(c, 3 * MEDIAN), fixed=False)
        _row(
            report,
            f"three times slower, {rate} returns/s",
            slow,
            "max <= 30 s, 0 x 429",
            slow.found[-1] <= 30 and not slow.refused,
        )
        progress(f"heavy tail, {rate} returns/s")
        tail = simulate(rate, counts[rate] // 2, ready=lambda c: lognormal(c, tail=0.01), fixed=False)
        _row(
            report,
            f"1 % take up to 30 min, {rate} returns/s",
            tail,
            "max <= 30 s, 0 x 429",
            tail.found[-1] <= 30 and not tail.refused,
        )
    report.remark(
        "the reach of the mean is 1.25 x the bound of any policy + 0.3 s; the bound is of a steady stream, while returns "
        "arrive at random here: those of the row 0.8/s came at 0.82/s, where the bound of a steady stream is 8.5 s"
    )
    report.remark(
        "a simple model of the row 0.8/s: told the true distribution and the best price of a turn, none of the "
        "schedules that were tried had a max below 30.8 s and a mean within reach, because 43 returns waited at once "
        "for a while; one had 26.7 s and 11.1 s. What is learnt here gives 9.5 s (8.8-10.8) and max 30.8 s (27-37) on "
        "average over twelve draws of arrivals; before turns were saved for a rush it gave 10.0 s and 38.6 s"
    )
    report.remark(
        "the same model, twelve draws: three times slower at 0.5/s 10.0 s, max 31.8 s (28-37), before 9.9 s and 40.2 s; "
        "with the tail 4.3 s, max 26.3 s (19-30), before 4.3 s and 42.7 s"
    )
    return report


if __name__ == "__main__":
    main(measure)
