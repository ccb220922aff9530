"""What a return with a past that the store does not know has become, judged by what the vendors tell of it.

The rules know three steps: list the label requests and units as the portal has them, give the units their return items
at Amazon, and choose the state. Nothing is told, bought or asked for twice: what this daemon, or another one before it,
has already written is recognized by the markers of its notes, its links and its derived ids.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from daemon.domain.acts import Act, Duty
from daemon.domain.copies import replace
from daemon.domain.matching import SkuMap, list_units, requested_lines
from daemon.domain.naming import OWN_ITEM, note_marker, return_item_id
from daemon.domain.orders import FulfillmentOrder, ReturnItem
from daemon.domain.portal import PortalLabel, PortalLabelRequest, PortalNote, PortalReturn, PortalState, RequestStatus
from daemon.domain.postage import KnownParcel, VoidAnswer, give_back
from daemon.domain.problems import ProblemCode
from daemon.domain.returns import (
    MISSING,
    TRACKED_ONLY,
    Finding,
    Label,
    LabelRequest,
    LabelSourceName,
    Note,
    Postage,
    RequestState,
    Return,
    ReturnUnit,
    Settlement,
    State,
    Transit,
    UnitState,
    Void,
    merge_units,
)
from daemon.domain.transitions.labels import label_state
from daemon.domain.wording import (
    COULD_NOT_LABEL,
    FAILURE_NOTE,
    FURTHER_PARCELS,
    authorized_words,
    cancelled_words,
    delivered_words,
    inspected_words,
    settlement_told,
)
from daemon.errors import McfdError

MOST_NUMBERS = 20
"""The most ids of one unit that are looked for; a unit gets another one when its first goes to another return."""

_MARKED = re.compile(r"\[mcfd [0-9a-f]{8}\] ")
_KEYS = ("held", "expired", "flag-lifted", "processing-failed", "removal-refused", "unsettled", "restock", "cancelled:")
_KEYS_EARLY = ("processed-early", "closed-early")


@dataclass(frozen=True, slots=True, kw_only=True)
class PortalFacts:
    """What the portal tells of a return. `ours` are its label links that lead to mcfd."""

    details: PortalReturn
    requests: tuple[PortalLabelRequest, ...] = ()
    notes: tuple[PortalNote, ...] = ()
    ours: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderFacts:
    """What Amazon tells of its orders, and who else may claim the return items there.

    `taken` are items of other returns that still need them, `freed` those of other returns that do not, `rivals` the
    portal's SKUs that other returns of the same order hold.
    """

    orders: Sequence[FulfillmentOrder] = ()
    taken: Collection[str] = ()
    freed: Collection[str] = ()
    rivals: Collection[str] = ()


class Doubtful(McfdError):
    """It cannot be said what a return has become; the text says why."""


@dataclass(frozen=True, slots=True)
class _Given:
    facts: PortalFacts
    sku_map: SkuMap


@dataclass(frozen=True, slots=True)
class SoldParcel:
    """A parcel that a label source knows."""

    source: LabelSourceName
    parcel: KnownParcel


def is_new(ret: Return) -> bool:
    """Whether the store knows no more than that the return exists: it has asked for nothing and bought nothing."""
    untouched = {RequestState.UNREAD, RequestState.OPEN, RequestState.NOT_OURS}
    asked = any(u.return_item_id or u.authorization_id for u in ret.units)
    return ret.adopted_at is None and not asked and not ret.postage and all(r.asked in untouched for r in ret.requests)


# ---- the portal


def has_past(facts: PortalFacts) -> bool:
    """Whether somebody has already done something for the return."""
    out = any(request.status is RequestStatus.FULFILLED for request in facts.requests)
    return out or bool(facts.details.labels) or bears_marks(facts.notes) or any(map(refused_before, facts.requests))


def refused_before(request: PortalLabelRequest) -> bool:
    """Whether mcfd has said that it could not make the label; the request stays issued then."""
    return any(COULD_NOT_LABEL in error for error in request.errors)


def bears_marks(notes: Sequence[PortalNote]) -> bool:
    """Whether a note on its timeline was written by mcfd."""
    return any(_MARKED.match(note.text) for note in notes)


def note_of(ret: Return, notes: Sequence[PortalNote], key: str) -> PortalNote | None:
    """Our note of that key on the timeline."""
    marker = note_marker(ret, key)
    return next((note for note in notes if marker in note.text), None)


def listed(ret: Return, facts: PortalFacts, sku_map: SkuMap) -> Return:
    """The return with the label requests and units that the portal shows, without places at Amazon.

    A request that still waits for its label is read in the usual way, so its units are left out here.
    """
    details = facts.details
    over = details.state is PortalState.CANCELLED
    labels = list(details.labels)
    now = replace(
        ret,
        requests=(),
        order_name=details.order_name,
        order_number=details.order_number,
        provider_order_id=details.provider_order_id,
        submitted_at=details.submitted_at,
        has_exchange=details.has_exchange,
    )
    for request in facts.requests:
        known = ret.request(request.request_id) or LabelRequest(request_id=request.request_id)
        match request.status:
            case RequestStatus.FULFILLED:
                label = _label_of(request, labels, details)
                now = _with_label(now, known, request.skus, label, _Given(facts, sku_map))
            case RequestStatus.ISSUED if not over and refused_before(request):
                now = _refused(now, known, request, details, sku_map)
            case RequestStatus.ISSUED if not over:
                now = replace(now, requests=(*now.requests, replace(known, asked=RequestState.UNREAD, label=None)))
            case _:
                now = replace(now, requests=(*now.requests, replace(known, asked=RequestState.CANCELLED)))
    return now


def _label_of(request: PortalLabelRequest, labels: list[PortalLabel], details: PortalReturn) -> PortalLabel | None:
    """Take the label of a request from those left: the first whose lines hold the request's SKUs, else the first."""
    skus = {line.line_id: line.sku for line in details.lines}
    wanted = Counter(sku for sku in request.skus if sku)

    def fits(label: PortalLabel) -> bool:
        held = [skus[line_id] for line_id in label.line_ids if line_id in skus]
        return Counter(held) == wanted

    label = next((label for label in labels if fits(label)), labels[0] if labels else None)
    if label is not None:
        labels.remove(label)
    return label


