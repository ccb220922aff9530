"""Buys labels, voids them, and tracks their parcels."""

import hashlib
from contextlib import suppress

from daemon.domain.acts import Duty
from daemon.domain.copies import replace
from daemon.domain.direction import Direction, direction_of
from daemon.domain.durations import DAY
from daemon.domain.duties import purchase_unclear
from daemon.domain.events import postage as pe
from daemon.domain.events import returns as ev
from daemon.domain.naming import note_marker
from daemon.domain.orders import ReturnAuthorization
from daemon.domain.portal import PortalLabelRequest, RequestStatus
from daemon.domain.postage import (
    BoughtPostage,
    NotOffered,
    OfferExpired,
    PostageOffer,
    PostageOrder,
    VoidAnswer,
    dead_labels,
    postage_of,
    postage_order,
    purchase_key,
    reference_of,
    slip_of,
    tracked,
)
from daemon.domain.problems import ANOTHER_KEY, NO_LABEL_SOURCE, ProblemCode
from daemon.domain.returns import LabelRequest, LabelSourceName, Postage, Return, State, Void
from daemon.domain.schedule import past_deadline, poll_delay, waited
from daemon.engine.handlers.adoption import answered_before
from daemon.engine.handlers.complaints import problem_of
from daemon.engine.handlers.context import Decision, NotYet, Outcome, ShopContext, Step
from daemon.engine.handlers.purchases import earlier_purchase, purchase_of
from daemon.engine.handlers.readings import recent_label_request
from daemon.errors import ContractBroken, Refused
from daemon.ports.names import bought_label, lane_mark, proof_mark
from daemon.ports.sealed import BOUGHT_LABEL, OFFER
from daemon.ports.store import UnitOfWork
from daemon.ports.vendors import LabelSource, PurchaseReader

FRESH = 60.0  # seconds
RATED_AGAIN = 300.0  # seconds, while carriers have trouble that passes
LOOKED_AT_AFTER = (2.0, 5.0, 15.0, 60.0, 98.0)
"""Seconds between the checks of an unclear purchase; after three minutes it counts as not made."""
REFUND_ASKED_AGAIN = 600.0  # seconds
REFUND_TRIES = 6
SHIPMENTS_KEPT = 60 * DAY
"""How far back a purchase is looked for when the portal does not tell when its label was asked for."""


def overtaken(current: PortalLabelRequest, now: float) -> ev.Event | None:
    """Whether the label request is over: withdrawn, or answered by somebody else."""
    if current.status is RequestStatus.CANCELLED:
        return ev.LabelRequestCancelled(at=now, request_id=current.request_id)
    if current.status is RequestStatus.FULFILLED:
        return ev.NotOurs(at=now, request_id=current.request_id, why="somebody else delivered a label")
    return None


async def quote_postage(step: Step, context: ShopContext) -> Outcome:
    """Ask for the rate of the merchant's return service; the shopper's address is never stored."""
    ret = step.ret
    authorization = _authorization(ret, step.duty.subject)
    request = _request(ret, step.duty.subject)
    current = await recent_label_request(step, request.request_id, context)
    now = context.clock.now()
    wanted = ret.state is State.AWAITING_LABEL
    if wanted and (over := overtaken(current, now)):
        return (await answered_before(ret, current, context) if ret.adopted_at is not None else None) or over
    if wanted and postage_of(ret, step.duty.subject) is not None and past_deadline(ret, now):
        return ev.GaveUp(at=now, problem="no label could be bought in time", code=ProblemCode.LABEL_LATE)
    blank = _blank(ret, step.duty.subject, request.source)
    if wanted and ret.adopted_at is not None:
        blank = await _made_before(ret, blank, current, context)
        if blank.shipment_id:
            return _found(ret, blank, context)
    key = _key(ret, blank)
    order = postage_order(ret, authorization, current, context.labels.default_size, key=key, handle=blank.handle)
    if not wanted:
        return await _quote_to_settle(ret, step.duty, context, order)
    return await _quote(ret, request, blank, order, context)


async def _quote(
    ret: Return, request: LabelRequest, blank: Postage, order: PostageOrder | None, context: ShopContext
) -> Outcome:
    now = context.clock.now()
    if order is None:
        problem = _missing(_authorization(ret, blank.authorization_id))
        hold = not purchase_unclear(ret, blank)
        return ev.GaveUp(at=now, problem=problem, code=ProblemCode.ADDRESS_MISSING, hold=hold)
    offer = await _source(context, blank).offer(order)
    if isinstance(offer, NotOffered):
        return _not_offered(ret, request, offer, context, now)
    return _taken(ret, _offered(blank, offer, context), context, now, sold=offer.sold)


