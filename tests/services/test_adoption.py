"""Case 8, asked again as a new return: the open authorization is adopted, and no second return item is made."""

import pytest

from daemon.domain.portal import PortalState, RequestCancelled, RequestIssued
from daemon.domain.returns import State, Transit, UnitState
from tests.services.parcels import PAGE, actions, ask_again, buying, cancel_return, errors, notes
from tests.services.stage import DAY, HOUR
from tests.support.builders import a_line, a_portal_request
from tests.support.fakes import Killed, LoopReturn


async def again(stage, *lines, return_id="78"):
    """The shopper submits another return of the same order."""
    await stage.submit(*(lines or (a_line("201"),)), return_id=return_id)


def item_ids(stage):
    return [item.return_item_id for item in stage.network.all_items()]


class TestBeforeTheLabel:
    async def test_the_unit_changes_hands(self, open_with):
        """Case 8: cancelled before its label was out and asked again as a new return: the item is taken over."""
        stage = await open_with(policy=PAGE)
        stage.network.authorization_delay = 300.0
        stage.ship(SOCK=1)
        await stage.submit()
        await stage.step_to(State.AWAITING_LABEL)
        await cancel_return(stage)
        await again(stage)
        await stage.reach(State.AWAITING_INSPECTION, return_id="78")
        assert stage.network.count("create_return") == 1
        assert len(item_ids(stage)) == 1
        unit = await stage.unit("201", "78")
        assert (unit.return_item_id, unit.standing) == (item_ids(stage)[0], UnitState.AUTHORIZED)
        assert "UnitsTransferred" in await stage.history("77")
        assert (await stage.unit("1", "77")).standing is UnitState.REMOVED
        assert stage.portal.requests["q78"].errors == ()

    async def test_what_comes_is_the_new_returns(self, open_with):
        """Case 8: the inspection belongs to the return that asked last; the first one hears nothing of it."""
        stage = await open_with(policy=PAGE)
        stage.network.authorization_delay = 300.0
        stage.ship(SOCK=1)
        await stage.submit()
        await stage.step_to(State.AWAITING_LABEL)
        await cancel_return(stage)
        await again(stage)
        await stage.reach(State.AWAITING_INSPECTION, return_id="78")
        stage.network.inspect(await stage.unit("201", "78"))
        await stage.reach(State.CLOSED, return_id="78")
        await stage.pass_time(20 * DAY)
        assert (actions(stage), stage.portal.made("process")[0].arguments[0]) == ({"process": 1}, "78")
        assert notes(stage, "inspected", "77") == []
        assert len(notes(stage, "inspected", "78")) == 1


