"""RECEIVED begins by reading the truth: is the label request ours, and is there still something to do?"""

from dataclasses import replace

import pytest

from daemon.domain.portal import PortalState, RequestIssued, RequestStatus
from daemon.domain.returns import RequestState, State
from daemon.errors import Refused
from tests.services.stage import DAY, HOUR, ORDER, ORDER_TEMPLATES
from tests.support.builders import a_line, a_portal_request
from tests.support.configured import a_policy


def said_nothing(stage) -> bool:
    """Neither vendor was told anything; reading is allowed."""
    written = {"deliver_label", "report_refusal", "write_note", "flag", "process", "grade", "create_return"}
    return not written & {call.operation for call in (*stage.portal.calls, *stage.network.calls)}


async def test_the_units_of_a_request_are_read_off_the_return(stage):
    """Each line is one unit, with the shopper's reason and the price; the order's names are kept."""
    await stage.submit(a_line("1", "SOCK", reason="Too small", parent_reason="Fit"), a_line("2", "SOCK"))
    await stage.step()

    ret = await stage.ret()
    assert [(u.line_id, u.sku, u.reason, u.parent_reason) for u in ret.units] == [
        ("1", "SOCK", "Too small", "Fit"),
        ("2", "SOCK", "Too small", ""),
    ]
    assert (ret.order_name, ret.order_number, ret.provider_order_id) == ("#1001", "1", "5001")


async def test_only_the_lines_of_the_request_are_its_units(stage):
    """A request's products name its lines as a multiset of SKUs; other lines are left alone."""
    lines = a_line("1", "SOCK"), a_line("2", "CAP"), a_line("3", "SOCK")
    await stage.submit(*lines, request=a_portal_request("q1", skus=("SOCK", "CAP")))
    await stage.step()

    assert [(u.line_id, u.sku) for u in (await stage.ret()).units] == [("1", "SOCK"), ("2", "CAP")]


async def test_a_bundle_is_several_units_of_one_line(open_with):
    """A SKU that the shop maps to a bundle becomes the units that Amazon ships."""
    policy = a_policy(order_id_templates=ORDER_TEMPLATES, sku_map={"SET": {"SOCK": 2, "CAP": 1}})
    stage = await open_with(policy=policy)
    stage.ship(SOCK=2, CAP=1)
    await stage.submit(a_line("1", "SET"))
    await stage.reach(State.AWAITING_INSPECTION)

    assert sorted(u.sku for u in (await stage.ret()).units) == ["CAP", "SOCK", "SOCK"]
    assert len(stage.network.items(ORDER)) == 3


async def test_a_request_that_was_cancelled_meanwhile_ends_the_return(stage):
    """The webhook of the cancel was lost; the request itself says so."""
    await stage.submit()
    stage.portal.withdraw("q77")
    await stage.work()

    assert (await stage.ret()).state is State.CANCELLED
    assert said_nothing(stage)


async def test_a_request_that_another_fulfilled_is_left_alone(stage):
    """Another provider was faster: the return is none of ours."""
    await stage.submit(request=a_portal_request("q77", status=RequestStatus.FULFILLED))
    await stage.work()

    ret = await stage.ret()
    assert (ret.state, ret.requests[0].asked) == (State.CLOSED, RequestState.NOT_OURS)
    assert said_nothing(stage)


@pytest.mark.parametrize(
    ("portal_state", "ours"), [(PortalState.CANCELLED, State.CANCELLED), (PortalState.CLOSED, State.CLOSED)]
)
async def test_a_return_that_is_over_in_loop_is_over_here(stage, portal_state, ours):
    """A return that was cancelled or closed before we read it gets no label."""
    stage.ship(SOCK=1)
    await stage.submit(state=portal_state)
    await stage.work()

    assert (await stage.ret()).state is ours
    assert said_nothing(stage)


