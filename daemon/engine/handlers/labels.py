"""Delivers labels for authorized units, or reports why there is none."""

from collections.abc import Sequence

from daemon.domain.copies import replace
from daemon.domain.direction import Direction
from daemon.domain.duties import delivery_unclear
from daemon.domain.events import returns as ev
from daemon.domain.orders import ReturnAuthorization
from daemon.domain.portal import PortalLabelRequest, RequestStatus
from daemon.domain.postage import postage_of, slip_of
from daemon.domain.returns import Label, Return, UnitState
from daemon.domain.wording import COULD_NOT_LABEL
from daemon.engine.handlers.adoption import answered_before
from daemon.engine.handlers.context import NotYet, Outcome, ShopContext, Step
from daemon.engine.handlers.postage import overtaken, renew_label
from daemon.engine.handlers.readings import recent_label_request
from daemon.errors import Refused
from daemon.ports.names import bought_label, lane_mark
from daemon.ports.sealed import BOUGHT_LABEL
from daemon.ports.store import UnitOfWork
from daemon.ports.vendors import Lane

ERROR_LIMIT = 255
ARRIVES_WITHIN = 5.0
"""Seconds after which the portal shows the effect of a call whose answer was lost."""


async def issue_label(step: Step, context: ShopContext) -> Outcome:
    """Make the label of one label request: Amazon's own page, or a document of ours with every parcel in it."""
    ret = step.ret
    request = ret.request(step.duty.subject)
    assert request is not None  # noqa: S101 - the step.duty was read off this request
    parcels = _parcels(ret, step.duty.subject)
    now = context.clock.now()
    bought = request.source.buys_postage
    if len(parcels) == 1 and not bought:
        return ev.LabelIssued(at=now, request_id=step.duty.subject, label=context.policy.page_label(parcels[0]))
    slips = []
    for authorization in parcels:
        document = await _document(ret, authorization, context) if bought else None
        if bought and document is None:
            return await renew_label(ret, authorization.authorization_id, context)
        slips.append(slip_of(ret, authorization, document))
    url, store_document = context.labels.hosting.publish(await context.labels.print_labels(slips, ret.order_name))
    label = replace(_label_of(ret, parcels, context, bought=bought), url=url)
    ours = {parcel.authorization_id for parcel in parcels}
    accepted = {
        p.service for p in ret.postage if p.authorization_id in ours and p.direction is Direction.ACCEPTED and p.service
    }

    def decide(uow: UnitOfWork, _: Return) -> ev.Event:
        store_document(uow)
        for lane in accepted:  # no person needs to check the next label of that service
            uow.set_mark(lane_mark(lane), Direction.ACCEPTED.value)
        return ev.LabelIssued(at=now, request_id=step.duty.subject, label=label)

    return decide


def _parcels(ret: Return, request_id: str) -> list[ReturnAuthorization]:
    """The authorizations of a request, in the order of its units."""
    units = [u for u in ret.units_of(request_id) if u.standing is UnitState.AUTHORIZED]
    known = {a.authorization_id: a for a in ret.authorizations}
    return [known[authorization_id] for authorization_id in dict.fromkeys(u.authorization_id for u in units)]


async def _document(ret: Return, authorization: ReturnAuthorization, context: ShopContext) -> bytes | None:
    """The bought label; None if it is no longer kept."""
    postage = postage_of(ret, authorization.authorization_id)
    name = bought_label(ret, postage) if postage else ""
    sealed = await context.store.read(lambda uow: uow.document(name))
    return context.labels.box.unseal(sealed, BOUGHT_LABEL) if sealed else None


def _label_of(ret: Return, parcels: Sequence[ReturnAuthorization], context: ShopContext, *, bought: bool) -> Label:
    """The label for the portal, with the first parcel's tracking number and the price of all parcels."""
    first = parcels[0]
    page = context.policy.page_label(first)
    postage = postage_of(ret, first.authorization_id)
    if not bought or postage is None:
        return page
    ours = {parcel.authorization_id for parcel in parcels}
    charge = sum(p.charge_cents for p in ret.postage if p.authorization_id in ours)
    return replace(
        page, carrier=postage.carrier, tracking_number=postage.tracking_id or first.rma_id, rate_cents=charge
    )


