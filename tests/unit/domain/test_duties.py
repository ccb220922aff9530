from dataclasses import replace

import pytest

from daemon.domain.acts import Act, Duty
from daemon.domain.duties import GOOD_FOR, create_unclear, duty, gradable_lines, transit_owed
from daemon.domain.returns import LabelSourceName, Note, Postage, RequestState, Return, State, Transit, Void
from tests.support.builders import (
    NOW,
    a_label,
    a_request,
    a_return,
    a_unit,
    an_authorization,
    an_awaited_return,
    assigned,
    authorized,
    delivered,
    found,
    refused,
)

S = State
OWED_NOTE = (Note(key="k", text="t"),)
PAST, FUTURE = NOW - 1.0, NOW + 1.0
UNREAD = a_request("q1", RequestState.UNREAD)
SHIPPING = LabelSourceName.AMAZON_SHIPPING
TWO_PARCELS = (authorized(a_unit(), "A1"), authorized(a_unit("2"), "A2"))
PARCELS = (an_authorization("A1"), an_authorization("A2"))
PRINTED = Postage(authorization_id="A1", shipment_id="S", tracking_id="1Z", printable=True)
TO_VOID = replace(PRINTED, void=Void.WANTED)


def labelling(*units, request=None, state=S.AWAITING_LABEL, **fields) -> Return:
    """A return that waits for its label, with an authorization for each parcel."""
    units = units or (authorized(a_unit()),)
    requests = (request or a_request(),)
    return a_return(**{"state": state, "requests": requests, "units": units, "authorizations": PARCELS, **fields})


def buying(*postage: Postage, **fields) -> Return:
    """A return of two parcels whose labels are bought."""
    return labelling(*TWO_PARCELS, request=a_request(source=SHIPPING), postage=postage, **fields)


