"""Several machines that share one PostgreSQL database: each has a node, cables to the servers, and a clock of its own."""

import asyncio
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import psycopg
from aiohttp import web

from tests.e2e.daemon_process import DaemonProcess
from tests.e2e.node import AHEAD, NAME, REPEATS_AFTER, UNFENCED
from tests.e2e.world import LOOK, PATIENCE, World, everyone, pause, vendors
from tests.support.cable import Cable
from tests.support.postgres import Server, following_server, running_server

LEASE = 3.0
"""Seconds of `cluster.lease`."""

REPEATS_AFTER_SECONDS = 6.0
"""In place of the product's 90 s: longer than the vendors of these tests ever take."""

NAMES = ("north", "south", "east", "west")

HEARD_WITHIN = 1.5
"""Seconds in which a node must take a delivery, or the next one gets it."""


@dataclass
class Node:
    """A machine: one process after another with the same files."""

    name: str
    daemon: DaemonProcess
    cables: Sequence[Cable]
    ahead: float = 0.0
    unfenced: bool = False
    frozen: bool = False
    killed: bool = False

    @property
    def works(self) -> bool:
        """Whether there is a process that can do something."""
        return self.daemon.running and not self.frozen and not self.killed

    async def start(self) -> None:
        """Start its next process, if the last one has ended or was killed."""
        if self.killed:
            await self.daemon.ended()
        if not self.daemon.running:
            self.killed = False
            altered = {NAME: self.name, AHEAD: str(self.ahead), REPEATS_AFTER: str(REPEATS_AFTER_SECONDS)}
            self.daemon.environment |= altered | ({UNFENCED: "1"} if self.unfenced else {})
            await self.daemon.start()

    def kill(self) -> None:
        """End the process as a power cut does."""
        self.killed = True
        self.daemon.signal(signal.SIGKILL)

    def freeze(self) -> None:
        """Let the process stand still."""
        self.daemon.signal(signal.SIGSTOP)
        self.frozen = True

    def thaw(self) -> None:
        """Let it go on where it stood."""
        self.daemon.signal(signal.SIGCONT)
        self.frozen = False


class Databases:
    """The server, and a replica of it that may become the server; the database has the same name in both."""

    def __init__(self, server: Server, replica: Server | None, name: str) -> None:
        self._server = server
        self._replica = replica
        self._name = name

    @property
    def all(self) -> list[Server]:
        """Where nodes look for the database."""
        return [self._server] + ([self._replica] if self._replica is not None else [])

    @property
    def can_fail_over(self) -> bool:
        """Whether the replica still follows."""
        return self._replica is not None

    def stop(self) -> None:
        """Stop the server as a crash does."""
        self._server.stop()

    async def start(self) -> None:
        """Start it again."""
        await asyncio.to_thread(self._server.start)

    async def fail_over(self) -> None:
        """Make the replica the server; the old one, which is stopped, never comes back."""
        assert self._replica is not None
        await asyncio.to_thread(self._replica.promote)
        self._server, self._replica = self._replica, None

    def ask(self, *statements: str) -> list[tuple[Any, ...]]:
        """Run statements; the rows of the last one."""
        with psycopg.connect(self._server.url(self._name), autocommit=True) as connection:
            for statement in statements:
                cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []


