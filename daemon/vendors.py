"""The part of the composition root that opens the connections to both vendors."""

import asyncio
import platform
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

import aiohttp
import structlog

from adapters.amazon_mcf.auth import AccessTokens
from adapters.amazon_mcf.client import McfNetwork
from adapters.amazon_mcf.postage import ReturnServicePostage
from adapters.amazon_mcf.shipping import AmazonShipping
from adapters.label_document import PdfPrinter
from adapters.loop_returns.client import LoopPortal
from adapters.metrics import PrometheusMetrics
from adapters.rate_limit import AmazonLimits, LoopLimits
from adapters.transport import Call, Transport, open_session
from config.load import Loaded
from daemon import __version__
from daemon.acts.desk import Desk, OrderLocks, ReasonCatalogue
from daemon.choices import shop_policy, timings
from daemon.domain.portal import ParcelSize
from daemon.domain.slips import SlipParcel
from daemon.hosting import LabelHosting
from daemon.polls import OrderIndex
from daemon.ports import Clock, ReturnsPortal, ReturnStore, SecretBox

log = structlog.get_logger(__name__)

USER_AGENT = f"mcfd/{__version__} (Language=Python/{platform.python_version()}; Platform={platform.system()})"
"""In the form that Amazon prescribes: docs/include-a-user-agent-header-in-all-requests."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vendors:
    """Open connections; closed with the stack that they were opened on."""

    tokens: AccessTokens
    network: McfNetwork
    portals: Mapping[str, LoopPortal]
    postage: ReturnServicePostage | None


async def connect(stack: AsyncExitStack, loaded: Loaded, clock: Clock, metrics: PrometheusMetrics) -> Vendors:
    """One HTTP session for all; one Amazon account; one portal per shop, each with its own limit."""
    session = await stack.enter_async_context(open_session(USER_AGENT))

    def transport(vendor: str) -> Transport:
        return _transport(session, vendor, loaded, metrics)

    tokens = _tokens(transport("lwa"), loaded, clock)
    stack.push_async_callback(tokens.close)
    limits = loaded.settings.amazon.limits
    buckets = AmazonLimits(clock, {name: (limit.rate, limit.burst) for name, limit in limits.items()})
    metrics.watch("mcfd_bucket_tokens", "Calls that could be made at once.", "operation", buckets.levels)
    network = McfNetwork(
        transport("amazon"),
        tokens,
        buckets,
        endpoint=loaded.settings.amazon.sp_api_url,
        marketplace_id=loaded.settings.amazon.marketplace_id,
        user_agent=USER_AGENT,
    )
    portals = {name: _portal(name, transport("loop"), loaded, clock) for name in loaded.settings.shops}
    postage = _postage(transport("amazon"), tokens, buckets, loaded)
    return Vendors(tokens=tokens, network=network, portals=portals, postage=postage)


def _postage(
    transport: Transport, tokens: AccessTokens, buckets: AmazonLimits, loaded: Loaded
) -> ReturnServicePostage | None:
    """Where labels are bought; None while the merchant has no Return Service ID."""
    amazon = loaded.settings.amazon
    service_id = amazon.return_service_id_in_use(loaded.secrets)
    if service_id is None:
        return None
    shipping = AmazonShipping(
        transport,
        tokens,
        buckets,
        endpoint=amazon.sp_api_url,
        business_id=amazon.shipping.business_id,
        user_agent=USER_AGENT,
    )
    return ReturnServicePostage(
        shipping, service_id=service_id.get_secret_value(), label_format=amazon.shipping.label_format
    )


def _transport(session: aiohttp.ClientSession, vendor: str, loaded: Loaded, metrics: PrometheusMetrics) -> Transport:
    def on_call(call: Call) -> None:
        metrics.call(call.vendor, call.operation, call.outcome, call.seconds)

    return Transport(session, vendor=vendor, timeout=loaded.settings.timings.http_timeout, on_call=on_call)


def _tokens(transport: Transport, loaded: Loaded, clock: Clock) -> AccessTokens:
    refresh_token = loaded.secrets.amazon_refresh_token
    return AccessTokens(
        transport,
        clock,
        endpoint=loaded.settings.amazon.lwa_url,
        client_id=loaded.settings.amazon.client_id,
        client_secrets=[secret.get_secret_value() for secret in loaded.secrets.amazon_client_secrets],
        refresh_token=lambda: refresh_token.get_secret_value() if refresh_token else None,
        on_state=lambda state: log.info("amazon.credentials_changed", state=state),
    )


def _portal(name: str, transport: Transport, loaded: Loaded, clock: Clock) -> LoopPortal:
    shop = loaded.settings.shops[name]
    return LoopPortal(
        transport,
        LoopLimits(clock),
        clock=clock,
        api_url=shop.api_url,
        api_version=shop.api_version,
        api_key=loaded.secrets.loop_api_keys[name].get_secret_value,
        user_agent=USER_AGENT,
        processor=shop.grade_processor,
    )


def desks(
    vendors: Vendors,
    loaded: Loaded,
    *,
    store: ReturnStore,
    clock: Clock,
    metrics: PrometheusMetrics,
    hosting: LabelHosting,
    box: SecretBox,
    pending: Callable[[], int],
) -> dict[str, Desk]:
    """A desk per shop; what belongs to the seller's account is shared."""
    index = OrderIndex(vendors.network, store, clock)
    reasons, locks = ReasonCatalogue(vendors.network, clock), OrderLocks()

    parcel = loaded.settings.amazon.shipping.default_parcel
    default_size = ParcelSize(
        length_in=parcel.length_in, width_in=parcel.width_in, height_in=parcel.height_in, weight_g=parcel.weight_g
    )

    def desk(name: str, portal: ReturnsPortal) -> Desk:
        return Desk(
            portal=portal,
            network=vendors.network,
            policy=shop_policy(name, loaded.settings, loaded.secrets),
            timings=timings(loaded.settings),
            clock=clock,
            store=store,
            reasons=reasons,
            locks=locks,
            metrics=metrics,
            refresh_index=index.refresh,
            box=box,
            hosting=hosting,
            print_labels=print_labels,
            label_source=vendors.postage,
            label_retention=loaded.settings.retention.labels,
            default_size=default_size,
            pending=pending,
        )

    return {name: desk(name, portal) for name, portal in vendors.portals.items()}


async def print_labels(parcels: Sequence[SlipParcel], order_name: str) -> bytes:
    """Printing is arithmetic for tens of milliseconds: it is done beside the event loop."""
    return await asyncio.to_thread(PdfPrinter().render, parcels, order_name=order_name)
