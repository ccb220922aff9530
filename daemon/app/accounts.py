"""Part of the composition root: opens the connections to the vendors."""

import asyncio
import platform
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial

import structlog

from adapters.amazon_mcf.auth import AccessTokens, GrantlessTokens, TokenState
from adapters.amazon_mcf.client import McfNetwork
from adapters.amazon_mcf.limits import AmazonLimits
from adapters.amazon_mcf.notifications import NOTIFICATIONS, ROTATION, AmazonNotifications
from adapters.amazon_mcf.postage import ReturnServicePostage
from adapters.easypost.client import EasyPostLabels
from adapters.easypost.connection import EasyPostConnection
from adapters.easypost.wire.files import allowed_hosts
from adapters.easypost.wire.shipments import Asking
from adapters.host.metrics import PrometheusMetrics
from adapters.loop_returns.client import LoopPortal
from adapters.loop_returns.limits import LoopLimits
from adapters.vendor_calls.transport import Call, Session, Transport, open_session
from daemon import __version__
from daemon.app.live_config import Current, CurrentAccount
from daemon.app.policies import timings
from daemon.app.shadow import ShadowNetwork, ShadowPortal, ShadowPostage
from daemon.app.vendors import AccountVendors, Limits, Vendors, naming
from daemon.domain.portal import ParcelSize
from daemon.domain.postage_rates import RateRules
from daemon.domain.returns import LabelSourceName
from daemon.domain.slips import SlipParcel
from daemon.engine.account import Account, ReasonCatalogue
from daemon.engine.clock_check import ClockCheck
from daemon.engine.handlers.context import LabelPress, ShopContext
from daemon.engine.label_hosting import LabelHosting
from daemon.engine.order_index import OrderIndex
from daemon.engine.overheard import Overheard
from daemon.engine.push import Push
from daemon.ports.host import Clock, SecretBox
from daemon.ports.store import ReturnStore
from daemon.ports.vendors import FulfillmentNetwork, LabelSource

log = structlog.get_logger(__name__)

USER_AGENT = f"mcfd/{__version__} (Language=Python/{platform.python_version()}; Platform={platform.system()})"
"""The format is Amazon's: docs/include-a-user-agent-header-in-all-requests."""


AT_ONCE = 100
"""Unanswered calls of one account to Amazon or EasyPost, or of one shop to Loop."""

