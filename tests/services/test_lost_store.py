"""The disk is gone, and the store begins anew: adopt takes over what is under way, and nothing is done twice."""

import shutil
from collections import Counter
from contextlib import suppress
from dataclasses import replace

import pytest

from daemon.domain.portal import PortalLabel, PortalState, RequestIssued, RequestStatus
from daemon.domain.returns import ReturnUnit, State, UnitState
from daemon.engine.adoption import Adoption, Kind
from daemon.errors import ListCut, Refused, Transient
from tests.services.parcels import PAGE, TWO, actions, ask_again, buying, cancel_return, errors, notes
from tests.services.stage import DAY, HOUR
from tests.support.builders import a_line, a_shipment, an_order
from tests.support.fakes import LoopReturn


async def lose(stage, template):
    """The process ends, and its store is gone; another one starts with an empty store."""
    await stage.stop()
    for file in stage.path.parent.glob(stage.path.name + "*"):
        file.unlink()
    shutil.copy(template, stage.path)
    await stage.start()


async def adopt(stage, return_id="77", **how):
    """Take over one return, once Amazon's list of orders has been read where it is needed."""
    adoption = Adoption(stage.contexts)
    with suppress(Transient):
        return await adoption.adopt("acme", return_id, **how)
    while await stage._read_list():
        pass
    return await adoption.adopt("acme", return_id, **how)


def once_each(stage, return_id="77"):
    """Every note was written once, by its marker."""
    markers = Counter(note.partition("]")[0] for note in stage.portal.returns[return_id].notes)
    return all(count == 1 for count in markers.values())


class TestAtEachStage:
    async def test_a_label_is_out(self, open_with, template):
        """A return whose label is out awaits its inspection again, with its units, and ends as it should."""
        stage = await open_with(policy=PAGE)
        await stage.sent(*TWO)
        before = await stage.ret()
        await lose(stage, template)
        result = await adopt(stage)
        after = await stage.ret()
        assert (result.kind, result.state) == (Kind.ADOPTED, State.AWAITING_INSPECTION)
        assert [(u.key, u.return_item_id, u.authorization_id, u.order_id) for u in after.units] == [
            (u.key, u.return_item_id, u.authorization_id, u.order_id) for u in before.units
        ]
        assert after.authorizations == before.authorizations
        await stage.inspect()
        await stage.inspect(line="2")
        await stage.reach(State.CLOSED)
        assert actions(stage) == {"process": 1}
        assert stage.network.count("create_return") == 1
        assert once_each(stage)

    async def test_twice_is_once(self, open_with, template):
        """A return that was taken over is known from then on."""
        stage = await open_with(policy=PAGE)
        await stage.sent()
        await lose(stage, template)
        await adopt(stage)
        assert (await adopt(stage)).kind is Kind.KNOWN
        assert await stage.history() == ["Adopted"]

    async def test_a_dry_run_changes_nothing(self, open_with, template):
        """It says what would become of the return, which stays unknown."""
        stage = await open_with(policy=PAGE)
        await stage.sent()
        await lose(stage, template)
        result = await adopt(stage, dry_run=True)
        assert (result.kind, result.state) == (Kind.ADOPTED, State.AWAITING_INSPECTION)
        assert await stage.store.read(lambda uow: uow.find("77")) == []

    async def test_the_clock_counts_from_the_label(self, open_with, template):
        """Silence is judged from when the label went out, not from when the return was taken over."""
        stage = await open_with(policy=PAGE)
        await stage.sent()
        labelled_at = (await stage.ret()).labelled_at
        await stage.pass_time(30 * DAY)
        await lose(stage, template)
        await adopt(stage)
        assert (await stage.ret()).labelled_at == pytest.approx(labelled_at, abs=60)
        await stage.reach(State.EXPIRED, within=17 * DAY)

    async def test_one_unit_was_graded(self, open_with, template):
        """What was noted and graded before is not noted or graded again."""
        stage = await open_with(policy=PAGE)
        await stage.sent(*TWO)
        await stage.inspect()
        await stage.pass_time(DAY)
        assert stage.portal.returns["77"].grades == {"1": 1}
        await lose(stage, template)
        await adopt(stage)
        await stage.pass_time(DAY)
        await stage.inspect(line="2")
        await stage.reach(State.CLOSED)
        assert stage.portal.returns["77"].grades == {"1": 1, "2": 1}
        assert stage.portal.returns["77"].assessments == {"1": 1, "2": 1}
        assert once_each(stage)

    async def test_it_was_flagged(self, open_with, template):
        """A flagged return is in review; a person closes it, and nothing is flagged again."""
        stage = await open_with(policy=PAGE)
        await stage.sent()
        await stage.inspect("Defective")
        await stage.reach(State.IN_REVIEW)
        await lose(stage, template)
        assert (await adopt(stage)).state is State.IN_REVIEW
        await stage.pass_time(2 * DAY)
        stage.portal.set_state("77", PortalState.CLOSED)
        await stage.reach(State.CLOSED)
        assert actions(stage) == {"flag": 1}
        assert once_each(stage)

    async def test_the_flag_is_gone(self, open_with, template):
        """A verdict on the timeline without a flag is a person's to settle: never flagged again by itself."""
        stage = await open_with(policy=PAGE)
        await stage.sent()
        await stage.inspect("Defective")
        await stage.reach(State.IN_REVIEW)
        stage.portal.set_state("77", PortalState.OPEN, flagged=False)
        await lose(stage, template)
        assert (await adopt(stage)).state is State.IN_REVIEW
        assert "flag" in (await stage.ret()).problem
        await stage.pass_time(5 * DAY)
        assert actions(stage) == {"flag": 1}

    async def test_processing_was_asked_for(self, open_with, template):
        """Loop gets the time to show what it was asked for, and is not asked twice."""
        stage = await open_with(policy=PAGE)
        stage.portal.process_after = 300.0
        await stage.sent()
        await stage.inspect()
        await stage.step_to(State.PROCESSING, within=2 * DAY)
        await lose(stage, template)
        assert (await adopt(stage)).state is State.SETTLING
        await stage.reach(State.CLOSED)
        assert actions(stage) == {"process": 1}

    async def test_it_was_cancelled(self, open_with, template):
        """A cancelled return is watched for a parcel that comes all the same."""
        stage = await open_with(policy=PAGE)
        await stage.sent()
        unit = await stage.unit()
        await cancel_return(stage)
        await lose(stage, template)
        assert (await adopt(stage)).state is State.CANCELLED
        stage.network.inspect(unit)
        await stage.pass_time(8 * DAY)
        assert len(notes(stage, "inspected")) == 1
        assert actions(stage) == {}

    @pytest.mark.parametrize("heard", [False, True])
    async def test_that_it_was_cancelled_is_noted_once(self, heard, open_with, template):
        """The note about a cancel is written by whoever hears of it first: before the loss, or the one that takes over."""
        stage = await open_with(policy=PAGE)
        await stage.sent()
        if heard:
            await cancel_return(stage)
        else:
            stage.portal.returns["77"].state = PortalState.CANCELLED
        await lose(stage, template)
        assert (await adopt(stage)).state is State.CANCELLED
        await stage.pass_time(DAY)
        assert len(notes(stage, "ancelled in Loop")) == 1


