"""Which fulfillment order a return belongs to."""

from dataclasses import replace

import pytest

from daemon.domain.returns import RequestState, State, UnitState
from daemon.errors import Unavailable
from daemon.ports.vendors import Lane
from tests.services.stage import DAY, HOUR, ORDER_TEMPLATES
from tests.support.builders import NOW, a_line, a_shipment, an_order
from tests.support.configured import a_policy


def tried(stage) -> list[str]:
    """The order ids that were read, in order, each as often as it was."""
    return [call.arguments[0] for call in stage.network.made("order")]


async def matched(stage):
    """Read the request, then match it."""
    await stage.step()
    return await stage.step()


class TestTemplates:
    async def test_templates_are_tried_in_order_until_one_covers(self, stage):
        """An order that does not hold the SKUs does not count; the first that does ends the search."""
        stage.network.add(
            an_order("5001", a_shipment("S1", HAT=1)),
            an_order("#1001", a_shipment("S2", SOCK=1)),
            an_order("1001", a_shipment("S3", SOCK=1)),
        )
        await stage.submit()
        await matched(stage)

        assert tried(stage) == ["5001", "#1001"]
        assert (await stage.unit()).order_id == "#1001"

    async def test_an_id_that_amazon_forbids_is_skipped(self, stage):
        """Amazon answers 403 for odd ids: that is an answer, no failure, and costs no attempt."""
        stage.network.forbidden = {"5001", "#1001"}
        stage.network.add(an_order("1001", a_shipment("S1", SOCK=1)))
        await stage.submit()
        ret = await matched(stage)

        assert tried(stage) == ["5001", "#1001", "1001"]
        assert (ret.units[0].order_id, ret.attempts) == ("1001", 0)

    async def test_two_templates_of_one_value_are_tried_once(self, open_with):
        """Two templates may come to the same id."""
        policy = a_policy(order_id_templates=("{order_name}", "#{order_name_bare}"))
        stage = await open_with(policy=policy)
        stage.network.add(an_order("1001", a_shipment("S1", SOCK=1)))
        await stage.submit()
        await matched(stage)

        assert tried(stage)[:1] == ["#1001"]
        assert tried(stage).count("#1001") == 1

    async def test_the_prefix_is_the_shops(self, open_with):
        """A template may carry a prefix of the shop's own."""
        policy = a_policy(order_id_templates=("{prefix}{order_name_bare}",), order_id_prefix="ACME-")
        stage = await open_with(policy=policy)
        stage.network.add(an_order("ACME-1001", a_shipment("S1", SOCK=1)))
        await stage.submit()
        await matched(stage)

        assert (await stage.unit()).order_id == "ACME-1001"

    async def test_shoppers_do_not_wait_behind_the_reconciliation(self, stage):
        """Candidates are read in the shopper's lane."""
        stage.ship(SOCK=1)
        await stage.submit()
        await matched(stage)

        assert {call.arguments[1] for call in stage.network.made("order")} == {Lane.SHOPPER}

    async def test_an_sku_of_another_name_matches_by_the_map(self, open_with):
        """Loop and Amazon may call one thing differently."""
        policy = a_policy(order_id_templates=ORDER_TEMPLATES, sku_map={"SOCK": "AMZ-SOCK"})
        stage = await open_with(policy=policy)
        stage.network.add(an_order("5001", a_shipment("S1", **{"AMZ-SOCK": 1})))
        await stage.submit()
        await stage.reach(State.AWAITING_INSPECTION)

        assert (await stage.unit()).sku == "AMZ-SOCK"


class TestSeveralOrders:
    async def test_one_shopify_order_may_be_several_fulfillment_orders(self, open_with):
        """Units are taken from all orders that are needed to cover them, and each order is asked for its own."""
        policy = a_policy(order_id_templates=("{order_name_bare}-1", "{order_name_bare}-2"))
        stage = await open_with(policy=policy)
        stage.network.add(an_order("1001-1", a_shipment("S1", SOCK=1)), an_order("1001-2", a_shipment("S2", CAP=1)))
        await stage.submit(a_line("1", "SOCK"), a_line("2", "CAP"))
        await stage.reach(State.AWAITING_INSPECTION)

        assert [(u.sku, u.order_id, u.standing) for u in (await stage.ret()).units] == [
            ("SOCK", "1001-1", UnitState.AUTHORIZED),
            ("CAP", "1001-2", UnitState.AUTHORIZED),
        ]
        assert [call.arguments[0] for call in stage.network.made("create_return")] == ["1001-1", "1001-2"]

    async def test_units_go_to_the_oldest_shipment_first(self, stage):
        """Each unit names the shipment it came from; never more than were shipped in it."""
        stage.network.add(
            an_order(
                "5001",
                a_shipment("NEW", shipped_at=NOW - 1 * DAY, SOCK=1),
                a_shipment("OLD", shipped_at=NOW - 9 * DAY, SOCK=1),
            )
        )
        await stage.submit(a_line("1"), a_line("2"), a_line("3"))
        await stage.reach(State.AWAITING_INSPECTION)

        units = (await stage.ret()).units
        assert [u.shipment_id for u in units] == ["OLD", "NEW", ""]
        assert units[2].standing is UnitState.NOT_RETURNABLE


