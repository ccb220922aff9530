"""A label request becomes units that Amazon expects back."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from daemon.domain.allocation import adopt, allocate, judge_answer, not_returnable, take_over
from daemon.domain.events import returns as ev
from daemon.domain.inspection import authorization_found
from daemon.domain.matching import (
    OrderFacts,
    candidates,
    covers,
    list_units,
    reason_code,
    requested_lines,
    useful,
)
from daemon.domain.orders import FulfillmentOrder, ReturnAuthorization
from daemon.domain.portal import PortalLabelRequest, PortalReturn, PortalState, RequestStatus
from daemon.domain.returns import LabelRequest, RequestState, Return, ReturnUnit, UnitState
from daemon.domain.schedule import held_delay, past_deadline, poll_delay, waited
from daemon.engine.handlers.complaints import problem_of, without_shopper
from daemon.engine.handlers.context import Decision, NotYet, Outcome, ShopContext, Step
from daemon.engine.handlers.orders import read_orders
from daemon.engine.handlers.takeover import ask_holders, being_voided, taken_over, transfer
from daemon.errors import Refused
from daemon.ports.store import UnitOfWork
from daemon.ports.vendors import Lane

READ_BACK_AFTER = (5.0, 60.0)
"""Seconds before each reading back of a create call that Amazon says was made before."""

YOUNG = 10.0
"""Seconds for which a shopper's wait for Amazon's authorization goes before those who wait longer already."""

HOME = frozenset({"", "US"})


async def read_request(step: Step, context: ShopContext) -> Outcome:
    """Read the truth behind a label request and list the units that it covers.

    One that was read before is only read for whether it still stands.
    """
    ret = step.ret
    now = context.clock.now()
    lane = Lane.BACKGROUND if ret.held else Lane.OPENING
    request, details = await asyncio.gather(
        context.portal.label_request(step.duty.subject, lane),
        context.portal.details(ret.return_id, lane),
    )
    if over := _already_over(ret, request, details, now):
        return over
    known = ret.request(step.duty.subject)
    if known is not None and known.asked is RequestState.OPEN:
        return ev.RequestStands(at=now, request_id=known.request_id)
    if why := context.policy.not_ours(ret.return_id, details.destination_id):
        return ev.NotOurs(at=now, request_id=request.request_id, why=why)
    if request.origin_country not in HOME:
        why = f"the parcel starts in {request.origin_country}; Amazon takes returns from the United States only"
        return ev.Unmatched(at=now, request_id=request.request_id, why=why, hold=False)
    lines = requested_lines(details, ret, request.request_id, request.skus)
    units = list_units(ret, details, request.request_id, lines, context.policy.sku_map)
    if not units:
        return _unmatched(ret, request.request_id, "the label request names no line of the return", now, context)
    return ev.RequestRead(
        at=now,
        request=LabelRequest(
            request_id=request.request_id, asked=RequestState.OPEN, source=context.policy.label_source
        ),
        units=units,
        order_name=details.order_name,
        order_number=details.order_number,
        provider_order_id=details.provider_order_id,
        submitted_at=details.submitted_at,
        has_exchange=details.has_exchange,
    )


def _already_over(ret: Return, request: PortalLabelRequest, details: PortalReturn, now: float) -> ev.Event | None:
    if request.status is RequestStatus.CANCELLED:
        return ev.LabelRequestCancelled(at=now, request_id=request.request_id)
    if request.status is RequestStatus.FULFILLED:
        return ev.NotOurs(at=now, request_id=request.request_id, why="somebody else delivered a label")
    if details.state is PortalState.CANCELLED:
        return ev.LabelRequestCancelled(at=now)
    lapsed = details.state is PortalState.EXPIRED and not ret.label_out  # the shopper has sent nothing
    return ev.ClosedInPortal(at=now) if details.settled or lapsed else None


def _unmatched(ret: Return, request_id: str, why: str, asked_at: float, context: ShopContext) -> Outcome:
    """Keep trying until the deadline; then refuse, or hold: the request may belong to another provider.

    It must not hold up the other requests of the return that are ours; then it is left alone.
    """
    if not past_deadline(ret, asked_at):
        return NotYet(delay=_soon(context))
    if context.policy.hold_unmatched and any(u.order_id and u.request_id not in {"", request_id} for u in ret.units):
        return ev.NotOurs(at=asked_at, request_id=request_id, why=why)
    if ret.held:
        return NotYet(delay=held_delay(ret, asked_at, context.timings))
    return ev.Unmatched(at=asked_at, request_id=request_id, why=why, hold=context.policy.hold_unmatched)


def _soon(context: ShopContext) -> float:
    return min(300.0, max(1.0, context.timings.unmatched_deadline / 12))


async def match_order(step: Step, context: ShopContext) -> Outcome:
    """Find the fulfillment orders that hold the units, and give each unit its place in a shipment.

    A label request whose units nobody holds does not keep the others from theirs.
    """
    ret = step.ret
    now = context.clock.now()
    wanted = _unassigned(ret)
    orders, tried = await _search(ret, wanted, context)
    units = _held(wanted, orders)
    if not units:
        why = "no fulfillment order holds the units; tried " + (", ".join(tried) or "nothing")
        return _unmatched(ret, wanted[0].request_id, why, now, context)
    codes = {}
    for unit in units:
        allowed = await context.account.reasons.allowed(unit.sku)
        codes[unit.key] = reason_code(unit, context.policy.reasons, context.policy.default_reason, allowed)
    units = tuple(replace(u, reason_code=codes[u.key]) for u in units)
    return _assign(units, orders, now, context)


def _held(units: tuple[ReturnUnit, ...], orders: Sequence[FulfillmentOrder]) -> tuple[ReturnUnit, ...]:
    """The units of those label requests whose every SKU the orders know."""
    lacking = {u.request_id for u in units if not covers(orders, [u])}
    return tuple(u for u in units if u.request_id not in lacking)


def _unassigned(ret: Return) -> tuple[ReturnUnit, ...]:
    asking = {r.request_id for r in ret.open_requests()}
    return tuple(
        u for u in ret.units if u.standing is UnitState.PLANNED and not u.return_item_id and u.request_id in asking
    )


async def _search(
    ret: Return, units: tuple[ReturnUnit, ...], context: ShopContext
) -> tuple[list[FulfillmentOrder], list[str]]:
    """Read candidates until they hold the units; the index of all orders is asked last."""
    orders: list[FulfillmentOrder] = []
    tried: list[str] = []
    lane = Lane.BACKGROUND if ret.held else Lane.SHOPPER
    for order_id in await named_orders(ret, context):
        if await _try(order_id, orders, tried, units, context, lane=lane):
            return orders, tried
    for order_id in await indexed_orders(ret, context):
        if order_id not in tried and await _try(order_id, orders, tried, units, context, lane=lane):
            break
    return orders, tried


async def named_orders(ret: Return, context: ShopContext) -> tuple[str, ...]:
    """Ids to try: what an operator linked, what was found for the return before, what the shop's templates make."""
    linked = await context.store.read(lambda uow: uow.mark(link_mark(ret.shop, ret.return_id)))
    facts = OrderFacts(
        provider_order_id=ret.provider_order_id,
        order_name=ret.order_name,
        order_number=ret.order_number,
        prefix=context.policy.order_id_prefix,
    )
    named = candidates(context.policy.order_id_templates, facts)
    return tuple(dict.fromkeys(i for i in (*(linked or "").split("\n"), *ret.order_ids(), *named) if i))


