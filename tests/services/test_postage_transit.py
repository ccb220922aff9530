"""Case 4, transit: what the carrier says reaches Loop forward only, never twice, and only if the shop wants it."""

from dataclasses import replace

import pytest

from daemon.domain.returns import State, Transit
from daemon.errors import Refused, Unavailable
from tests.services.parcels import BOUGHT, actions, buying, notes, postage
from tests.services.stage import DAY, HOUR
from tests.support.fakes import Killed

WAY = [Transit.PRE_TRANSIT, Transit.IN_TRANSIT, Transit.OUT_FOR_DELIVERY, Transit.DELIVERED]


async def travel(stage, source, *stations):
    """The parcel is scanned station by station, half a day apart."""
    for transit in stations:
        source.scan(transit)
        await stage.pass_time(12 * HOUR + 60)


async def test_every_station_is_told_once(open_with):
    """Case 4: `all` sends pre_transit, in_transit, out_for_delivery and delivered, each once, in their order."""
    stage, source = await buying(open_with)
    await stage.sent()
    await travel(stage, source, *WAY)
    await stage.pass_time(2 * DAY)
    assert stage.portal.transits["label-1"] == WAY
    assert stage.portal.count("report_transit") == 4


@pytest.mark.parametrize(
    ("report", "told"), [("all", WAY), ("delivered", [Transit.DELIVERED]), ("never", [])], ids=["all", "last", "never"]
)
async def test_the_shop_chooses(open_with, report, told):
    """Case 4: `report_transit` all, delivered or never; in any case the arrival is on the timeline."""
    stage, source = await buying(open_with, policy=replace(BOUGHT, report_transit=report))
    await stage.sent()
    await travel(stage, source, *WAY)
    assert stage.portal.transits["label-1"] == told
    assert notes(stage, "Parcel delivered") == [
        "Parcel delivered to Amazon: Swift, tracking 1Z-SH1. Inspection follows."
    ]


async def test_it_never_goes_back(open_with):
    """Case 4: a carrier that falls back to an earlier status is not followed there."""
    stage, source = await buying(open_with)
    await stage.sent()
    await travel(stage, source, Transit.OUT_FOR_DELIVERY, Transit.IN_TRANSIT, Transit.PRE_TRANSIT)
    assert stage.portal.transits["label-1"] == [Transit.OUT_FOR_DELIVERY]
    assert postage(await stage.ret()).transit is Transit.OUT_FOR_DELIVERY


async def test_a_status_that_was_skipped_is_not_told_later(open_with):
    """Case 4: a parcel first seen when it is delivered says delivered, and nothing before or after."""
    stage, source = await buying(open_with)
    await stage.sent()
    await travel(stage, source, Transit.DELIVERED)
    await stage.pass_time(3 * DAY)
    assert stage.portal.transits["label-1"] == [Transit.DELIVERED]


async def test_unknown_words_are_ignored_and_counted(open_with):
    """Case 4: a status that nobody knows changes nothing but a count, and the return goes on."""
    stage, source = await buying(open_with)
    await stage.sent()
    await travel(stage, source, Transit.IN_TRANSIT)
    source.babble()
    await stage.pass_time(6 * HOUR)
    assert stage.metrics.troubles["unknown_tracking_status"] >= 1
    assert stage.portal.transits["label-1"] == [Transit.IN_TRANSIT]
    assert postage(await stage.ret()).transit is Transit.IN_TRANSIT
    await stage.inspect()
    await stage.reach(State.CLOSED)


async def test_a_carrier_that_tells_nothing_does_not_stop_the_inspection(open_with):
    """Case 4: when Amazon refuses to track a parcel, that is counted, and the fulfillment center is still asked."""
    stage, source = await buying(open_with)
    await stage.sent()
    source.fail("track", Refused("Unauthorized", "not for you"), times=100)
    await stage.inspect()
    await stage.reach(State.CLOSED)
    assert stage.metrics.troubles["tracking_refused"] == 1
    assert actions(stage) == {"process": 1}


async def test_labels_of_before_the_page_are_followed_without_a_carrier(open_with):
    """Case 4: the merchant has given the Return Service ID back: parcels under way are still inspected and settled."""
    stage, _ = await buying(open_with)
    await stage.sent()
    stage.postage = None
    context = stage.contexts["acme"]
    context.account = replace(context.account, label_sources={})
    await stage.inspect("Defective")
    await stage.reach(State.IN_REVIEW)
    assert actions(stage) == {"flag": 1}


@pytest.mark.parametrize("after", [False, True])
async def test_killed_while_telling(open_with, after):
    """Case 4: a daemon that dies while it tells Loop says the same again, never something earlier."""
    stage, source = await buying(open_with)
    await stage.sent()
    stage.portal.fail("report_transit", Killed(), after=after)
    source.scan(Transit.IN_TRANSIT)
    with pytest.raises(Killed):
        await stage.pass_time(13 * HOUR)
    await stage.restart()
    await stage.work()
    assert set(stage.portal.transits["label-1"]) == {Transit.IN_TRANSIT}
    await travel(stage, source, Transit.DELIVERED)
    assert stage.portal.transits["label-1"][-1] is Transit.DELIVERED


async def test_a_carrier_that_is_away_is_asked_later(open_with):
    """Case 4: an unavailable carrier costs no attempt; what it says afterwards is told."""
    stage, source = await buying(open_with)
    await stage.sent()
    source.outage = Unavailable("down", retry_after=HOUR)
    await stage.pass_time(3 * DAY)
    assert (await stage.ret()).state is State.AWAITING_INSPECTION
    source.outage = None
    await travel(stage, source, Transit.IN_TRANSIT)
    assert stage.portal.transits["label-1"] == [Transit.IN_TRANSIT]


async def test_the_looks_follow_the_parcel(open_with):
    """Case 4: Amazon is asked twice a day before a scan, four times while it travels, hourly once it has arrived."""
    stage, source = await buying(open_with)
    await stage.sent()
    looks = []
    for transit in (None, Transit.IN_TRANSIT, Transit.DELIVERED):
        if transit:
            source.scan(transit)
            await stage.pass_time(12 * HOUR + 60)
        before = stage.network.count("order")
        await stage.pass_time(2 * DAY)
        looks.append(stage.network.count("order") - before)
    assert looks == [4, 8, 48]
