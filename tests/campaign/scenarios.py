"""Returns of every kind, as stories: what shoppers, carriers, fulfillment centers and merchants do, and how it must end.

A story knows only the vendors, never the daemon. It runs in simulated time and beside a real process alike; an hour of
a story is as long as its scene says.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from adapters.sandbox import ReturnLine
from tests.campaign.judge import Ending, items_of
from tests.campaign.scenarios_portal import PORTAL_KINDS
from tests.campaign.scenarios_vendors import VENDORS_KINDS
from tests.campaign.scene import ECHO, GOOD, Kind, Scene, ended

BAD = ("CustomerDamaged", "CarrierDamaged", "FulfillerDamaged", "Defective")


async def clean(scene: Scene) -> Sequence[Ending]:
    """Everything comes back as it should."""
    skus = ["SOCK", "CAP", "SOCK"][: scene.dice.randint(1, 3)]
    return_id = scene.sends(*skus)
    await scene.comes_back(return_id, *[GOOD] * len(skus))
    await scene.becomes(return_id, "closed")
    return ended(return_id, "clean", items=len(skus), settled=(1, 0, 0), words=("No discrepancy",))


async def damaged(scene: Scene) -> Sequence[Ending]:
    """One unit is damaged; a person decides."""
    return_id = scene.sends("MUG", "SOCK")
    await scene.comes_back(return_id, scene.dice.choice(BAD), GOOD)
    await scene.settled(return_id, scene.dice.choice(("close", "process")))
    return ended(return_id, "damaged", items=2, settled=(0, 1, 0), words=("Discrepancy",))


async def missing(scene: Scene) -> Sequence[Ending]:
    """One of two units never comes."""
    return_id = scene.sends("CAP", "BELT")
    await scene.comes_back(return_id, GOOD)
    await scene.settled(return_id)
    return ended(return_id, "missing", items=2, settled=(0, 1, 0), words=("Missing",))


async def late(scene: Scene) -> Sequence[Ending]:
    """A unit that was given up comes after all, while a person decides."""
    return_id = scene.sends("CAP", "BELT")
    await scene.comes_back(return_id, GOOD)
    await scene.becomes(return_id, "review")
    await scene.hours(10)
    await scene.inspected(return_id, GOOD, GOOD)
    await scene.says(return_id, "inspected BELT")
    scene.sandbox.settle_review(return_id, "process")
    return ended(return_id, "late", items=2, settled=(0, 1, 0))


async def corrected(scene: Scene) -> Sequence[Ending]:
    """The inspector corrects the condition before the verdict."""
    return_id = scene.sends("MUG", "SOCK")
    await scene.comes_back(return_id, "Defective")
    await scene.says(return_id, "inspected MUG")
    await scene.inspected(return_id, GOOD)
    await scene.hours(8, 6)
    await scene.inspected(return_id, GOOD, GOOD)
    await scene.becomes(return_id, "closed", "review")
    if scene.loop(return_id).state == "review":  # an outage lasted until the SOCK was missing: a person decides
        await scene.settled(return_id)
        return ended(return_id, "corrected", items=2, settled=(0, 1, 0), words=("Missing",))
    return ended(return_id, "corrected", items=2, settled=(1, 0, 0))


async def wordless(scene: Scene) -> Sequence[Ending]:
    """A unit is inspected, and its condition never told."""
    return_id = scene.sends("LAMP")
    await scene.comes_back(return_id, None)
    await scene.settled(return_id)
    return ended(return_id, "wordless", items=1, settled=(0, 1, 0))


async def silent(scene: Scene) -> Sequence[Ending]:
    """Nothing ever comes; in the end the merchant closes the return."""
    return_id = scene.sends("VASE")
    await scene.says(return_id, "has expired")
    await scene.hours(10)
    scene.sandbox.close_return(return_id)
    return ended(return_id, "silent", items=1, settled=(0, 0, 0))


async def exchanged(scene: Scene) -> Sequence[Ending]:
    """The damaged item is removed, and the exchange goes out."""
    scene.ordered("SHIRT", "SCARF")
    lines = (ReturnLine(sku="SHIRT", exchange_sku="SHIRT-L"), ReturnLine(sku="SCARF", outcome="refund"))
    return_id = scene.asks(*lines)
    await scene.comes_back(return_id, GOOD, "CustomerDamaged")
    await scene.becomes(return_id, "closed", "review")
    if scene.loop(return_id).state == "review":  # Loop answered every removal with an error: a person decides
        await scene.settled(return_id)
        return ended(return_id, "exchanged", items=2, settled=(0, 1, 1), words=("did not remove",))
    return ended(return_id, "exchanged", items=2, settled=(0, 0, 1))


async def not_removed(scene: Scene) -> Sequence[Ending]:
    """The damaged item is the one to be exchanged, which Loop does not remove: a person decides."""
    scene.ordered("SHIRT", "SCARF")
    lines = (ReturnLine(sku="SHIRT", exchange_sku="SHIRT-L"), ReturnLine(sku="SCARF", outcome="refund"))
    return_id = scene.asks(*lines)
    await scene.comes_back(return_id, "CustomerDamaged", GOOD)
    await scene.settled(return_id)
    return ended(return_id, "not removed", items=2, settled=(0, 1, 1), words=("did not remove",))


async def refused(scene: Scene) -> Sequence[Ending]:
    """Amazon takes nothing back."""
    scene.sandbox.refuse_sku("HAZMAT", code="InvalidValues", description=f"Cannot be returned. {ECHO}")
    return_id = scene.sends("HAZMAT")
    requests = scene.sandbox.shop.requests_of(scene.loop(return_id))
    await scene.until("an error", lambda: requests[0].errors)
    return [Ending(return_id=return_id, kind="refused", portal=frozenset({"open"}), items=0, labels=0, errors=1)]


async def partly_refused(scene: Scene) -> Sequence[Ending]:
    """Amazon takes one unit back and another not."""
    scene.sandbox.refuse_sku("HAZMAT", code="InvalidValues", description=f"Cannot be returned. {ECHO}")
    return_id = scene.sends("SOCK", "HAZMAT")
    await scene.comes_back(return_id, GOOD)
    await scene.settled(return_id)
    return ended(return_id, "partly refused", items=1, settled=(0, 1, 0), words=("HAZMAT",))


async def two_parcels(scene: Scene) -> Sequence[Ending]:
    """The units go to two fulfillment centers."""
    return_id = scene.sends("LAMP", "RUG", return_centers=("RNO1", "ABE8"))
    await scene.comes_back(return_id, GOOD, GOOD)
    await scene.becomes(return_id, "closed")
    return ended(return_id, "two parcels", items=2, settled=(1, 0, 0))


async def two_requests(scene: Scene) -> Sequence[Ending]:
    """Loop asks for two labels, one for each line."""
    scene.ordered("LAMP", "RUG")
    return_id = scene.asks("LAMP", "RUG", parcels=[[0], [1]])
    await scene.labelled(return_id, 2)
    await scene.travels(return_id)
    await scene.inspected(return_id, GOOD, GOOD)
    await scene.becomes(return_id, "closed")
    return ended(return_id, "two requests", labels=2, items=2, settled=(1, 0, 0))


async def cancelled(scene: Scene) -> Sequence[Ending]:
    """The shopper keeps the item, at whatever moment."""
    return_id = scene.sends("VASE")
    if scene.dice.random() < 0.5:
        await scene.labelled(return_id)
        await scene.hours(3)
    else:
        await scene.hours(0.02)
    scene.sandbox.cancel_return(return_id)
    portal = frozenset({"cancelled"})
    facts: Mapping[str, Any] = {"settled": (0, 0, 0), "given_back": True}
    return [Ending(return_id=return_id, kind="cancelled", portal=portal, errors=0, **facts)]


async def kept_and_sent(scene: Scene) -> Sequence[Ending]:
    """The return is cancelled, and the parcel comes all the same."""
    return_id = scene.sends("VASE")
    await scene.labelled(return_id)
    await scene.travels(return_id)
    scene.sandbox.cancel_return(return_id)
    await scene.hours(5)
    await scene.inspected(return_id, GOOD)
    await scene.says(return_id, "inspected VASE")
    portal = frozenset({"cancelled"})
    return ended(return_id, "kept and sent", portal=portal, items=1, settled=(0, 0, 0))


async def asked_again(scene: Scene) -> Sequence[Ending]:
    """The label request is withdrawn and issued again, at whatever moment."""
    return_id = scene.sends("COAT")
    await scene.hours(0.02)
    first = scene.sandbox.shop.requests_of(scene.loop(return_id))[0]
    if first.status == "issued":
        scene.sandbox.cancel_label_request(first.request_id)
    await scene.hours(0.02)
    labels = len(scene.loop(return_id).labels)
    scene.sandbox.reissue_label_request(return_id)
    await scene.labelled(return_id, labels + 1)
    await scene.travels(return_id)
    await scene.inspected(return_id, GOOD)
    await scene.becomes(return_id, "closed")
    return ended(return_id, "asked again", labels=labels + 1, items=1, settled=(1, 0, 0))


async def shared_order(scene: Scene) -> Sequence[Ending]:
    """Two returns of one order at once, and a third one more than was shipped."""
    scene.ordered("SOCK", "SOCK")
    returns = [scene.asks("SOCK") for _ in range(3)]
    asked = [scene.sandbox.shop.requests_of(scene.loop(return_id))[0] for return_id in returns]
    await scene.until("all answered", lambda: all(r.errors or r.status == "fulfilled" for r in asked))
    lucky = [return_id for return_id in returns if scene.loop(return_id).labels]
    for return_id in lucky:
        await scene.inspected(return_id, GOOD)
    for return_id in lucky:
        await scene.becomes(return_id, "closed")
    endings = [ended(return_id, "shared order", items=1, settled=(1, 0, 0))[0] for return_id in lucky]
    for return_id in set(returns) - set(lucky):
        facts: Mapping[str, Any] = {"portal": frozenset({"open"}), "labels": 0, "errors": 1, "items": 0}
        endings.append(Ending(return_id=return_id, kind="one too many", **facts))
    return endings if len(lucky) == 2 else [Ending(return_id=0, kind=f"{len(lucky)} of 2 units got a label")]


async def handed_over(scene: Scene) -> Sequence[Ending]:
    """A return is cancelled, and the shopper asks anew for the same unit."""
    scene.ordered("TENT")
    first = scene.asks("TENT")
    await scene.labelled(first)
    scene.sandbox.cancel_return(first)
    await scene.says(first, "ancelled in Loop")
    second = scene.asks("TENT")
    await scene.labelled(second)
    await scene.travels(second)
    (item,) = items_of(scene.sandbox, first)
    scene.sandbox.receive(second, seller_return_item_id=item.seller_id)
    await scene.becomes(second, "closed")
    portal = frozenset({"cancelled"})
    return [
        Ending(return_id=first, kind="given up", portal=portal, items=1, labels=1, settled=(0, 0, 0), given_back=True),
        Ending(return_id=second, kind="taken over", items=0, labels=1, settled=(1, 0, 0)),
    ]


KINDS: Sequence[Kind] = (
    *(clean, damaged, missing, late, corrected, wordless, silent, exchanged, not_removed, refused, partly_refused),
    *(two_parcels, two_requests, cancelled, kept_and_sent, asked_again, shared_order, handed_over),
    *PORTAL_KINDS,
    *VENDORS_KINDS,
)
