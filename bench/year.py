"""A year in virtual time over a store that is full from the first day: its size, and the query for what is due.

Every day as many returns end as retention deletes in the night: a few of them lived by the daemon's own walkers,
workflow and store between vendors in memory, the others copies of one that has lived so, with its history and notes.
"""

import sqlite3
import statistics
import time
from contextlib import closing
from pathlib import Path

from bench.machine import progress
from bench.notifications import rare_rounds
from bench.report import Report, main
from bench.seed import copy
from bench.virtual_daemon import VirtualDaemon, living, run_virtual
from daemon.app.services import WALKERS
from daemon.domain.durations import DAY
from daemon.domain.returns import State
from daemon.operations.retention import Periods, Retention
from tests.support.virtual_time import FakeClock

KEPT = 400
"""Days for which an ended return is kept, the default."""

YEAR, FIFTH = 365, 73
LIVED = 137
"""Returns a day that the daemon lives: 50,000 in a year take some twenty minutes of a core."""
AT_ONCE = 20_000
"""Returns written in one transaction."""
ENDED = frozenset({State.CLOSED, State.IN_REVIEW, State.PROCESSING})
COUNT = "SELECT count(*) FROM returns"
MINE = 1_000_000_000
"""Lived returns are named by numbers from here on, so that their names are nobody else's."""


class Year:
    """The daemon in its store, day by day. A sample is (returns, MiB of the file and its log, ms for what is due)."""

    def __init__(self, daemon: VirtualDaemon, held: int, lived: int) -> None:
        self.samples: list[tuple[int, float, float]] = []
        self.submitted: list[str] = []
        self._daemon = daemon
        self._path: Path = daemon.stage.path
        self._held, self._lived, self._full = held, lived, False
        self._ending = held // KEPT
        periods = Periods(dead_letters=30 * DAY, closed_returns=KEPT * DAY, order_index=180 * DAY, calls=30 * DAY)
        self._retention = Retention(daemon.stage.sqlite, daemon.clock, periods)

    async def day(self) -> None:
        """Some shoppers submit, yesterday's parcels are inspected, others' returns end, and the night comes."""
        daemon, end = self._daemon, self._daemon.clock.now() + DAY
        yesterday = self.submitted[len(self.submitted) - self._lived :] if self.submitted else []
        for return_id in yesterday:
            daemon.network.inspect(await daemon.stage.unit(return_id, return_id), "Sellable")
        for _ in range(self._lived):
            self.submitted.append(str(MINE + len(self.submitted)))
            await daemon.submit(self.submitted[-1])
            await daemon.wait(2.0)
        if self._full:
            self._end_others(self._ending - self._lived, f"{daemon.clock.now()!r}")
        await daemon.wait(max(0.0, end - daemon.clock.now()))
        await self._retention.nightly()

    def fill(self) -> None:
        """Write returns that ended evenly within the time for which they are kept."""
        progress(f"{self._held:,} returns: seeding")
        first, apart = len(self.submitted) + 1, KEPT * DAY / self._held
        closed_at = f"{self._daemon.clock.now()!r} - ({first + self._held} - i) * {apart!r}"
        for begun in range(0, self._held, AT_ONCE):
            self._end_others(min(AT_ONCE, self._held - begun), closed_at)
        self._full = True

    def _end_others(self, number: int, closed_at: str) -> None:
        with closing(sqlite3.connect(self._path, isolation_level=None)) as connection:
            (last,) = connection.execute("SELECT max(id) FROM returns").fetchone()
            copy(connection, self.submitted[0], last + 1, last + number, closed_at)

    async def sample(self) -> None:
        """Measure, by the machine's clock."""
        store, now = self._daemon.stage.store, self._daemon.clock.now()
        _, queue, places, _ = next(walker for walker in WALKERS if walker[0] == "reconciler")
        times = []
        for _ in range(200):
            began = time.perf_counter()
            await store.read(lambda uow: uow.queued(queue, now, places))
            times.append(time.perf_counter() - began)
        with closing(sqlite3.connect(self._path)) as connection:
            (count,) = connection.execute(COUNT).fetchone()
        files = [self._path, self._path.with_name(self._path.name + "-wal")]
        size = sum(file.stat().st_size for file in files if file.exists()) / 2**20
        self.samples.append((count, size, statistics.median(times) * 1e3))
        progress(f"{len(self.submitted):,} lived, {count:,} held, {size:.0f} MiB, {self.samples[-1][2]:.3f} ms")

    async def ended(self) -> int:
        """How many of the lived returns have their outcome."""
        states = [(await self._daemon.stored(return_id)).state for return_id in self.submitted]
        return sum(state in ENDED for state in states)


def simulate(held: int, lived: int, days: int) -> tuple[Year, int]:
    """Let so many days pass, with so many lived returns a day; also return how many of those have their outcome."""

    async def simulated(clock: FakeClock) -> tuple[Year, int]:
        async with living(clock, lambda: 0.0, seed=5) as daemon:
            with rare_rounds(daemon, every=3600.0):
                year = Year(daemon, held, lived)
                for _ in range(2):  # until the first have ended
                    await year.day()
                year.fill()
                await year.sample()
                for day in range(1, days + 1):
                    await year.day()
                    if day % FIFTH == 0 or day == days:
                        await year.sample()
                return year, await year.ended()

    return run_virtual(simulated)


def measure(full: bool) -> Report:
    report = Report("A year in virtual time over a full store")
    held, lived, days = (1_000_000, LIVED, YEAR) if full else (40_000, 10, 20)
    year, ended = simulate(held, lived, days)
    first, last = year.samples[1], year.samples[-1]
    left = len(year.submitted) - 2 * lived  # the last two days' are still on their way
    report.add("lived, and their outcome reached", f"{len(year.submitted):,}, {ended:,}", f">= {left:,}", ended >= left)
    passed = held + 2 * lived + (held // KEPT) * days
    report.add(
        "returns that were in the store within the time", f"{passed:,}, of which {passed - last[0]:,} were deleted"
    )
    for number, (what, unit, digits) in enumerate((("returns", "", 0), ("store", "MiB", 0), ("due query", "ms", 3))):
        shown = ", ".join(f"{sample[number]:,.{digits}f}" for sample in year.samples)
        report.add(f"{what}, every {FIFTH} days", f"{shown} {unit}".strip())
    report.at_most("store: at the end / after the first of these", last[1] / first[1], 1.02, "", 3)
    report.at_most("due query at the end", last[2], 1, "ms", 3)
    report.remark("every return in the store has the history and the notes of one that the daemon has lived")
    return report


if __name__ == "__main__":
    main(measure)
