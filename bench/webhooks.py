"""Rate of signed 4 KB webhooks acknowledged after a commit, against no storing and against a commit for each."""

import statistics
from collections import defaultdict
from itertools import count

from bench.daemon_process import WEBHOOK_SECRET, Daemon
from bench.load import Answers, run_closed, run_open, signed_request
from bench.machine import progress
from bench.report import Report, main

VARIANTS = {"": "durable", "no-store": "not stored", "commit-each": "a commit for each"}
_ids = count(1)


def _requests(number: int, *, issued: bool) -> list[bytes]:
    return [signed_request(next(_ids), WEBHOOK_SECRET, issued=issued) for _ in range(number)]


def _rates(running: dict[str, Daemon], rounds: int, number: int, connections: int, *, issued: bool) -> dict[str, float]:
    """Acknowledgements per second: the median over rounds in which all variants take turns."""
    seen: dict[str, list[float]] = defaultdict(list)
    for turn in range(rounds):
        progress(f"{connections} connection(s), {'label requests' if issued else 'news'}, round {turn + 1}/{rounds}")
        for variant, daemon in running.items():
            answers = run_closed(daemon.public_port, _requests(number, issued=issued), connections)
            if answers.acknowledged != number:
                raise RuntimeError(f"{variant or 'durable'}: {answers.statuses}, {answers.broken} broken")
            seen[variant].append(number / answers.took)
    return {variant: statistics.median(rates) for variant, rates in seen.items()}


def _compare(report: Report, what: str, rates: dict[str, float], *, judged: bool) -> None:
    spelled = ", ".join(f"{VARIANTS[variant]} {rate:,.0f}/s" for variant, rate in rates.items())
    report.add(f"{what}", spelled)
    report.add(
        f"{what}: durable / not stored",
        f"{rates[''] / rates['no-store']:.2f}",
        ">= 0.45" if judged else "",
        rates[""] / rates["no-store"] >= 0.45 if judged else None,
    )
    report.add(
        f"{what}: durable / a commit for each",
        f"{rates[''] / rates['commit-each']:.2f}",
        ">= 2.9" if judged else "",
        rates[""] / rates["commit-each"] >= 2.9 if judged else None,
    )


def _at_times(report: Report, daemon: Daemon, rate: float, seconds: float, limit: float | None) -> None:
    progress(f"open loop, {rate:.0f}/s for {seconds:.0f} s")
    answers: Answers = run_open(daemon.public_port, _requests(int(rate * seconds), issued=False), rate)
    p50, p99, worst = (answers.quantile(share) * 1e3 for share in (0.5, 0.99, 1.0))
    told = f"p50 {p50:.1f} / p99 {p99:.1f} / max {worst:.1f} ms; {answers.acknowledged} of {len(answers.seconds)}"
    if limit is not None:
        report.add(f"Poisson {rate:,.0f}/s, from the scheduled time", told, f"p99 <= {limit:g} ms", p99 <= limit)
    else:
        report.add(f"Poisson {rate:,.0f}/s, from the scheduled time", told, "no collapse: max <= 1 s", worst <= 1000)


def measure(full: bool) -> Report:
    report = Report("Webhooks: 4 KB, signed, acknowledged after a durable commit")
    rounds, number, seconds = (7, 6000, 20.0) if full else (3, 2000, 4.0)
    with Daemon("") as durable, Daemon("no-store") as forgetful, Daemon("commit-each") as single:
        running = {"": durable, "no-store": forgetful, "commit-each": single}
        for daemon in running.values():
            daemon.start()
        _rates(running, 1, 500, 16, issued=False)  # warm
        rates = _rates(running, rounds, number, 64, issued=False)
        _compare(report, "64 connections", rates, judged=True)
        report.add(
            "64 connections: the most that any batching could reach", f"{rates['no-store'] / rates['commit-each']:.2f}"
        )
        one = _rates(running, rounds, number // 4, 1, issued=False)
        report.add("1 connection", ", ".join(f"{VARIANTS[v]} {rate:,.0f}/s" for v, rate in one.items()))
        report.add(
            "1 connection: durable / a commit for each",
            f"{one[''] / one['commit-each']:.2f}",
            ">= 0.95 (as fast, within noise)",
            one[""] / one["commit-each"] >= 0.95,
        )
        _at_times(report, durable, 1000, seconds, 9.0)
        _at_times(report, durable, 2000, seconds, 15.0)
        _at_times(report, single, 2000, min(seconds, 5.0), None)
        report.rows[-1] = (report.rows[-1][0] + ", a commit for each", report.rows[-1][1], "", "")
        _compare(
            report,
            "64 connections, each opens a return",
            _rates(running, max(1, rounds // 2), number // 4, 64, issued=True),
            judged=False,
        )
    report.remark(
        "the client shares the machine with the daemon; ratios are medians within this run, variants taking turns"
    )
    return report


if __name__ == "__main__":
    main(measure)