def _with_label(
    ret: Return, known: LabelRequest, skus: Sequence[str], label: PortalLabel | None, given: _Given
) -> Return:
    details = given.facts.details
    there = {line.line_id for line in details.lines}
    lines = tuple(line_id for line_id in label.line_ids if line_id in there) if label is not None else ()
    lines = lines or requested_lines(details, ret, known.request_id, skus)
    units = list_units(ret, details, known.request_id, lines, given.sku_map)
    status = label.status if label is not None else Transit.NEW
    delivered = replace(
        known,
        asked=RequestState.DELIVERED,
        label=_as_label(label) if label is not None else known.label,
        transit=max(status, known.transit, key=lambda transit: transit.rank),
        reported=max(status, known.reported, key=lambda transit: transit.rank),
        withdrawn=details.state is PortalState.CANCELLED,
    )
    return replace(ret, requests=(*ret.requests, delivered), units=merge_units(ret.units, units))


def _as_label(label: PortalLabel) -> Label:
    return Label(
        url=label.url, carrier=label.carrier, tracking_number=label.tracking_number, rate_cents=label.rate_cents
    )


def _refused(
    ret: Return, known: LabelRequest, request: PortalLabelRequest, details: PortalReturn, sku_map: SkuMap
) -> Return:
    """A request that we answered with an error; its units never come."""
    lines = requested_lines(details, ret, request.request_id, request.skus)
    why = next(error for error in request.errors if COULD_NOT_LABEL in error).removeprefix(COULD_NOT_LABEL)
    units = tuple(
        u if u.standing is UnitState.AUTHORIZED else replace(u, standing=UnitState.NOT_RETURNABLE, problem=why)
        for u in list_units(ret, details, request.request_id, lines, sku_map)
    )
    refused = replace(known, asked=RequestState.REFUSED)
    return replace(ret, requests=(*ret.requests, refused), units=merge_units(ret.units, units))


def wanted_units(ret: Return, details: PortalReturn, sku_map: SkuMap) -> tuple[ReturnUnit, ...]:
    """All units of the return as if its first label request covered them: what its orders are searched for."""
    request_id = ret.requests[0].request_id if ret.requests else ""
    blank = replace(ret, units=())
    lines = [line.line_id for line in details.lines]
    return list_units(blank, details, request_id, lines, sku_map)


