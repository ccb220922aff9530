"""One short life, killed before any of its callbacks.

Between two callbacks that change neither the store nor the vendors nor what is on its way to or from them, it does not
matter when the daemon dies: what is left is the same, so only the first of such a stretch is tried.
"""

from collections.abc import Sequence
from dataclasses import replace

from adapters.sandbox import SandboxOptions
from tests.campaign.judge import Ending
from tests.campaign.scene import Scene, ended
from tests.campaign.simulated import Plan, Simulation
from tests.support.simulation.world import MINUTE, World

OPTIONS = SandboxOptions(process_after=5.0)
CLOCKS = {"label_request_poll": "30m", "return_poll": "20m", "late_look": "3m", "late_watch": "9m"}
"""Whoever starts polls at once; how often it does later, and watches what is over, adds nothing to a short life."""
NEVER = dict.fromkeys(("inspection_idle", "inspection_moving", "inspection_arrived"), "100d")
"""Looks that are further apart than anybody waits: only a message brings one about."""


async def good(scene: Scene) -> Sequence[Ending]:
    """One unit comes back as it should."""
    return_id = scene.sends("SOCK")
    await scene.labelled(return_id)
    await scene.travels(return_id)
    await scene.inspected(return_id, "Sellable")
    await scene.becomes(return_id, "closed")
    return ended(return_id, "good", items=1, settled=(1, 0, 0))


async def announced(scene: Scene) -> Sequence[Ending]:
    """Two units are inspected one after the other; Amazon says so, and is asked by itself far too late.

    It has replaced the client secret before, said so in the queue alone, and knows the old one no more.
    """
    return_id = scene.sends("SOCK", "MUG")
    await scene.labelled(return_id)
    scene.sandbox.notifications.new_secret(scene.sandbox.lwa.next_secret(overlap=0.0))
    scene.sandbox.expire_access_tokens()
    await scene.inspected(return_id, "Sellable", "Sellable")
    await scene.becomes(return_id, "closed")
    return ended(return_id, "announced", items=2, settled=(1, 0, 0))


async def bad(scene: Scene) -> Sequence[Ending]:
    """One of two units is damaged, and a person closes the return."""
    return_id = scene.sends("MUG", "SOCK")
    await scene.labelled(return_id)
    await scene.inspected(return_id, "CustomerDamaged", "Sellable")
    await scene.settled(return_id)
    return ended(return_id, "bad", items=2, settled=(0, 1, 0))


async def dropped(scene: Scene) -> Sequence[Ending]:
    """The return is cancelled when the label is out, which is given back."""
    return_id = scene.sends("VASE")
    await scene.labelled(return_id)
    scene.sandbox.cancel_return(return_id)
    await scene.says(return_id, "Label voided")
    return ended(return_id, "dropped", portal=frozenset({"cancelled"}), items=1, settled=(0, 0, 0), given_back=True)


def _short(**changes: object) -> Plan:
    return replace(Plan(kinds=(), hour=MINUTE, options=OPTIONS, timings=CLOCKS), **changes)  # type: ignore[arg-type]


LIVES = {
    "clean": _short(kinds=(good,)),
    "damaged": _short(kinds=(bad,), options=replace(OPTIONS, label_after=5.0)),
    "bought label": _short(kinds=(good,), buys_labels=True, options=replace(OPTIONS, documents_after=5.0)),
    "carrier's label": _short(kinds=(good,), buys_labels="easypost"),
    "shows late": _short(kinds=(good,), buys_labels="easypost", options=replace(OPTIONS, sale_shows_after=20.0)),
    "refunded": _short(kinds=(dropped,), buys_labels="easypost"),
    "announced": _short(kinds=(announced,), pushed=True, timings=CLOCKS | NEVER),
    "given back": _short(kinds=(dropped,), buys_labels=True),
}


def survey(simulation: Simulation, plan: Plan) -> tuple[int, list[int]]:
    """Live once undisturbed: how many callbacks the daemon has, and before which of them a death is worth trying."""
    points: list[int] = []
    last: list[object] = [None]

    def look(world: World) -> None:
        left = world.fingerprint()
        if left != last[0]:
            last[0] = left
            points.append(world.callbacks)

    outcome = simulation.run(replace(plan, before=look))
    assert outcome.wrong == []
    return outcome.callbacks, points


def dying_at(plan: Plan, *points: int) -> Plan:
    """The same life, in which the n-th process dies before the callback of the n-th number, counted over all."""

    def before(world: World) -> None:
        if world.starts <= len(points) and world.callbacks == points[world.starts - 1]:
            world.kill()

    return replace(plan, before=before)
