"""Nothing of one shop, or of one kind, holds up a shopper: crowds before the real limits, in virtual time."""

from dataclasses import replace

import pytest

from daemon.domain.returns import Settlement, State
from daemon.errors import Unavailable
from tests.services.running_walkers import RunningWalkers, crowd, shopper_waits
from tests.services.stage import DAY, HOUR
from tests.support.builders import (
    a_line,
    a_request,
    a_return,
    a_unit,
    an_awaited_return,
    authorized,
    delivered,
    found,
)
from tests.support.fake_loop import LoopReturn

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("size", [150, 260])
def test_whoever_waits_for_amazon_takes_no_place_of_a_new_shopper(living, size):
    """Amazon is late with 260 authorizations; a shopper whose order is answered at once has a label in a second or so.

    The six calls of a label take a tenth of a second each, and each waits for no more than the next turn.
    """

    async def scenario(running: RunningWalkers) -> None:
        running.stage.network.authorization_delay = HOUR / 2
        await crowd(running.stage, size)
        await running.wait(300.0)
        running.stage.network.authorization_delay = 0.0
        assert await shopper_waits(running) < 2.5

    living(scenario, limited=True)


def test_held_requests_take_no_turn_of_a_new_shopper(living):
    """Four hundred requests of other providers are due to be tried again; a shopper's label takes a second or so."""

    async def scenario(running: RunningWalkers) -> None:
        stage = running.stage
        now = stage.clock.now()
        held = [
            a_return(
                return_id=f"h{n}",
                requests=(a_request(f"qh{n}"),),
                units=(a_unit(request_id=f"qh{n}", sku="OWN"),),
                held=True,
                order_name=f"#9{n}",
                provider_order_id=f"77{n}",
                due_at=now - n,
                deadline_at=now - HOUR,
            )
            for n in range(400)
        ]
        await stage.store.transact(lambda uow: [uow.add(ret) for ret in held])
        await running.wait(20.0)
        assert await shopper_waits(running) < 2.5

    living(scenario, limited=True)


@pytest.mark.parametrize("size", [100, 600])
def test_one_shops_crowd_is_no_other_shops(living, size):
    """Six hundred shoppers of one shop ask at once; the other shop's key and places are its own, Amazon's turns shared."""

    async def scenario(running: RunningWalkers) -> None:
        await running.wait(60.0)
        await crowd(running.stage, size)
        await running.wait(5.0)
        assert await shopper_waits(running, "zeta") < 2.5

    living(scenario, limited=True, shops=("acme", "zeta"))


def test_a_shop_whose_portal_does_not_answer_holds_up_no_other(living):
    """Every call to one shop's Loop runs into its time-out; the other's shopper does not notice."""

    async def scenario(running: RunningWalkers) -> None:
        stage = running.stage

        async def never_answers(*_args: object) -> None:
            await running.wait(30.0)
            raise Unavailable("timed out")

        for method in ("label_request", "details", "notes"):
            setattr(stage.portals["acme"], method, never_answers)
        await crowd(stage, 600)
        await running.wait(100.0)
        assert await shopper_waits(running, "zeta") < 2.5

    living(scenario, limited=True, shops=("acme", "zeta"))


def test_looks_at_amazon_keep_no_verdict_from_the_portal(living):
    """Two thousand looks are overdue; a return that was found damaged is flagged at once all the same."""

    async def scenario(running: RunningWalkers) -> None:
        stage = running.stage
        now = stage.clock.now()
        damaged = an_awaited_return(
            found(a_unit(), "Defective"), state=State.SETTLING, settlement=Settlement.FLAG, due_at=now, changed_at=now
        )
        stage.portal.submit(LoopReturn(return_id=damaged.return_id, lines=[a_line()]))

        def fill(uow):
            for n in range(2000):
                unit = replace(authorized(a_unit(), order_id=f"B{n}"), return_item_id=f"mcfd-acme-b{n}-1-1")
                overdue = {"amazon_due_at": now - HOUR, "due_at": now - HOUR, "created_at": now - DAY}
                labelled = {"labelled_at": now - DAY, "requests": (delivered(f"qb{n}"),)}
                uow.add(an_awaited_return(unit, return_id=f"b{n}", **overdue, **labelled))
            uow.add(damaged)

        await stage.store.transact(fill)
        await running.until(State.IN_REVIEW, damaged.return_id, within=5.0)

    living(scenario, limited=True)
