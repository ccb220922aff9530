"""How thousands of half-sent requests affect deliveries, and how long such connections are tolerated."""

import asyncio
import resource
import time
from concurrent.futures import ProcessPoolExecutor

from bench.daemon_process import WEBHOOK_SECRET, Daemon
from bench.load import Answers, run_open, signed_request
from bench.machine import progress
from bench.report import Report, main

RATE, CONNECTIONS = 100.0, 16
HALVES = (
    b"POST /webhooks/loop/acme HTTP/1.1\r\nHost: a\r\nX-Slow: ",
    b"POST / HTTP/1.1\r\nContent-Length: 99\r\n\r\n{",
)


class _Half(asyncio.Protocol):
    """Sends half a request and waits for its end."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.lasted = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.began = time.monotonic()
        transport.write(HALVES[self.number % 2])  # type: ignore[attr-defined]

    def connection_lost(self, exc: Exception | None) -> None:
        self.lasted.set_result(time.monotonic() - self.began)


async def _half_send(port: int, slow: int) -> list[float]:
    loop = asyncio.get_running_loop()
    halves = [(await loop.create_connection(lambda n=n: _Half(n), "127.0.0.1", port))[1] for n in range(slow)]
    return list(await asyncio.gather(*(half.lasted for half in halves)))


def _attack(port: int, slow: int) -> list[float]:
    """Attack from a separate process; return how long each connection lasted."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    time.sleep(1.0)
    return asyncio.run(_half_send(port, slow))


def measure(full: bool) -> Report:
    report = Report("Besieged: half-sent requests beside good deliveries")
    slow, seconds = (2000, 14.0) if full else (1000, 13.0)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with Daemon() as daemon, ProcessPoolExecutor(1) as attacker:
        daemon.start()
        progress(f"{slow:,} half-sent requests")
        attack = attacker.submit(_attack, daemon.public_port, slow)
        requests = [signed_request(number, WEBHOOK_SECRET, issued=False) for number in range(int(RATE * seconds))]
        answers, lasted = run_open(daemon.public_port, requests, RATE, CONNECTIONS), attack.result()
    report.add(
        "good deliveries acknowledged",
        f"{answers.acknowledged} of {len(answers.seconds)}, {answers.broken} broken",
        "all",
        answers.acknowledged == len(answers.seconds) and not answers.broken,
    )
    report.at_most("their p99, from first to last", answers.quantile(0.99) * 1e3, 10, "ms")
    flood = int(2 * RATE)
    for what, seconds_each in (("connect", answers.seconds[:flood]), ("are held", answers.seconds[flood:])):
        some = Answers(seconds_each)
        told = " / ".join(f"{some.quantile(share) * 1e3:.1f}" for share in (0.5, 0.99, 1.0))
        report.add(f"their p50 / p99 / worst while the others {what}", f"{told} ms")
    report.at_most(f"longest of {slow:,} half-sent requests", max(lasted), 11, "s")
    return report


if __name__ == "__main__":
    main(measure)
