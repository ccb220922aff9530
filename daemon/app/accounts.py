"""Part of the composition root: opens the connections to the vendors."""

import asyncio
import platform
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial

import structlog

from adapters.amazon_mcf.auth import AccessTokens, GrantlessTokens, TokenState
from adapters.amazon_mcf.client import McfNetwork
from adapters.amazon_mcf.limits import AmazonLimits
from adapters.amazon_mcf.notifications import NOTIFICATIONS, ROTATION, AmazonNotifications
from adapters.amazon_mcf.postage import ReturnServicePostage
from adapters.amazon_mcf.wire import journal as amazon
from adapters.easypost.client import EasyPostLabels
from adapters.easypost.connection import EasyPostConnection
from adapters.easypost.wire import journal as easypost
from adapters.easypost.wire.files import allowed_hosts
from adapters.easypost.wire.shipments import Asking
from adapters.host.metrics import PrometheusMetrics
from adapters.loop_returns.client import LoopPortal
from adapters.loop_returns.limits import LoopLimits
from adapters.loop_returns.wire import journal as loop
from adapters.vendor_calls.call_fields import AllowList
from adapters.vendor_calls.transport import Call, Transport, open_session
from config.model import Settings
from daemon import __version__
from daemon.app.live_config import Current
from daemon.app.policies import shop_policy, timings
from daemon.app.shadow import ShadowNetwork, ShadowPortal, ShadowPostage
from daemon.domain.portal import ParcelSize
from daemon.domain.postage_rates import RateRules
from daemon.domain.returns import MAIN_ACCOUNT, LabelSourceName
from daemon.domain.slips import SlipParcel
from daemon.engine.account import Account, ReasonCatalogue
from daemon.engine.call_journal import CallJournal
from daemon.engine.clock_check import ClockCheck
from daemon.engine.handlers.context import LabelPress, ShopContext
from daemon.engine.label_hosting import LabelHosting
from daemon.engine.order_index import OrderIndex
from daemon.engine.push import Push
from daemon.ports.host import Clock, SecretBox
from daemon.ports.store import ReturnStore, VendorCall
from daemon.ports.vendors import FulfillmentNetwork, LabelSource

log = structlog.get_logger(__name__)

USER_AGENT = f"mcfd/{__version__} (Language=Python/{platform.python_version()}; Platform={platform.system()})"
"""The format is Amazon's: docs/include-a-user-agent-header-in-all-requests."""


AMAZON_CONNECTIONS = ("amazon", "amazon/outbound", "amazon/shipping")
"""The seller's credentials, and the two APIs for which a role may be missing."""

EASYPOST_CONNECTIONS = ("easypost", "easypost/funds")
"""The merchant's key at EasyPost, and the account's funds."""

PURCHASE_TIMEOUT, FETCH_TIMEOUT = 90.0, 20.0  # seconds
LARGEST_LABEL = 5 * 1024 * 1024  # bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Vendors:
    """Open connections; closed with the stack on which they were opened. Each pause that begins sets `paused`."""

    tokens: AccessTokens
    network: McfNetwork
    portals: Mapping[str, LoopPortal]
    postage: ReturnServicePostage | None
    notifications: AmazonNotifications
    easypost: EasyPostLabels | None
    buckets: AmazonLimits
    loop_limits: Mapping[str, LoopLimits]
    paused: asyncio.Event

    def hang_up(self) -> None:
        """Make no more calls: queued calls fail now and are made after the next start."""
        self.buckets.close()
        if self.easypost is not None:
            self.easypost.hang_up()
        for limits in self.loop_limits.values():
            limits.close()

    def pauses(self) -> dict[str, float]:
        """The pauses that vendors asked for, by limit, in seconds left."""
        loop = {f"loop/{shop}": limits.pause_left() for shop, limits in self.loop_limits.items()}
        amazon = {f"amazon/{operation}": seconds for operation, seconds in self.buckets.pauses().items()}
        return {name: seconds for name, seconds in {**loop, **amazon}.items() if seconds > 0}

    def pause(self, name: str, seconds: float) -> None:
        """Resume a pause from the previous process; limits that no longer exist are ignored."""
        vendor, _, what = name.partition("/")
        if vendor == "loop" and what in self.loop_limits:
            self.loop_limits[what].throttled(seconds)
        elif vendor == "amazon" and what in self.buckets.levels():
            self.buckets.throttled(what, seconds)

    def unpark(self) -> None:
        """Try parked connections again at once, because an operator may have just fixed something."""
        self.network.unpark()
        self.notifications.unpark()
        if self.postage is not None:
            self.postage.unpark()
        if self.easypost is not None:
            self.easypost.unpark()
        for portal in self.portals.values():
            portal.unpark()

    def refuses(self, connection: str) -> bool:
        """Whether a connection is parked."""
        return connection in self.refusals()

    def refusals(self) -> dict[str, str]:
        """Connections whose credentials are refused, and why; empty if all is well."""
        found = {f"loop/{shop}": _refused(portal.parked_scopes) for shop, portal in self.portals.items()}
        found["amazon/outbound"] = self.network.refused
        found["amazon/shipping"] = self.postage.refused if self.postage else ""
        if self.easypost is not None:
            found["easypost"], found["easypost/funds"] = self.easypost.refused, self.easypost.without_funds
        if self.tokens.state is not TokenState.OK:
            found["amazon"] = f"credentials: {self.tokens.state}"
        return {connection: problem for connection, problem in found.items() if problem}