class TestNothingFound:
    async def test_holding_posts_no_error_and_goes_on_looking(self, stage):
        """The request may be another provider's: after the deadline the return is held, noted once, and still tried."""
        await stage.submit()
        await stage.pass_time(3 * HOUR)

        ret = await stage.ret()
        assert (ret.state, ret.held) == (State.RECEIVED, True)
        assert "5001" in ret.problem
        assert stage.portal.count("report_refusal") == 0
        (note,) = stage.portal.returns["77"].notes
        assert "No label yet: no fulfillment order holds the units" in note

        stage.ship(SOCK=1)
        await stage.reach(State.AWAITING_INSPECTION, within=2 * HOUR)
        assert (await stage.ret()).held is False

    async def test_refusing_posts_one_error_that_names_what_was_tried(self, open_with):
        """Where the destination says that it is ours, an order that stays unknown is an error in Loop, once."""
        stage = await open_with(policy=a_policy(order_id_templates=ORDER_TEMPLATES, hold_unmatched=False))
        await stage.submit()
        await stage.pass_time(0.9 * HOUR)
        assert stage.portal.requests["q77"].errors == ()

        await stage.pass_time(DAY)

        (error,) = stage.portal.requests["q77"].errors
        assert "5001" in error
        assert (await stage.ret()).state is State.CLOSED
        assert (await stage.ret()).requests[0].asked is RequestState.REFUSED

    async def test_an_order_that_appears_in_time_is_found(self, open_with):
        """Connectors take a while to make the order in Amazon: it is looked for until the deadline."""
        stage = await open_with(policy=a_policy(order_id_templates=ORDER_TEMPLATES, hold_unmatched=False))
        await stage.submit()
        await stage.pass_time(0.8 * HOUR)
        stage.ship(SOCK=1)

        await stage.reach(State.AWAITING_INSPECTION, within=0.2 * HOUR)

    async def test_an_order_that_has_not_shipped_is_waited_for(self, stage):
        """What may ship yet is no reason to refuse; it goes on as soon as it has shipped."""
        shipment = a_shipment("S1", SOCK=1)
        order = an_order("5001", shipment)
        stage.network.add(replace(order, status="Processing", shipments=(replace(shipment, shipped=False),)))
        await stage.submit()
        await stage.pass_time(0.5 * HOUR)
        assert (await stage.ret()).state is State.RECEIVED
        assert stage.network.count("create_return") == 0

        stage.network.add(order)
        await stage.reach(State.AWAITING_INSPECTION, within=600.0)

    async def test_an_order_that_never_ships_is_refused_after_the_deadline(self, stage):
        """Nothing that could come back: a label request error, once."""
        shipment = a_shipment("S1", SOCK=1)
        order = an_order("5001", shipment)
        stage.network.add(replace(order, status="Processing", shipments=(replace(shipment, shipped=False),)))
        await stage.submit()
        await stage.pass_time(DAY)

        assert len(stage.portal.requests["q77"].errors) == 1
        assert (await stage.ret()).state is State.CLOSED

    async def test_an_operators_link_is_tried_first_and_at_once(self, stage):
        """A person may say which order it is; a held return goes on with it."""
        await stage.submit()
        await stage.pass_time(3 * HOUR)
        stage.network.add(an_order("ODD-1", a_shipment("S1", SOCK=1)))
        stage.network.calls.clear()

        await stage.operator.link("77", ["ODD-1"], "ann")
        await stage.work()

        assert tried(stage)[0] == "ODD-1"
        assert (await stage.unit()).order_id == "ODD-1"
        assert (await stage.ret()).state is State.AWAITING_INSPECTION

    @pytest.mark.slow
    async def test_the_time_in_which_amazon_is_away_is_no_waiting(self, open_with):
        """The deadline counts answered looks only."""
        stage = await open_with(policy=a_policy(order_id_templates=ORDER_TEMPLATES, hold_unmatched=False))
        await stage.submit()
        await stage.pass_time(600.0)
        stage.network.outage = Unavailable("down")
        await stage.pass_time(5 * HOUR)
        stage.network.outage = None
        await stage.pass_time(0.5 * HOUR)
        assert (await stage.ret()).state is State.RECEIVED

        await stage.pass_time(HOUR)
        assert (await stage.ret()).state is State.CLOSED

    async def test_the_time_in_which_we_were_down_is_no_waiting(self, open_with):
        """A daemon that was stopped over the deadline looks again before it refuses, and gives the rest of the time."""
        stage = await open_with(policy=a_policy(order_id_templates=ORDER_TEMPLATES, hold_unmatched=False))
        await stage.submit()
        await stage.pass_time(600.0)
        stage.clock.advance(5 * HOUR)
        await stage.restart()
        await stage.work()
        stage.ship(SOCK=1)

        await stage.reach(State.AWAITING_INSPECTION, within=0.5 * HOUR)
