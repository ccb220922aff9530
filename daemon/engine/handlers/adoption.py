"""Reads what the vendors know of a return whose past the store does not know, and takes the return over."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from daemon.domain import adoption as rules
from daemon.domain.adoption import OrderFacts, PortalFacts, SoldParcel
from daemon.domain.copies import replace
from daemon.domain.durations import DAY
from daemon.domain.events import returns as ev
from daemon.domain.lifecycle import apply
from daemon.domain.naming import holder_of, told_apart
from daemon.domain.orders import FulfillmentOrder
from daemon.domain.portal import PortalLabelRequest, PortalReturn, PortalState, RequestStatus, list_windows
from daemon.domain.postage import postage_of, slip_of
from daemon.domain.provenance import Proof
from daemon.domain.returns import LabelRequest, LabelSourceName, Return, ReturnUnit, State
from daemon.domain.schedule import plan, wake_at
from daemon.engine.clock_check import PORTAL
from daemon.engine.handlers.context import Decision, NotYet, ShopContext
from daemon.engine.handlers.orders import others_on
from daemon.engine.handlers.purchases import earlier_purchase
from daemon.engine.handlers.search import OrderSearch
from daemon.engine.handlers.traces import bears_traces
from daemon.errors import ListCut, Refused, StaleReturn, Transient
from daemon.ports.names import proof_of
from daemon.ports.store import UnitOfWork
from daemon.ports.vendors import LabelSource, Lane

ORDERS_KEPT = 180 * DAY
"""How far back other returns of an order are looked for when Amazon does not tell when it came."""


class Kind(StrEnum):
    """What may come of looking at a return that the store does not know."""

    ADOPTED = "adopted"
    KNOWN = "known"
    NOT_OURS = "not_ours"
    AMBIGUOUS = "ambiguous"
    NOTHING_YET = "nothing_yet"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a look at a return has found. `keep` stores what belongs to it, in the transaction that saves the event.

    `ours` says that mcfd has worked on it before.
    """

    kind: Kind
    ours: bool = False
    why: str = ""
    event: ev.Adopted | None = None
    keep: Callable[[UnitOfWork, Return], None] = lambda _uow, _ret: None


async def look(ret: Return, context: ShopContext, *, by: str = "", dry: bool = False) -> Found:
    """Read everything, and say what the return has become; `dry` reads no documents. Changes nothing.

    Raises as the vendors' ports do.
    """
    portal = await _of_ours(ret, context)
    if isinstance(portal, Found):
        return portal
    known = _revealed(ret, context)
    listed = rules.listed(known, portal, context.policy.sku_map)
    try:
        orders = await _order_facts(listed, portal, context)
        placed = rules.placed(listed, orders, portal)
    except rules.Doubtful as doubt:
        return Found(kind=Kind.AMBIGUOUS, why=str(doubt))
    if not placed.requests and not placed.units:
        return Found(kind=Kind.NOTHING_YET, why="no label was asked for")
    sold = await _sold(placed, portal, context)
    now = context.clock.now()
    become = rules.become(placed, portal, orders, sold, now)
    if dry:
        return Found(kind=Kind.ADOPTED, event=ev.Adopted(at=now, found=become, by=by))
    sealed, keep_documents = await _hosted(become, context)
    event = ev.Adopted(at=now, found=sealed, by=by)

    def keep(uow: UnitOfWork, stored: Return) -> None:
        keep_documents(uow)
        _write_down(uow, sealed, now)
        _hand_over(uow, stored, sealed.units, now)

    return Found(kind=Kind.ADOPTED, ours=rules.is_ours(become, portal), event=event, keep=keep)


async def take_over(
    ret: Return, context: ShopContext, *, by: str = "", dry: bool = False, again: bool = False
) -> tuple[Found, State | None]:
    """Take over a return as it is stored, or a blank one that is not: one commit, unless it has changed meanwhile.

    Returns what was found, and the return's state afterwards; None if it is still unknown. Raises StaleReturn.
    """
    stored = await context.store.read(lambda uow: uow.get(ret.shop, ret.return_id))
    doubtful = stored is not None and stored.unproven
    if stored is not None and not (again or doubtful) and not rules.is_new(stored):
        return Found(kind=Kind.KNOWN), stored.state
    found = await look(stored or ret, context, by=by, dry=dry)
    event = found.event
    if stored is not None and doubtful and event is None and not dry:
        return found, (await _compared(stored, found, context, by)).state
    if event is None or dry:
        return found, event.found.state if event is not None else stored.state if stored is not None else None

    def work(uow: UnitOfWork) -> Return:
        current = uow.get(ret.shop, ret.return_id)
        if (current.version if current else 0) != (stored.version if stored else 0):
            raise StaleReturn(f"{ret.ref} was changed while it was taken over")
        before = current or uow.add(ret)
        found.keep(uow, before)
        return uow.save(_planned(before, event, context), event, before.state)

    after = await context.store.transact(work)
    context.metrics.adopted(stored.state if stored is not None else None, after.state)
    return found, after.state


