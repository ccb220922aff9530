"""Several nodes on one PostgreSQL: what a death and a stop cost a shopper, and what a return costs on 1, 2 and 4 nodes."""

import random
import signal
import sqlite3
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any

import psycopg

from adapters.host.clock import SystemClock
from bench.accounts import Agency
from bench.daemon_process import TICK, Daemon, seller
from bench.lives import QUICK
from bench.machine import progress
from bench.report import Report, main
from bench.sandbox_process import SandboxProcess
from tests.e2e.world import OPERATIONS, RAISED
from tests.support.postgres import Server, running_server

FEW, MANY = 4, 40
"""Sellers."""
BEYOND_LEASE = STOP = 2.0
"""Seconds that a death may cost beside the lease, and a stop."""
COST = 1.15
"""What a return may cost on several nodes, in terms of one."""
PATIENCE = 240.0
SETTLED = 8.0
"""Seconds for the first polls after the start."""

_orders = count(1)


class Group:
    """Daemons that share a database, and the sellers whose returns they work; without `url` one daemon and a file."""

    def __init__(self, vendors: SandboxProcess, url: str | None, nodes: int, lease: str = "15s") -> None:
        limits = {operation: dict(RAISED) for operation in OPERATIONS}
        self.nodes: list[Daemon] = [Agency(vendors.sellers, limits=limits, timings=QUICK) for _ in range(nodes)]
        self._vendors = vendors
        self._url = url
        for number, node in enumerate(self.nodes if url is not None else ()):
            node.join(url or "", name=f"node-{number}", lease=lease, other=self.nodes[0])

    def works_all(self, node: Daemon) -> None:
        """Wait until one node works everything."""
        name = f"node-{self.nodes.index(node)}"
        held = f"SELECT 1 FROM cluster_leases WHERE node LIKE '{name}/%' AND token <> ''"
        self.until(len(self._vendors.sellers) + 1, held)

    @cached_property
    def database(self) -> "sqlite3.Connection | psycopg.Connection[Any]":
        """A connection beside the daemons'."""
        if self._url is None:
            return sqlite3.connect(f"file:{self.nodes[0].database}?mode=ro", uri=True)
        return psycopg.connect(self._url, autocommit=True)

    def found(self, question: str) -> int:
        """Count the rows that answer."""
        return len(self.database.execute(question).fetchall())

    def until(self, number: int, question: str) -> None:
        """Wait until that many rows answer."""
        end = time.monotonic() + PATIENCE
        while (found := self.found(question)) < number:
            if time.monotonic() > end:
                raise RuntimeError(f"{found} of {number}: {question}")
            time.sleep(0.02)

    def deliver_to(self, *nodes: Daemon) -> None:
        """Let the sellers' portals deliver to these nodes in turn, as behind a load balancer."""
        for number in range(len(self._vendors.sellers)):
            port = nodes[number % len(nodes)].public_port
            url = f"http://127.0.0.1:{port}/webhooks/loop/{seller(number)}"
            self._vendors.call("set_webhook_url", seller=number, url=url)

    def submit(self) -> list[tuple[int, int]]:
        """Let a shopper of each seller ask for a label."""
        return [(number, self._submit(number)) for number in range(len(self._vendors.sellers))]

    def _submit(self, number: int) -> int:
        order = f"#{next(_orders)}"
        self._vendors.call("create_order", seller=number, order_id=order, lines={"SOCK-2P-M": 1})
        lines = [{"sku": "SOCK-2P-M"}]
        return int(self._vendors.call("submit_return", seller=number, order_name=order, lines=lines))

    def receive(self, returns: Sequence[tuple[int, int]]) -> None:
        """Let the parcels arrive and be inspected."""
        for number, return_id in returns:
            about = {"return_id": return_id, "sku": "SOCK-2P-M", "condition": "Sellable"}
            self._vendors.call("receive", seller=number, **about)

    def cpu(self) -> float:
        """Seconds of user and system time of all daemons so far."""
        return sum(node.cpu() for node in self.nodes)


@contextmanager
def _group(vendors: SandboxProcess, url: str | None, nodes: int, lease: str = "15s") -> Iterator[Group]:
    group = Group(vendors, url, nodes, lease)
    with ExitStack() as stack:
        for node in group.nodes:
            stack.enter_context(node)
        yield group
        group.database.close()


# ---- what a death and a stop cost


@dataclass
class Gaps:
    """Seconds: until the other node works everything, and until all who ask meanwhile have their labels; as usual."""

    usual: float
    worked: list[float] = field(default_factory=list)
    labelled: list[float] = field(default_factory=list)


def _gaps(server: Server, lease: str, rounds: int, end: signal.Signals) -> Gaps:
    """Shoppers ask just after the node that works most has got a signal."""
    with SandboxProcess(FEW) as vendors, _group(vendors, server.new_database(), 2, lease) as group:
        working, idle = group.nodes
        for node in group.nodes:
            node.start()
        group.deliver_to(working, idle)
        _labelled(group, time.monotonic())  # warm
        found = Gaps(_labelled(group, time.monotonic()))
        for turn in range(rounds):
            progress(f"{end.name}, lease {lease}, round {turn + 1}/{rounds}")
            group.deliver_to(idle)
            time.sleep(random.uniform(1.0, 6.0))  # anywhere between two renewals
            at, began = SystemClock().now(), time.monotonic()
            working.send(end)
            found.labelled.append(_labelled(group, began))
            group.works_all(idle)
            found.worked.append(max(idle.told_at("lease.won")) - at)
            working.wait()
            working.start()
            working, idle = idle, working
        return found


