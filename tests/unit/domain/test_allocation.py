"""The laws of allocation, whatever was shipped, returned and promised."""

from collections import Counter
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from daemon.domain.allocation import allocate
from daemon.domain.orders import FulfillmentOrder, ReturnItem, Shipment, ShippedItem
from daemon.domain.returns import ReturnUnit
from tests.support.builders import a_return, a_shipment, a_unit, an_order

SKUS = ["SOCK", "CAP"]
Place = tuple[str, str, str]

entries = st.tuples(st.sampled_from(SKUS), st.integers(0, 3))
shipments = st.tuples(st.booleans(), st.none() | st.integers(0, 4).map(float), st.lists(entries, max_size=4))


@st.composite
def stocks(draw: st.DrawFn) -> tuple[list[FulfillmentOrder], list[ReturnUnit]]:
    """Some orders with their shipments and return items, and what other returns were promised on them."""
    orders, promised = [], []
    for number, drawn in enumerate(draw(st.lists(st.lists(shipments, max_size=3), max_size=3)), start=1):
        built = [_shipment(f"S{number}{n}", *one) for n, one in enumerate(drawn)]
        order = an_order(f"O{number}", *built)
        listed = []
        for place, shipped in capacity([order]).items():
            for n in range(draw(st.integers(0, shipped))):
                theirs, known = _theirs(place, n), draw(st.sampled_from(["listed", "promised", "both"]))
                if known != "promised":
                    listed.append(_listed(theirs, processed=draw(st.booleans())))
                if known != "listed":
                    promised.append(theirs)
        orders.append(replace(order, return_items=tuple(listed)))
    return orders, promised


def _shipment(shipment_id: str, shipped: bool, at: float | None, drawn: list[tuple[str, int]]) -> Shipment:
    items = tuple(ShippedItem(item_id=f"item-{sku}", sku=sku, quantity=quantity) for sku, quantity in drawn)
    return Shipment(shipment_id=shipment_id, shipped=shipped, shipped_at=at, items=items)


def _theirs(place: Place, n: int) -> ReturnUnit:
    order_id, item_id, shipment_id = place
    unit = a_unit(f"{shipment_id}{item_id}{n}", request_id="other")
    return replace(
        unit,
        order_id=order_id,
        order_item_id=item_id,
        shipment_id=shipment_id,
        return_item_id=f"theirs-{shipment_id}-{item_id}-{n}",
    )


def _listed(unit: ReturnUnit, *, processed: bool) -> ReturnItem:
    return ReturnItem(
        return_item_id=unit.return_item_id,
        order_item_id=unit.order_item_id,
        shipment_id=unit.shipment_id,
        processed=processed,
    )


units = st.lists(st.sampled_from([*SKUS, "SCARF"]), max_size=8).map(
    lambda skus: [a_unit(str(n), sku) for n, sku in enumerate(skus)]
)


def capacity(orders: list[FulfillmentOrder]) -> Counter[Place]:
    """How many units each place has shipped."""
    shipped: Counter[Place] = Counter()
    for order in orders:
        for shipment in order.shipments:
            for item in shipment.items:
                shipped[order.order_id, item.item_id, shipment.shipment_id] += item.quantity * shipment.shipped
    return shipped


def free(orders: list[FulfillmentOrder], promised: list[ReturnUnit]) -> Counter[Place]:
    """What is left of each place after Amazon's list and the promises, each unit counted once."""
    claims = {i.return_item_id: (o.order_id, i.order_item_id, i.shipment_id) for o in orders for i in o.return_items}
    claims |= {u.return_item_id: (u.order_id, u.order_item_id, u.shipment_id) for u in promised}
    return capacity(orders) - Counter(claims.values())


@given(stocks(), units)
def test_no_shipped_unit_is_used_twice(stock, wanted):
    """No place gets more units than it has left, and every place holds the unit's SKU in a shipped shipment."""
    orders, promised = stock
    placed = [u for u in allocate(a_return(), wanted, orders, promised) if u.return_item_id]
    used = Counter((u.order_id, u.order_item_id, u.shipment_id) for u in placed)
    assert used <= free(orders, promised)
    assert all(u.order_item_id == f"item-{u.sku}" for u in placed)
    assert len({u.return_item_id for u in placed}) == len(placed)


@given(stocks(), units)
def test_no_unit_is_lost_or_left_out(stock, wanted):
    """Every unit comes back in its order, unchanged but for its place, and is placed while any place is left."""
    orders, promised = stock
    placed = allocate(a_return(), wanted, orders, promised)
    bare = [replace(u, order_id="", order_item_id="", shipment_id="", return_item_id="") for u in placed]
    assert bare == wanted
    left: Counter[str] = Counter()
    for (_, item_id, _), count in free(orders, promised).items():
        left[item_id.removeprefix("item-")] += count
    asked = Counter(u.sku for u in wanted)
    assert Counter(u.sku for u in placed if u.return_item_id) == asked & left


@given(stocks(), units)
def test_the_same_question_has_the_same_answer(stock, wanted):
    """Allocation is deterministic, so that a repeated step asks Amazon for the same units."""
    orders, promised = stock
    assert allocate(a_return(), wanted, orders, promised) == allocate(a_return(), wanted, orders, tuple(promised))


@given(stocks(), units)
def test_the_oldest_shipment_is_emptied_first(stock, wanted):
    """The dates of the places taken are the oldest that were left, in order."""
    orders, promised = stock
    dates = {s.shipment_id: s.shipped_at or 0.0 for order in orders for s in order.shipments}
    left = free(orders, promised)
    for sku in SKUS:
        oldest = sorted(dates[place[2]] for place in left.elements() if place[1] == f"item-{sku}")
        taken = [
            dates[u.shipment_id]
            for u in allocate(a_return(), wanted, orders, promised)
            if u.return_item_id and u.sku == sku
        ]
        assert taken == oldest[: len(taken)]


@given(stocks(), units)
def test_what_has_a_place_is_not_moved_by_what_comes_later(stock, wanted):
    """Two label requests one after the other share the stock as one would have."""
    orders, promised = stock
    first = allocate(a_return(), wanted[:2], orders, promised)
    second = allocate(a_return(units=first), wanted[2:], orders, promised)
    assert (*first, *second) == allocate(a_return(), wanted, orders, promised)


def test_a_shipment_that_another_tool_invented_takes_a_unit_of_the_line():
    """Amazon takes any shipment id from other tools, so what is left is counted for the order's line."""
    order = an_order("5001", a_shipment("S1", MUG=2), a_shipment("S2", MUG=1))
    theirs = ReturnItem(
        return_item_id="theirs-1",
        order_item_id=order.items[0].item_id,
        shipment_id="DUMMY-1",
        processed=False,
    )
    taken = replace(order, return_items=(theirs,))
    placed = allocate(a_return(), [a_unit(str(n), "MUG") for n in range(3)], [taken], [])
    assert sum(bool(unit.return_item_id) for unit in placed) == 2
