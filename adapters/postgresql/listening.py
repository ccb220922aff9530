"""Hears what other nodes tell (LISTEN). It only saves time: whoever is told looks by itself, too."""

import asyncio
import threading
from collections.abc import Callable

import psycopg
import structlog

from adapters.postgresql.connection import POSTGRESQL, PostgresConnection

log = structlog.get_logger(__name__)

LOOK = 0.5
AGAIN = 5.0
"""Seconds until a lost connection is made again."""


async def listen(
    connect: Callable[[], PostgresConnection], own: str, told: Callable[[], None], stop: asyncio.Event
) -> None:
    """Call `told` on the event loop for each message that is not our `own`, until `stop` is set."""
    loop, over = asyncio.get_running_loop(), threading.Event()
    hearing = loop.run_in_executor(None, _hear, connect, own, lambda: loop.call_soon_threadsafe(told), over)
    try:
        await stop.wait()
    finally:
        over.set()
        await hearing


def _hear(
    connect: Callable[[], PostgresConnection], own: str, told: Callable[[], object], over: threading.Event
) -> None:
    while not over.is_set():
        try:
            raw = connect().raw
            with raw:
                while not over.is_set():
                    if any(message.payload != own for message in raw.notifies(timeout=LOOK)):
                        told()
        except psycopg.Error as error:
            log.info("nodes.not_heard", error=POSTGRESQL.reason(error))
            over.wait(AGAIN)
