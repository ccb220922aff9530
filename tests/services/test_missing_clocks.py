"""Case 5, missing: the clocks of each parcel, decided only on what was read after them, and who comes late."""

import pytest

from daemon.domain.portal import PortalState
from daemon.domain.returns import MISSING, State, Transit
from daemon.errors import Refused, Unavailable
from tests.services.parcels import PAGE, TWO, actions, buying, notes, postage, tell_state, two_parcels
from tests.services.stage import DAY, HOUR
from tests.support.configured import clocks

pytestmark = pytest.mark.slow

LOOK = 12 * HOUR + 60
DOWN = Unavailable("down", retry_after=HOUR)


async def missing_after(stage, seconds, *, slack=LOOK, return_id="77"):
    """Nothing is missing just before that time, and something is at the first look after it."""
    await stage.pass_time(seconds - 60)
    before = await stage.ret(return_id)
    assert not any(u.finding and u.finding.condition == MISSING for u in before.units)
    await stage.pass_time(slack)
    after = await stage.ret(return_id)
    assert any(u.finding and u.finding.condition == MISSING for u in after.units)
    return after


class TestClocks:
    async def test_a_sibling_of_a_processed_unit(self, open_with):
        """Case 5: seven days after one unit of a parcel was processed, its unprocessed sibling is missing."""
        stage, _ = await buying(open_with)
        await stage.sent(*TWO)
        await stage.inspect(line="1")
        ret = await missing_after(stage, 7 * DAY)
        assert [u.finding.condition for u in ret.units] == ["Sellable", MISSING]
        assert ret.state is State.IN_REVIEW
        assert notes(stage, "Missing") == ["Missing: CAP has not arrived at Amazon in time."]
        assert actions(stage) == {"flag": 1}

    async def test_a_delivered_parcel(self, open_with):
        """Case 5: fourteen days after the carrier delivered it, with nothing processed."""
        stage, source = await buying(open_with)
        await stage.sent()
        source.scan(Transit.DELIVERED)
        await missing_after(stage, 14 * DAY)

    async def test_a_parcel_under_way(self, open_with):
        """Case 5: thirty days after the last scan, whichever it was."""
        stage, source = await buying(open_with)
        await stage.sent()
        source.scan(Transit.IN_TRANSIT)
        await stage.pass_time(20 * DAY)
        source.scan(Transit.IN_TRANSIT)
        await missing_after(stage, 30 * DAY)

    async def test_a_lost_parcel(self, open_with):
        """Case 5: seven days after the carrier said that it is lost."""
        stage, source = await buying(open_with)
        await stage.sent()
        source.scan(Transit.IN_TRANSIT)
        await stage.pass_time(3 * DAY)
        source.lose()
        await stage.pass_time(LOOK)  # told at the next look
        await missing_after(stage, 7 * DAY - LOOK)

    async def test_a_lost_parcel_that_turns_up(self, open_with):
        """Case 5: a parcel that is scanned again after the carrier gave it up is waited for as one under way."""
        stage, source = await buying(open_with)
        await stage.sent()
        source.scan(Transit.IN_TRANSIT)
        source.lose()
        await stage.pass_time(2 * DAY)
        assert postage(await stage.ret()).lost_at is not None
        source.scan(Transit.IN_TRANSIT)
        await stage.pass_time(DAY)
        assert postage(await stage.ret()).lost_at is None
        await missing_after(stage, 29 * DAY)

    async def test_a_silent_return_expires(self, open_with):
        """Case 5: forty-five days after the label with no scan and no receipt of anything: expired, not missing."""
        stage, source = await buying(open_with)
        await two_parcels(stage)
        await stage.pass_time(45 * DAY - 60)
        assert (await stage.ret()).state is State.AWAITING_INSPECTION
        await stage.pass_time(LOOK)
        ret = await stage.ret()
        assert ret.state is State.EXPIRED
        assert not any(u.finding for u in ret.units)
        assert len(notes(stage, "expired")) == 1
        assert actions(stage) == {}
        assert len(source.live()) == 2

    async def test_a_silent_parcel_of_a_return_that_came(self, open_with):
        """Case 5: when the other parcel came, the silent one's units are missing after the same forty-five days."""
        stage, _ = await buying(open_with)
        await two_parcels(stage)
        await stage.inspect(line="1")
        ret = await missing_after(stage, 45 * DAY)
        assert [u.finding.condition for u in ret.units] == ["Sellable", MISSING]
        assert ret.state is State.IN_REVIEW

    async def test_a_parcels_clock_is_not_its_neighbours(self, open_with):
        """Case 5: units of two authorizations are no siblings: a processed one starts no clock in the other parcel."""
        stage, source = await buying(open_with)
        await two_parcels(stage)
        await stage.inspect(line="1")
        source.scan(Transit.IN_TRANSIT, "A2")
        await stage.pass_time(DAY)
        ret = await missing_after(stage, 29 * DAY)
        assert [u.finding.condition for u in ret.units] == ["Sellable", MISSING]

    async def test_without_postage_only_silence_counts(self, open_with):
        """Case 5: in page mode nobody scans: siblings after 7 days, everything else after 45."""
        stage = await open_with(policy=PAGE)
        await two_parcels(stage)
        await stage.inspect(line="1")
        await missing_after(stage, 45 * DAY)

    @pytest.mark.parametrize(
        ("clock", "happens"),
        [
            ("missing_sibling", lambda stage, _: stage.inspect(line="1")),
            ("missing_delivered", lambda _, source: _soon(source.scan(Transit.DELIVERED))),
            ("missing_in_transit", lambda _, source: _soon(source.scan(Transit.IN_TRANSIT))),
            ("missing_lost", lambda _, source: _soon(source.lose())),
        ],
    )
    async def test_every_clock_is_the_operators(self, open_with, clock, happens):
        """Case 5: each clock has its key in the configuration."""
        stage, source = await buying(open_with, timings=clocks(**{clock: 2 * DAY}))
        await stage.sent(*TWO)
        await happens(stage, source)
        await stage.pass_time(2 * DAY + 2 * LOOK)
        assert (await stage.ret()).state is State.IN_REVIEW