async def _made_before(ret: Return, blank: Postage, current: PortalLabelRequest, context: ShopContext) -> Postage:
    """The purchase to make, or the label itself, if a store that is lost had already begun or made the purchase."""
    source = _source(context, blank)
    since = (current.created_at or context.clock.now() - SHIPMENTS_KEPT) - DAY
    while not blank.handle:
        parcel = await source.made_before(_key(ret, blank), since)
        if parcel is None:
            return blank
        if parcel.refund in {VoidAnswer.DONE, VoidAnswer.PENDING}:
            blank = replace(blank, number=blank.number + 1)
            continue
        blank = replace(blank, handle=parcel.handle, mode=parcel.mode)
        if parcel.sold:
            return replace(
                blank,
                shipment_id=parcel.handle,
                tracking_id=parcel.tracking_id,
                carrier_id=parcel.carrier_id,
                carrier=parcel.carrier,
                charge_cents=parcel.charge_cents,
                service=parcel.service,
                label_format="PDF",
                bought_at=context.clock.now(),
            )
    return blank


def _found(ret: Return, postage: Postage, context: ShopContext) -> Decision:
    """Note the label that was bought before, and have it checked daily from now on."""
    now = context.clock.now()
    row = earlier_purchase(ret, postage, now)

    def decide(uow: UnitOfWork, _: Return) -> ev.Event:
        uow.keep_purchase(row)
        return pe.PostageBought(at=now, postage=postage)

    return decide


async def _quote_to_settle(ret: Return, duty: Duty, context: ShopContext, order: PostageOrder | None) -> Outcome:
    """Ask for a new offer to settle an unclear purchase that is to be voided and whose offer has expired."""
    try:
        offer = None if order is None else await _source(context, _postage(ret, duty.subject)).offer(order)
    except Refused:
        offer = None
    if isinstance(offer, PostageOffer):
        return pe.PostageOffered(at=context.clock.now(), postage=_offered(_postage(ret, duty.subject), offer, context))
    return _unsettled(_postage(ret, duty.subject), context)


def _missing(authorization: ReturnAuthorization) -> str:
    if authorization.ship_to is None:
        return "an address for the label is missing: Amazon tells none for the fulfillment center"
    return "an address for the label is missing: complete the shopper's in Loop, then mcfd retry"


def _unsettled(postage: Postage, context: ShopContext) -> Outcome:
    kept = replace(postage, void=Void.KEPT)
    return pe.PostageKept(at=context.clock.now(), postage=kept, why="its purchase could not be settled")


def _blank(ret: Return, authorization_id: str, source: LabelSourceName) -> Postage:
    """The purchase to make: the one already begun, or the next one after a voided label.

    A purchase is finished with the source that it was begun with.
    """
    old = postage_of(ret, authorization_id)
    if old is None or old.void is Void.DONE:
        number = 1 if old is None else old.number + 1
        return Postage(authorization_id=authorization_id, number=number, source=source)
    begun = bool(old.handle) or purchase_unclear(ret, old)
    return old if begun else replace(old, source=source)


def _key(ret: Return, postage: Postage) -> str:
    """The key of one purchase at its source; it reveals nothing about the return."""
    return hashlib.sha256(purchase_key(ret, postage.number, postage.authorization_id).encode()).hexdigest()


def _offered(blank: Postage, offer: PostageOffer, context: ShopContext) -> Postage:
    return Postage(
        authorization_id=blank.authorization_id,
        number=blank.number,
        sealed_offer=context.labels.box.seal(offer.body, OFFER),
        carrier_id=offer.carrier_id,
        carrier=offer.carrier,
        charge_cents=offer.charge_cents,
        label_format=offer.label_format,
        void=blank.void,
        source=blank.source,
        handle=offer.handle,
        service=offer.service,
        mode=offer.mode,
    )


def _taken(ret: Return, postage: Postage, context: ShopContext, now: float, *, sold: bool) -> Outcome:
    """The offer to buy. A parcel with a handle is written down first, because only such parcels are ever refunded.

    The day's spending is checked in the transaction that adds to it; what is `sold` already is spent.
    """
    if not postage.handle:
        return pe.PostageOffered(at=now, postage=postage)
    row = purchase_of(ret, postage, now)
    most = context.policy.max_spend_per_day_cents

    def decide(uow: UnitOfWork, _: Return) -> ev.Event:
        spent = uow.spent_since(ret.account, postage.source, now - now % DAY, but=postage.handle)
        if most is not None and not sold and spent + postage.charge_cents > most:
            problem = f"the day's spending on labels would exceed max_spend_per_day_cents ({most}); {spent} are spent"
            return ev.GaveUp(at=now, problem=problem, code=ProblemCode.SPENDING_LIMIT, hold=True)
        uow.keep_purchase(row)
        return pe.PostageOffered(at=now, postage=postage)

    return decide


