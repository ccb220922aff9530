"""The part of the composition root that gives operators their verbs beside those on single returns."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from adapters.loop_returns.wire.webhooks import TRIGGERS
from adapters.sqlite.schema import APPLICATION_ID
from daemon.app.doctor import Checkup
from daemon.app.policies import shop_policy
from daemon.app.resources import Resources
from daemon.domain.policy import ShopPolicy
from daemon.engine.supervisor import run_every
from daemon.operations.authorization import Authorization
from daemon.operations.dead_letters import DeadLetters, Offer
from daemon.operations.exports import Exports
from daemon.operations.parameters import Given, OperatorError, Verb, flag, number, text, text_or_none, texts
from daemon.operations.reasons import Reasons
from daemon.operations.rekeying import Rekeying
from daemon.operations.retention import Forgotten, Periods, Retention
from daemon.operations.webhooks import Subscriptions

HELD_COUNTED_EVERY = 300.0
"""Seconds."""

DATABASE = b"SQLite format 3\0"
OWNER = slice(68, 72)
"""Where a database's header says whose it is: https://www.sqlite.org/fileformat2.html#the_database_header"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Online:
    """What only a running daemon has."""

    offer: Offer
    authorization: Authorization
    order_changed: Callable[[str], Awaitable[int]]


def retention(resources: Resources, forgotten: Forgotten = lambda _shop, _state: None) -> Retention:
    """The clearing of the store, as configured."""
    kept = resources.current.settings.retention
    periods = Periods(dead_letters=kept.dead_letters, closed_returns=kept.closed_returns)
    return Retention(resources.store, resources.clock, periods, forgotten)


def housekeeping(resources: Resources, clearing: Retention, online: Online | None) -> dict[str, Verb]:
    """The verbs by name; without a running daemon those that need one say so."""
    letters = DeadLetters(resources.store, resources.clock, resources.vault, online.offer if online else None)
    exports = Exports(resources.store)
    public_url = resources.current.settings.public_url
    subscriptions = Subscriptions(resources.vendors.portals, public_url=public_url, triggers=TRIGGERS)

    async def purge(given: Given) -> object:
        gone: dict[str, int] = await clearing.purge()
        if not flag(given, "rekey"):
            return gone
        return (
            gone
            | await Rekeying(resources.store, resources.vault).run()
            | {"bytes": gone["bytes"] + await resources.store.shrink()}
        )

    async def reasons(given: Given) -> object:
        return await Reasons(resources.store, _policies(resources), resources.vendors.network).seen(
            text_or_none(given, "sku")
        )

    async def authorize(_: Given) -> object:
        if online is None:
            raise OperatorError("the running daemon makes the link; start it first")
        return online.authorization.invite()

    async def look(given: Given) -> object:
        if online is None:
            raise OperatorError("the running daemon reads orders; start it first")
        orders = texts(given, "orders")
        return {"orders": [{"order": order, "returns": await online.order_changed(order)} for order in orders]}

    return {
        "look": look,
        "dead_letters": lambda _: letters.listing(),
        "replay": lambda given: letters.replay(texts(given, "deliveries"), text(given, "by")),
        "purge": purge,
        "backup": lambda given: _backup(resources, text(given, "file")),
        "export": lambda given: exports.page(
            text(given, "report"), number(given, "since"), int(number(given, "after"))
        ),
        "reasons": reasons,
        "webhooks": lambda given: subscriptions.listing(text_or_none(given, "shop")),
        "webhooks_sync": lambda given: subscriptions.sync(text_or_none(given, "shop")),
        "authorize": authorize,
        "doctor": lambda _: Checkup(
            resources.current, resources.clock, resources=resources, running=online is not None
        ).run(),
    }


async def count_held(resources: Resources, stop: asyncio.Event) -> None:
    """Keep the gauge of held returns; now and then, for a scrape must not read the store."""

    async def count() -> None:
        counts = await resources.store.survey(lambda keep: keep.held_counts())
        resources.metrics.holds(resources.current.settings.shops, counts)

    await run_every(HELD_COUNTED_EVERY, count, name="held returns", clock=resources.clock, stop=stop)


def _policies(resources: Resources) -> Mapping[str, ShopPolicy]:
    current = resources.current
    return {name: shop_policy(name, current.settings, current.secrets) for name in current.settings.shops}


async def _backup(resources: Resources, name: str) -> object:
    target = Path(name)
    _check_target(target)
    await resources.store.backup(target)
    return {"file": name, "bytes": _size(target)}


def _check_target(target: Path) -> None:
    """Only an older backup is replaced: whoever may ask for backups must not destroy anything by it."""
    if not target.is_absolute():
        raise OperatorError(f"{target} is not an absolute path")
    if target.is_dir():
        raise OperatorError(f"{target} is a directory; name a file in it")
    if target.exists() and not _is_replaceable(target):
        raise OperatorError(f"{target} is there already and is not a backup of mcfd; name another file")


def _is_replaceable(target: Path) -> bool:
    """A plain file; a rename onto a device would put a file in its place."""
    if not target.is_file():
        return False
    try:
        with target.open("rb") as file:
            header = file.read(OWNER.stop)
    except OSError:
        return False
    return not header or (header.startswith(DATABASE) and header[OWNER] == APPLICATION_ID.to_bytes(4))


def _size(target: Path) -> int:
    return target.stat().st_size
