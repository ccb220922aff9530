"""Part of the composition root: what a daemon makes, and takes over from the one before it, when it starts."""

import secrets
from collections.abc import Awaitable, Callable, Mapping
from functools import partial

import structlog

from daemon.app.known_names import overlooked, write_names
from daemon.app.resources import AccountResources, Resources
from daemon.engine.label_hosting import LabelHosting
from daemon.engine.walker import try_again_now
from daemon.operations.authorization import Authorization, Seller
from daemon.operations.renaming import Former, former_names
from daemon.ports.names import verified_mark

log = structlog.get_logger(__name__)


async def resume_all(resources: Resources) -> None:
    """Go on where the process before this one stopped. Raises StoreUnavailable."""
    await try_again_now(resources.store, resources.clock)
    for one in resources.accounts.values():
        await one.pauses.recall()


async def take_stock(resources: Resources) -> None:
    """Set the metrics' initial values. Raises StoreUnavailable."""
    metrics = resources.metrics
    counts = await resources.store.read(lambda uow: uow.counts())
    metrics.began(resources.clock.now(), resources.current.settings.shops, counts)
    for name, one in resources.accounts.items():
        metrics.ages(name, one.ages.authorization_days, one.ages.secret_days)
        metrics.secret_unfiled(name, partial(_only_here, one))
        for connection in one.vendors.connections:
            metrics.connection(name, connection, partial(one.vendors.refuses, connection))
    shops = list(resources.vendors.portals)
    marks = await resources.store.read(lambda uow: {shop: uow.mark(verified_mark(shop)) for shop in shops})
    for shop, verified in marks.items():
        if verified:
            metrics.verified(shop, float(verified))


def _only_here(one: AccountResources) -> bool:
    return one.client_secrets.only_here


def label_hosting(resources: Resources) -> LabelHosting:
    """What keeps the labels that shoppers fetch."""
    settings = resources.current.settings
    return LabelHosting(
        resources.store,
        resources.vault,
        resources.clock,
        public_url=settings.public_url,
        retention=settings.retention.labels,
        new_token=partial(secrets.token_urlsafe, 32),
    )


async def recall_names(resources: Resources, *, noting: bool) -> Former:
    """Former names of shops and accounts; warn of a new name that the store was not told of. Raises StoreUnavailable.

    With `noting`, the names of now are noted for `mcfd check`.
    """
    settings = resources.current.settings
    kept = await resources.store.survey(lambda keep: keep.open_counts())
    for text in overlooked(kept, settings.account_of):
        log.warning("config.renamed", text=text)
    if noting:
        write_names(settings, kept)
    former = await resources.store.read(former_names)
    known: dict[str, Mapping[str, object]] = {"shop": settings.account_of, "account": settings.accounts}
    return {
        kind: {old: new for old, new in names.items() if old not in known[kind] and new in known[kind]}
        for kind, names in former.items()
    }


def former_of_shops(former: Former) -> dict[str, list[str]]:
    """The former names of each shop."""
    found: dict[str, list[str]] = {}
    for old, new in former["shop"].items():
        found.setdefault(new, []).append(old)
    return found


def consent(resources: Resources, step_again: Callable[[], Awaitable[None]]) -> Authorization:
    """How sellers authorize mcfd; `step_again` is called when one has."""
    return Authorization(
        {name: _seller(one, step_again) for name, one in resources.accounts.items()},
        resources.store,
        resources.clock,
        public_url=resources.current.settings.public_url,
        new_token=partial(secrets.token_urlsafe, 32),
    )


def _seller(one: AccountResources, step_again: Callable[[], Awaitable[None]]) -> Seller:
    async def authorized() -> None:
        await one.ages.look(one.account.client_secrets)
        one.vendors.unpark()
        await step_again()

    one.client_secrets.noted = authorized
    amazon = one.account.settings.amazon
    return Seller(
        tokens=one.tokens,
        trader=one.vendors.tokens,
        consent_page=amazon.consent_page,
        application_id=amazon.application_id,
        authorized=authorized,
    )