@pytest.mark.parametrize(
    ("ret", "act", "subject"),
    [
        # RECEIVED: read every request first, authorize what has its place order by order, match the rest
        (a_return(requests=(a_request("q0"), UNREAD), units=(a_unit(),)), Act.READ_REQUEST, "q1"),
        (a_return(needs_read=True, units=(a_unit(),)), Act.READ_RETURN, ""),
        (a_return(units=(a_unit(),)), Act.MATCH_ORDER, ""),
        (a_return(units=(a_unit(), assigned(a_unit("2")))), Act.AUTHORIZE_UNITS, "O1"),
        (a_return(units=(assigned(a_unit(), "O2"), assigned(a_unit("2"), "O1"))), Act.AUTHORIZE_UNITS, "O2"),
        (a_return(units=(assigned(a_unit("1", request_id="gone")), authorized(a_unit("2")))), None, ""),
        # AWAITING_LABEL: the truth behind a hint, then request by request
        (labelling(needs_read=True), Act.READ_RETURN, ""),
        (labelling(refused(a_unit())), Act.REPORT_REFUSAL, "q1"),
        (labelling(authorized(a_unit(), "A9")), Act.LOOK_FOR_AUTHORIZATION, ""),
        (labelling(authorized(a_unit(), "")), Act.LOOK_FOR_AUTHORIZATION, ""),
        (labelling(), Act.ISSUE_LABEL, "q1"),
        (labelling(request=a_request(label=a_label())), None, ""),
        # … buying it: offered, bought, printable, parcel by parcel
        (buying(), Act.QUOTE_POSTAGE, "A1"),
        (buying(Postage(authorization_id="A1")), Act.QUOTE_POSTAGE, "A1"),
        (buying(Postage(authorization_id="A1", sealed_offer=b"x")), Act.BUY_POSTAGE, "A1"),
        (buying(replace(PRINTED, printable=False)), Act.FETCH_LABEL, "A1"),
        (buying(replace(PRINTED, void=Void.DONE)), Act.QUOTE_POSTAGE, "A1"),
        (buying(PRINTED), Act.QUOTE_POSTAGE, "A2"),
        (buying(PRINTED, replace(PRINTED, authorization_id="A2")), Act.ISSUE_LABEL, "q1"),
        # LABEL_READY
        (labelling(state=S.LABEL_READY, request=a_request(label=a_label())), Act.DELIVER_LABEL, "q1"),
        (labelling(refused(a_unit()), state=S.LABEL_READY), Act.REPORT_REFUSAL, "q1"),
        (labelling(state=S.LABEL_READY, request=delivered()), None, ""),
        (labelling(state=S.LABEL_READY, request=a_request(label=a_label()), needs_read=True), Act.READ_RETURN, ""),
        # AWAITING_INSPECTION: give back, tell, hint, look
        (an_awaited_return(postage=(TO_VOID,), notes=OWED_NOTE), Act.VOID_POSTAGE, "A1"),
        (an_awaited_return(notes=OWED_NOTE, needs_read=True), Act.WRITE_NOTES, ""),
        (an_awaited_return(found(a_unit()), needs_read=True), Act.GRADE_LINES, ""),
        (
            an_awaited_return(requests=(delivered(transit=Transit.DELIVERED),), needs_read=True),
            Act.REPORT_TRANSIT,
            "q1",
        ),
        (an_awaited_return(needs_read=True, amazon_due_at=PAST), Act.READ_RETURN, ""),
        (an_awaited_return(amazon_due_at=NOW), Act.LOOK_FOR_INSPECTION, ""),
        (an_awaited_return(amazon_due_at=FUTURE), None, ""),
        (an_awaited_return(), None, ""),
        (an_awaited_return(amazon_due_at=NOW, postage=(PRINTED,)), Act.TRACK_PARCELS, ""),
        (an_awaited_return(amazon_due_at=NOW, postage=(replace(PRINTED, tracked_at=PAST),)), Act.TRACK_PARCELS, ""),
        (
            an_awaited_return(amazon_due_at=NOW, postage=(replace(PRINTED, tracked_at=NOW),)),
            Act.LOOK_FOR_INSPECTION,
            "",
        ),
        (an_awaited_return(amazon_due_at=NOW, postage=(replace(PRINTED, lost_at=PAST),)), Act.TRACK_PARCELS, ""),
        (
            an_awaited_return(amazon_due_at=NOW, postage=(replace(PRINTED, delivered_at=PAST),)),
            Act.LOOK_FOR_INSPECTION,
            "",
        ),
        # INSPECTED: words wait a while for those of the verdict; SETTLING: words first
        (an_awaited_return(state=S.INSPECTED), Act.CONCLUDE, ""),
        (an_awaited_return(found(a_unit()), state=S.INSPECTED), Act.GRADE_LINES, ""),
        (an_awaited_return(state=S.INSPECTED, notes=OWED_NOTE, changed_at=NOW - 299), Act.CONCLUDE, ""),
        (an_awaited_return(state=S.INSPECTED, notes=OWED_NOTE, changed_at=NOW - 300), Act.WRITE_NOTES, ""),
        (an_awaited_return(state=S.SETTLING), Act.SETTLE, ""),
        (an_awaited_return(state=S.SETTLING, notes=OWED_NOTE), Act.WRITE_NOTES, ""),
        # REFUSED
        (labelling(refused(a_unit()), state=S.REFUSED), Act.REPORT_REFUSAL, "q1"),
        (labelling(state=S.REFUSED, request=a_request("q1", RequestState.REFUSED)), None, ""),
        # STUCK: the error first, unless it is held
        (a_return(state=S.STUCK, notes=OWED_NOTE), Act.REPORT_REFUSAL, "q1"),
        (a_return(state=S.STUCK, notes=OWED_NOTE, held=True), Act.WRITE_NOTES, ""),
        (a_return(state=S.STUCK, notes=OWED_NOTE, requests=(UNREAD,)), Act.WRITE_NOTES, ""),
        (a_return(state=S.STUCK, notes=OWED_NOTE, requests=(delivered(), a_request("q2"))), Act.REPORT_REFUSAL, "q2"),
        # RECEIVED: a held request is told of before it is tried again
        (a_return(held=True, notes=OWED_NOTE, units=(a_unit(),)), Act.WRITE_NOTES, ""),
        (a_return(notes=OWED_NOTE, units=(a_unit(),)), Act.MATCH_ORDER, ""),
        (an_awaited_return(state=S.STUCK, postage=(TO_VOID,)), Act.VOID_POSTAGE, "A1"),
        (an_awaited_return(state=S.STUCK, needs_read=True), Act.READ_RETURN, ""),
        (an_awaited_return(state=S.STUCK, amazon_due_at=NOW), Act.LOOK_FOR_INSPECTION, ""),
        (an_awaited_return(state=S.STUCK), None, ""),
    ],
)
def test_what_is_owed(ret, act, subject):
    """The state names the kind of thing owed; requests, units and what was told pick the one call."""
    assert duty(ret, NOW) == (None if act is None else Duty(act, subject))