# ---- Amazon


@dataclass(frozen=True, slots=True)
class _Slot:
    order: FulfillmentOrder
    item: ReturnItem
    sku: str


def lacking(ret: Return, facts: OrderFacts) -> tuple[ReturnUnit, ...]:
    """The units of labels that are out for which Amazon expects nothing under an id of their own."""
    return tuple(u for u in _with_own_items(ret, facts).units if _lacks(ret, u))


def is_ours(ret: Return, portal: PortalFacts) -> bool:
    """Whether mcfd has worked on the return before: its notes, its links or its return items say so."""
    own = any(u.return_item_id.startswith(OWN_ITEM) for u in ret.units)
    return own or bears_marks(portal.notes) or any(is_our_label(ret, r, portal) for r in ret.requests)


def may_be_foreign(ret: Return, facts: OrderFacts, portal: PortalFacts) -> bool:
    """Whether a return item that somebody else has made on these orders may stand for a unit of the return."""
    now = _authorized(_with_own_items(ret, facts), facts)
    foreign = any(not name.startswith(OWN_ITEM) for name in _slots(facts))
    return foreign and any(_lacks(now, u) and not _labelled_here(now, u, portal) for u in now.units)


def placed(ret: Return, facts: OrderFacts, portal: PortalFacts) -> Return:
    """The return whose units have their return items at Amazon.

    An item under one of our ids is ours for sure; one of a return that no longer needs it goes to the return that asks
    for its SKU. A foreign item counts only if nothing else can claim it. Raises Doubtful.
    """
    now = _authorized(_with_own_items(ret, facts), facts)
    for sku in dict.fromkeys(u.sku for u in now.units if _lacks(now, u)):
        found = _others_items(now, [u for u in now.units if _lacks(now, u) and u.sku == sku], facts, portal)
        now = replace(now, units=merge_units(now.units, found))
    now = _authorized(replace(now, units=(*now.units, *_left_behind(now, facts, portal.details))), facts)
    for request in now.requests:
        units = [u for u in now.units_of(request.request_id) if _lacks(now, u)]
        if not units:
            continue
        ours = is_our_label(now, request, portal)
        if not (ours and any(u.standing is UnitState.AUTHORIZED for u in now.units_of(request.request_id))):
            skus = ", ".join(sorted({u.sku for u in units}))
            raise Doubtful(f"no_items: its label is out, and Amazon expects no return item for {skus}")
        refused = [replace(u, standing=UnitState.NOT_RETURNABLE, problem="Amazon did not take it back") for u in units]
        now = replace(now, units=merge_units(now.units, refused))
    return now


def _authorized(ret: Return, facts: OrderFacts) -> Return:
    """The return with Amazon's authorizations of its units."""
    needed = {u.authorization_id for u in ret.units if u.authorization_id}
    given = {a.authorization_id: a for order in facts.orders for a in order.authorizations}
    known = {a.authorization_id: a for a in ret.authorizations} | given
    return replace(ret, authorizations=tuple(a for name, a in known.items() if name in needed))


def is_our_label(ret: Return, request: LabelRequest, portal: PortalFacts) -> bool:
    """Whether mcfd delivered the label: its link leads to us or is the page of our authorization, or a note says so."""
    if request.label is None:
        return False
    own = {u.authorization_id for u in ret.units if u.return_item_id.startswith(OWN_ITEM)}
    pages = {a.page_url for a in ret.authorizations if a.authorization_id in own}
    told = note_of(ret, portal.notes, f"label:{request.request_id}")
    return request.label.url in portal.ours or request.label.url in pages or told is not None


def _labelled_here(ret: Return, unit: ReturnUnit, portal: PortalFacts) -> bool:
    """Whether mcfd delivered the unit's label: it has then asked for the unit itself, whatever Amazon said to that."""
    request = ret.request(unit.request_id)
    return request is not None and is_our_label(ret, request, portal)


def _lacks(ret: Return, unit: ReturnUnit) -> bool:
    request = ret.request(unit.request_id)
    out = request is not None and request.asked is RequestState.DELIVERED
    return out and unit.standing is UnitState.PLANNED


