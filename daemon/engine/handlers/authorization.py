"""Turns a label request into units that Amazon expects back."""

import asyncio
from collections.abc import Callable, Sequence

from daemon.domain.allocation import adopt, judge_answer, not_returnable
from daemon.domain.candidates import doubt_words
from daemon.domain.copies import replace
from daemon.domain.events import returns as ev
from daemon.domain.inspection import authorization_found
from daemon.domain.matching import covers, list_units, reason_code, requested_lines
from daemon.domain.orders import FulfillmentOrder, ReturnAuthorization
from daemon.domain.portal import PortalLabelRequest, PortalReturn, PortalState, RequestStatus
from daemon.domain.problems import ProblemCode
from daemon.domain.returns import LabelRequest, RequestState, Return, ReturnUnit, UnitState
from daemon.domain.schedule import (
    foreign_label_delay,
    held_delay,
    label_pause,
    past_deadline,
    supposed_look,
    truly_waited,
    waited,
)
from daemon.engine.handlers.adoption import answered_before, doubts, older_proof, take_in_holders
from daemon.engine.handlers.complaints import problem_of, without_shopper
from daemon.engine.handlers.context import Decision, NotYet, Outcome, ShopContext, Step
from daemon.engine.handlers.orders import read_orders
from daemon.engine.handlers.placement import place
from daemon.engine.handlers.readings import read_label_request
from daemon.engine.handlers.search import OrderSearch
from daemon.engine.handlers.takeover import Freed, ask_holders, being_voided, freed_elsewhere, transfer
from daemon.errors import Refused
from daemon.ports.store import UnitOfWork
from daemon.ports.vendors import URGENCY, Lane

READ_BACK_AFTER = (5.0, 60.0)
"""Seconds before each verification of a create call that Amazon calls a repetition."""

AT_ONCE = 0.2
"""A look that is early by less is not put off again."""

COUNTRIES = {"US": "the United States"}
"""Names of countries for people; others are shown by their codes."""


async def read_request(step: Step, context: ShopContext) -> Outcome:
    """Read a label request and its return, and list the units that it covers.

    One that was read before is only checked for whether it still stands.
    """
    ret = step.ret
    now = context.clock.now()
    lane = Lane.BACKGROUND if ret.held else Lane.OPENING
    request, details = await asyncio.gather(
        read_label_request(step, step.duty.subject, context, lane),
        context.portal.details(ret.return_id, lane),
    )
    known = ret.request(step.duty.subject)
    made_here = known is None or known.made_here
    proof = await older_proof(ret, details, context)
    if proof is not None and (doubted := await doubts(ret, request, details, proof, context)):
        return doubted
    if other := (_already_over if made_here else _made_elsewhere)(ret, request, details, now, context):
        before = not made_here or ret.adopted_at is not None or proof is not None
        return (await answered_before(ret, request, context, foreign=not made_here) if before else None) or other
    if known is not None and known.asked is RequestState.OPEN:
        return ev.RequestStands(at=now, request_id=known.request_id)
    return _read(ret, request, details, now, context, older=proof is not None)


def _read(
    ret: Return, request: PortalLabelRequest, details: PortalReturn, now: float, context: ShopContext, *, older: bool
) -> Outcome:
    """The units that a new request covers, if it concerns us."""
    if why := context.policy.not_ours(ret.return_id, details.destination_id):
        return ev.NotOurs(at=now, request_id=request.request_id, why=why)
    if request.origin_country and request.origin_country not in context.policy.home_countries:
        return _from_abroad(request, context, now)
    lines = requested_lines(details, ret, request.request_id, request.skus)
    units = list_units(ret, details, request.request_id, lines, context.policy.sku_map)
    if not units:
        return _unread(ret, request.request_id, now, context)
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
        known_before=older,
    )


def _from_abroad(request: PortalLabelRequest, context: ShopContext, now: float) -> Outcome:
    where = " and ".join(COUNTRIES.get(code, code) for code in sorted(context.policy.home_countries))
    why = f"the parcel starts in {request.origin_country}; Amazon takes returns from {where} only"
    code = ProblemCode.PARCEL_FROM_ABROAD
    return ev.Unmatched(at=now, request_id=request.request_id, why=why, code=code, hold=False)


def _already_over(
    ret: Return, request: PortalLabelRequest, details: PortalReturn, now: float, _context: ShopContext
) -> ev.Event | None:
    if request.status is RequestStatus.CANCELLED:
        return ev.LabelRequestCancelled(at=now, request_id=request.request_id)
    if request.status is RequestStatus.FULFILLED:
        return ev.NotOurs(at=now, request_id=request.request_id, why="somebody else delivered a label")
    if details.state is PortalState.CANCELLED:
        return ev.LabelRequestCancelled(at=now)
    lapsed = details.state is PortalState.EXPIRED and not ret.label_out  # the shopper has sent nothing
    return ev.ClosedInPortal(at=now) if details.settled or lapsed else None


