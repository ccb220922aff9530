"""Notifications to systemd (sd_notify, https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html)."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence

import structlog

from daemon.errors import StoreUnavailable
from daemon.ports.host import Clock

log = structlog.get_logger(__name__)


class Notifier:
    """Writes to the socket at `address` (the value of NOTIFY_SOCKET), or nowhere when it is None or empty."""

    def __init__(self, address: str | None, clock: Clock) -> None:
        # A leading @ stands for the zero byte of the abstract namespace.
        self._address = "\0" + address[1:] if address and address.startswith("@") else address
        self._clock = clock

    def ready(self) -> None:
        """Say that the daemon is ready, or that a reload has ended."""
        self._send("READY=1")

    def stopping(self) -> None:
        """Say that the daemon is stopping."""
        self._send("STOPPING=1")

    def reloading(self) -> None:
        """Say that a reload has begun; `ready` ends it."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={int(self._clock.monotonic() * 1_000_000)}")

    def status(self, text: str) -> None:
        """Show one line in `systemctl status`."""
        self._send("STATUS=" + " ".join(text.split()))

    def watchdog(self) -> None:
        """Say that the daemon is alive."""
        self._send("WATCHDOG=1")

    def _send(self, message: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as peer:
                peer.settimeout(1.0)
                peer.sendto(message.encode(), self._address)
        except OSError as error:
            log.warning("systemd.unreachable", reason=type(error).__name__)


class Watchdog:
    """Pings systemd only while the event loop runs, the store answers, and no heartbeat is late.

    `interval` is WatchdogSec in seconds (None: systemd does not watch). `store_alive` makes a round trip through the
    store. StoreUnavailable counts as an answer (a restart would not free a full disk); silence does not. `status` is
    the sentence that `systemctl status` shows; it is sent when it changes.
    """

    def __init__(
        self,
        notifier: Notifier,
        clock: Clock,
        *,
        interval: float | None,
        store_alive: Callable[[], Awaitable[object]],
        late: Callable[[], Sequence[str]],
        status: Callable[[], str] = str,
    ) -> None:
        self._notifier = notifier
        self._pause = interval / 3 if interval else None
        self._clock = clock
        self._store_alive = store_alive
        self._late = late
        self._status = status
        self._told = ""

    async def run(self, stop: asyncio.Event) -> None:
        """Ping until `stop` is set."""
        while not stop.is_set():
            if self._pause is not None:
                await self._ping(self._pause)
            await self._clock.wait(stop, self._pause)

    async def _ping(self, patience: float) -> None:
        await _loop_turn()
        if not await self._store_answers(patience):
            log.error("watchdog.withheld", missing="store")
        elif late := self._late():
            log.error("watchdog.withheld", missing=", ".join(late))
        else:
            self._notifier.watchdog()
        if (status := self._status()) != self._told:
            self._notifier.status(status)
            self._told = status

    async def _store_answers(self, patience: float) -> bool:
        try:
            async with asyncio.timeout(patience):
                await self._store_alive()
        except StoreUnavailable:
            return True
        except TimeoutError:
            return False
        return True


async def _loop_turn() -> None:
    turned = asyncio.Event()
    asyncio.get_running_loop().call_soon(turned.set)
    await turned.wait()