def _slots(facts: OrderFacts) -> Mapping[str, _Slot]:
    skus = {(order.order_id, item.item_id): item.sku for order in facts.orders for item in order.items}
    return {
        item.return_item_id: _Slot(order, item, skus.get((order.order_id, item.order_item_id), ""))
        for order in facts.orders
        for item in order.return_items
        if item.return_item_id not in facts.taken
    }


def _own_ids(ret: Return, unit: ReturnUnit) -> Iterator[str]:
    if unit.return_item_id:
        yield unit.return_item_id
    for number in range(MOST_NUMBERS, 0, -1):
        yield return_item_id(ret.own_shop, ret.return_id, unit.line_id, unit.part, number)


def _with_own_items(ret: Return, facts: OrderFacts) -> Return:
    """The newest id of a unit is the one in use: an older one has gone to another return, its last with the unit."""
    slots = _slots(facts)
    units = []
    for unit in ret.units:
        own = next((slots[i] for i in _own_ids(ret, unit) if i in slots), None)
        if own is not None and unit.standing is not UnitState.REMOVED:
            units.append(_at(unit, own))
        elif own is None and _lacks(ret, unit) and any(i in facts.taken for i in _own_ids(ret, unit)):
            units.append(replace(unit, standing=UnitState.REMOVED))
        else:
            units.append(unit)
    return replace(ret, units=tuple(units))


def _at(unit: ReturnUnit, slot: _Slot) -> ReturnUnit:
    return replace(
        unit,
        standing=UnitState.AUTHORIZED,
        problem="",
        order_id=slot.order.order_id,
        order_item_id=slot.item.order_item_id,
        shipment_id=slot.item.shipment_id,
        return_item_id=slot.item.return_item_id,
        authorization_id=slot.item.authorization_id or unit.authorization_id,
    )


def _others_items(
    ret: Return, units: Sequence[ReturnUnit], facts: OrderFacts, portal: PortalFacts
) -> tuple[ReturnUnit, ...]:
    """Items of one SKU that were made for another return, or by somebody else, for units that have none."""
    used = {u.return_item_id for u in ret.units}
    sku = units[0].sku
    fitting = [s for name, s in _slots(facts).items() if s.sku == sku and name not in used]
    freed = _on_label(ret, units, [s for s in fitting if s.item.return_item_id in facts.freed], portal)
    if freed:
        return _given(units, freed, "return items of ended returns")
    units = [u for u in units if not _labelled_here(ret, u, portal)]
    if not units:
        return ()
    foreign = _on_label(ret, units, [s for s in fitting if not s.item.return_item_id.startswith(OWN_ITEM)], portal)
    if foreign and any(u.portal_sku in facts.rivals for u in units):
        raise Doubtful(f"another return of the order holds {sku} as well, and somebody else made the return item")
    return _given(units, foreign, "return items that somebody else made")


def _given(units: Sequence[ReturnUnit], slots: Sequence[_Slot], what: str) -> tuple[ReturnUnit, ...]:
    if len(slots) > len(units):
        raise Doubtful(f"{len(slots)} {what} may be meant for {len(units)} of {units[0].sku}")
    return tuple(_at(unit, slot) for unit, slot in zip(units, slots, strict=False))


def _on_label(ret: Return, units: Sequence[ReturnUnit], slots: Sequence[_Slot], portal: PortalFacts) -> list[_Slot]:
    """The items whose authorization was told for these units, if any was; otherwise all."""
    requests = {u.request_id for u in units}
    theirs = replace(ret, requests=tuple(r for r in ret.requests if r.request_id in requests))
    told = [s for s in slots if told_of(theirs, portal, s.order, s.item)]
    return told or list(slots)


def told_of(ret: Return, portal: PortalFacts, order: FulfillmentOrder, item: ReturnItem) -> bool:
    """Whether a label of the return, or a note of ours on its timeline, names the item's authorization."""
    given = [a for a in order.authorizations if a.authorization_id == item.authorization_id]
    labels = [r.label for r in ret.requests if r.label is not None]
    noted = {word.strip(",.") for note in portal.notes if _MARKED.match(note.text) for word in note.text.split()}
    return any(
        a.rma_id in noted or any(label.tracking_number == a.rma_id or label.url == a.page_url for label in labels)
        for a in given
    )


