"""Assigns returned units to shipped units and sorts Amazon's answers. A shipped unit comes back only once."""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from daemon.domain.copies import replace
from daemon.domain.naming import return_item_id
from daemon.domain.orders import CreateAnswer, FulfillmentOrder, ReturnItem
from daemon.domain.portal import PortalReturn, PortalState
from daemon.domain.returns import Return, ReturnUnit, State, UnitState

DUPLICATE = "DuplicateRequest"
AMBIGUOUS_CODES = frozenset({DUPLICATE, "NoReturnableQuantity"})
"""Refusals that may mean "you have already asked", if an earlier call may have had its effect."""

_EXPECTED = frozenset({UnitState.PLANNED, UnitState.AUTHORIZED})


def allocate(
    ret: Return, units: Sequence[ReturnUnit], orders: Sequence[FulfillmentOrder], promised: Iterable[ReturnUnit]
) -> tuple[ReturnUnit, ...]:
    """Assign each unit to a shipped unit of its SKU, oldest shipment first; never above what was shipped.

    `promised` are units of other returns that were assigned but that Amazon may not list yet. A return item that
    already has the derived id was created by an earlier run, and is adopted. Units without a free place stay unassigned
    (`return_item_id` is empty).
    """
    promised = tuple(promised)
    elsewhere = {u.return_item_id for u in promised}
    slots = _free_slots(orders, (*promised, *_own_promises(ret, units)))
    ours = {item.return_item_id: (order, item) for order in orders for item in order.return_items}
    placed: list[ReturnUnit] = []
    for unit in units:
        item_id = _own_id(ret, unit, elsewhere)
        if item_id in ours:
            order, item = ours[item_id]
            placed.extend(adopt([_place(unit, order.order_id, item.order_item_id, item.shipment_id, item_id)], [item]))
            continue
        slot = next((s for s in slots if s.sku == unit.sku), None)
        if slot is None:
            placed.append(unit)
            continue
        slots.remove(slot)
        placed.append(_place(unit, slot.order_id, slot.item_id, slot.shipment_id, item_id))
    return tuple(placed)


def transferable(ret: Return, order_ids: Sequence[str], freed: Collection[str] = ()) -> tuple[ReturnUnit, ...]:
    """Units on these orders that Amazon still expects but nobody waits for: another return may take them over.

    They belong to fully cancelled returns, or to lines that the portal has `freed`.
    """
    over = ret.state is State.CANCELLED
    return tuple(
        u
        for u in expected(ret)
        if u.order_id in order_ids
        and ((u.standing is UnitState.AUTHORIZED and (over or not u.request_id)) or u.line_id in freed)
    )


def expected(ret: Return) -> tuple[ReturnUnit, ...]:
    """Units that Amazon expects and has not inspected, including those of lines that have left the return."""
    return tuple(
        u
        for u in ret.units
        if u.processed_at is None
        and u.return_item_id
        and (u.standing is UnitState.AUTHORIZED or (u.standing is UnitState.REMOVED and u.authorization_id))
    )


def freed_lines(ret: Return, details: PortalReturn) -> frozenset[str]:
    """The lines that the shopper may return again, according to the portal's current details.

    These are all lines of a cancelled or expired return; otherwise the lines that have left it.
    """
    lines = {unit.line_id for unit in expected(ret)}
    if details.state in {PortalState.CANCELLED, PortalState.EXPIRED}:
        return frozenset(lines)
    there = {line.line_id for line in details.lines}
    return frozenset(lines - there) if there else frozenset()


def take_over(
    units: Sequence[ReturnUnit],
    orders: Sequence[FulfillmentOrder],
    transferable: Sequence[tuple[Return, ReturnUnit]],
) -> tuple[tuple[ReturnUnit, ...], tuple[tuple[Return, ReturnUnit], ...]]:
    """Take over return items that Amazon still expects for other returns, instead of asking Amazon again.

    Returns all units, with the transferred ones authorized, and the pairs (return, unit) that they were taken from.
    """
    items = {item.return_item_id: item for order in orders for item in order.return_items if not item.processed}
    free = [(ret, unit) for ret, unit in transferable if unit.return_item_id in items]
    placed, transferred = [], []
    for unit in units:
        match = next(((ret, theirs) for ret, theirs in free if theirs.sku == unit.sku), None)
        if match is None:
            placed.append(unit)
            continue
        free.remove(match)
        transferred.append(match)
        theirs = match[1]
        ours = _place(unit, theirs.order_id, theirs.order_item_id, theirs.shipment_id, theirs.return_item_id)
        placed.extend(adopt([ours], [items[theirs.return_item_id]]))
    return tuple(placed), tuple(transferred)


def _own_promises(ret: Return, placing: Iterable[ReturnUnit]) -> tuple[ReturnUnit, ...]:
    """Units of the same return that already have a place."""
    moving = {u.key for u in placing}
    return tuple(u for u in ret.units if u.return_item_id and u.standing in _EXPECTED and u.key not in moving)


