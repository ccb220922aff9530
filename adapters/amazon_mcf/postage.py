"""Labels bought with the Return Service ID.

Nothing public says what Amazon means by that id. Here, and nowhere else, it is read as the `serviceId` of an Amazon
Shipping rate: the shopper's parcel is rated as a return, and the rate of that service is bought.
"""

from collections import Counter

from adapters.amazon_mcf.shipment import (
    LABEL,
    TOKEN_EXPIRED,
    DocumentChoice,
    ParcelItem,
    Purchase,
    Rate,
    RateRequest,
    choose_document,
)
from adapters.amazon_mcf.shipping import AmazonShipping
from adapters.amazon_mcf.shipping_wire import encode_purchase
from daemon.domain.postage import (
    BoughtPostage,
    NotOffered,
    OfferExpired,
    PostageOffer,
    PostageOrder,
    Tracking,
)
from daemon.domain.returns import Transit
from daemon.errors import Refused


class ReturnServicePostage:
    """Implements the LabelSource port. `service_id` is the merchant's Return Service ID and is told to nobody else."""

    def __init__(self, shipping: AmazonShipping, *, service_id: str, label_format: str) -> None:
        self._shipping = shipping
        self._service_id = service_id
        self._label_format = label_format

    @property
    def refused(self) -> str:
        """Why Amazon Shipping is parked; empty while it is not."""
        return self._shipping.refused

    def unpark(self) -> None:
        """Try at once again: the credentials are others now."""
        self._shipping.unpark()

    async def offer(self, order: PostageOrder) -> PostageOffer | NotOffered:
        """The rate whose service is the return service. Raises Refused when a shopper could not print its label."""
        quote = await self._shipping.rates(_rate_request(order), self._service_id)
        if quote.rate is None:
            return NotOffered(offered=quote.offered)
        choice = choose_document(quote.rate, self._label_format)
        return _offer(quote.request_token, quote.rate, choice)

    async def buy(self, body: bytes, key: str) -> BoughtPostage | OfferExpired:
        """Send the saved purchase request under its key."""
        try:
            purchase = await self._shipping.purchase(body, key)
        except Refused as error:
            if error.code == TOKEN_EXPIRED:
                return OfferExpired()
            raise
        return _bought(purchase)

    async def document(self, shipment_id: str, reference: str, label_format: str) -> BoughtPostage:
        """The label's pages and its number, once Amazon has made them."""
        return _bought(await self._shipping.documents(shipment_id, reference, label_format))

    async def void(self, shipment_id: str) -> None:
        """Give an unused label back."""
        await self._shipping.cancel(shipment_id)

    async def track(self, tracking_id: str, carrier_id: str) -> Tracking:
        """Where the parcel is; nothing at all while the carrier has not heard of it."""
        reading = await self._shipping.tracking(tracking_id, carrier_id)
        if reading is None:
            return Tracking()
        return Tracking(
            transit=reading.transit,
            lost=reading.lost,
            scanned_at=reading.last_scan_at,
            delivered_at=reading.delivered_at if reading.transit is Transit.DELIVERED else None,
            known=reading.known or not reading.status,
        )


def _rate_request(order: PostageOrder) -> RateRequest:
    size = order.size
    length, width, height, weight = size.length_in, size.width_in, size.height_in, size.weight_g
    if length is None or width is None or height is None or weight is None:
        raise Refused("PARCEL_SIZE", "the parcel has no size; amazon.shipping.default_parcel gives one")
    return RateRequest(
        ship_from=order.ship_from,
        ship_to=order.ship_to,
        rma_id=order.rma_id,
        length_in=length,
        width_in=width,
        height_in=height,
        weight_g=weight,
        insured_value_cents=order.value_cents,
        items=tuple(
            ParcelItem(sku=sku, quantity=count, weight_g=weight / len(order.skus))
            for sku, count in Counter(order.skus).items()
        ),
        reference=order.reference,
    )


def _offer(token: str, rate: Rate, choice: DocumentChoice) -> PostageOffer:
    return PostageOffer(
        body=encode_purchase(token, rate.rate_id, choice),
        carrier_id=rate.carrier_id,
        carrier=rate.carrier_name,
        charge_cents=rate.charge_cents,
        label_format=choice.format,
    )


def _bought(purchase: Purchase) -> BoughtPostage:
    label = next((d.content for d in purchase.documents if d.kind == LABEL), None)
    return BoughtPostage(shipment_id=purchase.shipment_id, tracking_id=purchase.tracking_id or "", document=label)
