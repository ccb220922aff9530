"""Part of the composition root: gives verbs what they need."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from adapters.loop_returns.wire.webhooks import TRIGGERS
from daemon import __version__
from daemon.app.doctor import Checkup
from daemon.app.notifications import notification_setup, remember, rotation
from daemon.app.resources import AccountResources, Resources
from daemon.engine.announcements import Announcements
from daemon.engine.notifications import Origins
from daemon.engine.supervisor import run_every
from daemon.errors import OperatorError
from daemon.operations.access import DaemonAccess, Examination, StoreAccess, VendorAccess
from daemon.operations.adoptions import Adoptions
from daemon.operations.authorization import Authorization
from daemon.operations.credential_ages import AUTHORIZATION_LIVES, SECRET_LIVES
from daemon.operations.dead_letters import DeadLetters, Offer
from daemon.operations.forgetting import Forgetting
from daemon.operations.notifications import NotificationSetup
from daemon.operations.openapi import describe
from daemon.operations.reasons import Reasons
from daemon.operations.rekeying import Rekeying
from daemon.operations.renaming import Renaming
from daemon.operations.retention import Forgotten, Periods, Retention
from daemon.operations.returns import Operator
from daemon.operations.search import Search
from daemon.operations.verb import DAEMON, EXAMINATION, STORE, VENDORS, Need, Verb
from daemon.operations.verbs import VERBS
from daemon.operations.verbs.connections import ConnectionShown, ConnectionsShown, CredentialShown, Examined
from daemon.operations.webhooks import Subscriptions
from daemon.ports.names import at_account

HELD_COUNTED_EVERY = 300.0
"""Seconds."""

Answering = Callable[[Mapping[str, object]], Awaitable[dict[str, Any]]]
Access = Mapping[Need[Any], object]


def retention(resources: Resources, forgotten: Forgotten = lambda _shop, _state: None) -> Retention:
    """The retention service, as configured."""
    kept = resources.current.settings.retention
    periods = Periods(
        dead_letters=kept.dead_letters,
        closed_returns=kept.closed_returns,
        order_index=kept.order_index,
        calls=kept.calls,
    )
    return Retention(resources.store, resources.clock, periods, forgotten)


def vendor_access(
    resources: Resources,
    clearing: Retention,
    origins: Mapping[str, Origins] | None = None,
    *,
    whole: Resources | None = None,
) -> VendorAccess:
    """Access to the store and to connections, of all accounts or of a part; `whole` are then those of all."""
    current, store, whole = resources.current, resources.store, whole or resources

    def setup(account: str | None) -> NotificationSetup:
        one = resources.account(account)
        known = (origins or {}).get(one.account.name) or Origins(one.account.name)
        return notification_setup(one.account, one.vendors, partial(remember, resources, known))

    def renaming() -> Renaming:
        if origins is not None:
            raise OperatorError("mcfd runs under the names that it has read; stop it first: `systemctl stop mcfd`")
        return Renaming(store=store, box=resources.vault, account_of=current.settings.account_of)

    return VendorAccess(
        store=store,
        letters=DeadLetters(store, resources.clock, resources.vault),
        clearing=clearing,
        rekeying=Rekeying(store, resources.vault),
        settings=resources.settings,
        reasons=Reasons(
            store, resources.clock, current.policy, lambda account: resources.account(account).vendors.network
        ),
        webhooks=Subscriptions(resources.vendors.portals, public_url=current.settings.public_url, triggers=TRIGGERS),
        notifications=setup,
        renaming=renaming,
        rotation=lambda account: rotation(whole, resources.account(account).account.name),
    )


def _examination(
    resources: Resources, try_again: Callable[[], Awaitable[None]], *, general: bool = True
) -> Examination:
    async def examine() -> Examined:
        current, clock = resources.current, resources.clock
        found = await Checkup(current, clock, resources=resources, running=True, general=general).run()
        if resources.vendors.refusals():  # the operator may have just fixed what was wrong
            await try_again()
        return found

    return Examination(examine=examine)


@dataclass(frozen=True, slots=True, kw_only=True)
class Accesses:
    """What verbs work with: the connections of all accounts, of one, or `general`: of none."""

    whole: Access
    general: Examination
    only: Callable[[str], Access]


def daemon_access(
    resources: Resources,
    operator: Operator,
    clearing: Retention,
    authorization: Authorization,
    *,
    offer: Offer,
    announcements: Announcements,
    adoptions: Adoptions,
    try_again: Callable[[str | None], Awaitable[None]],
    order_changed: Callable[[str, str], Awaitable[int]],
    origins: Mapping[str, Origins],
) -> Accesses:
    """What verbs work with in the running daemon."""
    store = StoreAccess(store=resources.store, returns=operator, search=Search(resources.store, resources.clock))
    daemon = DaemonAccess(
        returns=operator,
        letters=DeadLetters(resources.store, resources.clock, resources.vault, offer),
        invite=lambda account: authorization.invite(resources.account(account).account.name),
        order_changed=partial(_order_changed, resources, order_changed),
        announcements=announcements,
        adoptions=adoptions,
        forgetting=Forgetting(resources.store, resources.clock, resources.vault, resources.metrics.forgotten),
        connected=partial(connections, resources),
    )

    def access(part: Resources, examined: Examination) -> Access:
        vendors = vendor_access(part, clearing, origins, whole=resources)
        connected = replace(daemon, connected=partial(connections, part))
        return {EXAMINATION: examined, STORE: store, VENDORS: vendors, DAEMON: connected}

    def only(account: str) -> Access:
        part = resources.of(account)
        return access(part, _examination(part, partial(try_again, account), general=False))

    return Accesses(
        whole=access(resources, _examination(resources, partial(try_again, None))),
        general=_examination(resources.of(), partial(try_again, None)),
        only=only,
    )


def answering(accesses: Accesses) -> dict[str, Answering]:
    """Every verb by its path, as a daemon answers it that works all accounts."""

    async def answer(verb: Verb[Any, Any, Any], given: Mapping[str, object]) -> dict[str, Any]:
        return await verb.call(accesses.whole[verb.need], given)

    return {verb.path: partial(answer, verb) for verb in VERBS}


async def _order_changed(
    resources: Resources, order_changed: Callable[[str, str], Awaitable[int]], order: str, account: str | None
) -> int:
    """Have an order read, of one account or of all; returns the number of returns concerned."""
    named = [resources.account(account).account.name] if account else list(resources.accounts)
    return sum([await order_changed(order, name) for name in named])


def description() -> dict[str, object]:
    """The operator's API, in OpenAPI's words."""
    return describe(VERBS, __version__)


def connections(resources: Resources) -> ConnectionsShown:
    """Every connection with its refusal, and every credential that ends by itself with its age."""
    shown = [(name, *_connections(name, one)) for name, one in resources.accounts.items()]
    return ConnectionsShown(
        accounts=list(resources.accounts),
        connections=[row for _, rows, _ in shown for row in rows],
        credentials=[row for *_, rows in shown for row in rows],
    )


def _connections(account: str, one: AccountResources) -> tuple[list[ConnectionShown], list[CredentialShown]]:
    names = map(one.vendors.shown, one.vendors.connections)
    refused = one.vendors.refusals()
    ages = {
        at_account("client secret", account): (one.ages.secret_days(), SECRET_LIVES),
        at_account("authorization", account): (one.ages.authorization_days(), AUTHORIZATION_LIVES),
    }
    credentials = [
        CredentialShown(name=f"Amazon's {name}", days=int(days), lives=int(lives))
        for name, (days, lives) in ages.items()
        if not math.isnan(days)
    ]
    return [ConnectionShown(name=name, problem=refused.get(name, "")) for name in names], credentials


async def count_held(resources: Resources, stop: asyncio.Event) -> None:
    """Update the gauge of held returns at intervals, because a scrape must not read the store."""

    async def count() -> None:
        counts = await resources.store.survey(lambda keep: keep.held_counts())
        resources.metrics.holds(resources.current.settings.shops, counts)

    await run_every(HELD_COUNTED_EVERY, count, name="held returns", clock=resources.clock, stop=stop)