class TestAfterTheLabel:
    async def test_the_unit_changes_hands(self, open_with):
        """Case 8: cancelled with its label out and asked again: the item is taken over; a void, then a new label."""
        stage, source = await buying(open_with)
        await stage.sent()
        await cancel_return(stage)
        await stage.work()
        await again(stage)
        await stage.reach(State.AWAITING_INSPECTION, return_id="78")
        assert (stage.network.count("create_return"), len(item_ids(stage))) == (1, 1)
        assert errors(stage, "q78") == ()
        assert source.bought() == ["77-A1", "78-A1"]
        assert source.live() == ["SH2"]
        assert len(set(source.asked_keys())) == 2

    async def test_the_first_return_ends_quietly(self, open_with):
        """Case 8: a cancelled return whose units are awaited elsewhere is over, and settles nothing in Loop."""
        stage, _ = await buying(open_with)
        await stage.sent()
        await cancel_return(stage)
        await again(stage)
        await stage.reach(State.AWAITING_INSPECTION, return_id="78")
        await stage.reach(State.CLOSED, return_id="77")
        assert notes(stage, "Nothing", "77") == [
            "Nothing came back. Nothing was done: the return is cancelled in Loop."
        ]
        assert actions(stage) == {}

    async def test_the_new_return_is_settled_alone(self, open_with):
        """Case 8: what comes is the new return's, and the shopper is paid once."""
        stage, _ = await buying(open_with)
        await stage.sent()
        await cancel_return(stage)
        await again(stage)
        await stage.reach(State.AWAITING_INSPECTION, return_id="78")
        stage.network.inspect(await stage.unit("201", "78"))
        await stage.reach(State.CLOSED, return_id="78")
        await stage.pass_time(20 * DAY)
        assert [call.arguments[0] for call in stage.portal.made("process")] == ["78"]

    async def test_a_cancel_that_only_took_the_label_request_lends_nothing(self, open_with):
        """Case 8: a return that is still open in Loop keeps its units: they would be paid for twice."""
        stage = await open_with(policy=PAGE)
        await stage.sent()
        stage.portal.withdraw("q77")
        await stage.operator.cancel("77", "ann")
        ret = await stage.ret("77")
        assert ret.units[0].request_id == ""
        stage.portal.set_state("77", PortalState.OPEN)
        await again(stage)
        await stage.reach(State.AWAITING_INSPECTION, return_id="78")
        await stage.pass_time(DAY)
        assert actions(stage) == {"flag": 1}  # the open one's line is not paid for: a person looks at it
        assert stage.portal.made("flag")[0].arguments[0] == "77"

    async def test_a_request_withdrawn_keeps_the_unit(self, open_with):
        """Case 8: withdrawing a label request does not cancel the return: another return cannot have its unit."""
        stage = await open_with(policy=PAGE)
        await stage.sent()
        stage.portal.withdraw("q77")
        await stage.tell(RequestCancelled(return_id="77", request_id="q77"))
        await again(stage)
        await stage.reach(State.CLOSED, return_id="78")
        assert len(errors(stage, "q78")) == 1
        assert (await stage.unit("1", "77")).standing is UnitState.AUTHORIZED

    async def test_a_parcel_on_its_way_is_still_recognised(self, open_with):
        """Case 8: the shopper uses the first label after all: the new return hears of the inspection all the same."""
        stage, source = await buying(open_with)
        await stage.sent()
        source.scan(Transit.IN_TRANSIT)
        await cancel_return(stage)
        await again(stage)
        await stage.reach(State.AWAITING_INSPECTION, return_id="78")
        stage.network.inspect(await stage.unit("201", "78"), "Defective")
        await stage.reach(State.IN_REVIEW, return_id="78")
        assert [call.arguments[0] for call in stage.portal.made("flag")] == ["78"]

    async def test_what_was_inspected_already_is_not_lent(self, open_with):
        """Case 8: a unit that came back cannot come back again: the new return is refused."""
        stage = await open_with(policy=PAGE)
        await stage.sent()
        await stage.inspect("Defective")
        await stage.reach(State.IN_REVIEW)
        await cancel_return(stage)
        await again(stage)
        await stage.reach(State.CLOSED, return_id="78")
        assert len(errors(stage, "q78")) == 1


