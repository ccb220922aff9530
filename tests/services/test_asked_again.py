"""Asked again in Loop as a new return, however the first one ended there: what Amazon expects is taken over."""

import pytest

from daemon.domain.portal import PortalState, RequestIssued, ReturnChanged
from daemon.domain.returns import State
from tests.services.parcels import PAGE, actions, ask_again, cancel_request, cancel_return, errors, notes, tell_state
from tests.services.stage import DAY, HOUR
from tests.support.builders import a_line, a_portal_request


@pytest.fixture
async def shop(open_with):
    """A shop without postage."""
    return await open_with(policy=PAGE)


async def asked_anew(stage, sku: str = "SOCK") -> str:
    """The shopper returns the unit in another return; the id under which Amazon expects it."""
    await stage.submit(a_line("201", sku), return_id="78")
    await stage.reach(State.AWAITING_INSPECTION, return_id="78", within=2 * HOUR)
    return (await stage.unit("201", "78")).return_item_id


@pytest.mark.parametrize("later", [DAY, 30 * DAY])
async def test_a_return_that_has_expired_in_loop(shop, later):
    """Before and after our own clocks have given it up; no second item is asked for, and it is not flagged."""
    await shop.sent()
    first = (await shop.unit()).return_item_id
    await shop.pass_time(28 * DAY)
    await tell_state(shop, PortalState.EXPIRED)
    await shop.pass_time(later)

    assert await asked_anew(shop) == first
    assert len(shop.network.all_items()) == 1
    await shop.inspect(line="201", return_id="78")
    await shop.reach(State.CLOSED, return_id="78", within=2 * DAY)
    await shop.pass_time(100 * DAY)
    assert (shop.portal.returns["77"].flags, notes(shop, "Missing")) == (0, [])


async def test_a_line_that_was_taken_out(shop):
    """The first return goes on with what is left of it."""
    await shop.sent(a_line("1", "SOCK"), a_line("2", "CAP"))
    first = (await shop.unit("2")).return_item_id
    shop.portal.returns["77"].lines.pop()
    await shop.tell(ReturnChanged(return_id="77", state=PortalState.OPEN))

    assert await asked_anew(shop, "CAP") == first
    await shop.inspect(line="1")
    await shop.reach(State.CLOSED, within=2 * DAY)
    assert actions(shop)["process"] == 1


@pytest.mark.slow
async def test_a_return_that_was_cancelled_in_review(shop):
    """The parcel came back to its sender, was called missing, and the merchant cancelled the return."""
    await shop.sent(a_line("1", "SOCK"), a_line("2", "CAP"))
    first = (await shop.unit("2")).return_item_id
    await shop.inspect(line="1")
    await shop.reach(State.IN_REVIEW, within=9 * DAY)
    await tell_state(shop, PortalState.CANCELLED)

    assert await asked_anew(shop, "CAP") == first


async def test_a_free_unit_beside_one_that_was_taken_over(shop):
    """Of an order of two, the first return's item went to the second; asked again, the first gets the other unit."""
    shop.ship(SOCK=2)
    await shop.submit()
    await shop.reach(State.AWAITING_INSPECTION)
    await cancel_return(shop)
    await shop.submit(a_line("201"), return_id="78")
    await shop.reach(State.AWAITING_INSPECTION, return_id="78")
    shop.portal.set_state("77", PortalState.OPEN)
    await ask_again(shop, "q2", return_id="77")
    await shop.reach(State.AWAITING_INSPECTION, within=2 * HOUR)

    assert errors(shop, "q2") == ()
    assert len({item.return_item_id for item in shop.network.all_items()}) == 2


async def test_a_request_that_was_withdrawn_while_its_reasons_were_read(shop):
    """Its unit keeps no place in the shipment, so that the next return finds it."""
    shop.ship(SOCK=1, CAP=1)
    await shop.submit(a_line("1", "SOCK"), a_line("2", "CAP"), request=a_portal_request("q77", skus=("SOCK",)))
    shop.portal.ask(a_portal_request("q2", return_id="77", skus=("CAP",)))
    await shop.tell(RequestIssued(return_id="77", request_id="q2"))
    shop.network.meanwhile("reason_codes", lambda: cancel_request(shop, "q77"))
    await shop.reach(State.AWAITING_INSPECTION)
    shop.portal.returns["77"].lines.pop(0)

    await asked_anew(shop)


async def test_a_unit_that_is_still_on_its_way_elsewhere_is_not_taken(shop):
    """The other return is open and holds the line: there is nothing left to return."""
    await shop.sent()
    await shop.submit(a_line("201"), return_id="78")
    await shop.pass_time(2 * HOUR)

    assert len(errors(shop, "q78")) == 1
    assert (await shop.ret()).state is State.AWAITING_INSPECTION
