"""Checks one shop at Loop."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from daemon.domain.durations import DAY
from daemon.domain.portal import PortalState
from daemon.engine.shop_pauses import paused_shops
from daemon.errors import CredentialsRefused, McfdError, Refused
from daemon.operations.doctor.amazon import Line, fail, ok, since, trouble, warn
from daemon.operations.verb import instant
from daemon.operations.verbs.connections import Subscribed
from daemon.operations.webhooks import ACTIVE
from daemon.ports.host import Clock
from daemon.ports.names import verified_mark
from daemon.ports.store import MaintainedStore
from daemon.ports.vendors import IssuedRequest

RETURN = "Return"
DEVELOPER_TOOLS = "Developer Tools"
DESTINATIONS = "Destinations (read)"
LABELS = "Labels"
LABEL_REQUESTS = "Label Generation Requests"
"""The five scopes, in the words of Loop's guide."""

QUIET = 7 * DAY


class Destination(Protocol):
    """A destination for returns."""

    @property
    def destination_id(self) -> str:
        """Loop's id."""

    @property
    def name(self) -> str:
        """The merchant's name for it."""

    @property
    def enabled(self) -> bool:
        """Whether returns go there."""


class PortalService(Protocol):
    """The reading calls to a shop. Raises as ReturnsPortal does."""

    async def probe(self) -> None:
        """Make a call that any good key may make."""

    async def issued_requests(self) -> Sequence[IssuedRequest]:
        """The label requests that wait for a label."""

    async def updated_returns(self, state: PortalState, since: float, until: float) -> Sequence[str]:
        """Returns that changed."""

    async def destinations(self) -> Sequence[Destination]:
        """Where returns may go."""


