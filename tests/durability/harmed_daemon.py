"""The daemon in surroundings that can be made bad, and deliveries to it that are counted."""

import asyncio
import json
import resource
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from adapters.sandbox import Fault
from adapters.sandbox.loop.webhooks import signature
from tests.e2e.daemon_process import LONGEST_LINE, ROOT, DaemonProcess
from tests.e2e.world import SHOP, World, vendors

QUIET = {"label_request_poll": "1h", "return_poll": "1h"}
OWN_MOUNTS = ("unshare", "--user", "--map-root-user", "--mount", "--propagation", "private")


def own_mounts_possible() -> bool:
    """A process may be given a view of the file system that is its own."""
    if shutil.which("unshare") is None:
        return False
    probe = [*OWN_MOUNTS, "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    return subprocess.run(probe, capture_output=True, check=False).returncode == 0


class HarmedDaemon(DaemonProcess):
    """`mcfd run` behind other commands (`before`), or by another module than `daemon`, which gets `extra` first."""

    before: tuple[str, ...] = ()
    module: tuple[str, ...] = ("daemon",)

    async def _spawn(self, *arguments: str | Path) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *self.before,
            sys.executable,
            *("-W", "default", "-m", *self.module, *arguments),
            cwd=ROOT,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=LONGEST_LINE,
        )

    def on_tmpfs(self, size: str) -> None:
        """Put the state directory on a small disk of its own from the next start on."""
        mount = f'mount -t tmpfs -o size={size},mode=0700 tmpfs "$0" && exec "$@"'
        self.before = (*OWN_MOUNTS, "sh", "-c", mount, str(self.state))

    def read_only(self) -> None:
        """Let the state directory be one that nothing can be written to."""
        mount = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"'
        self.before = (*OWN_MOUNTS, "sh", "-c", mount, str(self.state))

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def state_as_it_sees_it(self) -> Path:
        """The state directory within the daemon's own mounts."""
        return Path(f"/proc/{self.pid}/root{self.state}")

    def largest_file(self, size: int) -> None:
        """Let writes beyond so many bytes of a file fail, or (-1) succeed again."""
        resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


@dataclass
class Deliveries:
    """Webhooks as Loop sends them, each about a return of its own, and what became of them."""

    daemon: DaemonProcess
    secret: str
    session: aiohttp.ClientSession
    next_id: int = 58_000_000
    acknowledged: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)

    async def one(self) -> int:
        """Deliver one; its status, or 0 when there was no answer."""
        return_id = self.next_id = self.next_id + 1
        body = _issued(return_id)
        headers = {"Content-Type": "application/json", "X-Loop-Signature": signature(self.secret, body)}
        url = f"http://127.0.0.1:{self.daemon.public_port}/webhooks/loop/{SHOP}"
        status = 0
        with suppress(aiohttp.ClientError, OSError):
            async with self.session.post(url, data=body, headers=headers) as reply:
                status = reply.status
        self.statuses.append(status)
        if status == 200:
            self.acknowledged.append(return_id)
        return status

    async def many(self, count: int) -> set[int]:
        """Deliver many at once; the statuses."""
        return set(await asyncio.gather(*(self.one() for _ in range(count))))

    async def go_on(self, callers: int, until: asyncio.Event) -> None:
        """Deliver one after the other, so many at a time, until the event."""

        async def deliver() -> None:
            while not until.is_set():
                if await self.one() == 0:
                    return

        await asyncio.gather(*(deliver() for _ in range(callers)))


def _issued(return_id: int) -> bytes:
    body = {
        "topic": "label.request",
        "trigger": "label.request.issued",
        "id": return_id + 1_000_000,
        "return_id": return_id,
        "shop_id": 4410,
        "created_at": "2026-11-24T10:00:00.000000Z",
        "products": [],
    }
    return json.dumps(body).encode()


def stored(state: Path) -> set[int]:
    """The ids of the returns in a database that nobody uses."""
    connection = sqlite3.connect(f"file:{state / 'mcfd.db'}?mode=ro", uri=True)
    try:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        delivered = {int(i) for (i,) in connection.execute("SELECT return_id FROM deliveries")}
        assert delivered <= {int(i) for (i,) in connection.execute("SELECT return_id FROM returns")}
        return delivered
    finally:
        connection.close()


@dataclass
class Trial:
    """A world whose daemon can be harmed, and deliveries to it."""

    world: World
    daemon: HarmedDaemon
    deliveries: Deliveries


@asynccontextmanager
async def trial(folder: Path, *, loop_answers: bool = False, **options: Any) -> AsyncIterator[Trial]:
    """Both vendors and a daemon that nobody has started yet. Unless `loop_answers`, nothing moves but deliveries."""
    options = {"timings": QUIET} | options
    async with vendors(folder, **options) as made:
        if not loop_answers:
            made.sandbox.set_faults([Fault(vendor="loop", kind="status", status=503)])
        plain = made.daemon
        made.daemon = daemon = HarmedDaemon(plain.folder, plain.config, plain.secrets)
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector) as session:
            try:
                yield Trial(made, daemon, Deliveries(daemon, made.sandbox.options.webhook_secret, session))
            except BaseException:
                sys.stderr.write("\n".join(daemon.lines[-60:]))
                raise
            finally:
                if daemon.running:
                    await daemon.sigkill()
