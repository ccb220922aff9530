"""Labels bought for parcels: orders, offers, purchases, and tracking."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from daemon.domain.copies import replace
from daemon.domain.duties import purchase_unclear
from daemon.domain.orders import PostalAddress, ReturnAuthorization
from daemon.domain.portal import ParcelSize, PortalLabelRequest
from daemon.domain.problems import ProblemCode
from daemon.domain.returns import (
    Label,
    LabelRequest,
    Postage,
    RequestState,
    Return,
    ReturnUnit,
    Transit,
    Void,
)
from daemon.domain.slips import SlipParcel


@dataclass(frozen=True, slots=True, kw_only=True)
class PostageOrder:
    """An order for a label, from the shopper to the fulfillment center. Sizes in inches, weight in grams.

    `prices_cents` are the prices of the `skus`, 0 where unknown. `key` is unique to this purchase. `handle` is the
    source's id of the parcel from an earlier request, for sources that sell one label per parcel.
    """

    reference: str
    ship_from: PostalAddress = field(repr=False)
    ship_to: PostalAddress
    rma_id: str
    size: ParcelSize
    value_cents: int
    skus: tuple[str, ...]
    prices_cents: tuple[int, ...] = ()
    key: str = ""
    handle: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PostageOffer:
    """The rate of the wanted service, ready to be bought; `body` is the purchase request and may carry a token.

    `handle` is the source's id of the parcel, `service` the carrier account and service, `mode` says whether real money
    is spent; all are empty if the source does not tell. `sold`: the parcel was bought already, at this rate.
    """

    body: bytes = field(repr=False)
    carrier_id: str
    carrier: str
    charge_cents: int
    label_format: str
    handle: str = ""
    service: str = ""
    mode: str = ""
    sold: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class NotOffered:
    """No allowed rate is on offer; `offered` are the ids of the services on offer, `why` is the reason in words.

    `passing`: time may heal it. `held`: no other kind of label may replace it, because an operator has to know.
    """

    offered: tuple[str, ...] = ()
    why: str = ""
    code: ProblemCode = ProblemCode.SERVICE_NOT_OFFERED
    passing: bool = False
    held: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferExpired:
    """The offer has expired; a new one of the same service is needed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BoughtPostage:
    """A purchase; `document` is None until the label can be printed, `tracking_id` is empty until it is known.

    `carrier_id` is set if the parcel is tracked by another carrier id than the offer's, `charge_cents` if the source
    tells the price. `sender_code` is the shopper's postal code, used to tell both ends of a label apart, and is not
    stored.
    """

    shipment_id: str
    tracking_id: str
    document: bytes | None = field(default=None, repr=False)
    carrier_id: str = ""
    charge_cents: int | None = None
    sender_code: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class NotBought:
    """An unclear purchase has not taken place, as far as the source shows now."""


class VoidAnswer(StrEnum):
    """The result of voiding a label."""

    DONE = "done"
    PENDING = "pending"  # the carrier was asked and has not decided yet
    REJECTED = "rejected"  # the carrier refused, but may accept later
    NEEDLESS = "needless"  # unused labels are not charged


@dataclass(frozen=True, slots=True, kw_only=True)
class Tracking:
    """The carrier's answer. `transit` is None for a status that the portal does not know."""

    transit: Transit | None = None
    lost: bool = False
    scanned_at: float | None = None
    delivered_at: float | None = None
    known: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownParcel:
    """A parcel that a label source knows from before. `handle` is empty if only its tracking is known.

    `refund` is the progress of a void, if one was asked for.
    """

    tracking_id: str = ""
    carrier_id: str = ""
    carrier: str = ""
    handle: str = ""
    sold: bool = True
    charge_cents: int = 0
    service: str = ""
    mode: str = ""
    refund: VoidAnswer | None = None


