"""Memory and file descriptors of the daemon while returns run through it.

A full run takes more than an hour; SIGINT ends it after the current batch, and prints the table so far.
"""

import signal
import statistics
import threading
import time
from collections.abc import Sequence

from bench.lives import living
from bench.machine import progress
from bench.report import Report, main

REST = 60.0
"""Seconds after which idle connections are closed."""


def _slope(values: Sequence[float], batch: int) -> float:
    """The growth per thousand returns, by least squares over the second half; the first half is warm-up."""
    later = values[len(values) // 2 :]
    return statistics.linear_regression(range(len(later)), later).slope * 1000 / batch


def measure(full: bool) -> Report:
    report = Report("Soak: memory and file descriptors")
    rss, descriptors = [], []
    batch, wanted = (500, 100_000) if full else (100, 1000)
    began = time.monotonic()
    ended = threading.Event()
    signal.signal(signal.SIGINT, lambda _number, _frame: ended.set())
    with living() as lives:
        while lives.closed < wanted and not ended.is_set():
            lives.live(batch)
            rss.append(lives.daemon.rss())
            descriptors.append(float(lives.daemon.descriptors()))
            progress(f"{lives.closed} returns, {rss[-1]:.1f} MiB, {descriptors[-1]:.0f} descriptors")
        took = time.monotonic() - began
        progress("resting")
        time.sleep(REST)
        rested = float(lives.daemon.descriptors())
    report.add("returns closed", f"{lives.closed:,} in {took:.0f} s, {lives.closed / took:.0f}/s (limits raised)")
    tenths = [rss[len(rss) * tenth // 10] for tenth in range(10)] + [rss[-1]]
    report.add("RSS after each tenth of them", ", ".join(f"{value:.0f}" for value in tenths) + " MiB")
    # A quick run is all warm-up: its slopes say nothing.
    slopes = _slope(rss, batch), _slope(descriptors, batch)
    if full:
        report.at_most("RSS slope of the second half, per 1,000 returns", slopes[0], 0.1, "MiB", 3)
        report.at_most("descriptors slope of the second half, per 1,000 returns", slopes[1], 0.1, "", 3)
    report.add("descriptors at work, at most", f"{max(descriptors):.0f} with {batch} returns at once")
    report.at_most("descriptors after a minute of rest", rested, 64, "", 0)
    return report


if __name__ == "__main__":
    main(measure)
