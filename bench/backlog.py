"""A backlog of Amazon's notifications, read through a real SQS API over HTTP, beside shoppers who wait for labels."""

import statistics
import time
from dataclasses import dataclass, field

from adapters.host.clock import SystemClock
from bench.daemon_process import SHOP, Daemon
from bench.lives import QUICK
from bench.machine import progress
from bench.report import Report, main
from bench.sandbox_process import SandboxProcess
from tests.e2e.world import OPERATIONS, RAISED
from tests.support.backlog_queue import OURS, QueueProcess
from tests.support.sqs_server import REGION

CLOCK = SystemClock()
SKU = "SOCK-2P-M"
EVERY = 1.0
"""Seconds between shoppers."""

PATIENCE = 2 * 3600.0
HEARD = "mcfd_notifications_total{"


@dataclass
class Shoppers:
    """Submit a return now and then; remember when."""

    sandbox: SandboxProcess
    submitted: dict[int, float] = field(default_factory=dict)

    def one(self, order: str = "") -> None:
        """Submit one, and wait for the time of the next."""
        order = order or f"#{len(self.submitted) + 1}"
        began = time.monotonic()
        self.sandbox.call("create_order", order_id=order, lines={SKU: 1})
        at = CLOCK.now()
        return_id = self.sandbox.call("submit_return", order_name=order, lines=[{"sku": SKU}])
        self.submitted[int(return_id)] = at
        time.sleep(max(0.0, EVERY - (time.monotonic() - began)))

    def seconds(self) -> dict[int, float]:
        """How long each waited for the label."""
        returns = self.sandbox.look("snapshot")["loop"]["returns"]
        labels = sorted((label["id"], int(n)) for n, held in returns.items() for label in held["delivered_labels"])
        made = [call["at"] for call in self.sandbox.look("calls") if call["operation"] == "createLabel"]
        at = {number: moment for (_, number), moment in zip(labels, made, strict=True)}
        return {number: at.get(number, float("inf")) - began for number, began in self.submitted.items()}


@dataclass
class Memory:
    """MiB held by the daemon, by the number of messages heard so far."""

    seen: list[tuple[int, float]] = field(default_factory=list)

    def look(self, daemon: Daemon) -> int:
        heard = int(sum(value for name, value in daemon.metrics().items() if name.startswith(HEARD)))
        self.seen.append((heard, daemon.rss()))
        return heard

    def grown(self, messages: int) -> float:
        """From a tenth of the backlog to its end."""
        return self.seen[-1][1] - next(rss for heard, rss in self.seen if heard >= messages / 10)


def measure(full: bool) -> Report:
    messages, quiet = (100_000, 120) if full else (2_000, 20)
    report = Report(
        "Backlog: Amazon's notifications read through moto's SQS server, beside shoppers who wait for labels"
    )
    with SandboxProcess() as sandbox, QueueProcess(messages) as far, _daemon(sandbox, far) as daemon:
        sandbox.call("set_webhook_url", url=f"http://127.0.0.1:{daemon.public_port}/webhooks/loop/{SHOP}")
        shoppers, memory = Shoppers(sandbox), Memory()
        for number in range(OURS):
            shoppers.one(f"#our-{number}")
        progress("no messages")
        before = set(shoppers.submitted)
        for _ in range(quiet):
            shoppers.one()
        undisturbed = set(shoppers.submitted) - before
        progress(f"{messages:,} messages")
        began, cpu = time.monotonic(), daemon.cpu()
        far.fill()
        heard = 0
        while heard < messages:
            shoppers.one()
            heard = memory.look(daemon)
            if time.monotonic() - began > PATIENCE:
                raise RuntimeError(f"{heard:,} of {messages:,} messages were heard")
        took, used = time.monotonic() - began, daemon.cpu() - cpu
        amid = set(shoppers.submitted) - before - undisturbed
        _emptied(far)
        time.sleep(5.0)
        waited = shoppers.seconds()
        counted = {name: int(value) for name, value in daemon.metrics().items() if name.startswith(HEARD)}
    _rows(report, messages, [waited[n] for n in undisturbed], [waited[n] for n in amid])
    report.at_most("memory, from a tenth of the backlog to its end", memory.grown(messages), 10, "MiB")
    report.add("left in the queue, deleted or not", "0", "0", True)
    report.add(
        "read", f"{messages / took:.0f} messages/s, {used / messages * 1e3:.2f} ms of CPU each with all the rest"
    )
    report.remark(f"counted: {', '.join(f'{name[len(HEARD) : -1]} {n:,}' for name, n in counted.items() if n)}")
    report.remark(
        "the queue holds 100 of the backlog at once and is filled up as it is read: moto's time for each message grows with "
        "what it holds"
    )
    return report


def _daemon(sandbox: SandboxProcess, far: QueueProcess) -> Daemon:
    limits = {operation: dict(RAISED) for operation in OPERATIONS}
    looks = dict.fromkeys(("inspection_idle", "inspection_moving", "inspection_arrived"), "12h")
    daemon = Daemon(
        "many-calls",
        amazon_url=sandbox.places["amazon"],
        loop_url=sandbox.places["loop"],
        limits=limits,
        timings=QUICK | looks,
    )
    place = far.place
    daemon.read_queue(queue_url=place["url"], queue_arn=place["arn"], region=REGION, endpoint=place["endpoint"])
    daemon.start()
    return daemon


def _emptied(far: QueueProcess) -> None:
    """The last deletion is under way when the last message has been counted."""
    end = time.monotonic() + 30
    while not far.filled.is_set() or far.queue.left() != (0, 0):
        if time.monotonic() > end:
            raise RuntimeError(f"messages are left: {far.queue.left()}")
        time.sleep(0.1)


def _rows(report: Report, messages: int, undisturbed: list[float], amid: list[float]) -> None:
    report.add("messages", f"{messages:,}", "100,000", messages >= 100_000)
    for what, seconds in (("no messages", undisturbed), ("amid the backlog", amid)):
        ordered = sorted(seconds)
        median, late = statistics.median(ordered), ordered[int(0.99 * (len(ordered) - 1))]
        text = f"{len(ordered)} shoppers: median {median:.2f}, p99 {late:.2f}, max {ordered[-1]:.2f}"
        report.add(f"seconds until the label, {what}", text)
    report.at_most("the slowest label amid the backlog", max(amid), 5.0, "s")


if __name__ == "__main__":
    main(measure)
