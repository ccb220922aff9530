"""The daemon's user and system time per return over its whole life, and where it goes."""

import asyncio
import pstats
import time
from pathlib import Path

import aiohttp
import uvloop

from bench.daemon_process import ROOT
from bench.lives import living
from bench.machine import progress
from bench.report import Report, main
from bench.sandbox_process import SandboxProcess

BATCH, CALLS = 50, 2000
YOUNG = 10.0
"""Seconds in which a new store asks for more, because returns may be older than it is."""


def _per_return(batches: int, *, buys_labels: bool) -> tuple[float, float, dict[str, float]]:
    """Milliseconds per return, those of them on the event loop, and calls per return by vendor."""
    with living(buys_labels=buys_labels) as lives:
        lives.live(BATCH)  # warm
        time.sleep(YOUNG)
        before, on_loop, calls = lives.daemon.cpu(), lives.daemon.on_the_loop(), lives.daemon.metrics()
        for turn in range(batches):
            progress(f"{'label bought' if buys_labels else 'RMA page'}: batch {turn + 1}/{batches}")
            lives.live(BATCH)
        used, on_loop = lives.daemon.cpu() - before, lives.daemon.on_the_loop() - on_loop
        after = lives.daemon.metrics()
    made: dict[str, float] = {}
    for name, value in after.items():
        if name.startswith("mcfd_vendor_calls_total"):
            vendor = name.split('vendor="')[1].split('"')[0]
            made[vendor] = made.get(vendor, 0.0) + (value - calls.get(name, 0.0)) / (batches * BATCH)
    return used / (batches * BATCH) * 1e3, on_loop / (batches * BATCH) * 1e3, made


def _bare_call() -> float:
    """Milliseconds of user and system time of a GET with the HTTP library alone."""

    async def call(url: str) -> float:
        async with aiohttp.ClientSession() as session:
            began = time.process_time()
            for _ in range(CALLS):
                async with session.get(url) as answer:
                    await answer.read()
            return (time.process_time() - began) / CALLS * 1e3

    with SandboxProcess() as sandbox, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(call(f"{sandbox.places['loop']}/nowhere"))


def _profile(batches: int) -> list[str]:
    """The functions with the largest share of the event loop's own time."""
    with living("profiled") as lives:
        for _ in range(batches):
            lives.live(BATCH)
        lives.daemon.terminate()
        stats = pstats.Stats(str(lives.daemon.folder / "profile"))
    rows = stats.stats.items()  # type: ignore[attr-defined]
    total = sum(row[2] for _, row in rows)
    top = sorted(rows, key=lambda item: -item[1][2])[:12]
    return [f"{row[2] / total:5.1%} {_place(where)}" for where, row in top]


def _place(where: tuple[str, int, str]) -> str:
    path, line, name = where
    short = path.removeprefix(str(ROOT) + "/").rpartition("site-packages/")[2]
    return f"{Path(short)}:{line} {name}"


def measure(full: bool) -> Report:
    report = Report("CPU per return, from the webhook to CLOSED")
    batches = 10 if full else 2
    for buys_labels, what, most in ((False, "RMA page", 10.0), (True, "label bought and printed", 18.0)):
        spent, on_loop, made = _per_return(batches, buys_labels=buys_labels)
        calls = ", ".join(
            f"{number:.1f} calls to {vendor}" for vendor, number in sorted(made.items()) if number >= 0.05
        )
        report.add(f"{what}, {batches * BATCH} returns", f"{spent:.1f} ms; {calls}", f"<= {most:g} ms", spent <= most)
        report.remark(f"{what}: {on_loop:.1f} ms on the event loop, the rest in the threads that store and draw")
    report.remark(
        "what remains is spread: for each return some 230 statements in 23 units that are committed together, 19 saved "
        "versions with their history and journal, 13 calls, each of which takes twice what the library alone takes (limits, "
        "metrics, reading, journal), and 5 webhooks; a bought label's document takes 4 ms"
    )
    report.remark(f"a GET with the HTTP library alone, without keeping or deciding anything: {_bare_call():.2f} ms")
    for line in _profile(2 if full else 1):
        report.remark(f"own time on the event loop: {line}")
    return report


if __name__ == "__main__":
    main(measure)