def postage_of(ret: Return, authorization_id: str) -> Postage | None:
    """The postage of an authorization, bought or about to be."""
    return next((p for p in ret.postage if p.authorization_id == authorization_id), None)


def told_parcel(ret: Return, request: LabelRequest) -> Postage | None:
    """The parcel that the portal knows: by its tracking number, or by its RMA if it had no number at first."""
    if request.label is None:
        return None
    number = request.label.tracking_number
    named = {p.tracking_id: p for p in ret.postage if p.tracking_id}
    if request.source.buys_postage:
        named |= {
            a.rma_id: p for p in ret.postage for a in ret.authorizations if a.authorization_id == p.authorization_id
        }
    return named.get(number)


def dead_labels(ret: Return, voided: Postage) -> tuple[Label, ...]:
    """Label documents whose every bought label is now void."""
    live = {p.authorization_id for p in ret.postage if p.bought} - {voided.authorization_id}

    def dead(request: LabelRequest) -> bool:
        shown = {u.authorization_id for u in ret.units_of(request.request_id)}
        return not (shown & live if shown else live)

    bought = [r for r in ret.requests if r.source.buys_postage]
    return tuple(r.label for r in bought if r.label is not None and dead(r))


def put_postage(ret: Return, postage: Postage) -> Return:
    """The return with one authorization's postage replaced."""
    others = {p.authorization_id: p for p in ret.postage}
    others[postage.authorization_id] = postage
    return replace(ret, postage=tuple(others.values()))


def as_decided(ret: Return, postage: Postage) -> Postage:
    """The postage from an answer, keeping any decision to void it that was made while the call ran."""
    stored = postage_of(ret, postage.authorization_id)
    if stored is None or stored.number != postage.number:
        return postage
    return replace(postage, void=stored.void)


def tracked(postage: Postage, reading: Tracking, now: float) -> Postage:
    """The postage after a tracking read: it only moves forward, except that a lost parcel may turn up again."""
    transit = postage.transit
    if reading.transit is not None and reading.transit.rank > transit.rank:
        transit = reading.transit
    delivered_at = reading.delivered_at or (now if transit is Transit.DELIVERED else None)
    moving = now if transit.rank >= Transit.IN_TRANSIT.rank else None
    return replace(
        postage,
        transit=transit,
        scanned_at=reading.scanned_at or postage.scanned_at or moving,
        delivered_at=postage.delivered_at or delivered_at,
        lost_at=(postage.lost_at or now) if reading.lost else None if reading.transit else postage.lost_at,
        tracked_at=now,
    )


def parcel_units(ret: Return, authorization_id: str) -> tuple[ReturnUnit, ...]:
    """The units in one parcel; for a second parcel of an authorization, the units that have not come yet."""
    units = tuple(u for u in ret.authorized() if u.authorization_id == authorization_id)
    return tuple(u for u in units if u.processed_at is None) or units


def purchase_key(ret: Return, postage_number: int, authorization_id: str) -> str:
    """The idempotency key of a purchase: derived, never random."""
    return f"{ret.own_shop}/{ret.return_id}/{authorization_id}/{postage_number}"


def reference_of(ret: Return, authorization_id: str) -> str:
    """Our reference for a parcel at Amazon Shipping."""
    return f"{ret.return_id}-{authorization_id}"[:40]


def postage_order(
    ret: Return,
    authorization: ReturnAuthorization,
    request: PortalLabelRequest,
    default: ParcelSize,
    *,
    key: str = "",
    handle: str = "",
) -> PostageOrder | None:
    """The order for a label; None while an address is missing. The weight is divided among units."""
    if request.origin is None or authorization.ship_to is None:
        return None
    units = parcel_units(ret, authorization.authorization_id)
    everything = [u for u in ret.units if u.request_id == request.request_id]
    given = request.parcel
    size = ParcelSize(
        length_in=given.length_in or default.length_in,
        width_in=given.width_in or default.width_in,
        height_in=given.height_in or default.height_in,
        weight_g=_share(given.weight_g, units, everything) or default.weight_g,
    )
    return PostageOrder(
        reference=reference_of(ret, authorization.authorization_id),
        ship_from=request.origin,
        ship_to=authorization.ship_to,
        rma_id=authorization.rma_id,
        size=size,
        value_cents=sum(u.price_cents for u in units),
        skus=tuple(u.sku for u in units),
        prices_cents=tuple(u.price_cents for u in units),
        key=key,
        handle=handle,
    )


