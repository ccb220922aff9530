"""A new label for the same return, and what becomes of the one before: it serves again, or is replaced and given back."""

import pytest

from daemon.domain.portal import PortalState, RequestStatus
from daemon.domain.returns import State, Transit
from daemon.errors import Refused
from tests.services.parcels import (
    CENTERS,
    TWO,
    actions,
    ask_again,
    buying,
    errors,
    postage,
    tell_state,
)
from tests.services.stage import DAY, HOUR
from tests.support.builders import a_portal_request
from tests.support.fake_postage import SERVICE


def numbers(stage) -> list[str]:
    """The tracking number of each label in Loop, oldest first."""
    return [label.tracking_number for label in stage.portal.labels.values()]


async def lift_flag(stage):
    """A person lifts the flag in Loop."""
    stage.portal.returns["77"].flagged = False
    await tell_state(stage, PortalState.OPEN)


class TestUsedLabel:
    async def test_a_lost_parcel_gets_a_new_label(self, open_with):
        """The carrier lost the parcel, a person lifts the flag, Loop asks again: a label that can be used."""
        stage, source = await buying(open_with)
        await stage.sent()
        source.scan(Transit.IN_TRANSIT)
        await stage.pass_time(2 * DAY)
        source.lose()
        await stage.reach(State.IN_REVIEW, within=30 * DAY)
        await lift_flag(stage)
        await ask_again(stage, "q2")
        await stage.reach(State.AWAITING_INSPECTION)

        assert numbers(stage) == ["1Z-SH1", "1Z-SH2"]
        await stage.pass_time(5 * DAY)
        assert (await stage.ret()).state is State.AWAITING_INSPECTION

    @pytest.mark.parametrize("told", [True, False], ids=["delivered", "opened unscanned"])
    async def test_what_was_left_behind_gets_a_new_label(self, open_with, told):
        """One of two units came; the parcel is there, whether the carrier said so or not: the other needs a label."""
        stage, source = await buying(open_with)
        await stage.sent(*TWO)
        if told:
            source.scan(Transit.DELIVERED)
        await stage.pass_time(DAY)
        await stage.inspect(line="1")
        await stage.pass_time(2 * DAY)
        await ask_again(stage, "q2", TWO[1])
        await stage.reach(State.AWAITING_INSPECTION)

        assert numbers(stage) == ["1Z-SH1", "1Z-SH2"]
        assert source.orders[-1].skus == ("CAP",)
        await stage.inspect(line="2")
        await stage.reach(State.CLOSED)
        assert actions(stage) == {"process": 1}

    async def test_what_has_come_back_needs_no_label(self, open_with):
        """Loop asks again for a unit that is there already: nothing is bought for it."""
        stage, source = await buying(open_with)
        await stage.sent()
        source.scan(Transit.DELIVERED)
        await stage.pass_time(DAY)
        await stage.inspect()
        await stage.step_to(State.INSPECTED)
        await ask_again(stage, "q2")
        await stage.pass_time(DAY)

        assert source.bought() == ["77-A1"]


