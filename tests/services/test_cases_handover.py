"""A bought label belongs to its authorization: it follows the units to another return, and goes when it is voided."""

import itertools
import re

import pytest

from daemon.domain.returns import State, Transit
from daemon.errors import Refused, Unavailable
from tests.services.parcels import ask_again, buying, cancel_request, cancel_return, notes, postage, two_parcels
from tests.services.stage import DAY, HOUR
from tests.support.builders import a_line
from tests.support.fakes import Killed

REFUSED = Refused("InvalidRequest", "The label can no longer be voided.")


async def again(stage, *lines, return_id="78"):
    """The shopper submits another return of the same order."""
    await stage.submit(*(lines or (a_line("201"),)), return_id=return_id)


async def page(stage, return_id="77"):
    """What a shopper gets behind the link of the newest label that Loop has; empty when it is gone."""
    url = stage.portal.returns[return_id].label_urls[-1]
    return await stage.hosting.open(re.search(r"labels/(.+)\.pdf", url)[1])


class TestOnePurchase:
    async def test_a_parcel_on_its_way_is_not_paid_for_twice(self, open_with):
        """Scanned, cancelled, asked again as a new return: its label request gets the very same label."""
        stage, source = await buying(open_with)
        await stage.sent()
        source.scan(Transit.IN_TRANSIT)
        await cancel_return(stage)
        await again(stage)
        await stage.reach(State.AWAITING_INSPECTION, return_id="78")

        assert source.bought() == ["77-A1"]
        (label,) = [x for x in stage.portal.labels.values() if x.url in stage.portal.returns["78"].label_urls]
        assert label.tracking_number == postage(await stage.ret("78")).tracking_id == "1Z-SH1"
        assert b"LABEL 1Z-SH1" in await page(stage, "78")
        assert (await stage.ret("77")).postage == ()

    async def test_the_new_return_hears_of_the_parcel(self, open_with):
        """Loop is told of its progress, and its arrival is noted, on the new return alone."""
        stage, source = await buying(open_with)
        await stage.sent()
        source.scan(Transit.IN_TRANSIT)
        await cancel_return(stage)
        await again(stage)
        await stage.reach(State.AWAITING_INSPECTION, return_id="78")
        source.scan(Transit.DELIVERED)
        await stage.pass_time(DAY)

        assert stage.portal.transits["label-2"] == [Transit.DELIVERED]
        assert (len(notes(stage, "Parcel delivered", "78")), notes(stage, "Parcel delivered", "77")) == (1, [])

    async def test_a_label_that_amazon_does_not_take_back_serves_the_next_return(self, open_with):
        """Not only a scan keeps a label: what was refused to be voided is used, not bought again."""
        stage, source = await buying(open_with)
        await stage.sent()
        source.fail("void", REFUSED)
        await cancel_return(stage)
        await again(stage)
        await stage.reach(State.AWAITING_INSPECTION, return_id="78")
        assert (source.bought(), source.live()) == (["77-A1"], ["SH1"])

    async def test_a_label_that_is_just_being_given_back_is_waited_for(self, open_with):
        """Whether it must be bought anew is known when the void is answered; until then the new return waits."""
        stage, source = await buying(open_with)
        await stage.sent()
        source.outage = Unavailable("down")
        await cancel_return(stage)
        await again(stage)
        await stage.pass_time(60.0)
        assert (await stage.ret("78")).state is State.RECEIVED

        source.outage = None
        source.scan(Transit.IN_TRANSIT)
        await stage.reach(State.AWAITING_INSPECTION, within=600.0, return_id="78")
        assert source.bought() == ["77-A1"]

    @pytest.mark.slow
    async def test_a_void_that_is_never_answered_does_not_keep_the_shopper_waiting_for_ever(self, open_with):
        """After the time that an order may take to be found, the new return gets a label of its own."""
        stage, source = await buying(open_with)
        await stage.sent()
        source.fail("track", Unavailable("down"), times=10_000)
        await cancel_return(stage)
        await again(stage)
        await stage.reach(State.AWAITING_INSPECTION, within=2 * HOUR, return_id="78")
        assert source.bought() == ["77-A1", "78-A1"]

    @pytest.mark.slow
    async def test_a_label_whose_document_is_gone_is_bought_again(self, open_with):
        """After its retention nothing is left to print, and the shopper needs a label."""
        stage, source = await buying(open_with)
        await stage.sent()
        source.scan(Transit.IN_TRANSIT)
        await cancel_return(stage)
        await stage.pass_time(31 * DAY)
        await stage.store.transact(lambda uow: uow.drop_documents(stage.clock.now(), 9))
        await again(stage)
        await stage.reach(State.AWAITING_INSPECTION, return_id="78")
        assert source.bought() == ["77-A1", "78-A1"]

    async def test_only_the_parcel_of_the_units_changes_hands(self, open_with):
        """Of two parcels the new return asks for one: the other one's label stays where it was."""
        stage, source = await buying(open_with)
        await two_parcels(stage)
        source.scan(Transit.IN_TRANSIT)
        await cancel_return(stage)
        await again(stage, a_line("201", "CAP"))
        await stage.reach(State.AWAITING_INSPECTION, return_id="78")
        held = {n: [p.authorization_id for p in (await stage.ret(n)).postage] for n in ("77", "78")}
        assert held == {"77": ["A1"], "78": ["A2"]}
        assert len(source.bought()) == 2

    @pytest.mark.parametrize("point", ["before commit", "after commit"])
    async def test_killed_while_the_label_changes_hands(self, open_with, point):
        """The units, the label and its document go over in one transaction, or not at all, whenever death comes."""
        stage, source = await buying(open_with)
        await stage.sent()
        source.scan(Transit.IN_TRANSIT)
        await cancel_return(stage)
        await again(stage)
        for skip in (0, 1, 0, 2):
            stage.store.watch = _killing(point, skip)
            with pytest.raises(Killed):
                await stage.reach(State.AWAITING_INSPECTION, return_id="78")
            await stage.restart()
        await stage.reach(State.AWAITING_INSPECTION, return_id="78")
        owners = [n for n in ("77", "78") if (await stage.ret(n)).postage]
        assert (owners, source.bought()) == (["78"], ["77-A1"])