def _not_offered(ret: Return, request: LabelRequest, offer: NotOffered, context: ShopContext, now: float) -> Outcome:
    if offer.passing and not past_deadline(ret, now):
        return NotYet(delay=RATED_AGAIN)
    context.metrics.trouble("service_not_offered")
    if not offer.held and request.source in context.policy.page_instead:
        return pe.LabelSourceChanged(at=now, request_id=request.request_id, source=LabelSourceName.RMA_PAGE)
    listed = ", ".join(offer.offered) or "nothing"
    problem = offer.why or f"Amazon does not offer the return service; it offers {listed}"
    return ev.GaveUp(at=now, problem=problem, code=offer.code, hold=True)


async def buy_postage(step: Step, context: ShopContext) -> Outcome:
    """Send the saved purchase.

    An unclear purchase is settled by sending it again with the same key; or, if the source ignores keys, by reading its
    result.
    """
    ret = step.ret
    postage = _postage(ret, step.duty.subject)
    try:
        source = _source(context, postage)
        body = context.labels.box.unseal(postage.sealed_offer, OFFER)
        if step.resumed and source.purchase_reader is not None:
            return await _settle(step, postage, source.purchase_reader, body, context)
        bought = await source.buy(body, _key(ret, postage))
    except Refused as error:
        if postage.void is Void.WANTED:
            return _unsettled(postage, context)
        if step.resumed:
            raise
        context.metrics.trouble("purchase_refused")
        problem = await problem_of(ret, error, context)
        return _purchase_refused(step.duty, postage, problem, context)
    now = context.clock.now()
    if isinstance(bought, OfferExpired):
        await _check_age(ret, context)
        return pe.OfferLapsed(
            at=now, postage=replace(postage, sealed_offer=b""), no_effect=None if step.resumed else step.duty
        )
    if ret.adopted_at is not None and await _voided_before(ret, bought.tracking_id, context):
        return pe.PostageSpent(at=now, postage=postage.renewed)
    return _bought(ret, postage, bought, context)


async def _voided_before(ret: Return, tracking_id: str, context: ShopContext) -> bool:
    """Whether the timeline says that the label was voided: its key finds it all the same."""
    marker = note_marker(ret, f"voided:{tracking_id}")
    return any(marker in note.text for note in await context.portal.notes(ret.return_id))


def _bought(ret: Return, postage: Postage, bought: BoughtPostage, context: ShopContext) -> Outcome:
    now = context.clock.now()
    postage = replace(
        postage,
        shipment_id=bought.shipment_id,
        tracking_id=bought.tracking_id,
        carrier_id=bought.carrier_id or postage.carrier_id,
        charge_cents=postage.charge_cents if bought.charge_cents is None else bought.charge_cents,
        sealed_offer=b"",
        printable=bought.document is not None and bool(bought.tracking_id),
        bought_at=now,
    )
    return _kept(ret, pe.PostageBought(at=now, postage=postage), bought.document, context)


async def _settle(
    step: Step, postage: Postage, purchases: PurchaseReader, body: bytes, context: ShopContext
) -> Outcome:
    """Read the result of an unclear purchase. Readings may lag behind the sale."""
    found = await purchases.look(body)
    if isinstance(found, BoughtPostage):
        return _bought(step.ret, postage, found, context)
    looks = step.ret.verifications
    if looks < len(LOOKED_AT_AFTER):
        return NotYet(delay=LOOKED_AT_AFTER[looks], verifications=looks + 1)
    if postage.void is Void.WANTED:
        return _unsettled(postage, context)
    return pe.NothingBought(at=context.clock.now(), postage=postage)


def _purchase_refused(duty: Duty, postage: Postage, problem: str, context: ShopContext) -> Outcome:
    """A refused parcel is not tried again unchanged: its data cannot be corrected any more.

    The merchant can fix the reason, so the shopper is not refused.
    """
    now, handle, code = context.clock.now(), postage.handle, ProblemCode.PURCHASE_REFUSED
    if not handle:
        return ev.GaveUp(at=now, problem=problem, code=code, hold=True, no_effect=duty)
    spoilt = replace(postage, sealed_offer=b"", handle="")

    def decide(uow: UnitOfWork, _: Return) -> ev.Event:
        uow.unspend(postage.source, handle)
        return ev.GaveUp(at=now, problem=problem, code=code, hold=True, no_effect=duty, postage=spoilt)

    return decide


