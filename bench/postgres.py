"""Rate of webhooks acknowledged after a commit in PostgreSQL, against the server's own rate of single commits."""

import statistics
import time
from itertools import count

import psycopg

from bench.daemon_process import WEBHOOK_SECRET, Daemon
from bench.load import run_closed, signed_request
from bench.machine import progress
from bench.report import Report, main
from tests.support.postgres import running_server

_ids = count(1)


def _single_commits(url: str, number: int) -> float:
    """Bare INSERTs a second, each committed alone, over one session."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS bare (name text PRIMARY KEY, value text)")
        began = time.monotonic()
        for _ in range(number):
            connection.execute("INSERT INTO bare VALUES (%s, %s)", (f"n{next(_ids)}", "x" * 200))
        return number / (time.monotonic() - began)


def _acknowledged(daemon: Daemon, number: int, connections: int) -> float:
    requests = [signed_request(next(_ids), WEBHOOK_SECRET, issued=False) for _ in range(number)]
    answers = run_closed(daemon.public_port, requests, connections)
    if answers.acknowledged != number:
        raise RuntimeError(f"{answers.statuses}, {answers.broken} broken")
    return number / answers.took


def measure(full: bool) -> Report:
    report = Report("PostgreSQL: 4 KB, signed, acknowledged after a durable commit")
    rounds, number = (7, 6000) if full else (3, 2000)
    with running_server(("max_connections=60",)) as server, Daemon("") as daemon:
        daemon.join(server.new_database())
        bare = server.new_database()
        daemon.start()
        _acknowledged(daemon, 500, 16)  # warm
        rates: dict[str, list[float]] = {"alone": [], "one": [], "many": []}
        for turn in range(rounds):
            progress(f"round {turn + 1}/{rounds}")
            rates["alone"].append(_single_commits(bare, number // 4))
            rates["many"].append(_acknowledged(daemon, number, 64))
            rates["one"].append(_acknowledged(daemon, number // 4, 1))
    alone, one, many = (statistics.median(rates[name]) for name in ("alone", "one", "many"))
    report.add("a bare INSERT with its commit, one session", f"{alone:,.0f}/s")
    report.add("64 connections", f"{many:,.0f}/s")
    report.add("64 connections: durable / a bare commit for each", f"{many / alone:.2f}", ">= 1", many >= alone)
    report.add("1 connection", f"{one:,.0f}/s")
    report.remark("server, daemon and client share the machine; medians within this run, variants taking turns")
    report.remark(
        f"a bare commit takes {1000 / alone:.2f} ms here, and an acknowledgement {1000 / many:.2f} ms: where syncs are fast, "
        "what the three of them compute on two cores takes longer than the commits that batching saves"
    )
    return report


if __name__ == "__main__":
    main(measure)