@pytest.mark.parametrize("state", [S.PROCESSING, S.IN_REVIEW, S.EXPIRED, S.CANCELLED, S.CLOSED])
@pytest.mark.parametrize(
    ("fields", "act"),
    [
        ({"postage": (TO_VOID,), "notes": OWED_NOTE}, Act.VOID_POSTAGE),
        (
            {
                "postage": (replace(TO_VOID, shipment_id="", sealed_offer=b"x"),),
                "pending_calls": (Duty(Act.BUY_POSTAGE, "A1"),),
            },
            Act.BUY_POSTAGE,
        ),
        (
            {"postage": (replace(TO_VOID, shipment_id=""),), "pending_calls": (Duty(Act.BUY_POSTAGE, "A1"),)},
            Act.QUOTE_POSTAGE,
        ),
        ({"postage": (replace(TO_VOID, shipment_id="", sealed_offer=b"x"),)}, None),
        ({"notes": OWED_NOTE, "portal_due_at": NOW}, Act.WRITE_NOTES),
        ({"portal_due_at": NOW, "amazon_due_at": NOW}, Act.READ_RETURN),
        ({"needs_read": True, "amazon_due_at": NOW}, Act.READ_RETURN),
        ({"portal_due_at": FUTURE, "amazon_due_at": NOW}, Act.LOOK_FOR_INSPECTION),
        ({"portal_due_at": FUTURE, "amazon_due_at": FUTURE}, None),
        ({}, None),
    ],
)
def test_what_is_watched_owes_alike(state, fields, act):
    """Whoever has the next move: labels are given back, words are told, the portal is read, Amazon is looked at."""
    owed = duty(an_awaited_return(**{"state": state, **fields}), NOW)
    assert (owed.act if owed else None) is act


def test_the_same_return_always_owes_the_same():
    """A duty depends on the return and the hour alone, so that a restart is a resume."""
    assert duty(an_awaited_return(amazon_due_at=NOW), NOW) == duty(an_awaited_return(amazon_due_at=NOW), NOW)


def test_a_duty_names_its_outward_call():
    """The key of a begun call tells which call it was, and about what."""
    assert Duty(Act.AUTHORIZE_UNITS, "O1").key == "authorize_units:O1"


@pytest.mark.parametrize(
    ("units", "expected"),
    [
        ([], ()),
        ([authorized(a_unit())], ()),
        ([found(a_unit())], ("1",)),
        ([found(a_unit(), graded=True)], ()),
        ([found(a_unit()), authorized(a_unit(part=2))], ()),
        ([found(a_unit()), found(a_unit(part=2))], ("1",)),
        ([found(a_unit(), graded=True), found(a_unit(part=2))], ("1",)),
        ([found(a_unit("2")), authorized(a_unit("1"))], ("2",)),
        ([refused(a_unit())], ()),
    ],
)
def test_a_line_is_graded_when_all_its_units_are_found(units, expected):
    """A bundle waits for its last part; a line is told once."""
    assert gradable_lines(a_return(units=tuple(units))) == expected


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"transit": Transit.IN_TRANSIT}, True),
        ({"transit": Transit.IN_TRANSIT, "reported": Transit.IN_TRANSIT}, False),
        ({"transit": Transit.IN_TRANSIT, "reported": Transit.DELIVERED}, False),
        ({"transit": Transit.IN_TRANSIT, "label_id": None}, False),
        ({"transit": Transit.IN_TRANSIT, "asked": RequestState.CANCELLED}, False),
        ({}, False),
    ],
)
def test_transit_is_told_forward_only(fields, expected):
    """Progress is owed while the portal knows less, the label is out and its id is known."""
    assert transit_owed(replace(delivered(), **fields)) is expected