@pytest.mark.parametrize(("destination", "ours"), [("6021", True), ("6022", False), ("", False)])
async def test_the_destination_decides_whose_it_is(open_with, destination, ours):
    """With destinations configured only returns that go to one of them are ours; nothing is posted about others."""
    policy = a_policy(order_id_templates=ORDER_TEMPLATES, destinations=frozenset({"6021"}))
    stage = await open_with(policy=policy)
    stage.ship(SOCK=1)
    await stage.submit(destination_id=destination)
    await stage.work()

    assert (await stage.ret()).state is (State.AWAITING_INSPECTION if ours else State.CLOSED)
    assert said_nothing(stage) is not ours


@pytest.mark.parametrize(("listed", "ours"), [("77", True), ("78", False)])
async def test_a_pilot_list_narrows_it_further(open_with, listed, ours):
    """Only the returns on the list are touched."""
    policy = a_policy(order_id_templates=ORDER_TEMPLATES, only_returns=frozenset({listed}))
    stage = await open_with(policy=policy)
    stage.ship(SOCK=1)
    await stage.submit()
    await stage.work()

    assert (await stage.ret()).state is (State.AWAITING_INSPECTION if ours else State.CLOSED)
    assert said_nothing(stage) is not ours


async def test_a_foreign_origin_is_refused_before_amazon_is_asked(stage):
    """Labels are made in the United States only: one label request error with the reason, and no call to Amazon."""
    stage.ship(SOCK=1)
    await stage.submit(request=a_portal_request("q77", origin_country="CA"))
    await stage.pass_time(DAY)

    (error,) = stage.portal.requests["q77"].errors
    assert "CA" in error
    assert (await stage.ret()).state is State.CLOSED
    assert stage.network.calls == []


async def test_details_that_are_not_there_yet_are_read_again(stage):
    """The list of requests may run ahead of the details: a return that is not found yet costs a little time."""
    stage.ship(SOCK=1)
    stage.portal.fail("details", Refused("NOT_FOUND", "No return found with this ID."), times=3)
    await stage.submit()
    await stage.reach(State.AWAITING_INSPECTION, within=60.0)

    assert (await stage.ret()).attempts == 0


async def test_details_that_never_come_need_a_person(stage):
    """A return whose details stay unknown until `unmatched_deadline` is STUCK, with the portal's words."""
    stage.portal.fail("details", Refused("NOT_FOUND", "No return found with this ID."), times=999)
    await stage.submit()
    await stage.pass_time(HOUR - 60)
    assert (await stage.ret()).state is State.RECEIVED
    ret = await stage.reach(State.STUCK, within=HOUR)

    assert "No return found" in ret.problem


async def test_a_request_that_names_no_line_waits_like_an_unmatched_one(stage):
    """The lines of a return may come after its request; until then nothing is done, and nothing is posted."""
    stage.ship(SOCK=1)
    await stage.submit(request=a_portal_request("q77", skus=("SOCK",)))
    stage.portal.returns["77"].lines = []
    await stage.pass_time(600.0)
    assert (await stage.ret()).state is State.RECEIVED
    assert said_nothing(stage)

    stage.portal.returns["77"].lines = [a_line()]
    await stage.reach(State.AWAITING_INSPECTION, within=600.0)


async def test_asking_anew_reads_only_the_new_request(stage):
    """What was read and answered before is not read once more for a second request."""
    stage.ship(SOCK=1, CAP=1)
    await stage.submit(a_line("1", "SOCK"), a_line("2", "CAP"), request=a_portal_request("q1", skus=("SOCK",)))
    await stage.reach(State.AWAITING_INSPECTION)
    stage.portal.requests["q2"] = replace(a_portal_request("q2"), skus=("CAP",))
    await stage.tell(RequestIssued(return_id="77", request_id="q2"))
    stage.portal.calls.clear()
    await stage.reach(State.AWAITING_INSPECTION)

    assert {call.arguments[0] for call in stage.portal.made("label_request")} == {"q2"}
