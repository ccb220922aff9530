"""Labels on the merchant's carrier account, in simulated weeks: money that comes back late, and money that is looked for."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import product

from adapters.sandbox import Fault
from tests.campaign.judge import Ending, parcels_of
from tests.campaign.scene import Scene, ended
from tests.campaign.simulated import Plan
from tests.support.simulation.world import DAY, HOUR, MINUTE

GIVEN_BACK = frozenset({"cancelled"})
CARRIER = Plan(kinds=(), buys_labels="easypost", easypost={"void_unused_after": "3d"})


def live(simulation, story, **changes) -> None:
    """Let one story happen, and demand that nothing is wrong with it."""
    outcome = simulation.run(replace(CARRIER, kinds=(story,), **changes))
    assert outcome.wrong == []


def test_a_purchase_that_timed_out_and_took_place_is_the_return_s_own(simulation):
    """A carrier that answers an hour late has sold one label, which the shopper gets."""

    async def story(scene: Scene) -> Sequence[Ending]:
        scene.sandbox.time_out_purchase(HOUR)
        return_id = scene.sends("SOCK")
        await scene.labelled(return_id)
        assert len(scene.sandbox.easypost_labels()) == 1
        await scene.travels(return_id)
        await scene.inspected(return_id, "Sellable")
        await scene.becomes(return_id, "closed")
        return ended(return_id, "late sale", items=1, settled=(1, 0, 0))

    live(simulation, story)


def test_a_label_that_was_bought_after_all_is_taken_at_its_price(simulation):
    """A sale that shows late is found by the next quote, though by then no rate is cheap enough to be chosen."""
    lost = Fault(vendor="easypost", operation="buy_shipment", kind="drop", after_effect=True, count=1)
    busy = Fault(vendor="easypost", operation="rerate_shipment", kind="status", status=503, count=3)

    async def trouble(world, _) -> None:
        world.vendors.set_faults([lost, busy])

    async def story(scene: Scene) -> Sequence[Ending]:
        return_id = scene.sends("SOCK")
        await scene.until("it is bought", scene.sandbox.easypost_labels)
        dear = [replace(one, cents=9_999) for one in scene.sandbox.easypost.services]
        scene.sandbox.offer_rates(dear)
        await scene.labelled(return_id)
        assert len(scene.sandbox.easypost_labels()) == 1
        await scene.inspected(return_id, "Sellable")
        await scene.becomes(return_id, "closed")
        return ended(return_id, "bought after all", items=1, settled=(1, 0, 0))

    late = replace(CARRIER.options, sale_shows_after=182.0)
    live(simulation, story, options=late, trouble=trouble, storms=True)


def test_a_stray_purchase_is_looked_for_and_given_back(simulation):
    """A label that turns out bought hours after its return was cancelled is found, and its money asked back."""

    async def story(scene: Scene) -> Sequence[Ending]:
        scene.sandbox.time_out_purchase(30 * HOUR)
        return_id = scene.sends("SOCK")
        await scene.until("it is asked for", lambda: any(s.purchase_requests for s in shipments(scene)))
        scene.sandbox.cancel_return(return_id)
        await scene.until("it was bought", lambda: any(s.sale and s.sale.at <= now(scene) for s in shipments(scene)))
        await scene.until(
            "its money is asked back", lambda: all(p.given_back for p in parcels_of(scene.sandbox, return_id))
        )
        return ended(return_id, "stray", portal=GIVEN_BACK, items=1, labels=0, given_back=True)

    live(simulation, story)


def test_a_refund_that_is_rejected_is_asked_for_again(simulation):
    """Carriers reject soon after a purchase what they grant later."""

    async def story(scene: Scene) -> Sequence[Ending]:
        for _ in range(2):
            scene.sandbox.plan_refund("rejected")
        return_id = scene.sends("VASE")
        await scene.labelled(return_id)
        scene.sandbox.cancel_return(return_id)
        await scene.says(return_id, "Label voided")
        return ended(return_id, "rejected", portal=GIVEN_BACK, items=1, given_back=True)

    live(simulation, story)


def test_a_label_that_costs_nothing_unless_it_is_used_is_kept(simulation):
    """A carrier that bills on scan has nothing to give back, and the merchant reads so."""

    async def story(scene: Scene) -> Sequence[Ending]:
        scene.sandbox.plan_refund("not_applicable")
        return_id = scene.sends("VASE")
        await scene.labelled(return_id)
        scene.sandbox.cancel_return(return_id)
        await scene.says(return_id, "nothing is charged")
        return ended(return_id, "on scan", portal=GIVEN_BACK, items=1)

    live(simulation, story)


def test_a_label_that_nobody_used_is_given_back_in_time(simulation):
    """When Loop holds the return open no longer and nothing came, the money is asked back before it is too late."""

    async def story(scene: Scene) -> Sequence[Ending]:
        return_id = scene.sends("VASE")
        await scene.labelled(return_id)
        scene.sandbox.close_return(return_id)
        await scene.says(return_id, "Label voided")
        (parcel,) = parcels_of(scene.sandbox, return_id)
        assert parcel.sale is not None
        assert parcel.sale.refund_at >= parcel.sale.at + 3 * DAY
        return ended(return_id, "unused", items=1, given_back=True)

    live(simulation, story)


def test_carriers_that_pass_trouble_are_asked_again(simulation):
    """A rate that is missing because a carrier was busy is there some minutes later."""

    async def story(scene: Scene) -> Sequence[Ending]:
        offers = scene.sandbox.easypost.services
        busy = [replace(one, failure="Too Many Requests") for one in offers]
        scene.sandbox.offer_rates(busy)
        return_id = scene.sends("SOCK")
        await scene.until("it is rated", lambda: shipments(scene))
        await scene.hours(0.5, 0.5)
        scene.sandbox.offer_rates(offers)
        await scene.labelled(return_id)
        await scene.travels(return_id)
        await scene.inspected(return_id, "Sellable")
        await scene.becomes(return_id, "closed")
        return ended(return_id, "busy", items=1, settled=(1, 0, 0))

    live(simulation, story)


def test_every_answer_may_be_lost_once(simulation, moments):
    """Whichever answer of EasyPost's never arrives, with its effect or without, the shopper gets one label."""
    operations = ("create_shipment", "buy_shipment", "read_shipment", "read_tracker", "refund_shipment", "labelFile")

    async def story(scene: Scene) -> Sequence[Ending]:
        return_id = scene.sends("SOCK")
        await scene.labelled(return_id)
        await scene.travels(return_id)
        await scene.inspected(return_id, "Sellable")
        await scene.becomes(return_id, "closed")
        return ended(return_id, "lost", items=1, settled=(1, 0, 0))

    async def cancelled(scene: Scene) -> Sequence[Ending]:
        return_id = scene.sends("VASE")
        await scene.labelled(return_id)
        scene.sandbox.cancel_return(return_id)
        await scene.says(return_id, "Label voided")
        return ended(return_id, "lost refund", portal=GIVEN_BACK, items=1, given_back=True)

    ways = list(product(operations, ("drop", "status", "empty", "hang"), (False, True)))
    for operation, kind, late in ways[moments.first :: moments.step]:
        fault = Fault(vendor="easypost", operation=operation, kind=kind, count=1, after_effect=late, seconds=100.0)

        async def trouble(world, _, fault=fault) -> None:
            world.vendors.set_faults([fault])

        tale = cancelled if operation == "refund_shipment" else story
        outcome = simulation.run(replace(CARRIER, kinds=(tale,), hour=MINUTE, trouble=trouble, storms=True))
        assert outcome.wrong == [], fault


def shipments(scene: Scene):
    return list(scene.sandbox.easypost.shipments.values())


def now(scene: Scene) -> float:
    return scene.sandbox._clock.now()