async def _compared(stored: Return, found: Found, context: ShopContext, by: str) -> Return:
    """A doubted return of which the vendors show nothing new goes on; one that cannot be judged waits on."""
    now = context.clock.now()
    event: ev.Event = ev.Proven(at=now, by=by)
    if found.kind is Kind.AMBIGUOUS:
        event = ev.Doubted(at=now, problem=found.why)

    def work(uow: UnitOfWork) -> Return:
        after = plan(None, apply(stored, event), now, context.timings)
        return uow.save(after, event, stored.state)

    return await context.store.transact(work)


async def older_proof(ret: Return, details: PortalReturn, context: ShopContext) -> Proof | None:
    """How far the store can be trusted with a return that is older than the store: another one may know of it.

    None for a return that was made since.
    """
    proof = await context.store.read(lambda uow: Proof.from_text(uow.mark(proof_of(ret.shop))))
    older = proof.doubts(details.submitted_at, traces=True, ahead=context.clock_check.ahead().get(PORTAL))
    return proof if older else None


async def doubts(
    ret: Return, request: PortalLabelRequest, details: PortalReturn, proof: Proof, context: ShopContext
) -> ev.Doubted | None:
    """Whether mcfd may have worked on an older return that the store has only just heard of."""
    if ret.units or ret.notes or ret.adopted_at is not None:
        return None
    if not (proof.whole or rules.refused_before(request) or await bears_traces(details, context)):
        return None
    problem = f"mcfd may have worked on it before, and this database does not know how: run mcfd adopt {ret.ref}"
    return ev.Doubted(at=context.clock.now(), problem=problem)


def _planned(before: Return, event: ev.Adopted, context: ShopContext) -> Return:
    """The return after the event, to be looked at soon: much may have happened unseen."""
    after = plan(before, apply(before, event), event.at, context.timings)
    if after.amazon_due_at is None:
        return after
    soon = replace(after, amazon_due_at=event.at, looked_at=None)
    return replace(soon, due_at=wake_at(soon, event.at))


def unknown(shop: str, return_id: str, context: ShopContext) -> Return:
    """A return of which nothing is known yet."""
    now = context.clock.now()
    return Return(shop=shop, return_id=return_id, account=context.account.name, created_at=now, changed_at=now)


async def take_in_holders(ret: Return, orders: Sequence[FulfillmentOrder], context: ShopContext) -> bool:
    """Take over the shop's returns that have items on these orders and are unknown here; True if there were any.

    Their units may be those that another return asks for now.
    """
    holders = {
        holder[0]
        for order in orders
        for item in order.return_items
        if (holder := holder_of(item.return_item_id, ret.own_shop)) is not None and holder[0] != ret.return_id
    }
    taken = False
    for return_id in sorted(holders):
        if await context.store.read(lambda uow, name=return_id: uow.get(ret.shop, name)) is None:  # type: ignore[misc]
            found, _ = await take_over(unknown(ret.shop, return_id, context), context)
            taken = taken or found.kind is Kind.ADOPTED
    return taken


async def answered_before(
    ret: Return, current: PortalLabelRequest, context: ShopContext, *, foreign: bool = False
) -> Decision | None:
    """If a label request was answered by mcfd before the store forgot it: the return as the vendors show it.

    With `foreign` also if somebody else has answered it.
    """
    if current.status is not RequestStatus.FULFILLED:
        return None
    found = await look(ret, context)
    event = found.event
    if event is None or not (found.ours or foreign):
        return None

    def decide(uow: UnitOfWork, stored: Return) -> ev.Event | NotYet:
        if stored.version != ret.version:
            return NotYet(delay=0.0)
        found.keep(uow, stored)
        return event

    return decide


# ---- reading


