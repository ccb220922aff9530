"""The cost of idle open returns: memory, CPU, the due query, a scrape."""

import asyncio
import statistics
import time

from adapters.host.clock import SystemClock
from adapters.sqlite.store import open_store
from bench.daemon_process import SHOP, Daemon
from bench.machine import progress
from bench.report import Report, main
from bench.seed import seed
from daemon.app.services import WALKERS

HALF_DAY = 43200.0
WALKED = {name: (queue, places) for name, queue, places, _ in WALKERS}


def _due_query(daemon: Daemon, *, nothing: bool) -> float:
    """The median time of the due query in ms: with nothing due, or with everything due and a full batch wanted."""
    queue, places = WALKED["reconciler"]
    now = SystemClock().now() + (0 if nothing else HALF_DAY)

    async def ask() -> float:
        async with await open_store(daemon.database, inline=True) as store:
            times = []
            for _ in range(200):
                began = time.perf_counter()
                await store.read(lambda uow: uow.queued(queue, now, places))
                times.append(time.perf_counter() - began)
            return statistics.median(times) * 1e3

    return asyncio.run(ask())


def _measure(count: int, idle: float) -> dict[str, float]:
    with Daemon(timings={"label_request_poll": "12h", "return_poll": "12h"}) as daemon:
        progress(f"{count:,} returns: seeding")
        seed(daemon.database, count, SystemClock().now())
        due, all_due = (_due_query(daemon, nothing=nothing) for nothing in (True, False))
        ready = daemon.start()
        time.sleep(3.0)
        began, cpu = time.monotonic(), daemon.running()
        progress(f"{count:,} returns: idle for {idle:.0f} s")
        time.sleep(idle)
        used = (daemon.running() - cpu) / (time.monotonic() - began)
        times = []
        for _ in range(21):
            asked = time.perf_counter()
            daemon.get("/metrics")
            times.append(time.perf_counter() - asked)
        if daemon.metrics()[f'mcfd_returns{{account="main",shop="{SHOP}",state="awaiting_inspection"}}'] != count:
            raise RuntimeError("the daemon does not know the seeded returns")
        return {
            "rss": daemon.rss(),
            "cpu": used * 100,
            "due": due,
            "all_due": all_due,
            "metrics": statistics.median(times) * 1e3,
            "ready": ready,
            "disk": daemon.database.stat().st_size / 2**20,
        }


def measure(full: bool) -> Report:
    report = Report("Held: what open returns cost while nothing happens to them")
    sizes = (0, 10_000, 100_000, 1_000_000) if full else (0, 100_000)
    seen = {count: _measure(count, 20.0 if full else 6.0) for count in sizes}
    for count, values in seen.items():
        report.add(
            f"{count:,} open returns: database, start to READY", f"{values['disk']:.0f} MiB, {values['ready']:.2f} s"
        )
        report.at_most(f"{count:,} open returns: RSS", values["rss"], 120, "MiB")
        report.at_most(f"{count:,} open returns: idle CPU of one core", values["cpu"], 1, "%", 2)
        report.at_most(f"{count:,} open returns: due query, nothing due", values["due"], 1, "ms", 3)
        report.at_most(f"{count:,} open returns: due query, everything due", values["all_due"], 1, "ms", 3)
        report.at_most(f"{count:,} open returns: GET /metrics", values["metrics"], 10, "ms")
    report.at_most(f"RSS with {max(sizes):,} more than with none", seen[max(sizes)]["rss"] - seen[0]["rss"], 20, "MiB")
    return report


if __name__ == "__main__":
    main(measure)