@dataclass(frozen=True, slots=True)
class _Slot:
    """One shipped unit that may still come back."""

    order_id: str
    item_id: str
    shipment_id: str
    sku: str


def _own_id(ret: Return, unit: ReturnUnit, elsewhere: Collection[str]) -> str:
    """The first derived id of the unit that no other return uses."""
    number = 1
    while (item_id := return_item_id(ret.own_shop, ret.return_id, unit.line_id, unit.part, number)) in elsewhere:
        number += 1
    return item_id


def _free_slots(orders: Sequence[FulfillmentOrder], promised: Iterable[ReturnUnit]) -> list[_Slot]:
    """The shipped units that nobody has asked to return, oldest shipment first.

    They are counted per order line over all its shipments. Other software may name a shipment that does not exist
    (Amazon accepts any), so a named shipment only decides which slot is used up first.
    """
    listed = {item.return_item_id for order in orders for item in order.return_items}
    taken = Counter((o.order_id, i.order_item_id, i.shipment_id) for o in orders for i in o.return_items)
    taken.update((u.order_id, u.order_item_id, u.shipment_id) for u in promised if u.return_item_id not in listed)
    shipped = [(order, shipment) for order in orders for shipment in order.shipments if shipment.shipped]
    slots: list[_Slot] = []
    for order, shipment in sorted(shipped, key=lambda pair: pair[1].shipped_at or 0.0):
        for item in shipment.items:  # one entry per package: an order line may have several
            place = order.order_id, item.item_id, shipment.shipment_id
            used = min(item.quantity, taken[place])
            taken[place] -= used
            slots.extend([_Slot(*place, item.sku)] * (item.quantity - used))
    surplus: Counter[tuple[str, str]] = Counter()  # these name shipments that do not exist or hold no more units
    for (order_id, item_id, _), count in taken.items():
        surplus[order_id, item_id] += count
    return _without(slots, surplus)


def _without(slots: Sequence[_Slot], surplus: Counter[tuple[str, str]]) -> list[_Slot]:
    """The slots that remain after removing `surplus` of each order line, newest first."""
    kept = []
    for slot in reversed(slots):
        line = slot.order_id, slot.item_id
        if surplus[line] > 0:
            surplus[line] -= 1
        else:
            kept.append(slot)
    return kept[::-1]


def _place(unit: ReturnUnit, order_id: str, item_id: str, shipment_id: str, our_id: str) -> ReturnUnit:
    return replace(
        unit, order_id=order_id, order_item_id=item_id, shipment_id=shipment_id, return_item_id=our_id, problem=""
    )


def not_returnable(units: Iterable[ReturnUnit], problem: str) -> tuple[ReturnUnit, ...]:
    """The units, marked as not coming back, with the reason."""
    return tuple(replace(u, standing=UnitState.NOT_RETURNABLE, problem=problem) for u in units)


def adopt(units: Iterable[ReturnUnit], items: Iterable[ReturnItem]) -> tuple[ReturnUnit, ...]:
    """The units that Amazon lists under our ids, with its authorizations; the others are left out."""
    listed = {item.return_item_id: item for item in items}
    return tuple(
        replace(
            unit,
            standing=UnitState.AUTHORIZED,
            authorization_id=listed[unit.return_item_id].authorization_id or unit.authorization_id,
            order_item_id=listed[unit.return_item_id].order_item_id,
            shipment_id=listed[unit.return_item_id].shipment_id,
        )
        for unit in units
        if unit.return_item_id in listed
    )


def judge_answer(
    units: Sequence[ReturnUnit], answer: CreateAnswer, *, asked_before: bool
) -> tuple[tuple[ReturnUnit, ...], tuple[ReturnUnit, ...], tuple[ReturnUnit, ...]]:
    """Sort the units of a create call into accepted, refused, and doubtful (refused as repeated, or not mentioned).

    `asked_before` says that an earlier call for them ended unclear: only then may our own call have used up the
    returnable units.
    """
    ambiguous = AMBIGUOUS_CODES if asked_before else {DUPLICATE}
    accepted = adopt(units, answer.return_items)
    taken = {u.key for u in accepted}
    invalid = {item.return_item_id: item for item in answer.invalid_items}
    refused: list[ReturnUnit] = []
    doubtful: list[ReturnUnit] = []
    for unit in units:
        if unit.key in taken:
            continue
        item = invalid.get(unit.return_item_id)
        if item is None or item.code in ambiguous:
            doubtful.append(replace(unit, problem=item.code if item else "Amazon did not mention the unit"))
        else:
            refused.append(*not_returnable([unit], f"{item.code}: {item.description}".strip(": ")))
    return accepted, tuple(refused), tuple(doubtful)