async def _of_ours(ret: Return, context: ShopContext) -> PortalFacts | Found:
    """What the portal tells of a return that concerns us and has a past."""
    try:
        details = await context.portal.details(ret.return_id, Lane.BACKGROUND)
    except Refused as error:
        return Found(kind=Kind.NOT_OURS, why=f"Loop does not show it: {error}")
    if why := context.policy.not_ours(ret.return_id, details.destination_id):
        return Found(kind=Kind.NOT_OURS, why=why)
    if details.state is PortalState.UNKNOWN:
        return Found(kind=Kind.AMBIGUOUS, why="Loop says a state of the return that mcfd does not know")
    portal = await _portal_facts(details, context)
    if not rules.has_past(portal):
        return Found(kind=Kind.NOTHING_YET, why="nothing has been done for it yet")
    return portal


async def _portal_facts(details: PortalReturn, context: ShopContext) -> PortalFacts:
    requests = await context.portal.requests_of(details.return_id)
    notes = told_apart(await context.portal.notes(details.return_id))
    ours = frozenset(url for url in details.label_urls if context.labels.hosting.is_ours(url))
    return PortalFacts(details=details, requests=tuple(requests), notes=tuple(notes), ours=ours)


def _revealed(ret: Return, context: ShopContext) -> Return:
    """The return with the label links as the portal shows them."""
    hosting = context.labels.hosting
    requests = tuple(
        replace(r, label=replace(r.label, url=hosting.reveal(r.label.url))) if r.label is not None else r
        for r in ret.requests
    )
    return replace(ret, requests=requests)


async def _order_facts(ret: Return, portal: PortalFacts, context: ShopContext) -> OrderFacts:
    """Find the orders as for a new return, and who else may claim the return items there."""
    wanted = rules.wanted_units(ret, portal.details, context.policy.sku_map)
    search = OrderSearch(ret, wanted, context, Lane.BACKGROUND)
    await search.run()
    index = context.account.order_index
    if not search.homed and not await index.read_since(context.clock.now() - DAY, ret):
        raise Transient("Amazon's list of orders has not been read yet")
    index.leave(ret)
    orders, out = search.orders, ret.label_out
    if not orders and out:
        raise rules.Doubtful(search.why_not)
    facts = OrderFacts(orders=orders)
    freed = await _freed(ret, portal, orders, context) if rules.lacking(ret, facts) else frozenset()
    facts = replace(facts, freed=freed, taken=await _taken(ret, orders, freed, context))
    if rules.may_be_foreign(ret, facts, portal):
        facts = replace(facts, rivals=await _rivals(ret, orders, context))
    return facts


async def _taken(
    ret: Return, orders: Sequence[FulfillmentOrder], freed: Collection[str], context: ShopContext
) -> frozenset[str]:
    """The items on these orders that other stored returns still need."""
    order_ids = [order.order_id for order in orders]
    promised = await context.store.read(lambda uow: uow.promised(ret, order_ids))
    return frozenset(unit.return_item_id for unit in promised) - frozenset(freed)


async def _freed(
    ret: Return, portal: PortalFacts, orders: Sequence[FulfillmentOrder], context: ShopContext
) -> frozenset[str]:
    """The items of other returns of the shop that, by the portal, no longer need them.

    One that has arrived meanwhile may have come with that return's label, unless it was told to be this return's.
    """
    holders: dict[str, list[tuple[str, str]]] = {}
    for order in orders:
        for item in order.return_items:
            still = not item.processed or rules.told_of(ret, portal, order, item)
            holder = holder_of(item.return_item_id, ret.own_shop) if still else None
            if holder is not None and holder[0] != ret.return_id:
                holders.setdefault(holder[0], []).append((item.return_item_id, holder[1]))
    freed: set[str] = set()
    for return_id, items in holders.items():
        try:
            details = await context.portal.details(return_id, Lane.BACKGROUND)
        except Refused:  # the portal no longer knows the return, which says nothing about the unit
            continue
        there = {line.line_id for line in details.lines}
        over = details.state in {PortalState.CANCELLED, PortalState.EXPIRED}
        freed.update(name for name, line_id in items if over or (there and line_id not in there))
    return frozenset(freed)


async def _rivals(ret: Return, orders: Sequence[FulfillmentOrder], context: ShopContext) -> frozenset[str]:
    """The SKUs that the portal's other returns of the same order hold, however they ended. Raises Doubtful."""
    until = context.clock_check.vendor_now(PORTAL)
    known = [order.received_at for order in orders if order.received_at is not None]
    since = min(known) - DAY if len(known) == len(orders) else until - ORDERS_KEPT
    skus: set[str] = set()
    for window in list_windows(since, until):
        for state in PortalState:
            if state is PortalState.UNKNOWN:
                continue
            try:
                made = await context.portal.returns_made(state, *window)
            except ListCut as cut:
                raise rules.Doubtful(f"another return of the order may hold the units, too: {cut}") from None
            for row in made:
                if row.order_name == ret.order_name and row.return_id != ret.return_id:
                    skus.update(row.skus)
    return frozenset(skus)