async def _check_age(ret: Return, context: ShopContext) -> None:
    """Raise ContractBroken if a new offer is said to have expired: it would be replaced endlessly.

    Amazon's offers live for ten minutes.
    """
    history = await context.store.read(lambda uow: uow.history(ret.shop, ret.return_id))
    offered_at = max(row.at for row in history if row.event == pe.PostageOffered.__name__)
    if context.clock.now() - offered_at < FRESH:
        raise ContractBroken("purchaseShipment: a new offer is said to have expired")


async def fetch_label(step: Step, context: ShopContext) -> Outcome:
    """Read what the purchase did not return: the document, and the tracking id if there is one."""
    ret = step.ret
    now = context.clock.now()
    postage, bought = await _read_again(ret, _postage(ret, step.duty.subject), context)
    if bought.document is None:
        if past_deadline(ret, now):
            words = "the label's document was not made in time"
            return ev.GaveUp(at=now, problem=words, code=ProblemCode.DOCUMENT_LATE)
        return NotYet(delay=poll_delay(waited(ret, now, context.timings), context.timings))
    postage = replace(postage, printable=True)
    if postage.service:
        return await _looked_at(ret, postage, bought.document, bought.sender_code, context)
    return _kept(ret, pe.LabelFetched(at=now, postage=postage), bought.document, context)


async def _looked_at(ret: Return, postage: Postage, document: bytes, sender_code: str, context: ShopContext) -> Outcome:
    """Check that a label leads to the fulfillment center; if unclear, a person checks the first of its kind.

    That person sees the label as the shopper would get it.
    """
    authorization = _authorization(ret, postage.authorization_id)
    center = authorization.ship_to.postal_code if authorization.ship_to else ""
    seen = direction_of(await context.labels.read_text(document), center, sender_code)
    page = await context.labels.print_labels([slip_of(ret, authorization, document)], ret.order_name)
    link, store_page = context.labels.hosting.publish(page)
    sealed = context.labels.box.seal(document, BOUGHT_LABEL)
    now = context.clock.now()

    def decide(uow: UnitOfWork, _: Return) -> ev.Event:
        uow.keep_document(
            bought_label(ret, postage),
            sealed,
            now + context.labels.keep_for,
        )
        known = uow.mark(lane_mark(postage.service)) is not None
        if seen is Direction.SHOWN and not known:
            uow.set_mark(lane_mark(postage.service), seen.value)
        if seen is Direction.SHOWN or (seen is Direction.UNREADABLE and known):
            return pe.LabelFetched(at=now, postage=replace(postage, direction=Direction.SHOWN))
        uow.set_mark(proof_mark(ret.shop, ret.return_id), link)
        store_page(uow)
        elsewhere = seen is Direction.WRONG
        code = ProblemCode.LABEL_LEADS_ELSEWHERE if elsewhere else ProblemCode.LABEL_UNREADABLE
        doubtful = replace(postage, direction=seen)
        return ev.GaveUp(at=now, problem=_doubt(seen, center), code=code, hold=True, postage=doubtful)

    return decide


def _doubt(seen: Direction, center: str) -> str:
    wrong = f"the label does not lead to {center or 'the fulfillment center'}"
    doubt = wrong if seen is Direction.WRONG else "the label cannot be read"
    return f"{doubt}: look at it (mcfd show has its link), and send it with mcfd retry if it is right"


async def _read_again(ret: Return, postage: Postage, context: ShopContext) -> tuple[Postage, BoughtPostage]:
    reference = reference_of(ret, postage.authorization_id)
    bought = await _source(context, postage).document(postage.shipment_id, reference, postage.label_format)
    known = replace(
        postage,
        tracking_id=postage.tracking_id or bought.tracking_id,
        carrier_id=postage.carrier_id or bought.carrier_id,
    )
    return known, bought


async def renew_label(ret: Return, authorization_id: str, context: ShopContext) -> Outcome:
    """Fetch the document of a label again that is needed again but no longer kept.

    If the vendor does not have it either, the label is voided if possible, and another one is bought.
    """
    postage = _postage(ret, authorization_id)
    now = context.clock.now()
    with suppress(Refused):
        postage, bought = await _read_again(ret, postage, context)
        if bought.document is not None:
            return _kept(ret, pe.LabelFetched(at=now, postage=postage), bought.document, context)
    if postage.scanned_at is None:
        with suppress(Refused):
            await _source(context, postage).void(postage.shipment_id)
    return pe.PostageSpent(at=now, postage=postage.renewed)


