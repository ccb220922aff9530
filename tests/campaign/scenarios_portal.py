"""Stories in which Loop, or a person there, does something else than one would expect."""

from collections.abc import Sequence

from adapters.sandbox import ReturnLine
from tests.campaign.judge import Ending
from tests.campaign.scene import ECHO, GOOD, Scene, ended


async def fails(scene: Scene) -> Sequence[Ending]:
    """Loop cannot process the return."""
    return_id = scene.sends("SOCK")
    scene.sandbox.plan_processing(return_id, "fail", f"The card was declined. {ECHO}")
    await scene.comes_back(return_id, GOOD)
    await scene.becomes(return_id, "review", "closed")
    if scene.loop(return_id).state == "closed":  # its answer and its webhook were lost: asked again, it went well
        return ended(return_id, "fails", items=1, settled=(2, 0, 0))
    await scene.settled(return_id, "process")
    return ended(return_id, "fails", items=1, settled=(1, 1, 0), words=("could not be processed",))


async def bounces(scene: Scene) -> Sequence[Ending]:
    """Loop itself sends the return to review."""
    return_id = scene.sends("SOCK")
    scene.sandbox.plan_processing(return_id, "bounce")
    await scene.comes_back(return_id, GOOD)
    await scene.settled(return_id, "process")
    return ended(return_id, "bounces", items=1, settled=(1, 0, 0))


async def unflagged(scene: Scene) -> Sequence[Ending]:
    """A person lifts the flag, thinks, and closes the return later."""
    return_id = scene.sends("MUG")
    await scene.comes_back(return_id, "CustomerDamaged")
    await scene.settled(return_id, "unflag")
    await scene.says(return_id, "flag was lifted")
    await scene.hours(10)
    scene.sandbox.close_return(return_id)
    return ended(return_id, "unflagged", items=1, settled=(0, 1, 0))


async def closed_early(scene: Scene) -> Sequence[Ending]:
    """The merchant closes the return before anything came."""
    return_id = scene.sends("SOCK")
    if scene.dice.random() < 0.5:
        await scene.labelled(return_id)
        await scene.hours(5)
    else:
        await scene.hours(0.02)
    scene.sandbox.close_return(return_id)
    return [Ending(return_id=return_id, kind="closed early", errors=0, settled=(0, 0, 0))]


async def edited(scene: Scene) -> Sequence[Ending]:
    """A line is added that nobody asked a label for: it would be paid without having come."""
    return_id = scene.sends("SOCK")
    await scene.labelled(return_id)
    scene.sandbox.edit_return(return_id, add=[ReturnLine(sku="CAP")])
    await scene.hours(3)
    await scene.inspected(return_id, GOOD)
    await scene.settled(return_id)
    return ended(return_id, "edited", items=1, settled=(0, 1, 0))


async def shortened(scene: Scene) -> Sequence[Ending]:
    """A line is taken out of the return: it leaves the verdict, and holds up nothing of the rest."""
    return_id = scene.sends("SOCK", "MUG")
    await scene.labelled(return_id)
    scene.sandbox.edit_return(return_id, remove=[scene.loop(return_id).lines[1].line_item_id])
    await scene.hours(3)
    await scene.inspected(return_id, GOOD)
    await scene.becomes(return_id, "closed")
    return ended(return_id, "shortened", items=2, settled=(1, 0, 0), words=("No discrepancy",))


async def left_behind(scene: Scene) -> Sequence[Ending]:
    """One of two units was forgotten at home: another label, which was not used yet, and time to send it.

    Where it was given up before Loop could ask for that label, a person decides.
    """
    return_id = scene.sends("SOCK", "MUG")
    await scene.labelled(return_id)
    await scene.travels(return_id)
    await scene.inspected(return_id, GOOD)
    await scene.says(return_id, "Amazon inspected")
    scene.sandbox.reissue_label_request(return_id)
    await scene.labelled(return_id, 2)
    await scene.hours(12)
    scene.sandbox.receive(return_id, line=scene.loop(return_id).lines[1].line_item_id, condition=GOOD)
    await scene.becomes(return_id, "closed", "review")
    given_up = scene.loop(return_id).state == "review"
    if given_up:
        await scene.settled(return_id, "process")
    return ended(return_id, "left behind", labels=2, items=2, settled=(0, 1, 0) if given_up else (1, 0, 0))


async def edited_at_once(scene: Scene) -> Sequence[Ending]:
    """A line is taken out while its label is being made."""
    return_id = scene.sends("SOCK", "MUG")
    await scene.hours(0.02)
    scene.sandbox.edit_return(return_id, remove=[scene.loop(return_id).lines[1].line_item_id])
    await scene.labelled(return_id)
    await scene.inspected(return_id, GOOD)
    await scene.becomes(return_id, "closed")
    return ended(return_id, "edited at once", settled=(1, 0, 0))


async def edited_and_back(scene: Scene) -> Sequence[Ending]:
    """A line is added by mistake, and taken out again before anything has arrived."""
    return_id = scene.sends("SOCK")
    await scene.labelled(return_id)
    added = scene.sandbox.edit_return(return_id, add=[ReturnLine(sku="CAP")])
    await scene.hours(5)
    scene.sandbox.edit_return(return_id, remove=added)
    await scene.hours(3)
    await scene.inspected(return_id, GOOD)
    await scene.becomes(return_id, "closed")
    return ended(return_id, "edited and back", items=1, settled=(1, 0, 0))


async def swapped(scene: Scene) -> Sequence[Ending]:
    """The merchant replaces a line by another, for which nobody asked a label; the old one comes all the same."""
    return_id = scene.sends("SOCK", "MUG")
    await scene.labelled(return_id)
    await scene.hours(5)
    old = scene.loop(return_id).lines[1].line_item_id
    scene.sandbox.edit_return(return_id, add=[ReturnLine(sku="CAP")], remove=[old])
    await scene.inspected(return_id, GOOD)
    scene.sandbox.receive(return_id, sku="MUG")
    await scene.settled(return_id)
    return ended(return_id, "swapped", items=2, settled=(0, 1, 0))


async def unknown_order(scene: Scene) -> Sequence[Ending]:
    """No fulfillment order holds the units."""
    return_id = scene.asks("SOCK")
    requests = scene.sandbox.shop.requests_of(scene.loop(return_id))
    await scene.until("an error", lambda: requests[0].errors)
    return [Ending(return_id=return_id, kind="unknown order", portal=frozenset({"open"}), labels=0, errors=1)]


PORTAL_KINDS = (
    *(fails, bounces, unflagged, closed_early, edited, shortened, left_behind, edited_at_once, edited_and_back),
    *(swapped, unknown_order),
)