async def deliver_label(step: Step, context: ShopContext) -> Outcome:
    """Post the label, unless the portal already has it or no longer wants it.

    If the request is fulfilled after a call of ours whose answer was lost, the shopper has our label, even if the
    portal shows another address or nothing yet. So the label must not be voided.
    """
    ret = step.ret
    request_id = step.duty.subject
    label = replace(_label(ret, request_id), url=context.labels.hosting.reveal(_label(ret, request_id).url))
    current = await recent_label_request(step, request_id, context)
    if ret.adopted_at is not None and (adopted := await answered_before(ret, current, context)):
        return adopted
    if await _there_already(ret, current, label.url, context, step.resumed):
        return _delivered_before(request_id, context)
    if over := overtaken(current, context.clock.now()):
        return over
    if step.resumed and not ret.verifications:
        return NotYet(delay=ARRIVES_WITHIN, verifications=1)
    return await _post(step, label, context)


async def _post(step: Step, label: Label, context: ShopContext) -> Outcome:
    """Post the label. If it is refused, an earlier call, or somebody else's, may have arrived just before this one."""
    request_id = step.duty.subject
    try:
        label_id = await context.portal.deliver_label(request_id, label)
    except Refused:
        after = await context.portal.label_request(request_id, Lane.SHOPPER)
        if step.resumed and after.status is RequestStatus.FULFILLED:
            return _delivered_before(request_id, context)
        if over := overtaken(after, context.clock.now()):
            return over
        raise
    context.metrics.label_delivered(max(0.0, context.clock.now() - step.ret.created_at))
    return ev.LabelDelivered(at=context.clock.now(), request_id=request_id, label_id=label_id)


async def _there_already(
    ret: Return, current: PortalLabelRequest, url: str, context: ShopContext, resumed: bool
) -> bool:
    fulfilled = current.status is RequestStatus.FULFILLED
    if current.status is RequestStatus.CANCELLED or not (resumed or fulfilled):
        return False
    if resumed and fulfilled:
        return True
    details = await context.portal.details(ret.return_id, Lane.SHOPPER)
    return url in details.label_urls and (fulfilled or not _shared(ret, current.request_id))


def _delivered_before(request_id: str, context: ShopContext) -> ev.LabelDelivered:
    """The event for a label delivered by a call whose answer, and with it the label's id, was lost."""
    context.metrics.trouble("label_id_lost")
    return ev.LabelDelivered(at=context.clock.now(), request_id=request_id, label_id=None)


def _shared(ret: Return, request_id: str) -> bool:
    """Whether another request has the same label: one page of Amazon serves all units of an authorization."""
    url = _label(ret, request_id).url
    return any(r.request_id != request_id and r.label is not None and r.label.url == url for r in ret.requests)


def _label(ret: Return, request_id: str) -> Label:
    request = ret.request(request_id)
    assert request is not None  # noqa: S101 - the duty was read off this request
    assert request.label is not None  # noqa: S101 - no delivery is owed without a label
    return request.label


async def report_refusal(step: Step, context: ShopContext) -> Outcome:
    """Post a label request error once: first read the errors posted so far."""
    request_id = step.duty.subject
    current = await context.portal.label_request(request_id, Lane.SHOPPER)
    now = context.clock.now()
    if step.ret.adopted_at is not None and (adopted := await answered_before(step.ret, current, context)):
        return adopted
    if current.status is RequestStatus.FULFILLED and _given(step.ret, request_id):
        return _delivered_before(request_id, context)
    if over := overtaken(current, now):
        return over
    message = refusal_words(step.ret, request_id)
    if message not in current.errors:
        await context.portal.report_refusal(request_id, message)
    return ev.RefusalReported(at=now, request_id=request_id)


def _given(ret: Return, request_id: str) -> bool:
    """Whether the shopper may have our label from a call whose answer was lost."""
    request = ret.request(request_id)
    return request is not None and delivery_unclear(ret, request)


def refusal_words(ret: Return, request_id: str) -> str:
    """Why there is no label, in words for the merchant."""
    problems = dict.fromkeys(u.problem for u in ret.units_of(request_id) if u.problem)
    why = "; ".join(problems) or ret.problem or "Amazon does not take these items back"
    words = f"{COULD_NOT_LABEL}{why}"
    return words if len(words) <= ERROR_LIMIT else words[: ERROR_LIMIT - 1] + "…"
