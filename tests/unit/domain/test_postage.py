from dataclasses import replace

import pytest

from daemon.domain.acts import Act, Duty
from daemon.domain.portal import ParcelSize
from daemon.domain.postage import (
    Tracking,
    dead_labels,
    find_again,
    give_back,
    parcel_units,
    postage_of,
    postage_order,
    purchase_key,
    put_postage,
    reference_of,
    renew_used,
    slip_of,
    take_back,
    told_parcel,
    tracked,
)
from daemon.domain.returns import TRACKED_ONLY, LabelSourceName, Postage, RequestState, Transit, Void
from tests.support.builders import (
    CENTER,
    NOW,
    SHOPPER,
    a_label,
    a_portal_request,
    a_request,
    a_return,
    a_unit,
    an_authorization,
    authorized,
    delivered,
    found,
    refused,
)

BOUGHT = Postage(authorization_id="A1", shipment_id="S", tracking_id="1Z")
OFFERED = Postage(authorization_id="A1", sealed_offer=b"x")
DEFAULT = ParcelSize(length_in=12, width_in=9, height_in=4, weight_g=500)
UNITS = (
    authorized(a_unit("1", price_cents=1000)),
    authorized(a_unit("2", "CAP", price_cents=250)),
    authorized(a_unit("3"), "A2"),
    refused(a_unit("4")),
)


def test_one_postage_per_authorization():
    """Postage is found by its authorization, and put where it was."""
    ret = a_return(postage=(OFFERED, Postage(authorization_id="A2")))
    assert postage_of(ret, "A1") is OFFERED
    assert postage_of(ret, "A9") is None
    assert put_postage(ret, BOUGHT).postage == (BOUGHT, ret.postage[1])
    assert put_postage(ret, replace(BOUGHT, authorization_id="A3")).postage[-1].authorization_id == "A3"


# ---- following a parcel


@pytest.mark.parametrize(
    ("before", "reading", "expected"),
    [
        ({}, Tracking(), {}),
        ({}, Tracking(transit=Transit.PRE_TRANSIT), {"transit": Transit.PRE_TRANSIT}),
        ({}, Tracking(transit=Transit.IN_TRANSIT), {"transit": Transit.IN_TRANSIT, "scanned_at": NOW}),
        (
            {"scanned_at": 5.0, "transit": Transit.IN_TRANSIT},
            Tracking(transit=Transit.IN_TRANSIT, scanned_at=6.0),
            {"scanned_at": 6.0, "transit": Transit.IN_TRANSIT},
        ),
        (
            {"scanned_at": 5.0, "transit": Transit.OUT_FOR_DELIVERY},
            Tracking(transit=Transit.IN_TRANSIT),
            {"scanned_at": 5.0, "transit": Transit.OUT_FOR_DELIVERY},
        ),
        (
            {},
            Tracking(transit=Transit.DELIVERED),
            {"transit": Transit.DELIVERED, "scanned_at": NOW, "delivered_at": NOW},
        ),
        (
            {},
            Tracking(transit=Transit.DELIVERED, scanned_at=7.0, delivered_at=7.0),
            {"transit": Transit.DELIVERED, "scanned_at": 7.0, "delivered_at": 7.0},
        ),
        (
            {"transit": Transit.DELIVERED, "scanned_at": 7.0, "delivered_at": 7.0},
            Tracking(transit=Transit.DELIVERED, delivered_at=9.0),
            {"transit": Transit.DELIVERED, "scanned_at": 7.0, "delivered_at": 7.0},
        ),
        ({}, Tracking(lost=True), {"lost_at": NOW}),
        ({"lost_at": 5.0}, Tracking(lost=True), {"lost_at": 5.0}),
        ({"lost_at": 5.0}, Tracking(), {"lost_at": 5.0}),
        (
            {"lost_at": 5.0},
            Tracking(transit=Transit.IN_TRANSIT, scanned_at=8.0),
            {"transit": Transit.IN_TRANSIT, "scanned_at": 8.0},
        ),
    ],
)
def test_tracking_goes_forward(before, reading, expected):
    """Progress never goes back, the first delivery counts, and only a moving parcel is not lost any more."""
    after = tracked(replace(BOUGHT, **before), reading, NOW)
    assert after == replace(BOUGHT, **expected, tracked_at=NOW)


