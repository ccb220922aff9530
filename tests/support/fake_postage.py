"""Amazon Shipping in memory: offers that expire, purchases found by key, parcels."""

import json
from dataclasses import dataclass, field, replace

from adapters.sandbox.label_files import pdf
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
from daemon.domain.returns import Transit
from daemon.errors import Refused
from daemon.ports.host import Clock
from tests.support.fake_vendor import Vendor

SERVICE = "RS-MERCHANT"
OFFER_LIVES = 600.0


@dataclass
class Shipment:
    """A bought label, with its key, its parcel and its state."""

    shipment_id: str
    key: str
    order: PostageOrder
    bought_at: float
    tracking: Tracking = field(default_factory=Tracking)
    void: bool = False

    @property
    def tracking_id(self) -> str:
        return f"1Z-{self.shipment_id}"


class FakeLabelSource(Vendor):
    """Implements LabelSource.

    `services` are the ids on offer. A bought label has no document for `documents_after` (s) and no tracking id for
    `numbers_after` (s). A known key finds its purchase again while the offer sent with it is valid, whichever it is;
    `strict_keys` refuses a known key with a different offer. An offer is valid for `offers_live` (s).
    """

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.services: tuple[str, ...] = ("GROUND", SERVICE)
        self.documents_after = 0.0
        self.numbers_after = 0.0
        self.strict_keys = False
        self.offers_live = OFFER_LIVES
        self.orders: list[PostageOrder] = []
        self.shipments: dict[str, Shipment] = {}
        self._bodies: dict[str, bytes] = {}

    mode = ""
    purchase_reader = None

    # ---- carriers and sales

    def scan(self, transit: Transit, *references: str) -> None:
        """Let the carrier scan the parcels of these authorizations, or all that were bought."""
        now = self._clock.now()
        for shipment in self._of(references):
            told = replace(shipment.tracking, transit=transit, lost=False)
            if transit.rank >= Transit.IN_TRANSIT.rank:
                told = replace(told, scanned_at=now)
            shipment.tracking = replace(told, delivered_at=now if transit is Transit.DELIVERED else None)

    def lose(self, *references: str) -> None:
        """Let the carrier report parcels as lost."""
        for shipment in self._of(references):
            shipment.tracking = replace(shipment.tracking, transit=None, lost=True)

    def babble(self, *references: str) -> None:
        """Let the carrier report an unknown status."""
        for shipment in self._of(references):
            shipment.tracking = replace(shipment.tracking, transit=None, known=False)

    def live(self) -> list[str]:
        """The shipments that were paid for and not voided."""
        return [s.shipment_id for s in self.shipments.values() if not s.void]

    def bought(self) -> list[str]:
        """The parcel of each purchase ever made."""
        return [s.order.reference for s in self.shipments.values()]

    def asked_keys(self) -> list[str]:
        """The key of each purchase request, oldest first."""
        return [str(call.arguments[1]) for call in self.made("buy")]

    # ---- the port

    async def offer(self, order: PostageOrder) -> PostageOffer | NotOffered:
        async with self._call("offer", order):
            self.orders.append(order)
            if SERVICE not in self.services:
                return NotOffered(offered=self.services)
            stale_at = self._clock.now() + self.offers_live
            body = json.dumps({"requestToken": f"TOKEN-{len(self.orders)}", "stale_at": stale_at}).encode()
            return PostageOffer(body=body, carrier_id="AMZN_US", carrier="Swift", charge_cents=650, label_format="PDF")

    async def buy(self, body: bytes, key: str) -> BoughtPostage | OfferExpired:
        async with self._call("buy", body, key):
            offer = json.loads(body)
            if offer["stale_at"] <= self._clock.now():
                return OfferExpired()
            if self.strict_keys and self._bodies.get(key, body) != body:
                raise Refused("IDEMPOTENCY_CONFLICT", "The key was used with another request.")
            shipment = self._bought(int(offer["requestToken"].removeprefix("TOKEN-")), key)
            self._bodies[key] = body
            return BoughtPostage(
                shipment_id=shipment.shipment_id, tracking_id=self._number(shipment), document=self._document(shipment)
            )

    async def document(self, shipment_id: str, reference: str, label_format: str) -> BoughtPostage:
        async with self._call("document", shipment_id, reference, label_format):
            shipment = self._find(shipment_id)
            if shipment.order.reference != reference:
                raise Refused("InvalidRequest", "The shipment has no such package.")
            return BoughtPostage(
                shipment_id=shipment_id, tracking_id=self._number(shipment), document=self._document(shipment)
            )

    async def void(self, shipment_id: str) -> VoidAnswer:
        async with self._call("void", shipment_id):
            shipment = self._find(shipment_id)
            if shipment.tracking.scanned_at is not None:
                raise Refused("InvalidRequest", "The shipment was picked up.")
            shipment.void = True
            return VoidAnswer.DONE

    async def track(self, tracking_id: str, carrier_id: str) -> Tracking:
        async with self._call("track", tracking_id, carrier_id):
            return next(s.tracking for s in self.shipments.values() if s.tracking_id == tracking_id)

    async def made_before(self, key: str, since: float) -> KnownParcel | None:
        async with self._call("made_before", key, since):
            return None

    async def known_by_number(self, tracking_id: str, carrier: str, since: float) -> KnownParcel | None:
        async with self._call("known_by_number", tracking_id, carrier, since):
            if all(s.tracking_id != tracking_id for s in self.shipments.values()):
                return None
            return KnownParcel(tracking_id=tracking_id, carrier_id="AMZN_US", carrier=carrier)

    # ---- inside

    def _bought(self, offer: int, key: str) -> Shipment:
        known = next((s for s in self.shipments.values() if s.key == key), None)
        if known is not None:
            return known
        made = Shipment(f"SH{len(self.shipments) + 1}", key, self.orders[offer - 1], self._clock.now())
        self.shipments[made.shipment_id] = made
        return made

    def _find(self, shipment_id: str) -> Shipment:
        if shipment_id not in self.shipments:
            raise Refused("NotFound", "There is no such shipment.")
        return self.shipments[shipment_id]

    def _of(self, authorizations: tuple[str, ...]) -> list[Shipment]:
        """Find parcels by the authorization at the end of their reference."""
        ends = tuple(f"-{authorization}" for authorization in authorizations) or ("",)
        return [s for s in self.shipments.values() if s.order.reference.endswith(ends)]

    def _number(self, shipment: Shipment) -> str:
        return "" if shipment.bought_at + self.numbers_after > self._clock.now() else shipment.tracking_id

    def _document(self, shipment: Shipment) -> bytes | None:
        if shipment.bought_at + self.documents_after > self._clock.now():
            return None
        return pdf([f"LABEL {shipment.tracking_id}"])