def _killing(point, skip):
    passes = itertools.count()

    def watch(passed):
        if passed == point and next(passes) == skip:
            raise Killed

    return watch


class TestWithdrawn:
    async def test_a_voided_label_is_not_shown_any_more(self, open_with):
        """A shopper who opens the link of a label that was given back gets no label that no carrier would take."""
        stage, source = await buying(open_with)
        await stage.sent()
        assert b"LABEL" in await page(stage)
        await cancel_return(stage)
        assert source.live() == []
        assert await page(stage) == b""

    async def test_a_kept_label_stays_where_it_is(self, open_with):
        """What is in use can be printed until its retention ends."""
        stage, source = await buying(open_with)
        await stage.sent()
        source.scan(Transit.IN_TRANSIT)
        await cancel_return(stage)
        assert b"LABEL" in await page(stage)

    async def test_a_document_with_one_good_label_stays(self, open_with):
        """Of two parcels one was scanned: the document is still needed."""
        stage, source = await buying(open_with)
        await two_parcels(stage)
        source.scan(Transit.IN_TRANSIT, "A2")
        await cancel_return(stage)
        assert len(source.live()) == 1
        assert b"LABEL" in await page(stage)

    async def test_a_new_label_is_not_withdrawn_with_the_old_one(self, open_with):
        """Voided and asked again within one return: the first link is dead, the second one works."""
        stage, source = await buying(open_with)
        await stage.sent()
        await cancel_request(stage)
        await stage.work()
        assert await page(stage) == b""
        await ask_again(stage, "q2")
        await stage.reach(State.AWAITING_INSPECTION)
        assert source.live() == ["SH2"]
        assert b"LABEL 1Z-SH2" in await page(stage)


class TestTrackingId:
    async def test_a_tracking_id_that_comes_with_the_document_is_used(self, open_with):
        """Amazon named no tracking id in the answer of the purchase: the label in Loop has the one that came later."""
        stage, source = await buying(open_with)
        source.documents_after = source.numbers_after = 5.0
        await stage.sent()
        assert [label.tracking_number for label in stage.portal.labels.values()] == ["1Z-SH1"]

    async def test_a_label_without_a_tracking_id_is_looked_at_once_more(self, open_with):
        """The document was there at once: the number is asked for again, but the shopper does not wait for it."""
        stage, source = await buying(open_with)
        source.numbers_after = DAY
        start = stage.clock.now()
        await stage.sent()
        assert stage.clock.now() - start < 60.0
        assert source.count("document") == 1
        assert [label.tracking_number for label in stage.portal.labels.values()] == ["RMA-A1"]

    async def test_a_tracking_id_is_learnt_while_the_parcel_travels(self, open_with):
        """The next look at the carrier asks for it; from then on Loop and the clocks follow the parcel."""
        stage, source = await buying(open_with)
        source.numbers_after = HOUR
        await stage.sent()
        source.scan(Transit.IN_TRANSIT)
        await stage.pass_time(DAY)
        assert postage(await stage.ret()).tracking_id == "1Z-SH1"
        assert stage.portal.transits["label-1"] == [Transit.IN_TRANSIT]
        source.scan(Transit.DELIVERED)
        await stage.pass_time(DAY)
        assert stage.portal.transits["label-1"] == [Transit.IN_TRANSIT, Transit.DELIVERED]

    async def test_a_scan_is_known_before_a_void_even_without_a_tracking_id(self, open_with):
        """Giving back asks for the number first, so that a parcel on its way is seen."""
        stage, source = await buying(open_with)
        source.numbers_after = HOUR
        await stage.sent()
        await stage.pass_time(2 * HOUR)
        source.scan(Transit.IN_TRANSIT)
        await cancel_return(stage)
        assert (source.count("void"), source.live()) == (0, ["SH1"])

    async def test_a_number_that_amazon_refuses_to_tell_changes_nothing(self, open_with):
        """The inspection goes on without it, and the label can still be given back."""
        stage, source = await buying(open_with)
        source.numbers_after = 90 * DAY
        await stage.sent()
        source.fail("document", REFUSED, times=99)
        await stage.pass_time(2 * DAY)
        await cancel_return(stage)
        assert source.live() == []