def named_as_asked(order: FulfillmentOrder, order_id: str) -> bool:
    """Amazon reads `+` in a path as a blank, and may so answer with another order.

    https://github.com/amzn/selling-partner-api-models/issues/5374
    """
    return order.order_id.casefold() == order_id.casefold()


async def indexed_orders(ret: Return, context: ShopContext) -> tuple[str, ...]:
    """Ids of the orders that the shopper knows by a name of this one, from the shared index."""
    await context.account.order_index.refresh()
    names = {name for name in (ret.order_name, ret.order_name.lstrip("#"), ret.provider_order_id) if name}
    heads = await context.store.read(lambda uow: [h for name in names for h in uow.orders_named(ret.account, name)])
    return tuple(sorted({head.order_id for head in heads if head.displayable_order_id in names}))


def link_mark(shop: str, return_id: str) -> str:
    """Where an operator's link of a return to fulfillment orders is remembered."""
    return f"link/{shop}/{return_id}"


async def _try(
    order_id: str,
    orders: list[FulfillmentOrder],
    tried: list[str],
    units: tuple[ReturnUnit, ...],
    context: ShopContext,
    *,
    lane: Lane,
) -> bool:
    """Read one candidate; True when the orders found so far cover all units. A refused id is an answer, too."""
    tried.append(order_id)
    try:
        order = await context.account.network.order(order_id, lane)
    except Refused:
        return False
    if order is None or not named_as_asked(order, order_id) or not useful(order, units):
        return False
    orders.append(order)
    return covers(orders, units)