def slip_of(ret: Return, authorization: ReturnAuthorization, label: bytes | None) -> SlipParcel:
    """The printout for one parcel: its label, if one was bought, and its slip."""
    units = Counter(unit.sku for unit in parcel_units(ret, authorization.authorization_id))
    return SlipParcel(
        rma_id=authorization.rma_id,
        page_url=authorization.page_url,
        ship_to=authorization.ship_to,
        units=tuple(units.items()),
        label_pdf=label,
    )


def _share(weight_g: float | None, units: Sequence[ReturnUnit], everything: Sequence[ReturnUnit]) -> float | None:
    return weight_g * len(units) / len(everything) if weight_g and everything else None


def give_back(ret: Return, cancelled: frozenset[str]) -> Return:
    """Mark labels for voiding that only cancelled requests needed; an unclear purchase is settled first."""
    needing = {r.request_id for r in ret.requests if r.asked in _NEEDING} - cancelled
    authorizations = {u.authorization_id for u in ret.units if u.request_id in cancelled}
    authorizations -= {u.authorization_id for u in ret.units if u.request_id in needing}

    def wanted(postage: Postage) -> bool:
        needed = postage.bought or purchase_unclear(ret, postage)
        return postage.authorization_id in authorizations and needed and postage.void is Void.NO

    return replace(ret, postage=tuple(replace(p, void=Void.WANTED) if wanted(p) else p for p in ret.postage))


_NEEDING = frozenset({RequestState.UNREAD, RequestState.OPEN, RequestState.DELIVERED})


def take_back(ret: Return, request_id: str) -> Return:
    """Keep a label whose void has not happened yet, for the label request that asks for its parcel again."""
    needed = {u.authorization_id for u in ret.units_of(request_id)}
    postage = tuple(
        replace(p, void=Void.NO) if p.void is Void.WANTED and p.authorization_id in needed else p for p in ret.postage
    )
    return replace(ret, postage=postage)


def find_again(ret: Return) -> Return:
    """Forget labels of which only the tracking is known and that another request needs: their purchase has a key."""
    waiting = [r.request_id for r in ret.open_requests() if r.label is None]
    wanted = {u.authorization_id for name in waiting for u in ret.units_of(name) if u.processed_at is None}
    postage = tuple(
        Postage(authorization_id=p.authorization_id) if p.tracked_only and p.authorization_id in wanted else p
        for p in ret.postage
    )
    return replace(ret, postage=postage)


def renew_used(ret: Return, request_id: str) -> Return:
    """Replace labels whose parcel has arrived or is lost: units that still have to come need a new one.

    Of a label that went out before the store was lost there may be no trace but its parcel's arrival.
    """
    wanted = {u.authorization_id for u in ret.units_of(request_id) if u.processed_at is None}
    opened = {u.authorization_id for u in ret.units if u.processed_at is not None}

    def used(postage: Postage) -> bool:
        over = postage.delivered_at is not None or postage.lost_at is not None or postage.authorization_id in opened
        return over and postage.bought and postage.authorization_id in wanted

    known = {p.authorization_id for p in ret.postage}
    unknown = wanted & opened - known if ret.adopted_at is not None else set()
    forgotten = (Postage(authorization_id=name).renewed for name in sorted(unknown))
    return replace(ret, postage=(*(p.renewed if used(p) else p for p in ret.postage), *forgotten))