def _left_behind(ret: Return, facts: OrderFacts, details: PortalReturn) -> Iterator[ReturnUnit]:
    """Units under our ids that no label waits for: their line has left the return, or their request was withdrawn."""
    prefix = f"{OWN_ITEM}{ret.own_shop}-{ret.return_id}-"
    known = {u.key for u in ret.units}
    waiting = any(r.asked in {RequestState.UNREAD, RequestState.OPEN} for r in ret.requests)
    lines = {line.line_id: line for line in details.lines}
    newest: dict[tuple[str, int], tuple[int, _Slot]] = {}
    for name, slot in _slots(facts).items():
        line_id, _, place = name.removeprefix(prefix).rpartition("-")
        part, _, number = place.partition(".")
        if not name.startswith(prefix) or not line_id or not part.isdecimal() or not (number or "1").isdecimal():
            continue
        key, count = (line_id, int(part)), int(number or "1")
        if key not in known and count > newest.get(key, (0, slot))[0]:
            newest[key] = count, slot
    for (line_id, which), (_, slot) in newest.items():
        line = lines.get(line_id)
        if line is not None and waiting:
            continue  # the request that waits will find it
        unit = ReturnUnit(
            line_id=line_id,
            part=which,
            portal_sku=line.sku if line else slot.sku,
            sku=slot.sku,
            price_cents=(line.price_cents or 0) if line else 0,
            line_price_cents=line.price_cents if line else None,
        )
        yield _at(unit, slot) if line else replace(_at(unit, slot), standing=UnitState.REMOVED)


# ---- what it has become


def numbers_of(ret: Return, request: LabelRequest, notes: Sequence[PortalNote]) -> tuple[str, ...]:
    """The tracking numbers of a label's parcels: the portal has the first, and our note names the others."""
    if request.label is None:
        return ()
    note = note_of(ret, notes, f"label:{request.request_id}")
    _, _, others = note.text.partition(FURTHER_PARCELS) if note is not None else ("", "", "")
    numbers = (request.label.tracking_number, *(n.strip().rstrip(".…") for n in others.split(",")))
    return tuple(dict.fromkeys(number for number in numbers if number))


def carried_numbers(ret: Return, portal: PortalFacts) -> Mapping[str, str]:
    """The tracking numbers of labels that a carrier may know, with the carrier; an RMA is none."""
    rmas = {a.rma_id for a in ret.authorizations}
    return {
        number: request.label.carrier
        for request in ret.requests
        if request.asked is RequestState.DELIVERED and request.label is not None
        for number in numbers_of(ret, request, portal.notes)
        if number not in rmas
    }


def become(ret: Return, portal: PortalFacts, orders: OrderFacts, sold: Mapping[str, SoldParcel], now: float) -> Return:
    """The return in the state that the facts show, with the clocks counted from when its label was out."""
    ret = _with_parcels(ret, portal, sold, now)
    told = _verdict_told(ret, portal.notes)
    items = {item.return_item_id: item for order in orders.orders for item in order.return_items}
    ret = _missed(ret, portal.notes, items, now)
    state = _state(ret, portal, told, items)
    if state in _AFTER_VERDICT:
        ret = _found_before(ret, portal, items, now)
    notes = tuple(_notes(ret, portal, told))
    flagged = portal.details.state is PortalState.REVIEW
    unclear = (Duty(Act.SETTLE),) if state not in _ENDED else ()
    ret = replace(
        ret,
        state=state,
        notes=notes,
        labelled_at=_label_out_at(ret, portal, now) if ret.label_out else ret.labelled_at,
        settlement=told[0] if told else ret.settlement,
        processing_failed=state is State.SETTLING and note_of(ret, portal.notes, FAILURE_NOTE) is not None,
        flagged=flagged if state is State.IN_REVIEW else ret.flagged,
        asked_for=Settlement.FLAG if state is State.IN_REVIEW else ret.asked_for,
        pending_calls=(*unclear, *(Duty(Act.DELIVER_LABEL, r.request_id) for r in _unread(ret))),
        problem="",
        problem_code=None,
    )
    if state is State.IN_REVIEW and not flagged:
        return replace(ret, problem=UNFLAGGED, problem_code=ProblemCode.IN_REVIEW)
    return ret