def _made_elsewhere(
    ret: Return, request: PortalLabelRequest, details: PortalReturn, now: float, context: ShopContext
) -> Outcome:
    """Wait for a label that somebody else makes; once it is out, the return is taken over."""
    if why := context.policy.not_ours(ret.return_id, details.destination_id):
        return ev.NotOurs(at=now, request_id=request.request_id, why=why)
    if request.status is not RequestStatus.FULFILLED:
        over = _already_over(ret, request, details, now, context)
        return over or NotYet(delay=foreign_label_delay(ret, now, context.timings))
    return ev.NotOurs(at=now, request_id=request.request_id, why="somebody else delivered a label")


def _unread(ret: Return, request_id: str, now: float, context: ShopContext) -> Outcome:
    """The request stays unread while the return's details lag behind it."""
    if not past_deadline(ret, now):
        return NotYet(delay=_soon(context))
    why = "the label request names no line of the return"
    code, hold = ProblemCode.REQUEST_WITHOUT_LINES, context.policy.hold_unmatched
    return ev.Unmatched(at=now, request_id=request_id, why=why, code=code, hold=hold)


def _unmatched(ret: Return, request_id: str, search: OrderSearch, asked_at: float, context: ShopContext) -> Outcome:
    """Keep trying until the deadline; then refuse, or hold the request, since it may belong to another provider.

    A request is held if a person can settle it. If it would block other requests of the return that are ours, it is
    left alone instead.
    """
    if not past_deadline(ret, asked_at):
        return NotYet(delay=_soon(context))
    hold = context.policy.hold_unmatched or bool(search.doubtful)
    if hold and any(u.order_id and u.request_id not in {"", request_id} for u in ret.units):
        return ev.NotOurs(at=asked_at, request_id=request_id, why=search.why_not)
    if ret.held:
        return NotYet(delay=held_delay(ret, asked_at, context.timings))
    code = ProblemCode.ORDER_DOUBTFUL if search.doubtful else ProblemCode.ORDER_NOT_FOUND
    return ev.Unmatched(at=asked_at, request_id=request_id, why=search.why_not, code=code, hold=hold)


def _soon(context: ShopContext) -> float:
    return min(300.0, max(1.0, context.timings.unmatched_deadline / 12))


async def match_order(step: Step, context: ShopContext) -> Outcome:
    """Find the fulfillment orders that hold the units, and give each unit its place in a shipment.

    A label request without an order does not block the others. It is given up only after readings of the named orders
    and of the index that began after the deadline.
    """
    ret = step.ret
    now = context.clock.now()
    wanted = _unassigned(ret)
    over = past_deadline(ret, now)
    search = OrderSearch(ret, wanted, context, Lane.BACKGROUND if ret.held else Lane.SHOPPER)
    await search.run()
    units = _held(wanted, search.orders)
    if not search.homed and (over or units):
        since = (ret.deadline_at or now) - (0.0 if over else context.timings.unmatched_deadline)
        if not await context.account.order_index.read_since(since, ret):
            return NotYet(delay=_soon(context))
    if not units:
        return _unmatched(ret, wanted[0].request_id, search, now, context)
    codes = {}
    for unit in units:
        allowed = await context.account.reasons.allowed(unit.sku)
        codes[unit.key] = reason_code(unit, context.policy.reasons, context.policy.default_reason, allowed)
    units = tuple(replace(u, reason_code=codes[u.key]) for u in units)
    freed: Freed = {}
    if not search.homed:
        await take_in_holders(ret, search.orders, context)
        freed = await freed_elsewhere(ret, units, [order.order_id for order in search.orders], context)
    return _assign(units, search, freed, now, context)


def _held(units: tuple[ReturnUnit, ...], orders: Sequence[FulfillmentOrder]) -> tuple[ReturnUnit, ...]:
    """The units of the label requests whose SKUs are all in the orders."""
    lacking = {u.request_id for u in units if not covers(orders, [u])}
    return tuple(u for u in units if u.request_id not in lacking)


def _unassigned(ret: Return) -> tuple[ReturnUnit, ...]:
    asking = {r.request_id for r in ret.open_requests()}
    return tuple(
        u for u in ret.units if u.standing is UnitState.PLANNED and not u.return_item_id and u.request_id in asking
    )