# ---- what a label is asked for


def test_a_label_is_asked_for_one_parcel():
    """Units, value and share of the weight are the parcel's; addresses and RMA as given."""
    request = a_portal_request(parcel=ParcelSize(length_in=20, weight_g=800))
    order = postage_order(a_return(units=UNITS), an_authorization("A1"), request, DEFAULT)
    assert order.size == ParcelSize(length_in=20, width_in=9, height_in=4, weight_g=400)
    assert (order.ship_from, order.ship_to, order.rma_id) == (SHOPPER, CENTER, "RMA-A1")
    assert (order.value_cents, order.skus, order.reference) == (1250, ("SOCK", "CAP"), "77-A1")


@pytest.mark.parametrize("units", [UNITS, ()])
def test_without_a_weight_the_default_parcel_counts(units):
    """Loop may leave everything out."""
    assert postage_order(a_return(units=units), an_authorization(), a_portal_request(), DEFAULT).size == DEFAULT


def test_a_weight_without_units_is_nobodys():
    """A request whose units changed hands meanwhile falls back to the default weight."""
    request = a_portal_request("q9", parcel=ParcelSize(weight_g=800))
    assert postage_order(a_return(units=UNITS), an_authorization(), request, DEFAULT).size.weight_g == 500


@pytest.mark.parametrize(("authorization", "request_fields"), [({"ship_to": None}, {}), ({}, {"origin": None})])
def test_without_an_address_there_is_nothing_to_ask(authorization, request_fields):
    """Both ends must be known."""
    ret = a_return(units=UNITS)
    assert postage_order(ret, an_authorization(**authorization), a_portal_request(**request_fields), DEFAULT) is None


def test_names_of_a_purchase_are_derived():
    """A repeat names the same purchase; the next one after a void, another. The reference fits Amazon's field."""
    ret = a_return()
    assert purchase_key(ret, 1, "A1") == "acme/77/A1/1"
    assert purchase_key(ret, 1, "A1") != purchase_key(ret, 2, "A1")
    assert len(reference_of(ret, "A" * 60)) == 40


def test_a_parcel_holds_the_accepted_units_of_its_authorization():
    """Refused units and other parcels' stay out."""
    assert parcel_units(a_return(units=UNITS), "A1") == UNITS[:2]


# ---- giving back


@pytest.mark.parametrize(
    ("postage", "pending_calls", "expected"),
    [
        (BOUGHT, (), Void.WANTED),
        (OFFERED, (), Void.NO),
        (OFFERED, (Duty(Act.BUY_POSTAGE, "A1"),), Void.WANTED),
        (OFFERED, (Duty(Act.BUY_POSTAGE, "A2"),), Void.NO),
        (replace(BOUGHT, void=Void.KEPT), (), Void.KEPT),
        (replace(BOUGHT, void=Void.DONE), (), Void.DONE),
    ],
)
def test_what_was_bought_or_may_have_been_is_given_back(postage, pending_calls, expected):
    """An unclear purchase is settled first, an offer alone cost nothing, and nothing is voided twice."""
    ret = a_return(units=(authorized(a_unit()),), postage=(postage,), pending_calls=pending_calls)
    assert give_back(ret, frozenset({"q1"})).postage[0].void is expected


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (RequestState.UNREAD, Void.NO),
        (RequestState.OPEN, Void.NO),
        (RequestState.DELIVERED, Void.NO),
        (RequestState.CANCELLED, Void.WANTED),
        (RequestState.NOT_OURS, Void.WANTED),
        (RequestState.REFUSED, Void.WANTED),
    ],
)
def test_a_parcel_shared_with_a_living_request_is_kept(asked, expected):
    """Units of two requests may travel in one parcel."""
    ret = a_return(
        requests=(a_request("q1"), a_request("q2", asked)),
        units=(authorized(a_unit()), authorized(a_unit("2", request_id="q2"))),
        postage=(BOUGHT,),
    )
    assert give_back(ret, frozenset({"q1"})).postage[0].void is expected