def _refused(scopes: Sequence[str]) -> str:
    if "" in scopes:
        return "Loop refuses the API key"
    return f"the API key may not use {', '.join(scopes)}" if scopes else ""


def tell_of_call(metrics: PrometheusMetrics, call: Call) -> None:
    """Count a call, and log it (at debug level if it went well)."""
    metrics.call(call.vendor, call.operation, call.outcome, call.seconds)
    merely_tried = call.operation == "getFulfillmentOrder" and call.outcome == "refused"  # one name of an order of many
    tell = log.debug if call.outcome == "ok" or merely_tried else log.info
    tell(
        "vendor.called",
        vendor=call.vendor,
        operation=call.operation,
        outcome=call.outcome,
        status=call.status,
        request_id=call.request_id,
        seconds=round(call.seconds, 3),
    )


JOURNALED: Mapping[str, AllowList] = {
    "amazon": amazon.JOURNALED,
    "loop": loop.JOURNALED,
    "easypost": easypost.JOURNALED,
}
"""What the journal keeps of the calls to a vendor; of others it keeps nothing but that they were made."""

_NOTHING = AllowList(())


def journal_call(journal: CallJournal, clock: Clock, call: Call) -> None:
    """Note a call in the journal of the return that it was made for, if any. No call fails because of its journal."""

    def describe(shop: str, return_id: str) -> VendorCall:
        allowed, now = JOURNALED.get(call.vendor, _NOTHING), clock.now()
        return VendorCall(
            shop=shop,
            return_id=return_id,
            at=now,
            first_at=now,
            vendor=call.vendor,
            operation=call.operation,
            outcome=call.outcome,
            status=call.status,
            seconds=round(call.seconds, 3),
            request_id=call.request_id,
            why=call.why,
            asked=allowed.place(call.url) | allowed.fields(call.sent),
            answered=allowed.fields(call.answer),
        )

    try:
        journal.heard(describe)
    except Exception:
        log.exception("journal.failed", vendor=call.vendor, operation=call.operation)


def hear_of_call(
    metrics: PrometheusMetrics, clock_check: ClockCheck, journal: CallJournal, clock: Clock, call: Call
) -> None:
    """Count, log and journal a call, and compare clocks."""
    if (at := call.answered_at) is not None:
        clock_check.heard(call.vendor, at)
    tell_of_call(metrics, call)
    journal_call(journal, clock, call)


