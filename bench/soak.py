"""Memory and file descriptors of the daemon while returns run through it."""

import statistics
import time

from bench.lives import living
from bench.machine import progress
from bench.report import Report, main

BATCH = 50


def _slope(values: list[float]) -> float:
    """Per thousand returns, by least squares over the second half: the first is warming up."""
    later = values[len(values) // 2 :]
    return statistics.linear_regression(range(len(later)), later).slope * 1000 / BATCH


def measure(full: bool) -> Report:
    report = Report("Soak: memory and file descriptors")
    rss, descriptors = [], []
    seconds, least = (300.0, 500) if full else (20.0, 500)
    began = time.monotonic()
    with living() as lives:
        while time.monotonic() - began < seconds or lives.closed < least:
            lives.live(BATCH)
            rss.append(lives.daemon.rss())
            descriptors.append(float(lives.daemon.descriptors()))
            if len(rss) % 10 == 0:
                progress(f"{lives.closed} returns, {rss[-1]:.1f} MiB, {descriptors[-1]:.0f} descriptors")
    took = time.monotonic() - began
    report.add("returns closed", f"{lives.closed} in {took:.0f} s, {lives.closed / took:.0f}/s (limits raised)")
    report.add("RSS: first, middle, last", f"{rss[0]:.1f}, {rss[len(rss) // 2]:.1f}, {rss[-1]:.1f} MiB")
    report.at_most("RSS slope of the second half, per 1,000 returns", _slope(rss), 1.0, "MiB", 2)
    report.at_most("descriptors slope of the second half, per 1,000 returns", _slope(descriptors), 1.0, "", 2)
    report.at_most("descriptors at the end", descriptors[-1], 128, "", 0)
    return report


if __name__ == "__main__":
    main(measure)
