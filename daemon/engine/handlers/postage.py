"""Buying the label of a parcel, giving it back, and following the parcel."""

import hashlib
from contextlib import suppress
from dataclasses import replace

from daemon.domain.acts import Duty
from daemon.domain.events import postage as pe
from daemon.domain.events import returns as ev
from daemon.domain.orders import ReturnAuthorization
from daemon.domain.portal import PortalLabelRequest, RequestStatus
from daemon.domain.postage import (
    NotOffered,
    OfferExpired,
    PostageOffer,
    PostageOrder,
    dead_labels,
    postage_of,
    postage_order,
    purchase_key,
    reference_of,
    tracked,
)
from daemon.domain.returns import LabelRequest, LabelSourceName, Postage, Return, State, Void
from daemon.domain.schedule import past_deadline, poll_delay, waited
from daemon.engine.handlers.complaints import problem_of
from daemon.engine.handlers.context import Decision, NotYet, Outcome, ShopContext, Step
from daemon.errors import ContractBroken, Refused
from daemon.ports.store import UnitOfWork
from daemon.ports.vendors import LabelSource, Lane

OFFER = "postage offer"
DOCUMENT = "label document"
FRESH = 60.0  # seconds


def overtaken(current: PortalLabelRequest, now: float) -> ev.Event | None:
    """The label request is over: withdrawn, or answered by somebody else."""
    if current.status is RequestStatus.CANCELLED:
        return ev.LabelRequestCancelled(at=now, request_id=current.request_id)
    if current.status is RequestStatus.FULFILLED:
        return ev.NotOurs(at=now, request_id=current.request_id, why="somebody else delivered a label")
    return None


async def quote_postage(step: Step, context: ShopContext) -> Outcome:
    """Ask for the rate of the merchant's return service; the shopper's address is read, used and forgotten."""
    ret = step.ret
    authorization = _authorization(ret, step.duty.subject)
    request = _request(ret, step.duty.subject)
    current = await context.portal.label_request(request.request_id, Lane.SHOPPER)
    now = context.clock.now()
    wanted = ret.state is State.AWAITING_LABEL
    if wanted and (over := overtaken(current, now)):
        return over
    if wanted and postage_of(ret, step.duty.subject) is not None and past_deadline(ret, now):
        return ev.GaveUp(at=now, problem="no label could be bought in time")
    order = postage_order(ret, authorization, current, context.labels.default_size)
    if not wanted:
        return await _quote_to_settle(ret, step.duty, context, order)
    if order is None:
        return ev.GaveUp(at=now, problem="an address for the label is missing")
    offer = await _source(context).offer(order)
    if isinstance(offer, NotOffered):
        return _not_offered(request, offer, context, now)
    return pe.PostageOffered(at=now, postage=_offered(ret, step.duty.subject, offer, context))


async def _quote_to_settle(ret: Return, duty: Duty, context: ShopContext, order: PostageOrder | None) -> Outcome:
    """A purchase of unknown end is to be settled and given back, and its offer was kept too long: ask for a new one."""
    try:
        offer = None if order is None else await _source(context).offer(order)
    except Refused:
        offer = None
    if isinstance(offer, PostageOffer):
        return pe.PostageOffered(at=context.clock.now(), postage=_offered(ret, duty.subject, offer, context))
    return _unsettled(_postage(ret, duty.subject), context)


def _unsettled(postage: Postage, context: ShopContext) -> Outcome:
    kept = replace(postage, void=Void.KEPT)
    return pe.PostageKept(at=context.clock.now(), postage=kept, why="its purchase could not be settled")


def _offered(ret: Return, authorization_id: str, offer: PostageOffer, context: ShopContext) -> Postage:
    old = postage_of(ret, authorization_id) or Postage(authorization_id=authorization_id)
    given_back = old.void is Void.DONE
    return Postage(
        authorization_id=authorization_id,
        number=old.number + 1 if given_back else old.number,
        sealed_offer=context.labels.box.seal(offer.body, OFFER),
        carrier_id=offer.carrier_id,
        carrier=offer.carrier,
        charge_cents=offer.charge_cents,
        label_format=offer.label_format,
        void=Void.NO if given_back else old.void,
    )


def _not_offered(request: LabelRequest, offer: NotOffered, context: ShopContext, now: float) -> Outcome:
    context.metrics.trouble("service_not_offered")
    if context.policy.page_instead:
        return pe.LabelSourceChanged(at=now, request_id=request.request_id, source=LabelSourceName.RMA_PAGE)
    offered = ", ".join(offer.offered) or "nothing"
    return ev.GaveUp(at=now, problem=f"Amazon does not offer the return service; it offers {offered}", hold=True)


async def buy_postage(step: Step, context: ShopContext) -> Outcome:
    """Send the saved purchase. Its key is derived, so that an unclear one is settled by sending it again."""
    ret = step.ret
    postage = _postage(ret, step.duty.subject)
    key = hashlib.sha256(purchase_key(ret, postage.number, postage.authorization_id).encode()).hexdigest()
    try:
        bought = await _source(context).buy(context.labels.box.unseal(postage.sealed_offer, OFFER), key)
    except Refused as error:
        if postage.void is Void.WANTED:
            return _unsettled(postage, context)
        if step.resumed:
            raise
        context.metrics.trouble("purchase_refused")
        return ev.GaveUp(at=context.clock.now(), problem=await problem_of(ret, error, context), no_effect=step.duty)
    now = context.clock.now()
    if isinstance(bought, OfferExpired):
        await _check_age(ret, context)
        return pe.OfferLapsed(
            at=now, postage=replace(postage, sealed_offer=b""), no_effect=None if step.resumed else step.duty
        )
    postage = replace(
        postage,
        shipment_id=bought.shipment_id,
        tracking_id=bought.tracking_id,
        sealed_offer=b"",
        printable=bought.document is not None and bool(bought.tracking_id),
    )
    return _kept(ret, pe.PostageBought(at=now, postage=postage), bought.document, context)