def test_other_requests_parcels_are_not_touched():
    """Only the withdrawn request's parcels are given back."""
    ret = a_return(units=(authorized(a_unit(request_id="q2")),), postage=(BOUGHT,))
    assert give_back(ret, frozenset({"q1"})) == ret


@pytest.mark.parametrize(
    ("void", "request_id", "expected"),
    [
        (Void.WANTED, "q1", Void.NO),
        (Void.WANTED, "q2", Void.WANTED),
        (Void.DONE, "q1", Void.DONE),
        (Void.KEPT, "q1", Void.KEPT),
    ],
)
def test_what_is_not_voided_yet_can_be_taken_back(void, request_id, expected):
    """For the request that asks for its parcel, and only before the void."""
    ret = a_return(units=(authorized(a_unit()),), postage=(replace(BOUGHT, void=void),))
    assert take_back(ret, request_id).postage[0].void is expected


# ---- what the portal and the shopper have of it

SECOND = Postage(authorization_id="A2", shipment_id="S2", tracking_id="2Z")
SHIPPED = {"source": LabelSourceName.AMAZON_SHIPPING, "label": a_label("1Z")}


@pytest.mark.parametrize(
    ("request_fields", "postage", "told"),
    [
        (SHIPPED, (SECOND, BOUGHT), BOUGHT),
        ({"label": a_label("1Z")}, (BOUGHT,), BOUGHT),
        ({**SHIPPED, "label": a_label("RMA-A1")}, (SECOND, replace(BOUGHT, tracking_id="")), "A1"),
        ({"label": a_label("RMA-A1")}, (BOUGHT,), None),
        ({"label": None}, (BOUGHT,), None),
        (SHIPPED, (SECOND,), None),
        ({**SHIPPED, "label": a_label("")}, (replace(BOUGHT, tracking_id=""),), None),
    ],
)
def test_the_portal_knows_a_parcel_by_its_number_or_by_its_rma(request_fields, postage, told):
    """A bought label that went out before it had a tracking id is the parcel of its RMA; Amazon's page is none."""
    request = delivered("q1", **request_fields)
    ret = a_return(
        requests=(request,),
        authorizations=(an_authorization("A1", rma_id="RMA-A1"), an_authorization("A2", rma_id="RMA-A2")),
        postage=postage,
    )
    found = told_parcel(ret, request)
    assert found == told if told != "A1" else found == postage[1]


@pytest.mark.parametrize(
    ("requests", "units", "dead"),
    [
        ((delivered("q1", **SHIPPED),), (authorized(a_unit()),), 1),
        ((delivered("q1", **SHIPPED),), (authorized(a_unit()), authorized(a_unit("2"), "A2")), 0),
        ((delivered("q1", **SHIPPED),), (authorized(a_unit(request_id="")),), 0),
        ((delivered("q1"),), (authorized(a_unit()),), 0),
        ((a_request("q1", source=LabelSourceName.AMAZON_SHIPPING),), (authorized(a_unit()),), 0),
        (
            (delivered("q1", **SHIPPED), delivered("q2", **SHIPPED)),
            (authorized(a_unit()), authorized(a_unit("2", request_id="q2"), "A2")),
            1,
        ),
    ],
)
def test_a_label_is_dead_when_nothing_on_it_can_be_sent(requests, units, dead):
    """A document with one good label, or one of another request, or Amazon's page, stays; so does what is unsure."""
    ret = a_return(requests=requests, units=units, postage=(BOUGHT, SECOND))
    assert dead_labels(ret, BOUGHT) == tuple(r.label for r in requests[:1])[:dead]