class Cluster:
    """The nodes, asked and listened to as if they were one daemon."""

    def __init__(self, nodes: Sequence[Node], databases: Databases) -> None:
        self.nodes = nodes
        self.databases = databases
        self.public_port = 0

    @property
    def running(self) -> bool:
        """Whether all nodes work."""
        return all(node.works for node in self.nodes)

    async def start(self) -> None:
        """Start the nodes that do not run."""
        await everyone(*(node.start() for node in self.nodes))

    async def restart(self) -> None:
        """Stop the nodes that run, one after the other, and start each again."""
        for node in self.nodes:
            if node.works:
                assert await node.daemon.sigterm() == 0
            await node.start()

    @property
    def started_at(self) -> float:
        """When a process began last."""
        return max(node.daemon.started_at for node in self.nodes)

    @property
    def holder(self) -> Node:
        """The node that works the account, as the database has it."""
        ((name,),) = self.databases.ask("SELECT node FROM cluster_leases WHERE account = 'main'")
        return next(node for node in self.nodes if node.name == name.partition("/")[0])

    async def show(self, return_id: int | str) -> dict[str, Any]:
        """What a node knows of a return, asked until one can say it."""
        while True:
            node = next(node for node in self.nodes if node.works)
            with suppress(aiohttp.ClientError):  # killed while it was asked
                status, answer = await node.daemon.verb("show", **{"return": str(return_id)})
                if status == 200:
                    return answer
                if "the database cannot be used" not in answer["error"]:
                    return {"state": "", "history": []}
            await pause(LOOK)

    @property
    def complaints(self) -> list[str]:
        """Lines that no healthy run has."""
        return [f"{node.name}: {line}" for node in self.nodes for line in node.daemon.complaints]

    @property
    def lines(self) -> list[str]:
        """What the nodes said."""
        return [f"{node.name}: {line}" for node in self.nodes for line in node.daemon.lines]

    async def forward(self, request: web.Request) -> web.Response:
        """Give a delivery to a node that takes it, as a load balancer does."""
        body = await request.read()
        for node in sorted(self.nodes, key=lambda node: not node.works):
            url = f"http://127.0.0.1:{node.daemon.public_port}{request.rel_url.raw_path_qs}"
            timeout = aiohttp.ClientTimeout(total=HEARD_WITHIN)
            try:
                async with (
                    aiohttp.ClientSession(timeout=timeout) as session,
                    session.post(url, data=body, headers=request.headers) as reply,
                ):
                    if reply.status < 500:
                        return web.Response(status=reply.status)
            except (aiohttp.ClientError, TimeoutError, OSError):
                continue
        return web.Response(status=502)


@asynccontextmanager
async def cluster_of(
    count: int,
    folder: Path,
    config: dict[str, Any],
    secrets: dict[str, str],
    *,
    replica: bool = False,
) -> AsyncIterator[Cluster]:
    """A server of their own and so many nodes, none of which runs yet, behind one public port."""
    async with AsyncExitStack() as stack:
        server = stack.enter_context(running_server())
        name = server.new_database().partition("@/")[2].partition("?")[0]
        follower = stack.enter_context(following_server(server)) if replica else None
        databases = Databases(server, follower, name)
        nodes = []
        for called in NAMES[:count]:
            cables = [await stack.enter_async_context(Cable(one.socket)) for one in databases.all]
            hosts = ",".join(f"127.0.0.1:{cable.port}" for cable in cables)
            own = config | {
                "store": {"url": f"postgresql://mcfd@{hosts}/{name}?target_session_attrs=read-write"},
                "cluster": {"lease": f"{LEASE}s", "node": called},
            }
            (folder / called).mkdir()
            daemon = DaemonProcess(folder / called, own, secrets)
            daemon.program = "tests.e2e.node"
            nodes.append(Node(called, daemon, cables))
        cluster = Cluster(nodes, databases)
        cluster.public_port = await _balance(stack, cluster)
        try:
            yield cluster
        finally:
            for node in nodes:
                if node.daemon.running:
                    node.kill()
                    await node.daemon.ended()


async def _balance(stack: AsyncExitStack, cluster: Cluster) -> int:
    app = web.Application()
    app.router.add_route("POST", "/{tail:.*}", cluster.forward)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port: int = runner.addresses[0][1]
    return port


@asynccontextmanager
async def nodes_at_work(folder: Path, count: int, **options: Any) -> AsyncIterator[World]:
    """Both vendors and so many running nodes, asked as if they were one daemon."""
    async with vendors(folder, **options) as made:
        config, secrets = made.daemon.config, made.daemon.secrets
        async with cluster_of(count, folder, config, secrets) as cluster:
            await cluster.start()
            world = World(made.sandbox, cluster, patience=3 * PATIENCE)  # type: ignore[arg-type]
            world.subscribe()
            yield world