def _labelled(group: Group, began: float) -> float:
    """Seconds until a shopper of each seller who asks now has a label."""
    labelled = "SELECT 1 FROM returns WHERE state = 'awaiting_inspection'"
    before = group.found(labelled)
    group.submit()
    group.until(before + FEW, labelled)
    return time.monotonic() - began


# ---- what a return costs


def _server_cpu(server: Server) -> float:
    """Seconds of user and system time of the database server's processes so far."""
    first = int((server.directory / "data" / "postmaster.pid").read_text().splitlines()[0])
    used = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        if int(path.parent.name) == first:
            used += sum(int(field) for field in fields[11:15])
        elif int(fields[1]) == first:
            used += int(fields[11]) + int(fields[12])
    return used / TICK


def _start_together(group: Group, server: Server, url: str) -> None:
    """Start the nodes so that none takes everything first: it would let one account go every 30 s."""
    group.nodes[0].start()
    group.nodes[0].terminate()
    with psycopg.connect(url, autocommit=True) as session:
        session.execute("DELETE FROM cluster_leases")
        session.execute(
            "INSERT INTO cluster_nodes SELECT 'expected/' || n, extract(epoch FROM now()) + 3600 "
            "FROM generate_series(1, %s) n",
            (len(group.nodes),),
        )
        for node in group.nodes:
            node.start()
        group.until(2 * len(group.nodes), "SELECT 1 FROM cluster_nodes")
        session.execute("DELETE FROM cluster_nodes WHERE node LIKE 'expected/%'")
    group.until(MANY + 1, "SELECT 1 FROM cluster_leases")


def _cost(server: Server, nodes: int, batches: int, idle: float) -> dict[str, float]:
    """Milliseconds of CPU per return, and percent of a core while nothing happens. No nodes: one daemon and a file."""
    url = server.new_database() if nodes else None
    with SandboxProcess(MANY) as vendors, _group(vendors, url, max(1, nodes)) as group:
        if url is None:
            group.nodes[0].start()
        else:
            _start_together(group, server, url)
        group.deliver_to(*group.nodes)
        _live(group, 1)  # warm
        time.sleep(SETTLED)
        began, cpu, at_server = time.monotonic(), group.cpu(), _server_cpu(server)
        time.sleep(idle)
        seconds = time.monotonic() - began
        resting, resting_server = (group.cpu() - cpu) / seconds, (_server_cpu(server) - at_server) / seconds
        began, cpu, at_server = time.monotonic(), group.cpu(), _server_cpu(server)
        _live(group, batches)
        seconds = time.monotonic() - began
        returns = batches * MANY
        return {
            "all": (group.cpu() - cpu) / returns * 1e3,
            "more": (group.cpu() - cpu - resting * seconds) / returns * 1e3,
            "server": (_server_cpu(server) - at_server - resting_server * seconds) / returns * 1e3,
            "resting": resting / max(1, nodes) * 100,
            "resting_server": resting_server * 100,
            "seconds": seconds,
        }


def _live(group: Group, batches: int) -> None:
    """Whole lives of returns, from the webhook to the end."""
    before = group.found("SELECT 1 FROM returns")
    returns = [one for _ in range(batches) for one in group.submit()]
    group.until(before + len(returns), "SELECT 1 FROM returns WHERE state IN ('awaiting_inspection', 'closed')")
    group.receive(returns)
    group.until(before + len(returns), "SELECT 1 FROM returns WHERE state = 'closed'")


def measure(full: bool) -> Report:
    report = Report("Nodes: several daemons on one PostgreSQL")
    with running_server(("max_connections=100",)) as server:
        _measure_gaps(report, server, full=full)
        _measure_cost(report, server, full=full)
    report.remark("daemons, server, vendors and client share the machine's two cores")
    return report


def _measure_gaps(report: Report, server: Server, *, full: bool) -> None:
    rounds = 6 if full else 2
    for end, lease in ((signal.SIGKILL, 3), (signal.SIGKILL, 15), (signal.SIGTERM, 15)):
        found = _gaps(server, f"{lease}s", rounds, end)
        reach, worst = (lease + BEYOND_LEASE if end is signal.SIGKILL else STOP), max(found.worked)
        what = f"{end.name}, lease {lease} s"
        report.add(
            f"{what}: the other node works everything after",
            f"median {statistics.median(found.worked):.2f}, worst of {rounds} {worst:.2f} s",
            f"<= {reach:g} s",
            worst <= reach,
        )
        report.add(
            f"{what}: {FEW} shoppers who ask just then have their labels after",
            f"median {statistics.median(found.labelled):.2f}, worst {max(found.labelled):.2f} s; else {found.usual:.2f} s",
        )


def _measure_cost(report: Report, server: Server, *, full: bool) -> None:
    batches, idle = (8, 30.0) if full else (3, 10.0)
    costs = {}
    for nodes in (0, 1, 2, 4):
        progress(f"{nodes} nodes, {MANY} sellers")
        costs[nodes] = _cost(server, nodes, batches, idle)
    for nodes, cost in costs.items():
        what = f"{nodes} node{'s' * (nodes != 1)}" if nodes else "one daemon with SQLite"
        ratio = cost["more"] / costs[1]["more"]
        judged = nodes > 1
        report.add(
            f"{what}, {MANY} sellers: CPU per return",
            f"{cost['more']:.1f} ms ({ratio:.2f} of one node), the server's {cost['server']:.1f} ms",
            f"<= {COST:g} of one node" if judged else "",
            ratio <= COST if judged else None,
        )
        report.add(
            f"{what}: while nothing happens",
            f"{cost['resting']:.2f} % of a core each, the server {cost['resting_server']:.2f} %",
        )


if __name__ == "__main__":
    main(measure)
