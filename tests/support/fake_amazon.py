"""The seller's account at Amazon in memory: fulfillment orders with their returns, and bought labels."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from daemon.domain.orders import (
    CreateAnswer,
    FulfillmentOrder,
    InvalidItem,
    ReturnAuthorization,
    ReturnItem,
    ShippedItem,
)
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
from daemon.domain.returns import ReturnUnit, Transit
from daemon.errors import Refused
from daemon.ports.host import Clock
from daemon.ports.vendors import Lane, OrderHead, OrderPage
from tests.support.builders import CENTER
from tests.support.fake_vendor import Vendor


@dataclass
class _Expected:
    """A return item, and when it becomes visible."""

    item: ReturnItem
    sku: str
    created_at: float
    authorization_at: float


class FakeNetwork(Vendor):
    """The seller's account at Amazon. Implements FulfillmentNetwork.

    `authorization_delay` is how long (s) an accepted unit has no authorization, `read_lag` how long it is not listed.
    `center_of` sends SKUs to other fulfillment centers, each with its own authorization per call. The next
    `silent_answers` create calls name none of their units. `ahead` is how far (s) Amazon's clock is ahead of ours.
    """

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.orders: dict[str, FulfillmentOrder] = {}
        self.forbidden: set[str] = set()
        self.refuse: dict[str, tuple[str, str]] = {}
        self.reasons: dict[str, Sequence[str]] = {}
        self.center_of: dict[str, str] = {}
        self.authorization_delay = 0.0
        self.read_lag = 0.0
        self.page_size = 2
        self.silent_answers = 0
        self.ahead = 0.0
        self._expected: defaultdict[str, dict[str, _Expected]] = defaultdict(dict)
        self._authorizations: dict[str, ReturnAuthorization] = {}

    def add(self, *orders: FulfillmentOrder) -> None:
        """Add orders to the network, or replace them."""
        self.orders.update({order.order_id: order for order in orders})

    def items(self, order_id: str) -> list[ReturnItem]:
        """Every return item of an order, visible or not."""
        return [expected.item for expected in self._expected[order_id].values()]

    def all_items(self) -> list[ReturnItem]:
        """Every return item of all orders."""
        return [item for order_id in self.orders for item in self.items(order_id)]

    def inspect(self, unit: ReturnUnit, condition: str | None = "Sellable", reason: str | None = None) -> None:
        """Let a fulfillment center process a unit, or correct its earlier result."""
        expected = self._expected[unit.order_id][unit.return_item_id]
        expected.item = replace(
            expected.item,
            processed=True,
            condition=condition,
            reason=reason,
            center="LEX1",
            changed_at=self._clock.now(),
        )

    # ---- the port

    async def order(self, order_id: str, lane: Lane) -> FulfillmentOrder | None:
        async with self._call("order", order_id, lane):
            if order_id in self.forbidden:
                raise Refused("Unauthorized", "Access to requested resource is denied.")
            order = self.orders.get(order_id)
            return None if order is None else self._as_listed(order)

    def time(self) -> float:
        """The time by Amazon's clock."""
        return self._clock.now() + self.ahead

    async def orders_since(self, since: float, next_token: str) -> OrderPage:
        async with self._call("orders_since", since, next_token):
            start = int(next_token or 0)
            rows = list(self.orders.values())
            heads = [
                OrderHead(
                    order_id=o.order_id, displayable_order_id=o.displayable_order_id, changed_at=o.received_at or 0.0
                )
                for o in rows[start : start + self.page_size]
            ]
            end = start + self.page_size
            return OrderPage(heads=heads, next_token=str(end) if end < len(rows) else "")

    async def reason_codes(self, sku: str) -> Sequence[str]:
        async with self._call("reason_codes", sku):
            return self.reasons.get(sku, ("CR-UNWANTED_ITEM", "CR-DEFECTIVE"))

    async def create_return(self, order_id: str, units: Sequence[ReturnUnit]) -> CreateAnswer:
        async with self._call("create_return", order_id, tuple(units)):
            if order_id not in self.orders:
                raise Refused("InvalidInput", "The requested order was not found.")
            accepted, invalid = [], []
            given: dict[str, ReturnAuthorization] = {}
            for unit in units:
                if refusal := self._refusal(self.orders[order_id], unit):
                    invalid.append(
                        InvalidItem(return_item_id=unit.return_item_id, code=refusal[0], description=refusal[1])
                    )
                else:
                    accepted.append(self._accept(order_id, unit, given))
            if self.silent_answers:
                self.silent_answers -= 1
                return CreateAnswer()
            visible = () if self.authorization_delay else tuple(given.values())
            items = tuple(self._seen(expected) for expected in accepted)
            return CreateAnswer(return_items=items, invalid_items=tuple(invalid), authorizations=visible)

    # ---- inside

    def _as_listed(self, order: FulfillmentOrder) -> FulfillmentOrder:
        now = self._clock.now()
        listed = [e for e in self._expected[order.order_id].values() if e.created_at + self.read_lag <= now]
        items = tuple(self._seen(expected) for expected in listed)
        ids = dict.fromkeys(item.authorization_id for item in items if item.authorization_id)
        authorizations = tuple(self._authorizations[a] for a in ids)
        return replace(order, return_items=items, authorizations=authorizations)

    def _seen(self, expected: _Expected) -> ReturnItem:
        visible = expected.authorization_at <= self._clock.now()
        return expected.item if visible else replace(expected.item, authorization_id=None)

    def _refusal(self, order: FulfillmentOrder, unit: ReturnUnit) -> tuple[str, str] | None:  # noqa: PLR0911 - one per rule
        expected = self._expected[order.order_id]
        if unit.return_item_id in expected:
            return "DuplicateRequest", "A return with this id was already requested."
        if not unit.reason_code:
            return "InvalidValues", "A reason code is required."
        if unit.sku in self.refuse:
            return self.refuse[unit.sku]
        shipment = next((s for s in order.shipments if s.shipment_id == unit.shipment_id), None)
        shipped = [i for i in shipment.items if i.item_id == unit.order_item_id] if shipment else []
        if shipment is None or not shipped:
            return "InvalidValues", "The item is not part of the shipment."
        if not shipment.shipped:
            return "NoCompletedShipItems", "The item has not shipped yet."
        taken = [e.item.shipment_id for e in expected.values() if e.item.order_item_id == unit.order_item_id]
        whole = [i for s in order.shipments if s.shipped for i in s.items if i.item_id == unit.order_item_id]
        if len(taken) >= _count(whole) or taken.count(unit.shipment_id) >= _count(shipped):
            return "NoReturnableQuantity", "All returnable units are already assigned to return items."
        return None

    def _accept(self, order_id: str, unit: ReturnUnit, given: dict[str, ReturnAuthorization]) -> _Expected:
        center = self.center_of.get(unit.sku, "LEX1")
        if center not in given:
            number = len(self._authorizations) + 1
            given[center] = self._authorizations[f"A{number}"] = ReturnAuthorization(
                authorization_id=f"A{number}",
                rma_id=f"RMA-A{number}",
                page_url=f"https://rma.test/A{number}",
                center=center,
                ship_to=CENTER,
            )
        now = self._clock.now()
        item = ReturnItem(
            return_item_id=unit.return_item_id,
            order_item_id=unit.order_item_id,
            shipment_id=unit.shipment_id,
            processed=False,
            changed_at=now,
            authorization_id=given[center].authorization_id,
        )
        expected = _Expected(item, unit.sku, now, now + self.authorization_delay)
        self._expected[order_id][unit.return_item_id] = expected
        return expected


