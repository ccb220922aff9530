"""Ports that read and never write: a shadow only logs what mcfd would do.

Informing calls are skipped, so that the return goes on. Deciding calls are put off for an hour, as if the vendor were
unreachable: the return keeps its state, loses no attempt, and follows what really happens.
"""

from collections.abc import Mapping, Sequence

import structlog

from daemon.domain.orders import CreateAnswer, FulfillmentOrder
from daemon.domain.portal import Grade, PortalLabelRequest, PortalNote, PortalReturn, PortalRow, PortalState
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
from daemon.domain.returns import Label, ReturnUnit, Transit
from daemon.errors import Transient
from daemon.ports.vendors import (
    FulfillmentNetwork,
    IssuedRequest,
    LabelSource,
    Lane,
    OrderPage,
    PurchaseReader,
    ReturnsPortal,
)

log = structlog.get_logger(__name__)

LOOK_AGAIN = 3600.0


class Withheld(Transient):
    """The call was not made: this daemon is a shadow."""


class _Shadow:
    """Logs each withheld call once."""

    def __init__(self) -> None:
        self._told: set[tuple[str, str]] = set()

    def _tell(self, what: str, subject: str, **details: object) -> None:
        if (what, subject) not in self._told:
            self._told.add((what, subject))
            log.info("shadow.withheld", what=what, subject=subject, **details)

    def _withhold(self, what: str, subject: str, **details: object) -> Withheld:
        self._tell(what, subject, **details)
        return Withheld(f"a shadow does not {what}", retry_after=LOOK_AGAIN)


class ShadowPortal(_Shadow):
    """A shop at Loop that is only read. Implements ReturnsPortal."""

    def __init__(self, portal: ReturnsPortal) -> None:
        super().__init__()
        self._portal = portal

    async def label_request(self, request_id: str, lane: Lane) -> PortalLabelRequest:
        """Read it."""
        return await self._portal.label_request(request_id, lane)

    async def issued_requests(self) -> Sequence[IssuedRequest]:
        """Read them."""
        return await self._portal.issued_requests()

    async def cancelled_requests(self, since: float) -> Sequence[IssuedRequest]:
        """Read them."""
        return await self._portal.cancelled_requests(since)

    async def requests_of(self, return_id: str) -> Sequence[PortalLabelRequest]:
        """Read them."""
        return await self._portal.requests_of(return_id)

    async def returns_made(self, state: PortalState, since: float, until: float) -> Sequence[PortalRow]:
        """Read them."""
        return await self._portal.returns_made(state, since, until)

    async def updated_returns(self, state: PortalState, since: float, until: float) -> Sequence[str]:
        """Read them."""
        return await self._portal.updated_returns(state, since, until)

    async def details(self, return_id: str, lane: Lane) -> PortalReturn:
        """Read them."""
        return await self._portal.details(return_id, lane)

    async def notes(self, return_id: str) -> Sequence[PortalNote]:
        """Read them."""
        return await self._portal.notes(return_id)

    async def deliver_label(self, request_id: str, label: Label) -> str:
        """Put off."""
        raise self._withhold("deliver a label", request_id, carrier=label.carrier)

    async def report_refusal(self, request_id: str, message: str) -> None:
        """Put off."""
        raise self._withhold("refuse a label request", request_id, why=message)

    async def report_transit(self, label_id: str, transit: Transit) -> None:
        """Pass over."""
        self._tell("report transit", f"{label_id} {transit.value}")

    async def write_note(self, return_id: str, text: str) -> None:
        """Pass over."""
        self._tell("write a note", return_id + " " + text.partition("]")[0].lstrip("["), text=text)

    async def grade(self, grades: Sequence[Grade]) -> None:
        """Pass over."""
        for one in grades:
            self._tell("grade", one.line_id, grade=one.grade)

    async def assess(self, grades: Sequence[Grade]) -> None:
        """Pass over."""
        for one in grades:
            self._tell("assess", one.line_id, disposition=one.disposition)

    async def flag(self, return_id: str) -> None:
        """Put off."""
        raise self._withhold("flag", return_id)

    async def process(self, return_id: str, record: Mapping[str, str]) -> None:  # noqa: ARG002 - it is not sent
        """Put off."""
        raise self._withhold("process", return_id)

    async def remove(self, return_id: str, line_ids: Sequence[str]) -> None:
        """Put off."""
        raise self._withhold("remove lines", return_id, lines=list(line_ids))


class ShadowNetwork(_Shadow):
    """A seller's account at Amazon that is only read. Implements FulfillmentNetwork."""

    def __init__(self, network: FulfillmentNetwork) -> None:
        super().__init__()
        self._network = network

    async def order(self, order_id: str, lane: Lane) -> FulfillmentOrder | None:
        """Read it."""
        return await self._network.order(order_id, lane)

    async def orders_since(self, since: float, next_token: str) -> OrderPage:
        """Read them."""
        return await self._network.orders_since(since, next_token)

    async def reason_codes(self, sku: str) -> Sequence[str]:
        """Read them."""
        return await self._network.reason_codes(sku)

    async def create_return(self, order_id: str, units: Sequence[ReturnUnit]) -> CreateAnswer:
        """Put off. If somebody else creates the same return meanwhile, its units are found and adopted."""
        subject = f"{order_id} {','.join(u.return_item_id for u in units)}"
        raise self._withhold("create a return", subject, skus=sorted(u.sku for u in units))


class ShadowPostage(_Shadow):
    """A label source that quotes and tracks. Implements LabelSource."""

    def __init__(self, source: LabelSource) -> None:
        super().__init__()
        self._source = source

    @property
    def mode(self) -> str:
        """As the source's."""
        return self._source.mode

    @property
    def purchase_reader(self) -> PurchaseReader | None:
        """As the source's."""
        return self._source.purchase_reader

    async def offer(self, order: PostageOrder) -> PostageOffer | NotOffered:
        """Ask for the rate."""
        return await self._source.offer(order)

    async def buy(self, body: bytes, key: str) -> BoughtPostage | OfferExpired:  # noqa: ARG002 - it is not sent
        """Put off."""
        raise self._withhold("buy a label", key[:12])

    async def document(self, shipment_id: str, reference: str, label_format: str) -> BoughtPostage:
        """Read it."""
        return await self._source.document(shipment_id, reference, label_format)

    async def void(self, shipment_id: str) -> VoidAnswer:
        """Put off."""
        raise self._withhold("give a label back", shipment_id)

    async def track(self, tracking_id: str, carrier_id: str) -> Tracking:
        """Ask the carrier."""
        return await self._source.track(tracking_id, carrier_id)

    async def made_before(self, key: str, since: float) -> KnownParcel | None:
        """Read it."""
        return await self._source.made_before(key, since)

    async def known_by_number(self, tracking_id: str, carrier: str, since: float) -> KnownParcel | None:
        """Read it."""
        return await self._source.known_by_number(tracking_id, carrier, since)