UNFLAGGED = (
    "its verdict was told before the return was taken over, and it is not in Needs Review: if nobody lifted the flag "
    "(Loop's history says so), mcfd retry settles it"
)
_ENDED = frozenset({State.CLOSED, State.CANCELLED})
_AFTER_VERDICT = frozenset({State.SETTLING, State.IN_REVIEW, State.CLOSED, State.CANCELLED})


def _unread(ret: Return) -> tuple[LabelRequest, ...]:
    return tuple(r for r in ret.requests if r.asked is RequestState.UNREAD)


def _verdict_told(ret: Return, notes: Sequence[PortalNote]) -> tuple[Settlement, str] | None:
    """The newest verdict of ours on the timeline, and its words."""
    for note in reversed(notes):
        marked = _MARKED.match(note.text)
        words = note.text[marked.end() :] if marked else ""
        if words and note.text.startswith(note_marker(ret, f"verdict:{words}")):
            return settlement_told(words), words
    return None


def _state(
    ret: Return, portal: PortalFacts, told: tuple[Settlement, str] | None, items: Mapping[str, ReturnItem]
) -> State:
    details = portal.details
    came = [u for u in ret.authorized() if u.return_item_id in items and items[u.return_item_id].processed]
    inspected = bool(came) and len(came) == len(ret.authorized())
    if details.state is PortalState.CANCELLED:
        state = State.CANCELLED
    elif details.settled:
        state = State.CLOSED if told or inspected or not ret.label_out else State.AWAITING_INSPECTION
    elif details.state is PortalState.REVIEW and (told or inspected):
        state = State.IN_REVIEW
    elif _unread(ret):
        state = State.RECEIVED
    elif note_of(ret, portal.notes, "unsettled") is not None:
        state = State.CLOSED
    elif told is not None:
        state = _after(ret, told[0], portal.notes)
    elif not ret.label_out:
        state = State.CANCELLED if label_state(ret) is State.CANCELLED else State.CLOSED
    else:
        expired = note_of(ret, portal.notes, "expired") is not None and not came
        state = State.EXPIRED if expired else State.AWAITING_INSPECTION
    return state


def _after(ret: Return, settlement: Settlement, notes: Sequence[PortalNote]) -> State:
    """After a verdict the portal is asked again only for what it shows no trace of; a flag that is gone was lifted."""
    tried = any(note_of(ret, notes, key) is not None for key in ("processing-failed", "removal-refused"))
    pays = settlement in {Settlement.PROCESS, Settlement.REMOVE} and not tried
    return State.SETTLING if pays else State.IN_REVIEW


def _missed(ret: Return, notes: Sequence[PortalNote], items: Mapping[str, ReturnItem], now: float) -> Return:
    """Units that were called missing on the timeline stay so."""

    def told(unit: ReturnUnit) -> ReturnUnit:
        item = items.get(unit.return_item_id)
        note = note_of(ret, notes, f"inspected:{unit.line_id}:{unit.part}:{MISSING}")
        if note is None or unit.finding is not None or item is None or item.processed:
            return unit
        return replace(unit, finding=Finding(condition=MISSING, found_at=note.at or now))

    return replace(ret, units=tuple(told(u) for u in ret.units))


def _found_before(ret: Return, portal: PortalFacts, items: Mapping[str, ReturnItem], now: float) -> Return:
    """What Amazon has inspected by now. A line that somebody has graded is not graded again."""
    graded = {line.line_id for line in portal.details.lines if line.grade or line.disposition}

    def found(unit: ReturnUnit) -> ReturnUnit:
        item = items.get(unit.return_item_id)
        if item is None or not item.processed:
            return replace(unit, graded=unit.line_id in graded) if unit.finding else unit
        at = item.changed_at or now
        finding = Finding(
            condition=item.condition or "", found_at=at, center=item.center or "", reason=item.reason or ""
        )
        return replace(unit, processed_at=at, finding=finding, graded=unit.line_id in graded)

    return replace(ret, units=tuple(found(u) for u in ret.units))


