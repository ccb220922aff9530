"""Stories in which Amazon's books, or the names of orders, look otherwise than one would expect."""

from collections.abc import Sequence

from adapters.sandbox import ReturnLine
from tests.campaign.judge import Ending
from tests.campaign.scene import ELSEWHERE, GOOD, Scene, ended

NOTHING_FOUND = {"portal": frozenset({"open"}), "labels": 0, "errors": 1, "items": 0}


async def split(scene: Scene) -> Sequence[Ending]:
    """The connector has made several fulfillment orders of one shop order, told apart by a suffix alone, or shown as one.

    Where Amazon's list of orders has no end, a part may not be on any of its pages.
    """
    first, second = scene.dice.choice((("-1", "-2"), ("_1", "_2"), (".1", ".2"), ("", "B"), ("A", "B")))
    shown = scene.order if scene.dice.random() < 0.5 else None
    scene.sandbox.create_order(scene.order + first, {"LAMP": 1}, displayable_order_id=shown)
    scene.sandbox.create_order(scene.order + second, {"RUG": 1}, displayable_order_id=shown)
    return_id = scene.asks("LAMP", "RUG")
    request = scene.sandbox.shop.requests_of(scene.loop(return_id))[0]
    await scene.until("an answer", lambda: request.errors or scene.loop(return_id).labels)
    if scene.lists_orders:
        await scene.comes_back(return_id, GOOD, GOOD)
        await scene.becomes(return_id, "closed")
        return ended(return_id, "split", items=2, settled=(1, 0, 0))
    if not scene.loop(return_id).labels:
        return [Ending(return_id=return_id, kind="split", **NOTHING_FOUND)]  # type: ignore[arg-type]
    await scene.inspected_if_asked(return_id)
    await scene.becomes(return_id, "closed", "review")
    return ended(return_id, "split", portal=frozenset({"closed", "review"}))


async def taken(scene: Scene) -> Sequence[Ending]:
    """Another tool has asked for one of three units, with a shipment id that it made up."""
    parts = [{"status": "SHIPPED", "lines": {"MUG": quantity}} for quantity in (2, 1)]
    scene.ordered(shipments=parts)
    scene.anothers_item("MUG")
    return_id = scene.asks(ReturnLine(sku="MUG", quantity=3))
    await scene.comes_back(return_id, GOOD, GOOD)
    await scene.settled(return_id)
    return ended(return_id, "taken", items=2, settled=(0, 1, 0), words=("MUG",))


async def all_taken(scene: Scene) -> Sequence[Ending]:
    """Another tool has asked for the only unit, with a shipment id that it made up."""
    scene.ordered("MUG")
    scene.anothers_item("MUG")
    return_id = scene.asks("MUG")
    requests = scene.sandbox.shop.requests_of(scene.loop(return_id))
    await scene.until("an error", lambda: requests[0].errors)
    return [Ending(return_id=return_id, kind="all taken", **NOTHING_FOUND)]  # type: ignore[arg-type]


async def restocked(scene: Scene) -> Sequence[Ending]:
    """Loop puts the unit back into stock by itself, as Amazon does: that is only told."""
    return_id = scene.sends("SOCK")
    await scene.labelled(return_id)
    scene.sandbox.restock(return_id)
    await scene.travels(return_id)
    await scene.inspected(return_id, GOOD)
    await scene.becomes(return_id, "closed")
    return ended(return_id, "restocked", items=1, settled=(1, 0, 0))


async def namesakes(scene: Scene) -> Sequence[Ending]:
    """Two shops have an order of the same name; only ours is at Amazon. Theirs waits for a person, who cancels it."""
    neighbour = scene.neighbour
    scene.ordered("SOCK", "SOCK")
    theirs = neighbour.asks("SOCK", origin=ELSEWHERE)
    ours = scene.asks("SOCK")
    await scene.comes_back(ours, GOOD)
    await scene.becomes(ours, "closed")
    return [*ended(ours, "namesake", items=1, settled=(1, 0, 0)), await _waits_for_a_person(neighbour, theirs)]


async def _waits_for_a_person(scene: Scene, return_id: int) -> Ending:
    """The return is held, with the order in doubt named, until somebody cancels it."""
    await scene.says(return_id, "may be another shopper's")
    scene.sandbox.cancel_return(return_id)
    nothing = {"portal": frozenset({"cancelled"}), "labels": 0, "errors": 0, "items": 0}
    return Ending(return_id=return_id, kind="in doubt", **nothing)  # type: ignore[arg-type]


async def namesakes_at_amazon(scene: Scene) -> Sequence[Ending]:
    """Two shops have an order of the same name, and both are at Amazon: each gets its own goods."""
    neighbour = scene.neighbour
    scene.ordered("SOCK")
    anothers = f"Z{scene.order}"
    there = ELSEWHERE["zip"]
    scene.sandbox.create_order(anothers, {"SOCK": 1}, displayable_order_id=scene.order, postal_code=there)
    theirs = neighbour.asks("SOCK", origin=ELSEWHERE)
    ours = scene.asks("SOCK")
    await scene.comes_back(ours, GOOD)
    await scene.becomes(ours, "closed")
    endings = ended(ours, "namesake", items=1, settled=(1, 0, 0))
    if not scene.lists_orders:
        await scene.until("an answer", lambda: neighbour.loop(theirs).labels or neighbour.loop(theirs).notes)
        if not neighbour.loop(theirs).labels:
            return [*endings, await _waits_for_a_person(neighbour, theirs)]
    await neighbour.comes_back(theirs, GOOD)
    await neighbour.becomes(theirs, "closed")
    found = {item.seller_id for item in scene.sandbox.network.orders[anothers].items.values()}
    right = len(found) == 1 and f"-{theirs}-" in found.pop()
    return [*endings, *ended(theirs, "namesake at Amazon" if right else "a stranger's goods", items=1 if right else 0)]


VENDORS_KINDS = (split, taken, all_taken, restocked)
NAMESAKES = (namesakes, namesakes_at_amazon)