async def _soon(_):
    """A coroutine for what has happened already."""


class TestReadings:
    async def test_amazon_is_read_after_the_deadline(self, open_with):
        """Case 5: down over the deadline, Amazon is read before anything is missing, and what came counts."""
        stage, _ = await buying(open_with)
        await stage.sent(*TWO)
        await stage.inspect(line="1")
        await stage.pass_time(6 * DAY)
        stage.network.outage = DOWN
        await stage.pass_time(5 * DAY)
        await stage.inspect(line="2")
        stage.network.outage = None
        await stage.reach(State.CLOSED)
        assert notes(stage, "Missing") == []
        assert actions(stage) == {"process": 1}

    async def test_the_daemon_was_down(self, open_with):
        """Case 5: a daemon that slept over a deadline looks first, and decides on what it then sees."""
        stage, source = await buying(open_with)
        await stage.sent()
        source.scan(Transit.IN_TRANSIT)
        await stage.pass_time(29 * DAY)
        stage.clock.advance(3 * DAY)
        source.scan(Transit.OUT_FOR_DELIVERY)
        await stage.restart()
        await stage.pass_time(2 * DAY)
        assert (await stage.ret()).state is State.AWAITING_INSPECTION
        assert notes(stage, "Missing") == []

    async def test_the_carrier_is_read_after_the_deadline(self, open_with):
        """Case 5: a carrier's clock decides on what the carrier said after it, though Amazon answered only later."""
        stage, source = await buying(open_with, timings=clocks(inspection_moving=DAY))
        await stage.sent()
        source.scan(Transit.IN_TRANSIT)
        await stage.pass_time(LOOK)
        await stage.pass_time(28 * DAY)
        stage.network.outage = DOWN  # the carrier is asked, the fulfillment center cannot be
        await stage.pass_time(DAY)
        source.scan(Transit.OUT_FOR_DELIVERY)
        await stage.pass_time(2 * DAY)
        stage.network.outage = None
        await stage.pass_time(2 * DAY)
        assert notes(stage, "Missing") == []
        assert (await stage.ret()).state is State.AWAITING_INSPECTION

    async def test_silence_is_asked_about_before_it_expires(self, open_with):
        """Case 5: a return does not expire on a carrier's silence of before the deadline."""
        stage, source = await buying(open_with, timings=clocks(inspection_idle=DAY))
        await stage.sent()
        await stage.pass_time(43.5 * DAY)
        stage.network.outage = DOWN  # the carrier is asked at day 44, the fulfillment center cannot be
        await stage.pass_time(DAY)
        source.scan(Transit.IN_TRANSIT)
        await stage.pass_time(DAY)
        stage.network.outage = None
        await stage.pass_time(3 * DAY)
        assert (await stage.ret()).state is State.AWAITING_INSPECTION

    async def test_an_order_that_amazon_denies_for_a_while(self, open_with):
        """Case 5: a refused reading is no reading: after a day of them a person is asked, and nothing is called missing."""
        stage, _ = await buying(open_with)
        await stage.sent(*TWO)
        await stage.inspect(line="1")
        await stage.pass_time(6 * DAY)
        stage.network.fail("order", Refused("Unauthorized", "denied"), times=8)
        await stage.reach(State.STUCK, within=2 * DAY)
        await stage.inspect(line="2")
        await stage.operator.retry("77", "ops")
        await stage.reach(State.CLOSED, within=3 * DAY)
        assert notes(stage, "Missing") == []


