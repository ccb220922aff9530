"""The time from exec to READY=1 with a full database, also after SIGKILL, and from SIGTERM under load to the exit."""

import sqlite3
import statistics
import threading
import time
from itertools import count

from adapters.host.clock import SystemClock
from bench.daemon_process import WEBHOOK_SECRET, Daemon
from bench.load import Answers, run_closed, signed_request
from bench.machine import progress
from bench.report import Report, main
from bench.seed import seed

_ids = count(10**6)


class Load:
    """Sixty-four connections that send as fast as they are answered, until the daemon has ended."""

    def __init__(self, daemon: Daemon, number: int, *, issued: bool) -> None:
        self.answers = Answers()
        requests = [signed_request(next(_ids), WEBHOOK_SECRET, issued=issued) for _ in range(number)]

        def work() -> None:
            self.answers = run_closed(daemon.public_port, requests, 64)

        self._thread = threading.Thread(target=work)
        self._thread.start()

    def join(self) -> Answers:
        self._thread.join()
        return self.answers


def _stored(daemon: Daemon) -> int:
    connection = sqlite3.connect(daemon.database)
    try:
        return int(connection.execute("SELECT count(*) FROM deliveries").fetchone()[0])
    finally:
        connection.close()


def _stop_under_load(daemon: Daemon, end: str, *, issued: bool) -> tuple[float, int]:
    """Return the seconds until it ended, and how many acknowledged webhooks the database lacks."""
    before = _stored(daemon)
    daemon.start()
    load = Load(daemon, 60_000, issued=issued)
    time.sleep(1.5)
    if end == "SIGTERM":
        seconds = daemon.terminate()
    else:
        began = time.monotonic()
        daemon.kill()
        seconds = time.monotonic() - began
    acknowledged = load.join().acknowledged
    return seconds, max(0, acknowledged - (_stored(daemon) - before))


def measure(full: bool) -> Report:
    report = Report("Start and stop")
    size, rounds = (1_000_000, 5) if full else (100_000, 3)
    lost = 0
    with Daemon(timings={"label_request_poll": "12h", "return_poll": "12h"}) as daemon:
        progress(f"seeding {size:,} returns")
        seed(daemon.database, size, SystemClock().now())
        cold, stops = [], []
        for turn in range(rounds):
            progress(f"start {turn + 1}/{rounds}")
            cold.append(daemon.start())
            stops.append(daemon.terminate())
        report.at_most(f"start to READY, {size:,} returns (median of {rounds})", statistics.median(cold), 1.5, "s", 2)
        report.at_most("SIGTERM to exit, idle", statistics.median(stops), 1, "s", 2)
        again, kills = [], 0
        for turn in range(rounds):
            progress(f"SIGKILL under load {turn + 1}/{rounds}")
            _, missing = _stop_under_load(daemon, "SIGKILL", issued=False)
            lost, kills = lost + missing, kills + 1
            again.append(daemon.start())
            daemon.terminate()
        report.at_most("start to READY after SIGKILL under load", statistics.median(again), 1.5, "s", 2)
        for issued, what in ((False, "news"), (True, "label requests; neither vendor can be reached")):
            ends = []
            for turn in range(rounds):
                progress(f"SIGTERM under load of {what} {turn + 1}/{rounds}")
                seconds, missing = _stop_under_load(daemon, "SIGTERM", issued=issued)
                ends.append(seconds)
                lost += missing
            report.at_most(f"SIGTERM to exit, 64 connections of {what} (worst of {rounds})", max(ends), 1, "s", 2)
    report.add("acknowledged webhooks that were not stored", str(lost), "0", lost == 0)
    return report


if __name__ == "__main__":
    main(measure)