PURCHASE_TIMEOUT, FETCH_TIMEOUT = 90.0, 20.0  # seconds
LARGEST_LABEL = 5 * 1024 * 1024  # bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """What the calls of one account go through: sessions that all accounts share, and what is told of each call.

    EasyPost's calls open a new connection each: a kept one that had just died would needlessly leave a purchase
    unclear. Labels are fetched only from public addresses, unless the API is on this machine.
    """

    kept: Session
    fresh: Session
    public: Session
    timeout: float
    on_call: Callable[[Call], None]

    def to(self, vendor: str, room: asyncio.Semaphore | None = None, *, free: bool = False) -> Transport:
        """A transport over kept connections; `room` bounds the calls under way."""
        return Transport(self.kept, vendor=vendor, timeout=self.timeout, on_call=self.on_call, room=room, free=free)


async def connect(
    stack: AsyncExitStack,
    current: Current,
    clock: Clock,
    on_call: Callable[[str, Call], None],
    *,
    refresh_token: Callable[[str], Callable[[], str | None]],
    sharing: Vendors | None = None,
) -> Vendors:
    """Connect every account: Amazon, EasyPost if there is a key, and one portal per shop, each with its own limit.

    `on_call` receives every call with its account; `sharing` are open connections whose limits these share: then only
    their accounts are connected.
    """
    kept = await stack.enter_async_context(open_session(USER_AGENT, connections=0))
    fresh = await stack.enter_async_context(open_session(USER_AGENT, connections=0, fresh=True))
    public = await stack.enter_async_context(open_session(USER_AGENT, connections=0, fresh=True, public_only=True))
    timeout = current.settings.timings.http_timeout
    paused = sharing.paused if sharing else asyncio.Event()
    found = {}
    for name, account in current.accounts.items():
        if sharing is not None and name not in sharing.accounts:
            continue
        line = Line(kept=kept, fresh=fresh, public=public, timeout=timeout, on_call=partial(on_call, name))
        limits = sharing.accounts[name].limits if sharing else _limits(account, clock, paused)
        one = _account(line, current, account, limits=limits, clock=clock, refresh_token=refresh_token(name))
        stack.push_async_callback(one.tokens.close)
        found[name] = one
    return Vendors(accounts=found, paused=paused)


def _account(
    line: Line,
    current: Current,
    account: CurrentAccount,
    *,
    limits: Limits,
    clock: Clock,
    refresh_token: Callable[[], str | None],
) -> AccountVendors:
    amazon, room = account.settings.amazon, asyncio.Semaphore(AT_ONCE)
    tokens = AccessTokens(
        line.to("lwa", free=True),
        clock,
        endpoint=amazon.lwa_url,
        client_id=amazon.client_id,
        client_secrets=account.client_secrets,
        refresh_token=refresh_token,
        on_state=partial(_credentials_changed, account.name),
    )
    network = McfNetwork(
        line.to("amazon", room), tokens, limits.amazon, endpoint=amazon.sp_api_url, marketplace_id=amazon.marketplace_id
    )
    return AccountVendors(
        name=account.name,
        tokens=tokens,
        network=network,
        portals={
            shop: _portal(shop, line.to("loop", asyncio.Semaphore(AT_ONCE)), limit, current, clock)
            for shop, limit in limits.loop.items()
        },
        postage=_postage(line.to("amazon", room), tokens, limits.amazon, account),
        notifications=_notifications(line.to("amazon", room), tokens, limits.amazon, account, clock),
        easypost=_easypost(line, account, clock),
        limits=limits,
    )


def _easypost(line: Line, account: CurrentAccount, clock: Clock) -> EasyPostLabels | None:
    """The merchant's account at EasyPost; None without a key."""
    if not account.easypost_api_key():
        return None
    chosen = account.settings.easypost
    transport = partial(Transport, line.fresh, vendor="easypost", on_call=line.on_call, room=asyncio.Semaphore(AT_ONCE))
    connection = EasyPostConnection(
        transport(timeout=line.timeout),
        transport(timeout=max(line.timeout, PURCHASE_TIMEOUT)),
        clock,
        api_url=chosen.api_url,
        api_key=account.easypost_api_key,
    )
    return EasyPostLabels(
        connection,
        rules=RateRules(
            services=chosen.services, max_cents=chosen.max_rate_cents, currency=account.settings.amazon.currency
        ),
        asking=Asking(
            carrier_accounts=chosen.carrier_accounts,
            shopper_phone=chosen.shopper_phone or "",
            center_phone=chosen.center_phone or "",
        ),
        hosts=allowed_hosts(chosen.label_hosts, chosen.api_url),
        api_key=account.easypost_api_key,
        fetch=Transport(
            line.public, vendor="easypost", on_call=line.on_call, timeout=FETCH_TIMEOUT, max_body=LARGEST_LABEL
        ),
        fetch_locally=transport(timeout=FETCH_TIMEOUT, max_body=LARGEST_LABEL),
    )


def _limits(account: CurrentAccount, clock: Clock, paused: asyncio.Event) -> Limits:
    chosen = account.settings.amazon.limits
    amazon = AmazonLimits(
        clock, {name: (limit.rate, limit.burst) for name, limit in chosen.items()}, on_pause=paused.set
    )
    return Limits(amazon=amazon, loop={name: LoopLimits(clock, on_pause=paused.set) for name in account.settings.shops})


