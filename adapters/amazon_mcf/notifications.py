"""Amazon's Notifications API and the call that replaces a client secret."""

from collections.abc import Sequence
from functools import partial

import structlog

from adapters.amazon_mcf.auth import GrantlessTokens
from adapters.amazon_mcf.calls import Request, SellingPartnerApi, Tokens
from adapters.amazon_mcf.limits import AmazonLimits
from adapters.amazon_mcf.wire import outbound
from adapters.amazon_mcf.wire import subscriptions as wire
from adapters.vendor_calls.transport import Transport
from daemon.errors import Refused
from daemon.ports.notifications import Destination, Subscription
from daemon.ports.vendors import Lane

log = structlog.get_logger(__name__)

NOTIFICATIONS = "sellingpartnerapi::notifications"
ROTATION = "sellingpartnerapi::client_credential:rotation"


class AmazonNotifications:
    """Implements NotificationService. Destinations belong to the application, subscriptions to the seller."""

    def __init__(
        self,
        transport: Transport,
        tokens: Tokens,
        limits: AmazonLimits,
        *,
        endpoint: str,
        grantless: GrantlessTokens,
        rotation: GrantlessTokens,
    ) -> None:
        api = partial(SellingPartnerApi, transport, limits=limits, endpoint=endpoint)
        listing = partial(Request, operation=wire.GET_DESTINATIONS, method="GET", path=wire.DESTINATIONS)
        self._clock = limits.clock
        self._seller = api(tokens=tokens, probe=self._probe)
        self._application = api(tokens=grantless, probe=listing)
        # Only a person may have a secret replaced, so this probe is one that is always refused.
        self._rotation = api(tokens=rotation, probe=listing)

    def unpark(self) -> None:
        """Let the next call try again at once."""
        for api in (self._seller, self._application, self._rotation):
            api.unpark()

    async def destinations(self) -> Sequence[Destination]:
        """Every queue that the application has registered."""
        request = Request(operation=wire.GET_DESTINATIONS, method="GET", path=wire.DESTINATIONS)
        return await self._application.call(request, Lane.BACKGROUND, wire.decode_destinations)

    async def create_destination(self, name: str, arn: str) -> Destination:
        """Register a queue. Amazon sends it a test message first, and refuses a queue that it may not write to."""
        body = wire.encode_destination(name, arn)
        request = Request(operation=wire.CREATE_DESTINATION, method="POST", path=wire.DESTINATIONS, body=body)
        return await self._application.call(request, Lane.BACKGROUND, wire.decode_destination)

    async def subscriptions(self) -> Sequence[Subscription]:
        """The seller's subscriptions to fulfillment order events; the only one where Amazon cannot list them."""
        request = Request(operation=wire.GET_SUBSCRIPTIONS, method="GET", path=wire.SUBSCRIPTIONS)
        try:
            return await self._seller.call(request, Lane.BACKGROUND, wire.decode_subscriptions)
        except Refused:
            one = Request(operation=wire.GET_SUBSCRIPTION, method="GET", path=wire.SUBSCRIPTION)
            return await self._seller.call(one, Lane.BACKGROUND, wire.decode_one_subscription)

    async def subscribe(self, destination_id: str, *, filtered: bool) -> Subscription:
        """Subscribe a queue, with the filter in either spelling, or without it when Amazon accepts neither."""
        for expression in wire.FILTERS if filtered else ():
            try:
                return await self._subscribe(destination_id, expression)
            except Refused as error:
                if not wire.filter_refused(error):
                    raise
                log.warning("notifications.filter_refused", code=error.code, reason=error.message)
        return await self._subscribe(destination_id, "")

    async def rotate_client_secret(self) -> None:
        """Ask for another client secret."""
        request = Request(operation=wire.ROTATE, method="POST", path=wire.CLIENT_SECRET)
        await self._rotation.call(request, Lane.BACKGROUND, wire.decode_rotated)

    async def _subscribe(self, destination_id: str, expression: str) -> Subscription:
        body = wire.encode_subscription(destination_id, expression)
        request = Request(operation=wire.CREATE_SUBSCRIPTION, method="POST", path=wire.SUBSCRIPTION, body=body)
        return await self._seller.call(request, Lane.BACKGROUND, wire.decode_subscription)

    def _probe(self) -> Request:
        """Ask for the orders since now, which any seller with the role may list."""
        return Request(operation=outbound.LIST_ORDERS, method="GET", path=outbound.orders_path(self._clock.now(), ""))
