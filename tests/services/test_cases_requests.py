"""Several label requests of one return: each is matched, answered and delivered for itself."""

from dataclasses import replace

import pytest

from daemon.domain.portal import PortalState, RequestIssued
from daemon.domain.returns import RequestState, State, UnitState
from tests.services.parcels import PAGE, actions, ask_again, cancel_request, errors, notes
from tests.services.stage import DAY, HOUR, ORDER_TEMPLATES
from tests.support.builders import SHOPPER, a_line, a_portal_request, a_shipment, a_unit, an_order, assigned
from tests.support.configured import a_policy

REFUSING = a_policy(order_id_templates=ORDER_TEMPLATES, hold_unmatched=False)
ONE, OTHER = a_line("1", "SOCK"), a_line("2", "CAP")


async def two_destinations(stage, *, first=("SOCK",), second=("CAP",), lines=(ONE, OTHER)):
    """A shopper's return asks for two labels at once."""
    await stage.submit(*lines, request=a_portal_request("q77", skus=first))
    stage.portal.ask(a_portal_request("q2", skus=second))
    await stage.tell(RequestIssued(return_id="77", request_id="q2"))


async def asked(stage):
    """What became of each label request."""
    return {r.request_id: r.asked for r in (await stage.ret()).requests}


class TestTwoDestinations:
    async def test_each_gets_its_own_label(self, stage):
        """Two label requests for one return, to two destinations: two labels, and each unit asked for once."""
        stage.ship(SOCK=1, CAP=1)
        await two_destinations(stage)
        await stage.reach(State.AWAITING_INSPECTION)
        assert await asked(stage) == {"q77": RequestState.DELIVERED, "q2": RequestState.DELIVERED}
        assert len(stage.portal.labels) == 2
        assert len(stage.network.all_items()) == 2

    async def test_one_that_nobody_holds_does_not_take_the_other_with_it(self, open_with):
        """The order of one line is in Amazon, that of the other is not: a label for one, an error for the other."""
        stage = await open_with(policy=REFUSING)
        stage.ship(CAP=1)
        await two_destinations(stage)
        await stage.reach(State.AWAITING_INSPECTION)
        assert await asked(stage) == {"q77": RequestState.REFUSED, "q2": RequestState.DELIVERED}
        assert ("5001" in errors(stage)[0], errors(stage, "q2")) == (True, ())
        standings = {u.sku: u.standing for u in (await stage.ret()).units}
        assert standings == {"SOCK": UnitState.NOT_RETURNABLE, "CAP": UnitState.AUTHORIZED}

    async def test_one_that_may_be_another_providers_is_left_alone(self, stage):
        """Without destinations the unknown order is held; it does not hold up the label that is ours."""
        stage.ship(CAP=1)
        await two_destinations(stage)
        await stage.reach(State.AWAITING_INSPECTION, within=2 * HOUR)
        assert await asked(stage) == {"q77": RequestState.NOT_OURS, "q2": RequestState.DELIVERED}
        assert (errors(stage), len(stage.portal.labels)) == ((), 1)
        await stage.inspect(line="2")
        await stage.reach(State.IN_REVIEW)  # the other line would be paid for unseen
        assert actions(stage) == {"flag": 1}

    @pytest.mark.parametrize("abroad", ["q77", "q2"])
    async def test_one_from_abroad_is_refused_by_itself(self, stage, abroad):
        """A parcel that starts outside the United States: its request gets the reason, the other one its label."""
        stage.ship(SOCK=1, CAP=1)
        await stage.submit(ONE, OTHER, request=a_portal_request("q77", skus=("SOCK",)))
        stage.portal.ask(a_portal_request("q2", skus=("CAP",)))
        foreign = replace(SHOPPER, country_code="CA")
        request = stage.portal.requests[abroad]
        stage.portal.ask(replace(request, origin_country="CA", origin=foreign))
        await stage.tell(RequestIssued(return_id="77", request_id="q2"))
        await stage.reach(State.AWAITING_INSPECTION)
        home = {"q77": "q2", "q2": "q77"}[abroad]
        assert await asked(stage) == {abroad: RequestState.REFUSED, home: RequestState.DELIVERED}
        assert "CA" in errors(stage, abroad)[0]
        assert errors(stage, home) == ()

    async def test_a_withdrawn_request_is_not_waited_for(self, stage):
        """One authorization never comes, and its request is withdrawn: the other request's label goes out."""
        stage.network.center_of = {"SOCK": "LEX1", "CAP": "RNO1"}
        stage.network.authorization_delay = 60.0
        stage.ship(SOCK=1, CAP=1)
        await two_destinations(stage)
        await stage.step_to(State.AWAITING_LABEL)
        lost = (await stage.unit("1")).return_item_id
        stage.network._expected["5001"][lost].authorization_at = float("inf")
        await cancel_request(stage)
        await stage.reach(State.AWAITING_INSPECTION, within=600.0)
        assert await asked(stage) == {"q77": RequestState.CANCELLED, "q2": RequestState.DELIVERED}