def _count(items: Sequence[ShippedItem]) -> int:
    return sum(item.quantity for item in items)


@dataclass
class _Shipment:
    """A bought label, the key that finds it again, and where its parcel is."""

    shipment_id: str
    body: bytes
    bought_at: float
    tracking: Tracking = Tracking()  # noqa: RUF009 - frozen
    void: bool = False


class FakePostage(Vendor):
    """Amazon Shipping on the seller's account. Implements LabelSource.

    An offer is valid for ten minutes; a purchase is found again by its key. `services` are on offer;
    `document_delay` is how long (s) a bought label has no document.
    """

    OFFER_LIVES = 600.0
    mode = ""
    purchase_reader = None

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.services: tuple[str, ...] = ("RETURN",)
        self.document_delay = 0.0
        self.purchases: dict[str, _Shipment] = {}
        self.orders: list[PostageOrder] = []

    def scan(self, transit: Transit, *, lost: bool = False) -> None:
        """Let the carrier scan every bought parcel."""
        at = self._clock.now()
        delivered = at if transit is Transit.DELIVERED else None
        for shipment in self.purchases.values():
            shipment.tracking = Tracking(transit=transit, scanned_at=at, delivered_at=delivered, lost=lost)

    def live(self) -> list[str]:
        """The shipments that were not voided."""
        return [s.shipment_id for s in self.purchases.values() if not s.void]

    # ---- the port

    async def offer(self, order: PostageOrder) -> PostageOffer | NotOffered:
        async with self._call("offer", order):
            self.orders.append(order)
            if "RETURN" not in self.services:
                return NotOffered(offered=self.services)
            body = f"{order.reference} {len(self.orders)} {self._clock.now()}".encode()
            return PostageOffer(body=body, carrier_id="UPS", carrier="UPS", charge_cents=799, label_format="PDF")

    async def buy(self, body: bytes, key: str) -> BoughtPostage | OfferExpired:
        async with self._call("buy", body, key):
            known = self.purchases.get(key)
            if known is None:
                if float(body.split()[-1]) + self.OFFER_LIVES < self._clock.now():
                    return OfferExpired()
                known = _Shipment(f"S{len(self.purchases) + 1}", body, self._clock.now())
                self.purchases[key] = known
            return self._bought(known)

    async def document(self, shipment_id: str, reference: str, label_format: str) -> BoughtPostage:
        async with self._call("document", shipment_id, reference, label_format):
            return self._bought(self._find(shipment_id))

    async def void(self, shipment_id: str) -> VoidAnswer:
        async with self._call("void", shipment_id):
            self._find(shipment_id).void = True
            return VoidAnswer.DONE

    async def track(self, tracking_id: str, carrier_id: str) -> Tracking:
        async with self._call("track", tracking_id, carrier_id):
            return next(s.tracking for s in self.purchases.values() if self._tracking_id(s) == tracking_id)

    async def made_before(self, key: str, since: float) -> KnownParcel | None:
        async with self._call("made_before", key, since):
            return None

    async def known_by_number(self, tracking_id: str, carrier: str, since: float) -> KnownParcel | None:
        async with self._call("known_by_number", tracking_id, carrier, since):
            known = any(self._tracking_id(s) == tracking_id for s in self.purchases.values())
            return KnownParcel(tracking_id=tracking_id, carrier_id="AMZN_US", carrier=carrier) if known else None

    # ---- inside

    def _find(self, shipment_id: str) -> _Shipment:
        return next(s for s in self.purchases.values() if s.shipment_id == shipment_id)

    def _bought(self, shipment: _Shipment) -> BoughtPostage:
        return BoughtPostage(
            shipment_id=shipment.shipment_id,
            tracking_id=self._tracking_id(shipment),
            document=self._document(shipment),
        )

    def _tracking_id(self, shipment: _Shipment) -> str:
        return "1Z" + shipment.shipment_id

    def _document(self, shipment: _Shipment) -> bytes | None:
        ready = shipment.bought_at + self.document_delay <= self._clock.now()
        return b"%PDF " + shipment.shipment_id.encode() if ready else None
