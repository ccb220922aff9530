"""How `mcfd run` serves: the daemon until a signal stops it, or a shadow of it."""

import asyncio
import gc
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import structlog

from adapters.host.clock import SharedClock, SystemClock
from adapters.host.systemd import Notifier
from adapters.sqlite.backup import copy_database
from adapters.sqlite.lock import StateLock
from config.environment import systemd
from config.fields import Address
from config.load import Loaded
from daemon.app.app import App
from daemon.app.stores import file_of
from daemon.engine.supervisor import install_signals
from daemon.errors import AlreadyRunning, ConfigError

log = structlog.get_logger(__name__)

SWITCH = 0.001
"""Seconds until a waiting thread gets the interpreter."""

YOUNG = 10_000
"""New objects until the young ones are collected; after 700 each, as Python does it, took 6 % of the event loop."""


async def serve(loaded: Loaded, read_again: Callable[[], Loaded], *, shadow: bool = False) -> None:
    """Run the daemon until a signal stops it."""
    surroundings = systemd()
    notifier = Notifier(surroundings.notify_socket, SystemClock())
    app = App(
        loaded,
        clock=SharedClock() if loaded.settings.store.url is not None else SystemClock(),
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
    """Tune the interpreter for short response times.

    The store's thread needs the interpreter a dozen times per commit, and a busy event loop would keep it for 5 ms each
    time. Objects made at the start live as long as the process, but each full garbage collection would scan them, which
    takes 40 ms (bench/besieged.py shows both).
    """
    sys.setswitchinterval(SWITCH)
    gc.set_threshold(YOUNG)
    gc.collect()
    gc.freeze()


@contextmanager
def shadow_of(loaded: Loaded) -> Iterator[Loaded]:
    """The same configuration on a temporary copy of the store, with listeners on unused ports.

    The copy is made like a backup, so the daemon may keep running. Raises StoreUnavailable, ConfigError, or
    AlreadyRunning if there is another shadow.
    """

    path = file_of(loaded.settings, "a shadow needs a copy; restore a dump into another database and run it there")
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
        with suppress(AlreadyRunning), _cleared(shadow):  # another shadow was faster
            pass


@contextmanager
def _cleared(shadow: Path) -> Iterator[None]:
    """Lock the shadow's directory and empty it: a killed shadow may have left files."""

    with StateLock(shadow.parent):
        for leftover in shadow.parent.glob(f"{shadow.name}*"):
            leftover.unlink()
        yield