def _assign(
    units: tuple[ReturnUnit, ...], search: OrderSearch, freed: Freed, now: float, context: ShopContext
) -> Decision:
    """Allocate in the transaction that saves the result, because it depends on other returns' places.

    Wait while a label of a transferred unit is being voided: only then is it known which labels come along.
    """
    orders = search.orders
    lacking = "no shipped unit of it is left to return"
    if search.doubtful:
        lacking += "; " + doubt_words(order.order_id for order in search.doubtful)

    def decide(uow: UnitOfWork, ret: Return) -> ev.Event | NotYet:
        asking = {unit.key for unit in _unassigned(ret)}  # a request may have been withdrawn meanwhile
        found = place(uow, ret, [unit for unit in units if unit.key in asking], orders, freed)
        if any(being_voided(*pair) for pair in found.transferred) and not past_deadline(ret, now):
            return NotYet(delay=context.timings.label_poll_max)
        waiting = search.doubtful or any(order.still_shipping for order in orders)
        if found.homeless and waiting and not past_deadline(ret, now):
            return NotYet(delay=_soon(context))
        order_ids = [order.order_id for order in orders]
        if found.homeless and not ret.verifications and ask_holders(uow, ret, found.homeless, order_ids, now):
            return NotYet(delay=context.timings.label_poll_max, verifications=1)
        postage = transfer(uow, ret, found.transferred, now, context)
        lost = not_returnable(found.homeless, lacking)
        taken = {unit.return_item_id for _, unit in found.transferred}
        before = any(u.standing is UnitState.AUTHORIZED and u.return_item_id not in taken for u in found.placed)
        return ev.OrderMatched(at=now, units=(*found.placed, *lost), postage=postage, known_before=before)

    return decide


async def authorize_units(step: Step, context: ShopContext) -> Outcome:
    """Create the return in Amazon. An earlier unclear call is verified first; then only the rest is asked again."""
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
    """Save clear answers at once; units that Amazon calls repeated are verified, then count as refused."""
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
    """Check whether Amazon has created the authorization, unless it cannot be there yet.

    The wait in `age` leaves out what was forgiven, so the time since the last look is taken from the monotonic clock.
    While the shop is paused the wait begins anew at each step: such looks tell nothing, and none is put off.
    """
    ret, learned, readings, paused = step.ret, context.account.learned, step.readings, context.paused()
    now = context.clock.now()  # a deadline that passes during this reading is judged by the next one
    began, age = context.clock.monotonic(), waited(ret, now, context.timings)
    if age >= 0 and readings.no_label_at is None and learned.label_times.known and not paused:
        early = label_pause(0.0, learned.label_times, context.timings) - age
        if early > AT_ONCE:
            return NotYet(delay=early, asked=False)
    age = max(0.0, age)  # less after an outage that ended sooner than was forgiven, or after a wrong clock
    if readings.no_label_at is None:
        looked_at, supposed = 0.0, supposed_look(age, context.timings)
    else:
        looked_at = supposed = age - (began - readings.no_label_at)
    orders, queued = await _read_in_turn(ret, context, lambda wait: learned.label_times.urgency(supposed, age + wait))
    found = authorization_found(ret, orders, now)
    readings.no_label_at = context.clock.monotonic()
    seen_at = age + readings.no_label_at - began
    if not paused:
        learned.label_times = learned.label_times.looked(looked_at, age + queued, readings.no_label_at)
    if found is not None:
        if not paused and truly_waited(age, await _created_at(ret, context), now):
            learned.label_times = learned.label_times.learnt(looked_at, seen_at)
        return found
    if past_deadline(ret, now):
        problem = "Amazon has not made a return authorization in time"
        return ev.GaveUp(at=now, problem=problem, code=ProblemCode.AUTHORIZATION_LATE)
    pause = label_pause(seen_at, learned.label_times, context.timings)
    return NotYet(delay=context.timings.label_poll_max if paused else pause)


async def _read_in_turn(
    ret: Return, context: ShopContext, urgency: Callable[[float], float]
) -> tuple[Sequence[FulfillmentOrder], float]:
    """Read the orders, as urgent as this is after so long a wait for the turn; also how long that wait was."""
    began, waiting = context.clock.monotonic(), 0.0

    def by_now() -> float:
        """Asked while this look waits for its turn, for the last time when it gets it."""
        nonlocal waiting
        waiting = context.clock.monotonic() - began
        return urgency(waiting)

    token = URGENCY.set(by_now)
    try:
        return await read_orders(ret, context, Lane.OPENING), waiting
    finally:
        URGENCY.reset(token)


async def _created_at(ret: Return, context: ShopContext) -> float | None:
    """When Amazon last accepted units of the return, by its history."""
    history = await context.store.read(lambda uow: uow.history(ret.shop, ret.return_id))
    return max((row.at for row in history if row.event == ev.UnitsAuthorized.__name__), default=None)
