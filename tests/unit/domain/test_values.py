"""The plain values that vendors' answers and the merchant's choices are reduced to."""

import pytest

from daemon.domain.portal import PortalState
from daemon.domain.returns import Label, Transit
from daemon.domain.slips import SlipParcel
from daemon.ports.sealed import SEALED
from daemon.ports.store import SealedKind, SealedValue
from tests.support.builders import CENTER, a_portal_request, a_portal_return, an_authorization, an_order
from tests.support.configured import a_policy


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ({}, ""),
        ({"only_returns": frozenset({"77"})}, ""),
        ({"only_returns": frozenset({"78"})}, "not on the pilot list"),
        ({"destinations": frozenset({"5"})}, ""),
        ({"destinations": frozenset({"6"})}, "goes to another destination"),
        ({"only_returns": frozenset({"77"}), "destinations": frozenset({"6"})}, "goes to another destination"),
    ],
)
def test_whose_business_a_return_is(policy, expected):
    """The pilot list and the destinations both have to let it in; empty lets everything in."""
    assert a_policy(**policy).not_ours("77", "5") == expected


@pytest.mark.parametrize(
    ("report_transit", "told"),
    [("all", list(Transit)), ("delivered", [Transit.DELIVERED]), ("never", [])],
)
def test_which_progress_the_portal_is_told(report_transit, told):
    """All of it, the delivery alone, or nothing."""
    assert [t for t in Transit if a_policy(report_transit=report_transit).reports(t)] == told


def test_amazons_page_stands_in_for_a_label():
    """Without postage the RMA is the tracking number; carrier and rate are the merchant's words."""
    policy = a_policy(rma_carrier="Amazon", rma_rate_cents=350)
    assert policy.page_label(an_authorization()) == Label(
        url="https://rma.test/A1", carrier="Amazon", tracking_number="RMA-A1", rate_cents=350
    )


@pytest.mark.parametrize(
    ("status", "expected"),
    [("New", True), ("PROCESSING", True), ("planning", True), ("Received", True), ("Complete", False), ("", False)],
)
def test_an_order_may_still_ship(status, expected):
    """Until it is complete or cancelled, more units may become returnable."""
    assert an_order(status=status).still_shipping is expected


@pytest.mark.parametrize("state", PortalState)
def test_a_return_is_settled_when_nothing_is_left_to_decide(state):
    """Closed and cancelled are the end; so is processed, whatever the state."""
    ended = state in {PortalState.CLOSED, PortalState.CANCELLED}
    assert a_portal_return(state=state).settled is ended
    assert a_portal_return(state=state, was_processed=True).settled


def test_what_is_private_stays_out_of_logs():
    """Neither an address nor a document nor a sealed value is part of a repr."""
    slip = SlipParcel(rma_id="R", page_url="", ship_to=CENTER, units=(("SOCK", 1),), label_pdf=b"%PDF-secret")
    sealed = SealedValue(shelf=SealedKind.MARKS, key=("a",), about="a", sealed=SEALED + "c2VjcmV0")
    assert "Elm Street" not in repr(a_portal_request())
    assert "secret" not in repr(slip)
    assert "c2VjcmV0" not in repr(sealed)


@pytest.mark.parametrize(("prefix", "own", "telling"), [("US-", True, ("US-",)), ("US-", False, ()), ("", True, ())])
def test_a_prefix_tells_a_shops_orders_when_no_other_shop_has_it(prefix, own, telling):
    """An empty one, and one that is shared, tells nothing."""
    assert a_policy(order_id_prefix=prefix, own_prefix=own).own_prefixes == telling