def _postage(
    transport: Transport, tokens: AccessTokens, buckets: AmazonLimits, account: CurrentAccount
) -> ReturnServicePostage | None:
    """Amazon Shipping as label source; None while the merchant has no Return Service ID."""
    amazon = account.settings.amazon
    service_id = amazon.return_service_id_in_use(account.secrets)
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
    transport: Transport, tokens: AccessTokens, buckets: AmazonLimits, account: CurrentAccount, clock: Clock
) -> AmazonNotifications:
    return AmazonNotifications(
        transport,
        tokens,
        buckets,
        endpoint=account.settings.amazon.sp_api_url,
        grantless=GrantlessTokens(tokens, NOTIFICATIONS, clock),
        rotation=GrantlessTokens(tokens, ROTATION, clock),
    )


def _credentials_changed(account: str, state: str) -> None:
    tell = log.info if state == TokenState.OK else log.warning
    tell("amazon.credentials_changed", state=state, **naming(account))


def _portal(name: str, transport: Transport, limits: LoopLimits, current: Current, clock: Clock) -> LoopPortal:
    account = current.settings.accounts[current.settings.account_of[name]]
    shop = account.shops[name]
    return LoopPortal(
        transport,
        limits,
        clock=clock,
        api_url=shop.api_url,
        api_version=shop.api_version,
        api_key=partial(current.loop_api_key, name),
        processor=shop.grade_processor,
        currency=account.amazon.currency,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Common:
    """What the contexts of all accounts share. In a shadow, the ports never write to vendors."""

    current: Current
    store: ReturnStore
    clock: Clock
    clock_check: ClockCheck
    metrics: PrometheusMetrics
    hosting: LabelHosting
    box: SecretBox
    overheard: Overheard
    shadow: bool

    def contexts(self, vendors: AccountVendors, push: Push | None) -> dict[str, ShopContext]:
        """One context for each shop of an account, which they share."""
        settings, account = self.current.settings, self.current.accounts[vendors.name]
        shared, labels = self._account(vendors, push), self._press(account)
        return {
            name: ShopContext(
                account=shared,
                portal=ShadowPortal(portal) if self.shadow else portal,
                policy=account.policy(name),
                labels=labels,
                timings=timings(settings),
                clock=self.clock,
                clock_check=self.clock_check,
                store=self.store,
                metrics=self.metrics.of(name),
                overheard=self.overheard,
            )
            for name, portal in vendors.portals.items()
        }

    def _account(self, vendors: AccountVendors, push: Push | None) -> Account:
        network: FulfillmentNetwork = ShadowNetwork(vendors.network) if self.shadow else vendors.network
        index = OrderIndex(
            network,
            self.store,
            self.clock,
            account=vendors.name,
            amazons_time=partial(self.clock_check.vendor_now, "amazon"),
            look_back=self.current.settings.retention.order_index,
            troubled=self.metrics.trouble,
        )
        return Account(
            name=vendors.name,
            network=network,
            order_index=index,
            reasons=ReasonCatalogue(network, self.clock),
            label_sources=_label_sources(vendors, shadow=self.shadow),
            push=push,
        )

    def _press(self, account: CurrentAccount) -> LabelPress:
        return LabelPress(
            hosting=self.hosting,
            box=self.box,
            print_labels=print_labels,
            read_text=read_text,
            keep_for=self.current.settings.retention.labels,
            default_size=ParcelSize(**account.settings.amazon.shipping.default_parcel.model_dump()),
        )


def _label_sources(vendors: AccountVendors, *, shadow: bool) -> dict[LabelSourceName, LabelSource]:
    sources: dict[LabelSourceName, LabelSource] = {}
    if vendors.postage is not None:
        sources[LabelSourceName.AMAZON_SHIPPING] = ShadowPostage(vendors.postage) if shadow else vendors.postage
    if vendors.easypost is not None:
        sources[LabelSourceName.EASYPOST] = ShadowPostage(vendors.easypost) if shadow else vendors.easypost
    return sources


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