async def _sold(ret: Return, portal: PortalFacts, context: ShopContext) -> Mapping[str, SoldParcel]:
    """The parcels of labels that are out, where a label source of ours knows them."""
    found: dict[str, SoldParcel] = {}
    known = {p.tracking_id for p in ret.postage}
    asked = [r.created_at for r in portal.requests if r.created_at is not None]
    since = min(asked, default=context.clock.now() - ORDERS_KEPT) - DAY
    for number, carrier in rules.carried_numbers(ret, portal).items():
        if number in known:
            continue
        for name, source in _likeliest(carrier, context):
            try:
                parcel = await source.known_by_number(number, carrier, since)
            except Refused:
                continue
            if parcel is not None:
                found[number] = SoldParcel(name, parcel)
                break
    return found


def _likeliest(carrier: str, context: ShopContext) -> list[tuple[LabelSourceName, LabelSource]]:
    """The label sources, that of the carrier's name first."""
    amazon = "amazon" in carrier.casefold()
    sources = context.account.label_sources.items()
    return sorted(sources, key=lambda pair: (pair[0] is LabelSourceName.AMAZON_SHIPPING) is not amazon)


# ---- keeping


async def _hosted(ret: Return, context: ShopContext) -> tuple[Return, Callable[[UnitOfWork], None]]:
    """The return with sealed links, and the work that answers our links again."""
    hosting, works, requests = context.labels.hosting, [], []
    for request in ret.requests:
        label = request.label
        if label is None or not hosting.is_ours(label.url):
            requests.append(request)
            continue
        document = None if request.withdrawn else await _document(ret, request, context)
        url, work = hosting.restore(label.url, document)
        works.append(work)
        requests.append(replace(request, label=replace(label, url=url)))

    def keep(uow: UnitOfWork) -> None:
        for work in works:
            work(uow)

    return replace(ret, requests=tuple(requests)), keep


async def _document(ret: Return, request: LabelRequest, context: ShopContext) -> bytes | None:
    """Make the label's document again; None if a source no longer has its part of it."""
    given = {a.authorization_id: a for a in ret.authorizations}
    names = dict.fromkeys(u.authorization_id for u in ret.units_of(request.request_id) if u.authorization_id in given)
    slips = []
    for name in names:
        bought = await _label_pages(ret, name, request, context) if request.source.buys_postage else None
        if bought is None and request.source.buys_postage:
            return None
        slips.append(slip_of(ret, given[name], bought))
    if not slips or (len(slips) == 1 and not request.source.buys_postage):
        return None  # one page of Amazon's was never hosted here: the label came from a source that is unknown now
    return await context.labels.print_labels(slips, ret.order_name)


async def _label_pages(ret: Return, name: str, request: LabelRequest, context: ShopContext) -> bytes | None:
    postage = postage_of(ret, name)
    source = context.account.label_sources.get(request.source)
    if postage is None or source is None or postage.tracked_only or postage.mode != source.mode:
        return None
    try:
        return (await source.document(postage.shipment_id, "", postage.label_format or "PDF")).document
    except Refused:
        return None


def _write_down(uow: UnitOfWork, ret: Return, now: float) -> None:
    """Have parcels with a handle checked daily, as if they had been bought here."""
    for postage in ret.postage:
        if postage.handle and uow.purchase(postage.source, postage.handle) is None:
            uow.keep_purchase(earlier_purchase(ret, postage, now))


def _hand_over(uow: UnitOfWork, ret: Return, units: Sequence[ReturnUnit], now: float) -> None:
    """Take units that are this return's now from the stored returns that they were made for.

    Raises StaleReturn if another return has taken one of them meanwhile.
    """
    items = {u.return_item_id for u in units if u.return_item_id}
    for other in others_on(uow, ret, dict.fromkeys(u.order_id for u in units if u.order_id)):
        held = [u for u in other.units if u.return_item_id in items]
        if any((holder_of(u.return_item_id, other.own_shop) or ("",))[0] != other.return_id for u in held):
            raise StaleReturn(f"{ret.ref}: {other.ref} has taken over a unit meanwhile")
        if held:
            event = ev.UnitsTransferred(at=now, handed=tuple(u.key for u in held))
            uow.save(apply(other, event), event, other.state)