class TestLate:
    async def test_a_missing_unit_that_arrives_is_noted_and_changes_nothing(self, open_with):
        """Case 5: after the verdict a late unit is noted; the review, the grades and the person's decision stand."""
        stage, _ = await buying(open_with)
        await stage.sent(*TWO)
        await stage.inspect(line="1")
        await stage.pass_time(9 * DAY)
        graded = stage.portal.count("grade")
        await stage.inspect(line="2")
        await stage.pass_time(8 * DAY)
        assert len(notes(stage, "inspected CAP")) == 1
        assert (await stage.ret()).state is State.IN_REVIEW
        assert (actions(stage), stage.portal.count("grade")) == ({"flag": 1}, graded)

    async def test_an_expired_return_wakes_when_goods_come(self, open_with):
        """Case 5: what comes after the expiry is inspected and settled as ever."""
        stage, _ = await buying(open_with)
        await stage.sent()
        await stage.reach(State.EXPIRED, within=46 * DAY)
        await stage.inspect()
        await stage.reach(State.CLOSED, within=8 * DAY)
        assert actions(stage) == {"process": 1}

    async def test_an_expired_return_of_which_one_parcel_comes(self, open_with):
        """Case 5: when only one parcel of an expired return comes, the other's units are missing at once."""
        stage, _ = await buying(open_with)
        await two_parcels(stage)
        await stage.reach(State.EXPIRED, within=46 * DAY)
        await stage.inspect(line="2")
        ret = await stage.reach(State.IN_REVIEW, within=8 * DAY)
        assert [u.finding.condition for u in ret.units] == [MISSING, "Sellable"]

    async def test_an_arrival_after_a_person_closed_it(self, open_with):
        """Case 5: a unit of a closed return is graded, assessed and noted, and nothing more."""
        stage, _ = await buying(open_with)
        await stage.sent()
        await stage.reach(State.EXPIRED, within=46 * DAY)
        await tell_state(stage, PortalState.CLOSED)
        assert (await stage.ret()).state is State.CLOSED
        await stage.inspect("Defective")
        await stage.pass_time(8 * DAY)
        assert len(notes(stage, "inspected SOCK")) == 1
        assert stage.portal.returns["77"].grades["1"] == 1
        assert actions(stage) == {}

    async def test_the_late_watch_ends(self, open_with):
        """Case 5: a return whose unit never comes is looked at weekly until `late_watch` is over, then no more."""
        stage, _ = await buying(open_with)
        await stage.sent()
        await stage.reach(State.EXPIRED, within=46 * DAY)
        await tell_state(stage, PortalState.CLOSED)
        before = stage.network.count("order")
        await stage.pass_time(90 * DAY + DAY)
        looks = stage.network.count("order") - before
        assert looks == pytest.approx(13, abs=1)
        await stage.pass_time(60 * DAY)
        assert stage.network.count("order") - before == pytest.approx(looks, abs=1)

    async def test_a_unit_processed_for_a_week_is_looked_at_no_more(self, open_with):
        """Case 5: when every unit has been processed for seven days, Amazon is left alone."""
        stage, _ = await buying(open_with)
        await stage.sent()
        await stage.inspect()
        await stage.reach(State.CLOSED)
        await stage.pass_time(15 * DAY)
        before = stage.network.count("order")
        await stage.pass_time(60 * DAY)
        assert stage.network.count("order") == before