def _kept(ret: Return, event: pe.PostageEvent, document: bytes | None, context: ShopContext) -> Outcome:
    """Store the document in the transaction that records it."""
    if document is None:
        return event
    sealed = context.labels.box.seal(document, BOUGHT_LABEL)
    expires_at = context.clock.now() + context.labels.keep_for

    def decide(uow: UnitOfWork, _: Return) -> ev.Event:
        uow.keep_document(
            bought_label(ret, event.postage),
            sealed,
            expires_at,
        )
        return event

    decision: Decision = decide
    return decision


async def void_postage(step: Step, context: ShopContext) -> Outcome:
    """Void a label, unless the carrier has scanned it."""
    postage = _postage(step.ret, step.duty.subject)
    try:
        postage = seen = await _tracked(step.ret, postage, context)
        if seen.scanned_at is not None or seen.delivered_at is not None or seen.lost_at is not None:
            kept = replace(seen, void=Void.KEPT)
            return pe.PostageKept(at=context.clock.now(), postage=kept, why="the parcel is on its way")
        await _withdraw(step.ret, postage, context)
        answer = await _source(context, postage).void(postage.shipment_id)
    except Refused as error:
        kept = replace(postage, void=Void.KEPT)
        why = await problem_of(step.ret, error, context)
        return pe.PostageKept(at=context.clock.now(), postage=kept, why=why)
    return _given_back(step.ret, postage, answer, context.clock.now())


def _given_back(ret: Return, postage: Postage, answer: VoidAnswer, now: float) -> Outcome:
    match answer:
        case VoidAnswer.NEEDLESS:
            why = "nothing is charged for a label that is not used"
        case VoidAnswer.REJECTED if (
            ret.verifications < REFUND_TRIES
        ):  # soon after the purchase, the answer may be wrong
            return NotYet(delay=REFUND_ASKED_AGAIN, verifications=ret.verifications + 1)
        case VoidAnswer.REJECTED:
            why = "the carrier rejected the refund"
        case _:
            done = replace(postage, void=Void.DONE, printable=False)
            return pe.PostageVoided(at=now, postage=done, pending=answer is VoidAnswer.PENDING)
    return pe.PostageKept(at=now, postage=replace(postage, void=Void.KEPT), why=why)


async def _withdraw(ret: Return, postage: Postage, context: ShopContext) -> None:
    """Delete the document first, so that nobody prints a voided label."""

    def work(uow: UnitOfWork) -> None:
        for label in dead_labels(ret, postage):
            context.labels.hosting.withdraw(uow, label.url)

    await context.store.transact(work)


async def track_parcels(step: Step, context: ShopContext) -> Outcome:
    """Ask the carrier about every travelling parcel. A carrier without an answer does not delay the inspection."""
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
    """Track one parcel as of the time of asking. A parcel without a tracking id may have one by now."""
    asked_at = context.clock.now()
    source = _source(context, postage)
    if not postage.tracking_id:
        with suppress(Refused):
            postage, _ = await _read_again(ret, postage, context)
    if not postage.tracking_id:
        return replace(postage, tracked_at=asked_at)
    reading = await source.track(postage.tracking_id, postage.carrier_id)
    if not reading.known:
        context.metrics.trouble("unknown_tracking_status")
    return tracked(postage, reading, asked_at)


def _source(context: ShopContext, postage: Postage) -> LabelSource:
    source = context.account.label_sources.get(postage.source)
    if source is None:
        raise Refused(NO_LABEL_SOURCE, f"a label was begun with {postage.source}, which is not configured any more")
    if postage.mode and source.mode != postage.mode:
        raise Refused(ANOTHER_KEY, f"the label was bought with a {postage.mode} key, and the key is another now")
    return source


def _postage(ret: Return, authorization_id: str) -> Postage:
    postage = postage_of(ret, authorization_id)
    assert postage is not None  # noqa: S101 - the duty was read off it
    return postage


def _authorization(ret: Return, authorization_id: str) -> ReturnAuthorization:
    return next(a for a in ret.authorizations if a.authorization_id == authorization_id)


def _request(ret: Return, authorization_id: str) -> LabelRequest:
    """The label request of the parcel: the newest of its units' requests, or of all if none of those is left."""
    asked = {u.request_id for u in ret.units if u.authorization_id == authorization_id}
    return next((r for r in reversed(ret.requests) if r.request_id in asked), ret.requests[-1])
