"""Part of the composition root: one node among several that share a PostgreSQL database."""

import asyncio
import platform
import secrets
from collections.abc import Awaitable, Callable
from functools import partial

from adapters.host.clock import SharedClock
from daemon.app.resources import Resources
from daemon.domain.leases import CHORES
from daemon.engine.leases import NodeLeases
from daemon.engine.notifications import heard_mark
from daemon.engine.supervisor import run_every
from daemon.engine.walker import try_again_now
from daemon.ports.leases import Lease, LeaseBook
from daemon.ports.names import verified_mark

COUNTED_EVERY = 30.0
"""Seconds."""

HAND_OVER_SHARE = 0.9
"""The share of the stop grace within which accounts are handed over: steps in hand have had theirs by then."""


def join(resources: Resources, book: LeaseBook, *, changed: Callable[[], Awaitable[None]]) -> NodeLeases:
    """Make this process a node. It holds nothing before its service runs."""
    settings, clock = resources.current.settings, resources.clock
    leases = NodeLeases(
        book,
        clock,
        node=f"{settings.cluster.node or platform.node()[:40]}/{secrets.token_hex(4)}",
        accounts=[*settings.accounts, CHORES],
        seconds=settings.cluster.lease,
        new_token=partial(secrets.token_urlsafe, 16),
        gained=partial(_take_up, resources),
        changed=changed,
        heard=clock.heard if isinstance(clock, SharedClock) else lambda _now, _asked: None,
        grace=settings.timings.stop_grace * HAND_OVER_SHARE,
    )
    resources.metrics.share(settings.accounts, lambda account: leases.of(account) is not None)
    return leases


async def recount(resources: Resources, stop: asyncio.Event) -> None:
    """Count returns again and again, and take over when other nodes last heard of shops and sellers.

    It reads over a connection of its own: counting a million returns takes a while, and deliveries must not wait.
    """
    shops, accounts, metrics = list(resources.current.settings.shops), list(resources.accounts), resources.metrics
    reader = await resources.store.reader()

    async def count() -> None:
        counts, verified, heard = await reader.read(
            lambda uow: (
                uow.counts(),
                {shop: uow.mark(verified_mark(shop)) for shop in shops},
                {name: uow.mark(heard_mark(name)) for name in accounts},
            )
        )
        metrics.count(shops, counts)
        for shop, at in verified.items():
            if at:
                metrics.verified(shop, float(at))
        for name, at in heard.items():
            metrics.notified(float(at or 0), name)

    try:
        await run_every(COUNTED_EVERY, count, name="counts", clock=resources.clock, stop=stop)
    finally:
        await reader.close()


async def _take_up(resources: Resources, lease: Lease) -> None:
    """Begin an account's work where another node has left it. Raises StoreUnavailable."""
    one = resources.accounts.get(lease.account)
    if one is None:
        return
    one.vendors.begin_anew()
    with lease.working():
        await one.pauses.recall()
        await one.read_credentials()
        await try_again_now(resources.store, resources.clock, lease.account)
    one.vendors.unpark()