class TestBeforeTheLabel:
    async def test_it_goes_on_in_the_usual_way(self, open_with, template):
        """An authorization that Amazon gave before is found, and no second one is asked for."""
        stage = await open_with(policy=PAGE)
        stage.network.authorization_delay = 300.0
        stage.ship(SOCK=1)
        await stage.submit()
        await stage.step_to(State.AWAITING_LABEL)
        await lose(stage, template)
        await stage.tell(RequestIssued(return_id="77", request_id="q77"))
        await stage.reach(State.AWAITING_INSPECTION)
        assert stage.network.count("create_return") == 1
        assert (await stage.ret()).adopted_at is not None

    async def test_the_label_was_delivered_unseen(self, open_with, template):
        """A return whose request seemed to be answered by somebody else is taken over all the same."""
        stage = await open_with(policy=PAGE)
        await stage.sent()
        await lose(stage, template)
        await stage.tell(RequestIssued(return_id="77", request_id="q77"))
        await stage.reach(State.CLOSED)
        assert (await adopt(stage)).state is State.AWAITING_INSPECTION

    async def test_what_was_refused_stays_refused(self, open_with, template):
        """A request that mcfd had answered with an error is not tried again, and gets no second error."""
        stage = await open_with(policy=PAGE)
        stage.network.fail("create_return", Refused("InvalidValues", said="Cannot be returned."))
        stage.ship(SOCK=1)
        await stage.submit()
        await stage.reach(State.CLOSED)
        told = errors(stage)
        assert len(told) == 1
        await lose(stage, template)
        assert (await adopt(stage)).state is State.CLOSED
        await stage.tell(RequestIssued(return_id="77", request_id="q77"))
        await stage.pass_time(DAY)
        assert errors(stage) == told
        assert stage.network.count("create_return") == 1

    async def test_an_ended_returns_unit_is_taken_over(self, open_with, template):
        """The item that a cancelled return of the lost store has at Amazon goes to the return that asks for it."""
        stage = await open_with(policy=PAGE)
        await stage.sent()
        await cancel_return(stage)
        await lose(stage, template)
        await stage.submit(a_line("201"), return_id="78")
        await stage.reach(State.AWAITING_INSPECTION, return_id="78")
        assert stage.network.count("create_return") == 1
        assert (await stage.unit("201", "78")).standing is UnitState.AUTHORIZED
        assert (await stage.unit("1", "77")).standing is UnitState.REMOVED

    @pytest.mark.parametrize("first", ["77", "78"])
    async def test_a_unit_that_was_handed_over_and_has_arrived(self, first, open_with, template):
        """It is the new return's, as its note says, whichever of the two is taken over first."""
        stage, _ = await buying(open_with)
        await stage.sent()
        unit = await stage.unit()
        await cancel_return(stage)
        await stage.submit(a_line("201"), return_id="78")
        await stage.reach(State.AWAITING_INSPECTION, return_id="78")
        await stage.pass_time(HOUR)
        stage.network.inspect(unit)
        await lose(stage, template)
        await adopt(stage, first)
        await adopt(stage, "78")
        await adopt(stage, "77")
        await stage.reach(State.CLOSED, return_id="78")
        assert (await stage.unit("201", "78")).return_item_id == unit.return_item_id
        assert await stage.store.read(lambda uow: uow.get("acme", "77").authorized()) == ()
        assert once_each(stage, "78")


