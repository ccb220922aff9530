"""The fulfillment network port, over Fulfillment Outbound 2020-07-01."""

from collections.abc import Sequence

from adapters.amazon_mcf.calls import Request, SellingPartnerApi, Tokens
from adapters.amazon_mcf.limits import AmazonLimits
from adapters.amazon_mcf.wire import outbound as wire
from adapters.vendor_calls.transport import Transport
from daemon.domain.orders import CreateAnswer, FulfillmentOrder
from daemon.domain.returns import ReturnUnit
from daemon.ports.vendors import Lane, OrderPage


class McfNetwork:
    """Implements FulfillmentNetwork. Its calls raise as SellingPartnerApi.call does, and ContractBroken."""

    def __init__(
        self,
        transport: Transport,
        tokens: Tokens,
        limits: AmazonLimits,
        *,
        endpoint: str,
        marketplace_id: str,
    ) -> None:
        self._clock = limits.clock
        self._api = SellingPartnerApi(transport, tokens, limits, endpoint=endpoint, probe=self._probe)
        self._marketplace_id = marketplace_id

    @property
    def refused(self) -> str:
        """Why Fulfillment Outbound is parked; empty while it is not."""
        return self._api.refused

    def unpark(self) -> None:
        """Let the next call try again at once."""
        self._api.unpark()

    async def order(self, order_id: str, lane: Lane) -> FulfillmentOrder | None:
        """Read one fulfillment order; None when Amazon has none, and for a blank id, which would ask for the list."""
        if not order_id.strip():
            return None
        request = Request(operation=wire.GET_ORDER, method="GET", path=wire.order_path(order_id))
        return await self._api.call(request, lane, wire.decode_order)

    async def orders_since(self, since: float, next_token: str) -> OrderPage:
        """Read one page of the orders changed since a Unix time."""
        return await self._api.call(_listing(since, next_token), Lane.BACKGROUND, wire.decode_page)

    async def reason_codes(self, sku: str) -> Sequence[str]:
        """Read the return reasons that Amazon allows for a SKU in our marketplace."""
        path = wire.reasons_path(sku, self._marketplace_id)
        request = Request(operation=wire.LIST_REASONS, method="GET", path=path)
        return await self._api.call(request, Lane.SHOPPER, wire.decode_reasons)

    async def create_return(self, order_id: str, units: Sequence[ReturnUnit]) -> CreateAnswer:
        """Ask Amazon to take the units back. After Unavailable, read the order before asking again."""
        request = Request(
            operation=wire.CREATE_RETURN,
            method="PUT",
            path=wire.create_return_path(order_id),
            body=wire.encode_create(units),
        )
        return await self._api.call(request, Lane.SHOPPER, wire.decode_created)

    def _probe(self) -> Request:
        """Ask for the orders of the last minute: a short list, no id to be malformed, no time in the future."""
        return _listing(self._clock.now() - 60.0, "")


def _listing(since: float, next_token: str) -> Request:
    return Request(operation=wire.LIST_ORDERS, method="GET", path=wire.orders_path(since, next_token))