class Listing(Protocol):
    """Knows which webhooks reach us."""

    def url(self, shop: str) -> str:
        """The URL to which the shop's webhooks go."""

    async def of_shop(self, shop: str) -> Sequence[Subscribed]:
        """For each trigger, whether it is subscribed. Raises McfdError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShopProbe:
    """What is examined for a shop. `refused` are the scopes that the running daemon found missing."""

    shop: str
    portal: PortalService
    destinations: Sequence[str]
    has_webhook_secret: bool
    refused: Sequence[str] = ()


async def examine_shop(
    probe: ShopProbe, subscriptions: Listing, store: MaintainedStore | None, clock: Clock
) -> Sequence[Line]:
    """Check key and scopes, label requests, destinations, webhooks."""
    refusal = await _key(probe)
    if refusal is not None:
        return [refusal]
    last_label = await store.survey(lambda keep: keep.last_label(probe.shop)) if store else None
    return [
        ok(probe.shop, "api key", "Loop accepts it"),
        await _returns(probe, clock),
        await _label_requests(probe, last_label),
        _labels(probe, last_label),
        *await _destinations(probe),
        *await _webhooks(probe, subscriptions),
        await _last_delivery(probe, store, clock),
        *await _pause(probe, store),
    ]


async def _pause(probe: ShopProbe, store: MaintainedStore | None) -> Sequence[Line]:
    """Whether an operator has paused the shop; nothing is said if not."""
    paused = await store.read(lambda uow: paused_shops(uow, [probe.shop])) if store else {}
    todo = f"mcfd resume {probe.shop}"
    return [warn(probe.shop, "pause", f"nothing is sent since {instant(at)}", todo) for at in paused.values()]


async def _key(probe: ShopProbe) -> Line | None:
    """Check the key: any call tells a wrong key from a good one; missing scopes are found later."""
    failure: McfdError | None = None
    for call in (probe.portal.probe, probe.portal.destinations):
        try:
            await call()
        except CredentialsRefused as error:
            failure = error
        except Refused:
            return None
        except McfdError as error:
            return trouble(probe.shop, "api key", error, "")
        else:
            return None
    todo = f"check the secret file loop_api_key.{probe.shop}: the key exists in Loop's Developer tools, with its scopes"
    return None if failure is None else trouble(probe.shop, "api key", failure, todo)


async def _returns(probe: ShopProbe, clock: Clock) -> Line:
    async def read() -> str:
        await probe.portal.updated_returns(PortalState.OPEN, clock.now() - 60.0, clock.now())
        return "returns can be read"

    return await _scope(probe, RETURN, read)


async def _label_requests(probe: ShopProbe, last_label: float | None) -> Line:
    """Check for label requests: they are the only sign that third-party labels are enabled at Loop."""
    waiting: Sequence[IssuedRequest] = ()

    async def read() -> str:
        nonlocal waiting
        waiting = await probe.portal.issued_requests()
        return f"label requests can be read, {len(waiting)} are open"

    line = await _scope(probe, LABEL_REQUESTS, read)
    if line.todo or waiting or last_label is not None:
        return line
    text = "label requests can be read, but none was ever seen: third-party labels may be off"
    todo = "in Loop's return policy turn on Generate labels, third-party, for the destination that means Amazon"
    return warn(probe.shop, f"scope {LABEL_REQUESTS}", text, todo)


def _labels(probe: ShopProbe, last_label: float | None) -> Line:
    """Check the scope for posting labels by what the daemon saw, since the doctor posts nothing."""
    what, todo = f"scope {LABELS}", f"tick {LABELS} and {LABEL_REQUESTS} at the key in Loop's Developer tools"
    if any("write" in scope.casefold() for scope in probe.refused):
        return fail(probe.shop, what, f"Loop refused it: {', '.join(probe.refused)}", todo)
    if last_label is None:
        return warn(probe.shop, what, "not known before the first label is delivered", todo)
    return ok(probe.shop, what, f"a label was delivered, {since(last_label)}")


async def _destinations(probe: ShopProbe) -> Sequence[Line]:
    found: dict[str, Destination] = {}

    async def read() -> str:
        found.update({one.destination_id: one for one in await probe.portal.destinations()})
        return f"{len(found)} destinations can be read"

    line = await _scope(probe, DESTINATIONS, read)
    if line.todo:
        return [line]
    return [line, *_configured(probe, found)]


def _configured(probe: ShopProbe, found: Mapping[str, Destination]) -> Sequence[Line]:
    enabled = [one for one in found.values() if one.enabled]
    if not probe.destinations:
        text = "none is configured: every label request of the shop counts as ours"
        if len(enabled) < 2:
            return [ok(probe.shop, "destinations", text)]
        names = ", ".join(f"{one.destination_id} ({one.name})" for one in enabled)
        todo = f"put those that mean Amazon into shops.{probe.shop}.destinations: {names}"
        return [warn(probe.shop, "destinations", text, todo)]
    return [_destination(probe.shop, wanted, found.get(wanted)) for wanted in probe.destinations]


def _destination(shop: str, wanted: str, found: Destination | None) -> Line:
    if found is None:
        return fail(shop, "destinations", f"{wanted} does not exist in Loop", f"correct shops.{shop}.destinations")
    if not found.enabled:
        return fail(shop, "destinations", f"{wanted} {found.name} is disabled", "enable it in Loop, or take it out")
    return ok(shop, "destinations", f"{wanted} {found.name} is enabled")


async def _webhooks(probe: ShopProbe, subscriptions: Listing) -> Sequence[Line]:
    rows: list[Subscribed] = []

    async def read() -> str:
        rows.extend(await subscriptions.of_shop(probe.shop))
        return "webhook subscriptions can be read"

    line = await _scope(probe, DEVELOPER_TOOLS, read)
    if line.todo:
        return [line]
    absent = [f"{row.trigger} is {row.state}" for row in rows if row.state != ACTIVE]
    if absent:
        todo = "run `mcfd webhooks sync`; until then labels wait for the poll"
        return [line, warn(probe.shop, "webhooks", "; ".join(absent), todo)]
    return [line, ok(probe.shop, "webhooks", f"all {len(rows)} are active at {subscriptions.url(probe.shop)}")]


async def _last_delivery(probe: ShopProbe, store: MaintainedStore | None, clock: Clock) -> Line:
    what = "last delivery"
    if not probe.has_webhook_secret:
        todo = f"write the secret that Loop's Developer tools show into the file loop_webhook_secrets.{probe.shop}"
        return warn(probe.shop, what, "no webhook secret: deliveries are refused, the shop is only polled", todo)
    last = await store.read(lambda uow: uow.mark(verified_mark(probe.shop))) if store else None
    if last is None:
        todo = "edit any return in Loop and look again; if nothing comes, compare the secret with Loop's"
        return warn(probe.shop, what, "none was verified yet", todo)
    if clock.now() - float(last) > QUIET:
        todo = "a quiet shop, or a secret that was changed in Loop: compare them"
        return warn(probe.shop, what, since(float(last)), todo)
    return ok(probe.shop, what, since(float(last)))


async def _scope(probe: ShopProbe, scope: str, read: Callable[[], Awaitable[str]]) -> Line:
    """Check a scope by a call that needs it."""
    try:
        return ok(probe.shop, f"scope {scope}", await read())
    except McfdError as error:
        todo = f"tick {scope} at the key in Loop's Developer tools"
        return trouble(probe.shop, f"scope {scope}", error, todo)
