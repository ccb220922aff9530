"""What the command line asks of the composition root.

Each verb loads what it needs when it is called: `check`, which systemd runs before every start and reload, and
`status` must not wait for all of the daemon, nor the daemon for the sandbox.
"""

# ruff: noqa: PLC0415 - see above

import asyncio
import gc
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import structlog

from config.environment import systemd
from config.fields import Address
from config.load import Loaded
from daemon.errors import AlreadyRunning, ConfigError
from daemon.operations.parameters import Verb

log = structlog.get_logger(__name__)

SWITCH = 0.001
"""Seconds after which a thread that waits for the interpreter gets it."""

SHORT, LONG = 60.0, 3600.0
"""Seconds that the command waits for the daemon."""

LONG_VERBS = frozenset({"backup", "purge", "replay", "doctor"})


async def serve(loaded: Loaded, read_again: Callable[[], Loaded], *, shadow: bool = False) -> None:
    """Run the daemon until a signal stops it."""
    from adapters.host.clock import SystemClock
    from adapters.host.systemd import Notifier
    from daemon.app.app import App
    from daemon.engine.supervisor import install_signals

    surroundings = systemd()
    notifier = Notifier(surroundings.notify_socket, SystemClock())
    app = App(
        loaded,
        clock=SystemClock(),
        notifier=notifier,
        watchdog=surroundings.watchdog,
        read_again=read_again,
        shadow=shadow,
    )
    stop = asyncio.Event()
    forget = install_signals(asyncio.get_running_loop(), stop, app.reload)
    try:
        await app.run(stop, _settle_in)
    finally:
        forget()
    log.info("daemon.stopped")


async def _settle_in() -> None:
    """Keep pauses short for whoever is served.

    The store's thread needs the interpreter a dozen times for each commit, and a busy event loop would keep it for 5 ms
    each time. And what was made at the start lives as long as the process: each full garbage collection would look
    through it, which takes 40 ms (bench/besieged.py shows both).
    """
    sys.setswitchinterval(SWITCH)
    gc.collect()
    gc.freeze()


@contextmanager
def shadow_of(loaded: Loaded) -> Iterator[Loaded]:
    """The same configuration on a copy of the store, which goes at the end, with doors that nobody is told of.

    The copy is read off the store as a backup is, so the daemon that uses it may run on. Raises StoreUnavailable,
    ConfigError, or AlreadyRunning when there is a shadow already.
    """
    from adapters.sqlite.backup import copy_database

    path = loaded.settings.store.path
    shadow = path.parent / "shadow" / path.name
    try:
        shadow.parent.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise ConfigError([f"{shadow.parent}: cannot be created ({error.strerror}): see store.path"]) from error
    with _cleared(shadow):
        if path.exists():
            copy_database(path, shadow, threading.Event())
    listen = loaded.settings.listen
    apart = {
        "store": loaded.settings.store.model_copy(update={"path": shadow}),
        "listen": listen.model_copy(
            update={"public": Address("127.0.0.1", 0), "ops": Address("127.0.0.1", 0), "metrics": None}
        ),
    }
    try:
        yield replace(loaded, settings=loaded.settings.model_copy(update=apart))
    finally:
        with suppress(AlreadyRunning), _cleared(shadow):  # the next shadow was quick
            pass


@contextmanager
def _cleared(shadow: Path) -> Iterator[None]:
    """Hold the place of a shadow with nothing in it, as one that was killed may have left."""
    from adapters.sqlite.lock import StateLock

    with StateLock(shadow.parent):
        for leftover in shadow.parent.glob(f"{shadow.name}*"):
            leftover.unlink()
        yield


@asynccontextmanager
async def asking(loaded: Loaded, verb: str, *, offline: bool) -> AsyncIterator[Verb]:
    """One verb of the running daemon; when there is none and the verb can do without, under the state lock."""
    from adapters.http import ops_client

    url = loaded.settings.listen.ops.url
    token = loaded.secrets.ops_token.get_secret_value()
    if not offline or await ops_client.answers(url):
        yield partial(ops_client.ask, url, token, verb, timeout=LONG if verb in LONG_VERBS else SHORT)
        return
    from daemon.app.offline import opened

    async with opened(loaded, verb) as answer:
        yield answer


async def ask(loaded: Loaded, verb: str, arguments: Mapping[str, object], *, offline: bool = False) -> object:
    """Ask once. Raises NotRunning, DaemonSaid, or what the verb raises offline."""
    async with asking(loaded, verb, offline=offline) as answer:
        return await answer(arguments)


async def doctor(loaded: Loaded) -> object:
    """The whole examination; a daemon that does not take our token is one more finding."""
    from adapters.http.ops_client import TokenRefused

    try:
        return await ask(loaded, "doctor", {}, offline=True)
    except TokenRefused as refusal:
        from adapters.host.clock import SystemClock
        from daemon.app.live_config import Current
        from daemon.app.offline import examining

        return await examining(Current(loaded), SystemClock(), refusal)({})


async def export(loaded: Loaded, report: str, since: float, take: Callable[[list[Any]], None]) -> None:
    """Hand over the rows of a report, page by page."""
    async with asking(loaded, "export", offline=True) as answer:
        after: object = 0
        while after is not None:
            page = await answer({"report": report, "since": since, "after": after})
            assert isinstance(page, dict)  # noqa: S101 - the export's own shape
            take(page["rows"])
            after = page["next"]