def _label_out_at(ret: Return, portal: PortalFacts, now: float) -> float:
    """The latest date that shows that a label was out: its request, our note, the first scan; now if there is none."""
    delivered = {r.request_id for r in ret.requests if r.asked is RequestState.DELIVERED}
    shown = [request.created_at for request in portal.requests if request.request_id in delivered]
    told = (note_of(ret, portal.notes, f"label:{request_id}") for request_id in delivered)
    shown += [note.at for note in told if note is not None]
    shown += [postage.scanned_at for postage in ret.postage]
    return min(now, max((at for at in shown if at is not None), default=now))


def _with_parcels(ret: Return, portal: PortalFacts, sold: Mapping[str, SoldParcel], now: float) -> Return:
    """The labels that are out, as far as their sources know them. What this store knows of a parcel stays."""
    known = {p.authorization_id: p for p in ret.postage}
    requests = []
    for request in ret.requests:
        numbers = numbers_of(ret, request, portal.notes)
        if request.asked is not RequestState.DELIVERED or request.label is None:
            requests.append(request)
            continue
        units = [u for u in ret.units_of(request.request_id) if u.authorization_id]
        parcels = dict.fromkeys(u.authorization_id for u in units)
        source = LabelSourceName.RMA_PAGE
        for authorization_id, number in zip(parcels, numbers, strict=False):
            if number in sold:
                source = sold[number].source
                known.setdefault(authorization_id, _postage(authorization_id, request, sold[number], now))
        kept = any(name in {p.authorization_id for p in ret.postage} for name in parcels)
        requests.append(request if kept else replace(request, source=source))
    with_labels = replace(ret, requests=tuple(requests), postage=tuple(known.values()))
    return give_back(with_labels, frozenset(r.request_id for r in requests if r.withdrawn))


def _postage(authorization_id: str, request: LabelRequest, sold: SoldParcel, now: float) -> Postage:
    parcel = sold.parcel
    given_back = parcel.refund in {VoidAnswer.DONE, VoidAnswer.PENDING}
    return Postage(
        authorization_id=authorization_id,
        carrier_id=parcel.carrier_id,
        carrier=parcel.carrier or (request.label.carrier if request.label else ""),
        charge_cents=parcel.charge_cents,
        shipment_id=parcel.handle or f"{TRACKED_ONLY}{parcel.tracking_id}",
        tracking_id=parcel.tracking_id,
        transit=request.transit,
        void=Void.DONE if given_back else Void.NO if parcel.handle else Void.KEPT,
        source=sold.source,
        handle=parcel.handle,
        service=parcel.service,
        mode=parcel.mode,
        bought_at=now,
    )


def _told_first(ret: Return, portal: PortalFacts, authorizations: str) -> dict[str, str]:
    """What the timeline says of every return of ours: that Amazon knows it, and that Loop has cancelled it."""
    created = {f"authorized:{authorizations}": authorized_words(ret.units, ret.authorizations)}
    cancelled = portal.details.state is PortalState.CANCELLED
    return created | ({"cancelled:": cancelled_words("")} if cancelled else {})


def _notes(ret: Return, portal: PortalFacts, told: tuple[Settlement, str] | None) -> Iterator[Note]:
    """Our notes that are there, and those that mcfd still owes about what it did itself."""
    authorizations = ",".join(sorted(a.authorization_id for a in ret.authorizations))
    ours = is_ours(ret, portal)
    owed: dict[str, str] = {}
    if ours and authorizations and ret.authorized():
        owed |= _told_first(ret, portal, authorizations)
    for request in ret.requests:
        if request.label is not None and is_our_label(ret, request, portal):
            others = numbers_of(ret, request, portal.notes)[1:]
            owed[f"label:{request.request_id}"] = delivered_words(request.label, others)
    for unit in ret.units if ours else ():
        if unit.finding is not None:
            owed[f"inspected:{unit.line_id}:{unit.part}:{unit.finding.condition}"] = inspected_words(unit)
    if told is not None:
        owed[f"verdict:{told[1]}"] = told[1]
    for key, words in owed.items():
        yield Note(key=key, text=words, written=note_of(ret, portal.notes, key) is not None)
    for key in (*_KEYS, *_KEYS_EARLY, *(f"cancelled:{r.request_id}" for r in ret.requests)):
        if key not in owed and (note := note_of(ret, portal.notes, key)) is not None:
            yield Note(key=key, text=_MARKED.sub("", note.text, count=1), written=True)