async def made_elsewhere(stage, *, items, return_id="77", order_id="#1001", skus=("SOCK",)):
    """Another integration has answered the label request of a return, and asked Amazon for these return items."""
    lines = [a_line(f"{return_id}{n}", sku) for n, sku in enumerate(skus, start=1)]
    stage.portal.submit(LoopReturn(return_id=return_id, lines=lines))
    request_id = f"q{return_id}"
    stage.portal.requests[request_id] = replace(
        stage.portal.requests[request_id], status=RequestStatus.FULFILLED, created_at=stage.clock.now()
    )
    label = PortalLabel(url="https://labels.test/1", carrier="USPS", tracking_number="9400")
    stage.portal.returns[return_id].labels.append(label)
    shipped = dict(Counter([*items, *skus]))
    stage.network.add(an_order(order_id, a_shipment("S1", **shipped)))
    theirs = [
        ReturnUnit(
            line_id="x",
            portal_sku=sku,
            sku=sku,
            order_item_id=f"item-{sku}",
            shipment_id="S1",
            return_item_id=f"theirs-{n}",
            reason_code="CR-UNWANTED_ITEM",
        )
        for n, sku in enumerate(items)
    ]
    if theirs:
        await stage.network.create_return(order_id, theirs)


class TestAnotherIntegration:
    async def test_the_sole_item_is_taken_over(self, open_with):
        """A foreign return item that nothing else can claim belongs to the return; it is followed to its end."""
        stage = await open_with(policy=PAGE)
        await made_elsewhere(stage, items=["SOCK"])
        result = await adopt(stage)
        assert (result.kind, result.state, result.why) == (Kind.ADOPTED, State.AWAITING_INSPECTION, "")
        assert [u.return_item_id for u in (await stage.ret()).units] == ["theirs-0"]
        assert stage.portal.returns["77"].notes == []

    async def test_no_item_is_said(self, open_with):
        """A label is out and Amazon expects nothing: not taken over, and said why; nothing is stored."""
        stage = await open_with(policy=PAGE)
        await made_elsewhere(stage, items=[])
        result = await adopt(stage)
        assert (result.kind, result.why.partition(":")[0]) == (Kind.AMBIGUOUS, "no_items")
        assert await stage.store.read(lambda uow: uow.find("77")) == []

    async def test_two_items_for_one_unit_are_ambiguous(self, open_with):
        """Which of two foreign items is meant nobody can tell."""
        stage = await open_with(policy=PAGE)
        await made_elsewhere(stage, items=["SOCK", "SOCK"])
        result = await adopt(stage)
        assert result.kind is Kind.AMBIGUOUS
        assert "2 return items that somebody else made" in result.why

    async def test_another_return_of_the_order_makes_it_ambiguous(self, open_with):
        """If another return of the order, however it ended, holds the SKU, the item may be that one's."""
        stage = await open_with(policy=PAGE)
        stage.portal.submit(LoopReturn(return_id="70", lines=[a_line("701")], state=PortalState.CLOSED))
        await made_elsewhere(stage, items=["SOCK"])
        result = await adopt(stage)
        assert (result.kind, "another return of the order" in result.why) == (Kind.AMBIGUOUS, True)

    async def test_a_list_that_is_cut_leaves_it_open(self, open_with):
        """If Loop's list of returns has no end, nobody knows who else holds the SKU: said, and not tried for ever."""
        stage = await open_with(policy=PAGE)
        await made_elsewhere(stage, items=["SOCK"])
        stage.portal.fail("returns_made", ListCut("the list begins again", []))
        result = await adopt(stage)
        assert (result.kind, "the list begins again" in result.why) == (Kind.AMBIGUOUS, True)

    async def test_a_unit_that_amazon_refused_us_is_not_another_tools(self, open_with, template):
        """A return of ours with a unit that Amazon did not take back keeps it so, whoever has asked for one like it."""
        stage = await open_with(policy=PAGE)
        stage.portal.submit(LoopReturn(return_id="70", lines=[a_line("701")], state=PortalState.CLOSED))
        stage.network.add(an_order("5001", a_shipment("S1", SOCK=2)))
        others = ReturnUnit(
            line_id="x",
            portal_sku="SOCK",
            sku="SOCK",
            order_item_id="item-SOCK",
            shipment_id="S1",
            return_item_id="theirs-0",
            reason_code="CR-UNWANTED_ITEM",
        )
        await stage.network.create_return("5001", [others])
        await stage.submit(a_line("1"), a_line("2"))
        await stage.reach(State.AWAITING_INSPECTION)
        before = await stage.ret()
        assert sorted(u.standing for u in before.units) == [UnitState.AUTHORIZED, UnitState.NOT_RETURNABLE]
        await lose(stage, template)
        stage.portal.fail("returns_made", ListCut("the list begins again", []))
        assert (await adopt(stage)).kind is Kind.ADOPTED
        after = await stage.ret()
        assert [(u.standing, u.return_item_id) for u in after.units] == [
            (u.standing, u.return_item_id) for u in before.units
        ]

    async def test_a_link_settles_the_order(self, open_with):
        """A return whose order nobody finds is taken over once a person has linked it."""
        stage = await open_with(policy=PAGE)
        await made_elsewhere(stage, items=["SOCK"], order_id="S02-9")
        assert (await adopt(stage)).kind is Kind.AMBIGUOUS
        linked = await stage.operator.link("77", ["S02-9"], "operator")
        assert "mcfd adopt" in linked.note
        assert (await adopt(stage)).kind is Kind.ADOPTED