async def connect(
    stack: AsyncExitStack,
    current: Current,
    clock: Clock,
    on_call: Callable[[Call], None],
    *,
    refresh_token: Callable[[], str | None],
    sharing: Vendors | None = None,
) -> Vendors:
    """Open one HTTP session, one Amazon account, and one portal per shop, each with its own limit.

    `on_call` receives every call; `sharing` are open connections whose limits these share.
    """
    session = await stack.enter_async_context(open_session(USER_AGENT))
    transport = partial(Transport, session, timeout=current.settings.timings.http_timeout, on_call=on_call)
    tokens = _tokens(transport(vendor="lwa"), current, clock, refresh_token)
    stack.push_async_callback(tokens.close)
    buckets, loop_limits, paused = _limits(current, clock, sharing)
    network = McfNetwork(
        transport(vendor="amazon"),
        tokens,
        buckets,
        endpoint=current.settings.amazon.sp_api_url,
        marketplace_id=current.settings.amazon.marketplace_id,
    )
    portals = {
        name: _portal(name, transport(vendor="loop"), limits, current, clock) for name, limits in loop_limits.items()
    }
    postage = _postage(transport(vendor="amazon"), tokens, buckets, current)
    return Vendors(
        tokens=tokens,
        network=network,
        portals=portals,
        postage=postage,
        notifications=_notifications(transport(vendor="amazon"), tokens, buckets, current, clock),
        easypost=await _easypost(stack, current, clock, on_call),
        buckets=buckets,
        loop_limits=loop_limits,
        paused=paused,
    )


async def _easypost(
    stack: AsyncExitStack, current: Current, clock: Clock, on_call: Callable[[Call], None]
) -> EasyPostLabels | None:
    """The merchant's account at EasyPost; None without a key.

    Each call opens a new connection: a kept one that had just died would needlessly leave a purchase unclear. Labels
    are fetched only from public addresses, unless the API is on this machine.
    """
    if not current.easypost_api_key():
        return None
    chosen, timeout = current.settings.easypost, current.settings.timings.http_timeout
    session = await stack.enter_async_context(open_session(USER_AGENT, fresh=True))
    public = await stack.enter_async_context(open_session(USER_AGENT, fresh=True, public_only=True))
    transport = partial(Transport, session, vendor="easypost", on_call=on_call)
    connection = EasyPostConnection(
        transport(timeout=timeout),
        transport(timeout=max(timeout, PURCHASE_TIMEOUT)),
        clock,
        api_url=chosen.api_url,
        api_key=current.easypost_api_key,
    )
    return EasyPostLabels(
        connection,
        rules=RateRules(
            services=chosen.services, max_cents=chosen.max_rate_cents, currency=current.settings.amazon.currency
        ),
        asking=Asking(
            carrier_accounts=chosen.carrier_accounts,
            shopper_phone=chosen.shopper_phone or "",
            center_phone=chosen.center_phone or "",
        ),
        hosts=allowed_hosts(chosen.label_hosts, chosen.api_url),
        api_key=current.easypost_api_key,
        fetch=Transport(public, vendor="easypost", on_call=on_call, timeout=FETCH_TIMEOUT, max_body=LARGEST_LABEL),
        fetch_locally=transport(timeout=FETCH_TIMEOUT, max_body=LARGEST_LABEL),
    )


def _limits(
    current: Current, clock: Clock, sharing: Vendors | None
) -> tuple[AmazonLimits, Mapping[str, LoopLimits], asyncio.Event]:
    if sharing is not None:
        return sharing.buckets, sharing.loop_limits, sharing.paused
    paused = asyncio.Event()
    limits = current.settings.amazon.limits
    amazon = AmazonLimits(
        clock, {name: (limit.rate, limit.burst) for name, limit in limits.items()}, on_pause=paused.set
    )
    loop = {name: LoopLimits(clock, on_pause=paused.set) for name in current.settings.shops}
    return amazon, loop, paused


def _postage(
    transport: Transport, tokens: AccessTokens, buckets: AmazonLimits, current: Current
) -> ReturnServicePostage | None:
    """Amazon Shipping as label source; None while the merchant has no Return Service ID."""
    amazon = current.settings.amazon
    service_id = amazon.return_service_id_in_use(current.secrets)
    if service_id is None:
        return None
    return ReturnServicePostage(
        transport,
        tokens,
        buckets,
        endpoint=amazon.sp_api_url,
        business_id=amazon.shipping.business_id,
        service_id=service_id.get_secret_value(),
        label_format=amazon.shipping.label_format,
        currency=amazon.currency,
    )


def _notifications(
    transport: Transport, tokens: AccessTokens, buckets: AmazonLimits, current: Current, clock: Clock
) -> AmazonNotifications:
    return AmazonNotifications(
        transport,
        tokens,
        buckets,
        endpoint=current.settings.amazon.sp_api_url,
        grantless=GrantlessTokens(tokens, NOTIFICATIONS, clock),
        rotation=GrantlessTokens(tokens, ROTATION, clock),
    )