async def _check_age(ret: Return, context: ShopContext) -> None:
    """Amazon's offers live for ten minutes. One that is said to be dead at once would be followed by the next."""
    history = await context.store.read(lambda uow: uow.history(ret.shop, ret.return_id))
    offered_at = max(row.at for row in history if row.event == pe.PostageOffered.__name__)
    if context.clock.now() - offered_at < FRESH:
        raise ContractBroken("purchaseShipment: a new offer is said to have expired")


async def fetch_label(step: Step, context: ShopContext) -> Outcome:
    """Get what the purchase did not bring at once: the document, and the tracking id if there is one by now."""
    ret = step.ret
    now = context.clock.now()
    postage, document = await _read_again(ret, _postage(ret, step.duty.subject), context)
    if document is None:
        if past_deadline(ret, now):
            return ev.GaveUp(at=now, problem="Amazon has not made the label's document in time")
        return NotYet(delay=poll_delay(waited(ret, now, context.timings), context.timings))
    return _kept(ret, pe.LabelFetched(at=now, postage=replace(postage, printable=True)), document, context)


async def _read_again(ret: Return, postage: Postage, context: ShopContext) -> tuple[Postage, bytes | None]:
    reference = reference_of(ret, postage.authorization_id)
    bought = await _source(context).document(postage.shipment_id, reference, postage.label_format)
    return replace(postage, tracking_id=postage.tracking_id or bought.tracking_id), bought.document


def document_name(ret: Return, postage: Postage) -> str:
    """Under which name a bought label's document is kept."""
    return f"label/{ret.shop}/{ret.return_id}/{postage.authorization_id}/{postage.number}"


def _kept(ret: Return, event: pe.PostageEvent, document: bytes | None, context: ShopContext) -> Outcome:
    """The document is stored in the transaction that says that it is there."""
    if document is None:
        return event
    sealed = context.labels.box.seal(document, DOCUMENT)
    expires_at = context.clock.now() + context.labels.keep_for

    def decide(uow: UnitOfWork, _: Return) -> ev.Event:
        uow.keep_document(document_name(ret, event.postage), sealed, expires_at)
        return event

    decision: Decision = decide
    return decision


async def void_postage(step: Step, context: ShopContext) -> Outcome:
    """Give a label back, unless the carrier has seen it."""
    postage = _postage(step.ret, step.duty.subject)
    try:
        postage = seen = await _tracked(step.ret, postage, context)
        if seen.scanned_at is not None or seen.delivered_at is not None or seen.lost_at is not None:
            kept = replace(seen, void=Void.KEPT)
            return pe.PostageKept(at=context.clock.now(), postage=kept, why="the parcel is on its way")
        await _source(context).void(postage.shipment_id)
    except Refused as error:
        kept = replace(postage, void=Void.KEPT)
        why = await problem_of(step.ret, error, context)
        return pe.PostageKept(at=context.clock.now(), postage=kept, why=why)
    return _withdrawn(
        pe.PostageVoided(at=context.clock.now(), postage=replace(postage, void=Void.DONE, printable=False)), context
    )


def _withdrawn(event: pe.PostageVoided, context: ShopContext) -> Decision:
    """Nobody is to print a label that was given back: its document goes in the transaction that says so."""

    def decide(uow: UnitOfWork, ret: Return) -> ev.Event:
        for label in dead_labels(ret, event.postage):
            context.labels.hosting.withdraw(uow, label.url)
        return event

    return decide


async def track_parcels(step: Step, context: ShopContext) -> Outcome:
    """Ask the carrier about every parcel under way. One that tells nothing does not hold up the inspection."""
    read = []
    for postage in step.ret.postage:
        if postage.travelling:
            try:
                read.append(await _tracked(step.ret, postage, context))
            except Refused:
                context.metrics.trouble("tracking_refused")
                read.append(replace(postage, tracked_at=context.clock.now()))
    return pe.ParcelsTracked(at=context.clock.now(), postage=tuple(read))


async def _tracked(ret: Return, postage: Postage, context: ShopContext) -> Postage:
    """The reading counts from when it was asked for. A parcel without a tracking id may have one by now."""
    asked_at = context.clock.now()
    if not postage.tracking_id:
        with suppress(Refused):
            postage, _ = await _read_again(ret, postage, context)
    if not postage.tracking_id:
        return replace(postage, tracked_at=asked_at)
    reading = await _source(context).track(postage.tracking_id, postage.carrier_id)
    if not reading.known:
        context.metrics.trouble("unknown_tracking_status")
    return tracked(postage, reading, asked_at)


def _source(context: ShopContext) -> LabelSource:
    source = context.account.label_sources.get(LabelSourceName.AMAZON_SHIPPING)
    if source is None:
        raise Refused("NO_LABEL_SOURCE", "label_source is rma_page now; a label was begun under amazon_shipping")
    return source


def _postage(ret: Return, authorization_id: str) -> Postage:
    postage = postage_of(ret, authorization_id)
    assert postage is not None  # noqa: S101 - the duty was read off it
    return postage


def _authorization(ret: Return, authorization_id: str) -> ReturnAuthorization:
    return next(a for a in ret.authorizations if a.authorization_id == authorization_id)


def _request(ret: Return, authorization_id: str) -> LabelRequest:
    """The label request that the parcel answers: the newest of its units', or of all when nobody asks any more."""
    asked = {u.request_id for u in ret.units if u.authorization_id == authorization_id}
    return next((r for r in reversed(ret.requests) if r.request_id in asked), ret.requests[-1])
