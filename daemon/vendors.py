"""The part of the composition root that opens the connections to both vendors."""

import platform
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass

import aiohttp
import structlog

from adapters.amazon_mcf.auth import AccessTokens
from adapters.amazon_mcf.client import McfNetwork
from adapters.loop_returns.client import LoopPortal
from adapters.metrics import PrometheusMetrics
from adapters.rate_limit import AmazonLimits, LoopLimits
from adapters.transport import Call, Transport, open_session
from config.load import Loaded
from daemon import __version__
from daemon.acts.desk import Desk, OrderLocks, ReasonCatalogue
from daemon.choices import shop_policy, timings
from daemon.polls import OrderIndex
from daemon.ports import Clock, ReturnsPortal, ReturnStore

log = structlog.get_logger(__name__)

USER_AGENT = f"mcfd/{__version__} (Language=Python/{platform.python_version()}; Platform={platform.system()})"
"""In the form that Amazon prescribes: docs/include-a-user-agent-header-in-all-requests."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vendors:
    """Open connections; closed with the stack that they were opened on."""

    tokens: AccessTokens
    network: McfNetwork
    portals: Mapping[str, LoopPortal]


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
    return Vendors(tokens=tokens, network=network, portals=portals)


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
    store: ReturnStore,
    clock: Clock,
    metrics: PrometheusMetrics,
    pending: Callable[[], int],
) -> dict[str, Desk]:
    """A desk per shop; what belongs to the seller's account is shared."""
    index = OrderIndex(vendors.network, store, clock)
    reasons, locks = ReasonCatalogue(vendors.network, clock), OrderLocks()

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
            pending=pending,
        )

    return {name: desk(name, portal) for name, portal in vendors.portals.items()}