def test_when_the_last_label_was_given_back_no_label_is_left():
    """Of a cancelled return nobody knows any more which units were whose: its labels go with the last parcel."""
    ret = a_return(
        requests=(delivered("q1", **SHIPPED),),
        units=(authorized(a_unit(request_id="")),),
        postage=(BOUGHT, replace(SECOND, void=Void.DONE)),
    )
    assert dead_labels(ret, BOUGHT) == (SHIPPED["label"],)


def test_a_slip_names_the_units_of_its_parcel():
    """Units of other parcels are on other slips."""
    slip = slip_of(a_return(units=UNITS), an_authorization("A1"), b"%PDF-")
    assert (slip.rma_id, slip.label_pdf) == (an_authorization("A1").rma_id, b"%PDF-")
    assert sum(count for _, count in slip.units) == sum(u.authorization_id == "A1" for u in UNITS)


def test_an_order_is_named_by_its_purchase():
    """What the parcel was called before, and what names this purchase, go with the order."""
    ret, authorization = a_return(units=UNITS), an_authorization("A1")
    order = postage_order(ret, authorization, a_portal_request(), DEFAULT, key="k", handle="shp_1")
    assert (order.key, order.handle) == ("k", "shp_1")


USED = replace(BOUGHT, delivered_at=NOW)


@pytest.mark.parametrize(
    ("before", "units", "number"),
    [
        (BOUGHT, (authorized(a_unit()),), 1),
        (USED, (authorized(a_unit()),), 2),
        (replace(BOUGHT, lost_at=NOW), (authorized(a_unit()),), 2),
        (BOUGHT, (authorized(a_unit()), found(a_unit("2", request_id="q0"))), 2),
        (USED, (found(a_unit()),), 1),
        (USED, (authorized(a_unit(request_id="q0")),), 1),
        (replace(USED, void=Void.DONE), (authorized(a_unit()),), 1),
    ],
)
def test_a_label_that_was_used_is_renewed_for_what_still_has_to_come(before, units, number):
    """Delivered, lost, or its parcel opened: the request that asks for what was left behind gets another one."""
    (after,) = renew_used(a_return(units=units, postage=(before,)), "q1").postage
    assert after == (before if number == 1 else Postage(authorization_id="A1", number=2))


def test_a_label_that_a_lost_store_sent_out_is_renewed_by_its_parcels_arrival():
    """Nothing is known of it, but one of its units has come: the key of the first purchase is not used again."""
    units = (replace(authorized(a_unit("1")), processed_at=NOW), authorized(a_unit("2", request_id="q2")))
    assert renew_used(a_return(units=units), "q2").postage == ()
    assert renew_used(a_return(units=units, adopted_at=NOW), "q2").postage == (
        Postage(authorization_id="A1", number=2),
    )


def test_a_label_known_by_its_tracking_alone_is_bought_again_by_its_key_for_a_request_that_waits():
    """Amazon gave both requests one authorization: the first label is out, and the second needs its document."""
    tracked = replace(BOUGHT, shipment_id=f"{TRACKED_ONLY}TBA1")
    out, waits = a_request("q0", asked=RequestState.DELIVERED), a_request("q1")
    first, second = authorized(a_unit("1", request_id="q0")), authorized(a_unit("2", request_id="q1"))
    assert find_again(a_return(requests=(out, waits), units=(first,), postage=(tracked,))).postage == (tracked,)
    ret = find_again(
        a_return(
            requests=(out, waits), units=(first, second), postage=(tracked, replace(BOUGHT, authorization_id="A2"))
        )
    )
    assert ret.postage == (Postage(authorization_id="A1"), replace(BOUGHT, authorization_id="A2"))
