"""The label that is bought: Amazon Shipping v2 on the seller's account."""

from functools import partial

from adapters.amazon_mcf import shipping_wire as wire
from adapters.amazon_mcf.calls import Request, SellingPartnerApi, Tokens
from adapters.amazon_mcf.shipment import Purchase, Quote, RateRequest
from adapters.amazon_mcf.tracking_wire import GET_TRACKING, Tracking, decode_tracking, tracking_path
from adapters.rate_limit import AmazonLimits
from adapters.transport import Transport
from daemon.ports import Lane


class AmazonShipping:
    """Buys, prints, voids and tracks. Raises as SellingPartnerApi.call does, and ContractBroken.

    `business_id` names the Amazon Shipping business; without it Amazon takes the British one.
    """

    def __init__(
        self,
        transport: Transport,
        tokens: Tokens,
        limits: AmazonLimits,
        *,
        endpoint: str,
        business_id: str,
    ) -> None:
        self._business = {"x-amzn-shipping-business-id": business_id}
        probe = Request(operation=wire.LIST_INPUTS, method="GET", path=wire.INPUTS_PATH, headers=self._business)
        self._api = SellingPartnerApi(transport, tokens, limits, endpoint=endpoint, probe=lambda: probe)

    @property
    def refused(self) -> str:
        """Why Amazon Shipping is parked; empty while it is not."""
        return self._api.refused

    def unpark(self) -> None:
        """Try at once again: the credentials are others now."""
        self._api.unpark()

    async def rates(self, parcel: RateRequest, service_id: str) -> Quote:
        """Ask what a service takes for one parcel; a refusal never repeats the shopper's name or address."""
        request = Request(
            operation=wire.GET_RATES,
            method="POST",
            path=wire.RATES_PATH,
            body=wire.encode_rates(parcel),
            headers=self._business,
        )
        decode = partial(wire.decode_quote, service_id=service_id, private=wire.private_texts(parcel))
        return await self._api.call(request, Lane.SHOPPER, decode)

    async def purchase(self, body: bytes, idempotency_key: str) -> Purchase:
        """Buy what `encode_purchase` wrote. After Unavailable, repeat the same bytes with the same key.

        Raises Refused with TOKEN_EXPIRED or IDEMPOTENCY_CONFLICT besides Amazon's own codes.
        """
        request = Request(
            operation=wire.PURCHASE,
            method="POST",
            path=wire.PURCHASE_PATH,
            body=body,
            headers=self._business | {"x-amzn-IdempotencyKey": idempotency_key},
        )
        return await self._api.call(request, Lane.SHOPPER, wire.decode_purchase)

    async def documents(self, shipment_id: str, reference: str, label_format: str, dpi: int | None = None) -> Purchase:
        """Read the documents of the parcel that we named `reference`; an empty list means that there are none yet."""
        path = wire.documents_path(shipment_id, reference, label_format, dpi)
        request = Request(operation=wire.GET_DOCUMENTS, method="GET", path=path, headers=self._business)
        return await self._api.call(request, Lane.SHOPPER, wire.decode_documents)

    async def cancel(self, shipment_id: str) -> None:
        """Void a label; one that was voided before is done."""
        path = wire.cancel_path(shipment_id)
        request = Request(operation=wire.CANCEL, method="PUT", path=path, headers=self._business)
        await self._api.call(request, Lane.BACKGROUND, wire.decode_cancelled)

    async def tracking(self, tracking_id: str, carrier_id: str) -> Tracking | None:
        """Read where a parcel is; None while the carrier has not heard of it."""
        path = tracking_path(tracking_id, carrier_id)
        request = Request(operation=GET_TRACKING, method="GET", path=path, headers=self._business)
        return await self._api.call(request, Lane.BACKGROUND, decode_tracking)