class TestPostage:
    async def test_a_label_that_is_out_is_tracked(self, open_with, template):
        """Its carrier is asked by the number that Loop shows, and its arrival is told once."""
        stage, source = await buying(open_with)
        await stage.sent()
        await lose(stage, template)
        assert (await adopt(stage)).kind is Kind.ADOPTED
        parcel = (await stage.ret()).postage[0]
        assert parcel.tracked_only
        await stage.inspect()
        await stage.reach(State.CLOSED)
        assert len(source.bought()) == 1

    async def test_a_purchase_under_way_is_found_by_its_key(self, open_with, template):
        """A label that was bought and not yet delivered is found by the key of its purchase."""
        stage, source = await buying(open_with)
        source.documents_after = 300.0
        stage.ship(SOCK=1)
        await stage.submit()
        while not source.bought():
            await stage.step()
        await lose(stage, template)
        await stage.tell(RequestIssued(return_id="77", request_id="q77"))
        await stage.reach(State.AWAITING_INSPECTION)
        assert len(source.live()) == 1
        assert len(set(source.asked_keys())) == 1

    async def test_asked_again_the_label_is_found(self, open_with, template):
        """Another label for a parcel of which only the tracking is known is the one that was bought."""
        stage, source = await buying(open_with)
        await stage.sent()
        await lose(stage, template)
        await adopt(stage)
        await ask_again(stage, "q78")
        await stage.reach(State.AWAITING_INSPECTION, within=2 * HOUR)
        assert len(stage.portal.labels) == 2
        assert len(source.live()) == 1