def _assign(
    units: tuple[ReturnUnit, ...], orders: list[FulfillmentOrder], now: float, context: ShopContext
) -> Decision:
    """Allocation reads what other returns were promised, so it is made in the transaction that saves it.

    The labels that come with units of cancelled returns are known only when those are done with giving them back.
    """

    def decide(uow: UnitOfWork, ret: Return) -> ev.Event | NotYet:
        order_ids = [order.order_id for order in orders]
        asked, borrowed = take_over(units, orders, taken_over(uow, ret, order_ids))
        if any(being_voided(*lent) for lent in borrowed) and not past_deadline(ret, now):
            return NotYet(delay=context.timings.label_poll_max)
        promised = uow.promised(ret, order_ids)
        placed = (
            *(u for u in asked if u.return_item_id),
            *allocate(ret, [u for u in asked if not u.return_item_id], orders, promised),
        )
        homeless = [u for u in placed if not u.return_item_id]
        if homeless and any(order.still_shipping for order in orders) and not past_deadline(ret, now):
            return NotYet(delay=_soon(context))
        if homeless and not ret.verifications and ask_holders(uow, ret, homeless, order_ids, now):
            return NotYet(delay=context.timings.label_poll_max, verifications=1)
        postage = transfer(uow, ret, borrowed, now, context)
        lost = not_returnable(homeless, "no shipped unit of it is left to return")
        return ev.OrderMatched(at=now, units=(*(u for u in placed if u.return_item_id), *lost), postage=postage)

    return decide


async def authorize_units(step: Step, context: ShopContext) -> Outcome:
    """Create the return in Amazon. An earlier call of unknown end is read back first; only the rest is asked again."""
    ret = step.ret
    order_id, verifications = step.duty.subject, ret.verifications if step.resumed else 0
    units = tuple(u for u in ret.units if u.order_id == order_id and u.standing is UnitState.PLANNED and _asked(ret, u))
    async with context.account.order_locks.of(order_id):
        adopted: tuple[ReturnUnit, ...] = ()
        authorizations: tuple[ReturnAuthorization, ...] = ()
        if step.resumed:
            order = await context.account.network.order(order_id, Lane.SHOPPER)
            if order is not None:
                adopted, authorizations = adopt(units, order.return_items), order.authorizations
        rest = tuple(u for u in units if u.key not in {a.key for a in adopted})
        accepted, doubtful = adopted, rest
        refused: tuple[ReturnUnit, ...] = ()
        if rest and not verifications:
            try:
                answer = await context.account.network.create_return(order_id, rest)
            except Refused as error:
                problem = await problem_of(ret, error, context)
                if not step.resumed:
                    return ev.UnitsRefused(at=context.clock.now(), units=not_returnable(rest, problem))
                doubtful = tuple(replace(u, problem=problem) for u in rest)
            else:
                answer = await without_shopper(ret, answer, context)
                new, refused, doubtful = judge_answer(rest, answer, asked_before=step.resumed)
                accepted, authorizations = (*adopted, *new), (*authorizations, *answer.authorizations)
    return _authorization((accepted, refused, doubtful), verifications, authorizations, context.clock.now())


def _asked(ret: Return, unit: ReturnUnit) -> bool:
    request = ret.request(unit.request_id)
    return request is not None and request.asked is RequestState.OPEN


def _authorization(
    judged: tuple[tuple[ReturnUnit, ...], tuple[ReturnUnit, ...], tuple[ReturnUnit, ...]],
    verifications: int,
    authorizations: tuple[ReturnAuthorization, ...],
    now: float,
) -> Outcome:
    """What is clear is saved at once; what Amazon says it was asked before is read back, then counts as refused."""
    accepted, refused, doubtful = judged
    ours = {u.authorization_id for u in accepted}
    authorizations = tuple(a for a in authorizations if a.authorization_id in ours)
    if doubtful and verifications >= len(READ_BACK_AFTER):
        refused, doubtful = (*refused, *not_returnable(doubtful, _doubt(doubtful))), ()
    left = max(1, verifications) if doubtful else 0
    if accepted:
        units = (*accepted, *refused)
        return ev.UnitsAuthorized(at=now, units=units, authorizations=authorizations, verifications=left)
    if refused:
        return ev.UnitsRefused(at=now, units=refused, verifications=left)
    return NotYet(delay=READ_BACK_AFTER[verifications], verifications=verifications + 1)


def _doubt(units: tuple[ReturnUnit, ...]) -> str:
    return units[0].problem or "Amazon says the unit was asked for before, but does not list it"


async def look_for_authorization(step: Step, context: ShopContext) -> Outcome:
    """See whether Amazon has made the authorization by now."""
    ret = step.ret
    now = context.clock.now()  # a deadline that passes while Amazon is read is decided by the next reading
    lane = Lane.SHOPPER if waited(ret, now, context.timings) < YOUNG else Lane.OPENING
    found = authorization_found(ret, await read_orders(ret, context, lane), now)
    if found is not None:
        return found
    if past_deadline(ret, now):
        return ev.GaveUp(at=now, problem="Amazon has not made a return authorization in time")
    return NotYet(delay=poll_delay(waited(ret, now, context.timings), context.timings))