class TestForgottenDocument:
    async def forgotten(self, open_with):
        """A month later the bought label's document is no longer kept, and Loop asks for a label again."""
        stage, source = await buying(open_with)
        await stage.sent()
        await stage.pass_time(32 * DAY)
        await stage.store.transact(lambda uow: uow.drop_documents(stage.clock.now(), 100))
        return stage, source

    async def test_it_is_fetched_again(self, open_with):
        """Amazon still has it: the same label serves, nothing is bought."""
        stage, source = await self.forgotten(open_with)
        await ask_again(stage, "q2")
        await stage.reach(State.AWAITING_INSPECTION)

        assert numbers(stage) == ["1Z-SH1", "1Z-SH1"]
        assert source.bought() == ["77-A1"]

    @pytest.mark.slow
    @pytest.mark.parametrize("answer", ["refused", "no document"])
    async def test_it_is_bought_anew(self, open_with, answer):
        """Amazon has it no more: the old label is given back, another one is bought, and its parcel is paid for."""
        stage, source = await self.forgotten(open_with)
        if answer == "refused":
            source.fail("document", Refused("NotFound", "gone"))
        else:
            source.documents_after = 40 * DAY

            async def there_again():
                source.documents_after = 0.0

            source.meanwhile("void", there_again, after=True)
        await ask_again(stage, "q2")
        ret = await stage.reach(State.AWAITING_INSPECTION)

        assert numbers(stage) == ["1Z-SH1", "1Z-SH2"]
        assert (postage(ret).number, source.live()) == (2, ["SH2"])
        await stage.inspect()
        await stage.reach(State.CLOSED)
        assert actions(stage) == {"process": 1}

    async def test_one_that_cannot_be_given_back_is_replaced_all_the_same(self, open_with):
        """Amazon refuses the void, too: the shopper gets a label."""
        stage, source = await self.forgotten(open_with)
        source.fail("document", Refused("NotFound", "gone"))
        source.fail("void", Refused("InvalidRequest", "too old"))
        await ask_again(stage, "q2")
        await stage.reach(State.AWAITING_INSPECTION)

        assert numbers(stage) == ["1Z-SH1", "1Z-SH2"]


class TestGivenBack:
    async def test_when_a_label_cannot_be_delivered(self, open_with):
        """Loop refuses the label for good: it is told so, and what was bought is given back."""
        stage, source = await buying(open_with)
        stage.portal.fail("deliver_label", Refused("UNPROCESSABLE", "no"))
        stage.ship(SOCK=1)
        await stage.submit()
        await stage.reach(State.STUCK)
        await stage.pass_time(HOUR)

        assert (len(errors(stage)), source.live()) == (1, [])

    async def test_when_a_person_resolves_a_held_return(self, open_with):
        """One parcel's label is bought, the other's service is not offered; a person settles it by hand."""
        stage, source = await buying(open_with)
        stage.network.center_of = dict(CENTERS)
        stage.ship(SOCK=1, CAP=1)

        async def sold_out():
            source.services = ("GROUND",)

        source.meanwhile("buy", sold_out, after=True)
        await stage.submit(*TWO)
        await stage.reach(State.STUCK)
        assert (source.live(), source.services) == (["SH1"], ("GROUND",))
        await stage.operator.resolve("77", "ann")
        await stage.pass_time(HOUR)

        assert (await stage.ret()).state is State.CLOSED
        assert (source.live(), SERVICE in source.services) == ([], False)

    async def test_a_delivered_label_is_not_given_back_by_resolving(self, open_with):
        """The shopper holds it, and may be on the way to the post office."""
        stage, source = await buying(open_with)
        await stage.sent()
        stage.network.fail("order", Refused("Unauthorized", "denied"), times=8)
        await stage.reach(State.STUCK, within=2 * DAY)
        await stage.operator.resolve("77", "ann")
        await stage.pass_time(HOUR)

        assert source.live() == ["SH1"]

    async def test_when_a_cancel_that_no_webhook_told_is_found_by_the_poll(self, open_with):
        """The request is withdrawn, its return stays open, and the webhook is lost: the poll finds it, once."""
        stage, source = await buying(open_with)
        await stage.sent()
        stage.portal.withdraw("q77")
        for _ in range(3):
            await stage.polls.cancelled_requests()
            await stage.pass_time(HOUR)

        assert source.live() == []
        assert (await stage.history()).count("LabelRequestCancelled") == 1
        (first, *_) = stage.portal.made("cancelled_requests")
        assert first.arguments == (first.at - 45 * DAY,)

    async def test_a_cancel_of_a_return_that_is_not_ours_opens_nothing(self, stage):
        """The list names every provider's requests."""
        stage.portal.ask(a_portal_request("q5", return_id="5", status=RequestStatus.CANCELLED))
        await stage.polls.cancelled_requests()

        assert await stage.store.read(lambda uow: uow.get("acme", "5")) is None