class TestReissue:
    async def test_a_second_line_of_one_sku_is_told_from_a_new_label_for_the_first(self, stage):
        """The second request comes when the first label is out: it means the line that has had none."""
        stage.ship(SOCK=2)
        await stage.submit(a_line("1"), a_line("2"), request=a_portal_request("q77", skus=("SOCK",)))
        await stage.reach(State.AWAITING_INSPECTION)
        await ask_again(stage, "q2", a_line("2"))
        await stage.reach(State.AWAITING_INSPECTION)
        assert {u.line_id: u.request_id for u in (await stage.ret()).units} == {"1": "q77", "2": "q2"}
        await stage.inspect(line="1")
        await stage.inspect(line="2")
        await stage.reach(State.CLOSED)
        assert actions(stage) == {"process": 1}

    async def test_a_new_label_for_a_line_that_has_one_covers_the_same_unit(self, stage):
        """A re-issue after delivery asks Amazon for nothing, and the shopper gets the label again."""
        await stage.sent()
        await ask_again(stage, "q2")
        await stage.reach(State.AWAITING_INSPECTION)
        assert (len(stage.portal.labels), stage.network.count("create_return")) == (2, 1)

    async def test_what_has_come_back_needs_no_new_label(self, stage):
        """Of two equal lines one has arrived: a re-issue is for the one that has not."""
        await stage.sent(a_line("1"), a_line("2"))
        await stage.inspect(line="1")
        await stage.pass_time(DAY)
        await ask_again(stage, "q2", a_line("2"))
        await stage.reach(State.AWAITING_INSPECTION)
        assert {u.line_id: u.request_id for u in (await stage.ret()).units} == {"1": "q77", "2": "q2"}

    async def test_cancelled_and_asked_again_takes_the_authorization_over(self, stage):
        """Withdrawn before its label and issued anew: the open return item is used, and none is added."""
        stage.network.authorization_delay = 60.0
        stage.ship(SOCK=1)
        await stage.submit()
        await stage.step_to(State.AWAITING_LABEL)
        await cancel_request(stage)
        assert (await stage.ret()).state is State.CANCELLED
        await ask_again(stage, "q2")
        await stage.reach(State.AWAITING_INSPECTION)
        assert (stage.network.count("create_return"), len(stage.network.all_items())) == (1, 1)


class TestEdits:
    async def test_a_line_added_before_authorization_needs_a_request_of_its_own(self, stage):
        """Edited in Loop while the order is looked for: only what the label request names is asked for."""
        await stage.submit(ONE, request=a_portal_request("q77", skus=("SOCK",)))
        await stage.step()
        stage.portal.returns["77"].lines.append(OTHER)
        stage.ship(SOCK=1, CAP=1)
        await stage.reach(State.AWAITING_INSPECTION)
        assert [u.sku for u in (await stage.ret()).units] == ["SOCK"]
        await ask_again(stage, "q2", OTHER)
        await stage.reach(State.AWAITING_INSPECTION)
        assert len(stage.network.all_items()) == 2

    async def test_a_line_removed_before_the_request_is_read_is_not_asked_for(self, stage):
        """The details are the truth: what has left the return by then is no unit of it."""
        stage.ship(SOCK=1, CAP=1)
        await stage.submit(ONE, OTHER)
        stage.portal.returns["77"].lines.remove(OTHER)
        await stage.reach(State.AWAITING_INSPECTION)
        assert [u.sku for u in (await stage.ret()).units] == ["SOCK"]

    async def test_a_line_removed_after_authorization_leaves_the_verdict(self, stage):
        """It never comes, and nobody misses it; if it comes it is noted."""
        await stage.sent(ONE, OTHER)
        stage.portal.returns["77"].lines.remove(OTHER)
        await stage.inspect(line="1")
        await stage.inspect("Defective", line="2")
        await stage.reach(State.CLOSED)
        assert actions(stage) == {"process": 1}
        assert len(notes(stage, "inspected CAP")) == 1

    async def test_a_line_added_after_authorization_is_not_returnable(self, stage):
        """`process` would pay for it: a person decides."""
        await stage.sent(ONE)
        stage.portal.returns["77"].lines.append(OTHER)
        await stage.inspect(line="1")
        await stage.reach(State.IN_REVIEW)
        assert notes(stage, "CAP not returnable") != []