def _tokens(
    transport: Transport, current: Current, clock: Clock, refresh_token: Callable[[], str | None]
) -> AccessTokens:
    return AccessTokens(
        transport,
        clock,
        endpoint=current.settings.amazon.lwa_url,
        client_id=current.settings.amazon.client_id,
        client_secrets=current.client_secrets,
        refresh_token=refresh_token,
        on_state=_credentials_changed,
    )


def _credentials_changed(state: str) -> None:
    tell = log.info if state == TokenState.OK else log.warning
    tell("amazon.credentials_changed", state=state)


def _portal(name: str, transport: Transport, limits: LoopLimits, current: Current, clock: Clock) -> LoopPortal:
    shop = current.settings.shops[name]
    return LoopPortal(
        transport,
        limits,
        clock=clock,
        api_url=shop.api_url,
        api_version=shop.api_version,
        api_key=partial(current.loop_api_key, name),
        processor=shop.grade_processor,
        currency=current.settings.amazon.currency,
    )


def contexts(
    vendors: Vendors,
    current: Current,
    *,
    store: ReturnStore,
    clock: Clock,
    clock_check: ClockCheck,
    metrics: PrometheusMetrics,
    hosting: LabelHosting,
    box: SecretBox,
    push: Push | None = None,
    shadow: bool = False,
) -> dict[str, ShopContext]:
    """One context per shop; the seller's account is shared. In a shadow, the ports never write to vendors."""
    settings = current.settings
    network: FulfillmentNetwork = ShadowNetwork(vendors.network) if shadow else vendors.network
    index = OrderIndex(
        network,
        store,
        clock,
        amazons_time=partial(clock_check.vendor_now, "amazon"),
        look_back=settings.retention.order_index,
        troubled=metrics.trouble,
    )
    account = _account(vendors, network, index, clock=clock, push=push, shadow=shadow)
    labels = _press(settings, hosting, box)
    return {
        name: ShopContext(
            account=account,
            portal=ShadowPortal(portal) if shadow else portal,
            policy=shop_policy(name, settings, current.secrets),
            labels=labels,
            timings=timings(settings),
            clock=clock,
            clock_check=clock_check,
            store=store,
            metrics=metrics.of(name),
        )
        for name, portal in vendors.portals.items()
    }


def _press(settings: Settings, hosting: LabelHosting, box: SecretBox) -> LabelPress:
    return LabelPress(
        hosting=hosting,
        box=box,
        print_labels=print_labels,
        read_text=read_text,
        keep_for=settings.retention.labels,
        default_size=ParcelSize(**settings.amazon.shipping.default_parcel.model_dump()),
    )


def _account(
    vendors: Vendors,
    network: FulfillmentNetwork,
    index: OrderIndex,
    *,
    clock: Clock,
    push: Push | None,
    shadow: bool,
) -> Account:
    sources: dict[LabelSourceName, LabelSource] = {}
    if vendors.postage is not None:
        sources[LabelSourceName.AMAZON_SHIPPING] = ShadowPostage(vendors.postage) if shadow else vendors.postage
    if vendors.easypost is not None:
        sources[LabelSourceName.EASYPOST] = ShadowPostage(vendors.easypost) if shadow else vendors.easypost
    return Account(
        name=MAIN_ACCOUNT,
        network=network,
        order_index=index,
        reasons=ReasonCatalogue(network, clock),
        label_sources=sources,
        push=push,
    )


async def print_labels(parcels: Sequence[SlipParcel], order_name: str) -> bytes:
    """Print in a thread: it takes tens of milliseconds of CPU time, more on first use."""
    return await asyncio.to_thread(_print, parcels, order_name)


async def read_text(label: bytes) -> str:
    """Read in a thread: a foreign file may take as long as printing."""
    return await asyncio.to_thread(_read, label)


def _read(label: bytes) -> str:
    from adapters.labels.document import text_of  # noqa: PLC0415 - as above

    return text_of(label)


def _print(parcels: Sequence[SlipParcel], order_name: str) -> bytes:
    from adapters.labels.document import PdfPrinter  # noqa: PLC0415 - a quarter of the start, and 20 MiB, for whoever prints

    return PdfPrinter().render(parcels, order_name=order_name)