@pytest.mark.parametrize(
    ("unit", "pending_calls", "expected"),
    [
        (assigned(a_unit()), (Duty(Act.AUTHORIZE_UNITS, "O1"),), True),
        (assigned(a_unit()), (Duty(Act.AUTHORIZE_UNITS, "O2"),), False),
        (assigned(a_unit()), (), False),
        (a_unit(order_id="O1"), (Duty(Act.AUTHORIZE_UNITS, "O1"),), False),
        (authorized(a_unit()), (Duty(Act.AUTHORIZE_UNITS, "O1"),), False),
    ],
)
def test_a_create_call_is_unclear_for_its_planned_units(unit, pending_calls, expected):
    """Amazon may have a unit that it was asked for, until its answer is stored."""
    assert create_unclear(a_return(pending_calls=pending_calls), unit) is expected


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, Duty(Act.READ_REQUEST, "q1")),
        ({"units": (assigned(a_unit()),)}, Duty(Act.READ_REQUEST, "q1")),
        (
            {"units": (assigned(a_unit()),), "pending_calls": (Duty(Act.AUTHORIZE_UNITS, "O1"),)},
            Duty(Act.AUTHORIZE_UNITS, "O1"),
        ),
        ({"requests": (a_request(read_at=NOW - GOOD_FOR + 1),)}, Duty(Act.MATCH_ORDER)),
        ({"requests": (a_request(),)}, Duty(Act.MATCH_ORDER)),
        (
            {"requests": (a_request("q2", read_at=0.0), a_request("q1", read_at=NOW))},
            Duty(Act.MATCH_ORDER),
        ),
    ],
)
def test_a_reading_of_long_ago_is_made_again_before_anything_is_asked_of_amazon(fields, expected):
    """But a call whose answer was lost is cleared up first, and a request without planned units is left alone."""
    usual = {"requests": (a_request(read_at=NOW - GOOD_FOR),), "units": (a_unit(),)}
    assert duty(a_return(**{**usual, **fields}), NOW) == expected


OWED_GRADE = (found(a_unit()),)


@pytest.mark.parametrize(
    ("state", "fields", "act"),
    [
        (S.SETTLING, {"notes": OWED_NOTE}, Act.SETTLE),
        (S.INSPECTED, {"units": OWED_GRADE}, Act.CONCLUDE),
        (S.IN_REVIEW, {"notes": OWED_NOTE, "portal_due_at": NOW}, Act.READ_RETURN),
        (S.AWAITING_INSPECTION, {"notes": OWED_NOTE, "amazon_due_at": NOW}, Act.LOOK_FOR_INSPECTION),
        (S.AWAITING_INSPECTION, {"postage": (TO_VOID,), "amazon_due_at": NOW}, Act.LOOK_FOR_INSPECTION),
        (
            S.AWAITING_INSPECTION,
            {"postage": (replace(TO_VOID, void=Void.NO),), "amazon_due_at": NOW},
            Act.LOOK_FOR_INSPECTION,
        ),
    ],
)
def test_what_only_informs_is_passed_over_for_a_while(state, fields, act):
    """Until then the rest of what is owed goes first; afterwards it has its turn again."""
    ret = an_awaited_return(**{"state": state, "passed_over_until": NOW + 1, **fields})
    assert duty(ret, NOW) == Duty(act)
    assert duty(replace(ret, passed_over_until=NOW), NOW) != Duty(act)
