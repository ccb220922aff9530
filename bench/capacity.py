"""How many open returns can be read often enough, one order read each, at 80 % of the budget of two a second.

The intervals are the daemon's (schedule.look_delay), and so is the order of the queue: longest due first.
"""

import heapq
import random
from collections.abc import Mapping

from bench.machine import progress
from bench.report import Report, main
from daemon.domain.returns import Return, Transit
from daemon.domain.schedule import look_delay
from tests.support.builders import an_awaited_return, delivered
from tests.support.configured import clocks

BUDGET = 2.0 * 0.8
DAY = 86400.0
LIMIT = BUDGET * DAY
"""One read of each return a day."""

HINT_EVERY = 60.0
"""Seconds between two inspections that a hint reports."""


def _on_its_way(transit: Transit) -> Return:
    return an_awaited_return(requests=(delivered(transit=transit),))


DELAYS = {
    name: look_delay(_on_its_way(transit), clocks())
    for name, transit in (("unscanned", Transit.NEW), ("moving", Transit.IN_TRANSIT), ("arrived", Transit.DELIVERED))
}


def longest_gaps(count: int, shares: Mapping[str, float], days: float) -> dict[str, float]:
    """Return the longest time between two reads of one return, by kind, in seconds, once the queue is steady.

    An inspection may follow right after a read, so this is its worst delay. `hinted` is the delay when a hint
    (Intake.order_changed) makes the return due at once.
    """
    chance = random.Random(5)
    kinds = [kind for kind, share in shares.items() for _ in range(round(count * share))]
    queue = [(chance.uniform(0, DELAYS[kind]), n) for n, kind in enumerate(kinds)]
    heapq.heapify(queue)
    due = [at for at, _ in sorted(queue, key=lambda entry: entry[1])]
    read, told = [0.0] * len(kinds), {}
    gaps, now, next_hint = dict.fromkeys((*shares, "hinted"), 0.0), 0.0, 0.0
    while now < days * DAY:
        at, n = heapq.heappop(queue)
        if at != due[n]:
            continue  # a hint has made it due earlier
        now = max(now, at) + 1 / BUDGET
        waited = now - told.pop(n, now)
        if now > days * DAY / 2:
            gaps[kinds[n]] = max(gaps[kinds[n]], now - read[n])
            gaps["hinted"] = max(gaps["hinted"], waited)
        read[n], due[n] = now, now + DELAYS[kinds[n]]
        heapq.heappush(queue, (due[n], n))
        if now >= next_hint:
            next_hint = now + HINT_EVERY
            n = chance.randrange(len(kinds))
            if due[n] > now:
                told[n] = due[n] = now
                heapq.heappush(queue, (now, n))
    return gaps


def capacity(shares: Mapping[str, float], judged: str, days: float, step: int) -> int:
    """Return for how many returns every inspection of the judged kind is seen within 24 h."""
    low, high = 1, int(2 * LIMIT / step)
    while high - low > 1:
        middle = (low + high) // 2
        good = longest_gaps(middle * step, shares, days).get(judged, 0.0) <= DAY
        low, high = (middle, high) if good else (low, middle)
    return low * step


def measure(full: bool) -> Report:
    report = Report("Capacity: open returns whose every inspection is seen within 24 h, by one read per order")
    days, step = (5.0, 1000) if full else (4.0, 4000)
    mixed = {"unscanned": 0.6, "moving": 0.25, "arrived": 0.15}
    progress("all unscanned")
    alone = capacity({"unscanned": 1.0}, "unscanned", days, step)
    report.at_least("nothing is known of the parcels (RMA page)", alone, 0.97 * LIMIT, "returns", 0)
    report.add("  of the limit, one read a day of each", f"{alone / LIMIT:.3f} of {LIMIT:,.0f}")
    progress("all unscanned, with hints")
    hinted = capacity({"unscanned": 1.0}, "hinted", days, step)
    report.add(
        "  the same with a source of hints",
        f"{hinted} returns, {hinted / LIMIT:.2f} of the limit",
        "> without",
        hinted > alone,
    )
    progress("mixed")
    inspected = capacity(mixed, "arrived", days, step)
    report.at_least("60 % unscanned, 25 % moving, 15 % arrived: the arrived ones", inspected, LIMIT, "returns", 0)
    every = capacity(mixed, "unscanned", days, step)
    report.add("the same: every one of them", f"{every} returns")
    small = longest_gaps(20_000, mixed, days)
    told = ", ".join(f"{kind} {gap / 3600:.2f} h" for kind, gap in small.items())
    report.remark(f"longest time until an inspection is seen with 20,000 returns of that mix: {told}")
    report.remark("only arrived parcels are inspected; behind an overfull queue all kinds are late by the same time")
    report.remark("the limit is 2 reads a second, 80 % of them; the rest is left to labels")
    return report


if __name__ == "__main__":
    main(measure)
