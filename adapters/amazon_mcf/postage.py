"""Labels bought with the Return Service ID: Amazon Shipping v2 on the seller's account.

Amazon does not document what that id identifies. Only this module assumes that it is the `serviceId` of an Amazon
Shipping rate: it asks for rates for the shopper's parcel as a return and buys the rate of that service.
"""

from functools import partial

from adapters.amazon_mcf.calls import Request, SellingPartnerApi, Tokens
from adapters.amazon_mcf.limits import AmazonLimits
from adapters.amazon_mcf.wire import shipping as wire
from adapters.amazon_mcf.wire.shipment import DocumentChoice, Rate, choose_document
from adapters.amazon_mcf.wire.tracking import GET_TRACKING, decode_tracking, tracking_path
from adapters.vendor_calls.transport import Transport
from daemon.domain.postage import (
    BoughtPostage,
    KnownParcel,
    NotOffered,
    OfferExpired,
    PostageOffer,
    PostageOrder,
    Tracking,
    VoidAnswer,
)
from daemon.errors import Refused
from daemon.ports.vendors import Lane

AMAZONS_OWN = "AMZN_US"
"""The carrier id of Amazon Shipping in the United States, as Amazon's examples have it."""


class ReturnServicePostage:
    """Implements LabelSource. Its calls raise as SellingPartnerApi.call does, and ContractBroken.

    `service_id` is the merchant's Return Service ID, sent to nobody but Amazon. `business_id` names the Amazon Shipping
    business; without it Amazon uses the British one.
    """

    def __init__(
        self,
        transport: Transport,
        tokens: Tokens,
        limits: AmazonLimits,
        *,
        endpoint: str,
        business_id: str,
        service_id: str,
        label_format: str,
        currency: str,
    ) -> None:
        self._business_id = business_id
        self._service_id = service_id
        self._label_format = label_format
        self._currency = currency
        probe = self._request(wire.LIST_INPUTS, "GET", wire.INPUTS_PATH)
        self._api = SellingPartnerApi(transport, tokens, limits, endpoint=endpoint, probe=lambda: probe)

    @property
    def mode(self) -> str:
        """Empty: Amazon has no test mode, every label is paid for."""
        return ""

    @property
    def purchase_reader(self) -> None:
        """None: a purchase whose outcome is unknown is settled by sending it again."""
        return

    @property
    def refused(self) -> str:
        """Why Amazon Shipping is parked; empty while it is not."""
        return self._api.refused

    def unpark(self) -> None:
        """Let the next call try again at once."""
        self._api.unpark()

    async def offer(self, order: PostageOrder) -> PostageOffer | NotOffered:
        """Find the rate of the return service. Also raises Refused when a shopper could not print its label."""
        request = self._request(wire.GET_RATES, "POST", wire.RATES_PATH, wire.encode_rates(order, self._currency))
        decode = partial(wire.decode_quote, service_id=self._service_id, currency=self._currency)
        quote = await self._api.call(request, Lane.SHOPPER, decode)
        if quote.rate is None:
            return NotOffered(offered=quote.offered)
        choice = choose_document(quote.rate, self._label_format)
        return _offer(quote.request_token, quote.rate, choice)

    async def buy(self, body: bytes, key: str) -> BoughtPostage | OfferExpired:
        """Send the saved purchase request. After Unavailable, repeat the same bytes with the same key."""
        request = self._request(wire.PURCHASE, "POST", wire.PURCHASE_PATH, body, key)
        return await self._api.call(request, Lane.SHOPPER, wire.decode_purchase)

    async def document(self, shipment_id: str, reference: str, label_format: str) -> BoughtPostage:
        """Read the pages and the tracking number of the parcel that we named `reference`, once Amazon has made them."""
        path = wire.documents_path(shipment_id, reference, label_format)
        return await self._api.call(self._request(wire.GET_DOCUMENTS, "GET", path), Lane.SHOPPER, wire.decode_documents)

    async def void(self, shipment_id: str) -> VoidAnswer:
        """Void an unused label; one that is void already counts as done."""
        request = self._request(wire.CANCEL, "PUT", wire.cancel_path(shipment_id))
        await self._api.call(request, Lane.BACKGROUND, wire.decode_cancelled)
        return VoidAnswer.DONE

    async def track(self, tracking_id: str, carrier_id: str) -> Tracking:
        """Say where the parcel is; the answer is empty until the carrier has heard of it."""
        request = self._request(GET_TRACKING, "GET", tracking_path(tracking_id, carrier_id))
        return await self._api.call(request, Lane.BACKGROUND, decode_tracking)

    async def made_before(self, key: str, since: float) -> None:
        """None: Amazon lists no shipments; a purchase repeated with its key finds what was bought."""

    async def known_by_number(self, tracking_id: str, carrier: str, since: float) -> KnownParcel | None:  # noqa: ARG002 - the port's
        """Ask for a number's tracking. The carrier's id is guessed: only the rate told it."""
        for carrier_id in _carrier_ids(carrier):
            try:
                seen = await self.track(tracking_id, carrier_id)
            except Refused:
                continue
            if seen != Tracking():
                return KnownParcel(tracking_id=tracking_id, carrier_id=carrier_id, carrier=carrier)
        return None

    def _request(self, operation: str, method: str, path: str, body: bytes | None = None, key: str = "") -> Request:
        headers = {"x-amzn-shipping-business-id": self._business_id}
        if key:
            headers["x-amzn-IdempotencyKey"] = key
        return Request(operation=operation, method=method, path=path, body=body, headers=headers)


def _carrier_ids(carrier: str) -> tuple[str, ...]:
    """Return what the carrier of this name may be called in tracking, the likeliest first."""
    return (AMAZONS_OWN,) if "amazon" in carrier.casefold() else (carrier,) if carrier else ()


def _offer(token: str, rate: Rate, choice: DocumentChoice) -> PostageOffer:
    return PostageOffer(
        body=wire.encode_purchase(token, rate.rate_id, choice, rate.services),
        carrier_id=rate.carrier_id,
        carrier=rate.carrier_name,
        charge_cents=rate.charge_cents,
        label_format=choice.format,
    )
