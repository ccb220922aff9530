"""What grows in the daemon while returns run through it: memory, descriptors, the write-ahead log, CPU per return.

A full run takes about an hour; SIGINT ends it after the current batch, and prints the table so far. After each batch
the sandbox forgets what is closed, because it slows down with what it holds.
"""

import signal
import statistics
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from bench.lives import Lives, living
from bench.machine import progress
from bench.report import Report, main

REST = 60.0
"""Seconds after which idle connections are closed."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """The daemon after a batch; `cpu` and `took` are of the batch, in milliseconds and seconds."""

    rss: float
    descriptors: float
    wal: float
    cpu: float
    took: float


def _live(lives: Lives, batch: int) -> Sample:
    daemon, began = lives.daemon, time.monotonic()
    before = daemon.cpu()
    lives.live(batch)
    lives.sandbox.call("forget_closed")
    log = daemon.database.with_name(daemon.database.name + "-wal")
    return Sample(
        rss=daemon.rss(),
        descriptors=float(daemon.descriptors()),
        wal=log.stat().st_size / 2**20,
        cpu=(daemon.cpu() - before) / batch * 1e3,
        took=time.monotonic() - began,
    )


def _slope(values: Sequence[float], batch: int) -> float:
    """The growth per thousand returns, by least squares over the second half; the first half is warm-up."""
    later = values[len(values) // 2 :]
    return statistics.linear_regression(range(len(later)), later).slope * 1000 / batch


def _tenths(values: Sequence[float], unit: str, digits: int = 0) -> str:
    shown = [values[len(values) * tenth // 10] for tenth in range(10)] + [values[-1]]
    return ", ".join(f"{value:.{digits}f}" for value in shown) + f" {unit}"


def _slopes(report: Report, samples: Sequence[Sample], batch: int) -> None:
    half = "slope of the second half, per 1,000 returns"
    cpu = [sample.cpu for sample in samples]
    report.at_most(f"RSS: {half}", _slope([sample.rss for sample in samples], batch), 0.1, "MiB", 3)
    report.at_most(f"descriptors: {half}", _slope([sample.descriptors for sample in samples], batch), 0.1, "", 3)
    report.at_most(f"write-ahead log: {half}", _slope([sample.wal for sample in samples], batch), 0.1, "MiB", 3)
    report.at_most(f"CPU per return: {half}", _slope(cpu, batch) / statistics.fmean(cpu) * 100, 0.2, "%", 3)


def measure(full: bool) -> Report:
    report = Report("Soak: what grows while returns run through")
    samples: list[Sample] = []
    batch, wanted = (500, 50_000) if full else (100, 1000)
    ended = threading.Event()
    signal.signal(signal.SIGINT, lambda _number, _frame: ended.set())
    with living() as lives:
        while lives.closed < wanted and not ended.is_set():
            samples.append(_live(lives, batch))
            progress(f"{lives.closed} returns, {samples[-1]}")
        size = lives.daemon.database.stat().st_size
        progress("resting")
        time.sleep(REST)
        rested = float(lives.daemon.descriptors())
    took = sum(sample.took for sample in samples)
    report.add("returns closed", f"{lives.closed:,} in {took:.0f} s, {lives.closed / took:.0f}/s (limits raised)")
    report.add("RSS, from tenth to tenth", _tenths([sample.rss for sample in samples], "MiB"))
    report.add("CPU per return, from tenth to tenth", _tenths([sample.cpu for sample in samples], "ms", 1))
    report.add("write-ahead log, from tenth to tenth", _tenths([sample.wal for sample in samples], "MiB", 1))
    if full:  # a quick run is all warm-up: its slopes say nothing
        _slopes(report, samples, batch)
    report.add("store, per return", f"{size / lives.closed / 1024:.1f} KiB")
    most = max(sample.descriptors for sample in samples)
    report.add("descriptors at work, at most", f"{most:.0f} with {batch} returns at once")
    report.at_most("descriptors after a minute of rest", rested, 64, "", 0)
    return report


if __name__ == "__main__":
    main(measure)