class TestQuantities:
    async def test_three_of_one_line_are_three_units(self, stage):
        """Quantity 3 of one order line: three Loop lines, three return items, one label."""
        await stage.sent(*(a_line(str(n)) for n in (1, 2, 3)))
        items = stage.network.all_items()
        assert len({i.return_item_id for i in items}) == 3
        assert {i.order_item_id for i in items} == {"item-SOCK"}
        assert len(stage.portal.labels) == 1

    async def test_units_over_two_shipments_name_theirs(self, stage):
        """The order left in two parts: no shipment gets back more than it had."""
        stage.network.add(an_order("5001", a_shipment("S1", SOCK=1), a_shipment("S2", SOCK=2)))
        await stage.submit(*(a_line(str(n)) for n in (1, 2, 3)))
        await stage.reach(State.AWAITING_INSPECTION)
        assert sorted(u.shipment_id for u in (await stage.ret()).units) == ["S1", "S2", "S2"]

    async def test_more_asked_than_returnable_goes_on_with_what_is(self, stage):
        """Two shipped, three asked: two are labelled, the third goes to a person in the end."""
        stage.ship(SOCK=2)
        await stage.submit(*(a_line(str(n)) for n in (1, 2, 3)))
        await stage.reach(State.AWAITING_INSPECTION)
        for line in ("1", "2"):
            await stage.inspect(line=line)
        await stage.reach(State.IN_REVIEW)
        assert notes(stage, "SOCK not returnable") != []

    @pytest.mark.parametrize("processed", [False, True])
    async def test_a_unit_returned_by_hand_in_seller_central_is_gone(self, stage, processed):
        """Somebody made a return there under an id that is not ours: the place is taken, whatever became of it."""
        stage.ship(SOCK=2)
        theirs = replace(assigned(a_unit(), "5001"), return_item_id="by-hand", reason_code="CR-DEFECTIVE")
        await stage.network.create_return("5001", [theirs])
        if processed:
            stage.network.inspect(theirs)
        await stage.submit(a_line("1"), a_line("2"))
        await stage.reach(State.AWAITING_INSPECTION)
        standings = sorted(u.standing for u in (await stage.ret()).units)
        assert standings == [UnitState.AUTHORIZED, UnitState.NOT_RETURNABLE]

    async def test_several_returns_of_one_order_at_once_share_what_was_shipped(self, stage):
        """Three shoppers' returns for two units: two labels, one refusal, no unit twice."""
        stage.ship(SOCK=2)
        for return_id in ("1", "2", "3"):
            await stage.submit(a_line(return_id), return_id=return_id)
        await stage.pass_time(120.0)
        states = sorted([(await stage.ret(n)).state for n in ("1", "2", "3")])
        assert states == [State.AWAITING_INSPECTION, State.AWAITING_INSPECTION, State.CLOSED]
        assert len(stage.network.all_items()) == 2


class TestBundles:
    async def test_a_bundle_over_two_orders_is_one_line_and_many_units(self, open_with):
        """A bundle explodes to what Amazon shipped, in two fulfillment orders; the line is graded by its worst unit."""
        policy = replace(
            PAGE,
            order_id_templates=("{order_name_bare}-1", "{order_name_bare}-2"),
            sku_map={"SET": {"SOCK": 2, "CAP": 1}},
        )
        stage = await open_with(policy=policy)
        stage.network.add(an_order("1001-1", a_shipment("S1", SOCK=2)), an_order("1001-2", a_shipment("S2", CAP=1)))
        await stage.submit(a_line("1", "SET"))
        await stage.reach(State.AWAITING_INSPECTION)
        units = (await stage.ret()).units
        assert [(u.part, u.sku, u.order_id) for u in units] == [
            (1, "SOCK", "1001-1"),
            (2, "SOCK", "1001-1"),
            (3, "CAP", "1001-2"),
        ]
        for unit, condition in zip(units, ("Sellable", "Defective", "Sellable"), strict=True):
            stage.network.inspect(unit, condition)
        await stage.reach(State.IN_REVIEW, within=2 * DAY)
        assert stage.portal.returns["77"].lines[0].grade == "grade_d"


async def test_a_return_that_is_over_before_its_second_request_is_read_needs_no_label(stage):
    """Closed in Loop between two label requests: nothing is asked of Amazon for the second."""
    await stage.sent(ONE, request=a_portal_request("q77", skus=("SOCK",)))
    stage.portal.set_state("77", PortalState.CLOSED)
    await ask_again(stage, "q2")
    await stage.work()
    assert (stage.network.count("create_return"), len(stage.portal.labels)) == (1, 1)