class TestHandsOnHands:
    async def test_a_unit_may_be_lent_on(self, open_with):
        """Case 8: cancelled and asked again twice: the same item serves the third return."""
        stage, source = await buying(open_with)
        await stage.sent()
        for return_id, before in (("78", "77"), ("79", "78")):
            await cancel_return(stage, before)
            await again(stage, a_line(f"line-{return_id}"), return_id=return_id)
            await stage.reach(State.AWAITING_INSPECTION, return_id=return_id)
        assert (stage.network.count("create_return"), len(item_ids(stage))) == (1, 1)
        await stage.work()
        assert source.live() == ["SH3"]

    async def test_the_first_return_asks_again_while_another_has_it(self, open_with):
        """Case 8: a unit that is awaited elsewhere is not taken back: the first return is refused, nothing breaks."""
        stage = await open_with(policy=PAGE)
        await stage.sent()
        await cancel_return(stage)
        await again(stage)
        await stage.reach(State.AWAITING_INSPECTION, return_id="78")
        stage.portal.set_state("77", PortalState.OPEN)
        await ask_again(stage, "q2", return_id="77")
        await stage.pass_time(2 * HOUR)
        assert stage.metrics.troubles["bug"] == 0
        assert len(errors(stage, "q2")) == 1
        assert (await stage.unit("201", "78")).standing is UnitState.AUTHORIZED

    async def test_the_first_return_takes_it_back(self, open_with):
        """Case 8: when the second return is cancelled as well, the first may have its own item again."""
        stage = await open_with(policy=PAGE)
        await stage.sent()
        await cancel_return(stage)
        await again(stage)
        await stage.reach(State.AWAITING_INSPECTION, return_id="78")
        await cancel_return(stage, "78")
        stage.portal.set_state("77", PortalState.OPEN)
        await ask_again(stage, "q2", return_id="77")
        ret = await stage.reach(State.AWAITING_INSPECTION, return_id="77")
        assert (ret.units[0].standing, ret.units[0].return_item_id) == (UnitState.AUTHORIZED, item_ids(stage)[0])
        assert len(item_ids(stage)) == 1

    async def test_a_free_unit_is_not_needed_while_one_is_lent(self, open_with):
        """Case 8: of an order of two, the cancelled item is taken over before a second one is made."""
        stage = await open_with(policy=PAGE)
        stage.ship(SOCK=2)
        await stage.submit()
        await stage.reach(State.AWAITING_INSPECTION)
        await cancel_return(stage)
        await again(stage, a_line("201"), a_line("202"))
        await stage.reach(State.AWAITING_INSPECTION, return_id="78")
        assert len(item_ids(stage)) == 2

    @pytest.mark.parametrize("point", ["order", "deliver_label"])
    @pytest.mark.parametrize("after", [False, True])
    async def test_killed_while_it_changes_hands(self, open_with, point, after):
        """Case 8: the hand-over is one transaction: after a death the unit has one owner, and one item."""
        stage = await open_with(policy=PAGE)
        await stage.sent()
        await cancel_return(stage)
        await stage.work()
        (stage.portal if point == "deliver_label" else stage.network).fail(point, Killed(), after=after)
        await again(stage)
        with pytest.raises(Killed):
            await stage.pass_time(HOUR)
        await stage.restart()
        await stage.reach(State.AWAITING_INSPECTION, return_id="78")
        owners = [u for r in ("77", "78") for u in (await stage.ret(r)).authorized()]
        assert (len(owners), len(item_ids(stage))) == (1, 1)


async def test_another_shops_return_takes_nothing(open_with):
    """Case 8: two shops on one account do not mix: what is promised to one shop's order stays there."""
    stage = await open_with(policy=PAGE, shops=("acme", "zeta"))
    stage.network.read_lag = DAY  # Amazon does not list the item yet: only the promise says that the unit is taken
    await stage.sent()
    other = LoopReturn(return_id="78", lines=[a_line("201")])
    stage.portals["zeta"].submit(other, a_portal_request("qz", skus=()))
    await stage.intake.hear("zeta", [RequestIssued(return_id="78", request_id="qz")])
    await stage.pass_time(2 * HOUR)
    assert (await stage.unit("1", "77")).standing is UnitState.AUTHORIZED
    assert stage.network.count("create_return") == 1
    assert stage.portals["zeta"].labels == {}


async def test_two_cancelled_returns_lend_the_oldest_first(open_with):
    """Case 8: the item of the return that was cancelled first is taken first."""
    stage = await open_with(policy=PAGE)
    stage.ship(SOCK=2)
    await stage.submit(a_line("1"), return_id="77")
    await stage.reach(State.AWAITING_INSPECTION)
    await stage.submit(a_line("11"), return_id="76")
    await stage.reach(State.AWAITING_INSPECTION, return_id="76")
    await cancel_return(stage, "77")
    await cancel_return(stage, "76")
    await again(stage)
    await stage.reach(State.AWAITING_INSPECTION, return_id="78")
    assert (await stage.unit("201", "78")).return_item_id == "mcfd-acme-77-1-1"
