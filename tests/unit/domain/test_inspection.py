from dataclasses import replace

import pytest

from daemon.domain.events import returns as ev
from daemon.domain.inspection import authorization_found, calls_missing, edits, inspect
from daemon.domain.lifecycle import apply
from daemon.domain.orders import ReturnItem
from daemon.domain.problems import ProblemCode
from daemon.domain.returns import (
    MISSING,
    Finding,
    LabelRequest,
    Postage,
    RequestState,
    Return,
    ReturnUnit,
    State,
    UnitState,
)
from daemon.domain.schedule import undecided
from tests.support.builders import (
    DAY,
    HOUR,
    NOW,
    a_line,
    a_portal_return,
    a_request,
    a_return_item,
    a_unit,
    an_authorization,
    an_awaited_return,
    an_order,
    assigned,
    authorized,
    delivered,
    found,
    processed,
    refused,
)
from tests.support.configured import clocks

T = clocks()
ONE, TWO = authorized(a_unit("1")), authorized(a_unit("2"))
FAR = authorized(a_unit("2"), "A2")
LATE = {"state": State.CLOSED}


def read(ret: Return, *items: ReturnItem, at: float = NOW) -> ev.Event | None:
    """What one reading of the fulfillment order says."""
    return inspect(ret, [an_order("O1", return_items=items)], at, T)


def conditions(event: ev.Event | None) -> list[str | None]:
    """The findings of an event's units."""
    return [u.finding.condition if u.finding else None for u in event.units]


def missing(unit: ReturnUnit, at: float = NOW) -> ReturnUnit:
    """An expected unit that the clock gave up."""
    return replace(unit, finding=Finding(condition=MISSING, found_at=at))


# ---- the authorization


def test_an_authorization_is_found_when_every_accepted_unit_has_one():
    """Units learn their authorization from Amazon's list, and only authorizations of ours are kept."""
    ret = an_awaited_return(authorized(a_unit("1"), ""), refused(a_unit("2")), authorizations=())
    order = an_order(
        "O1",
        return_items=(a_return_item(ONE),),
        authorizations=(an_authorization("A1"), an_authorization("A-of-somebody-else")),
    )
    event = authorization_found(ret, [order], NOW)
    assert event == ev.UnitsAuthorized(at=NOW, units=(ONE,), authorizations=(an_authorization("A1"),))


def a_label_wait(*units: ReturnUnit) -> Return:
    """A return whose label waits for its authorizations."""
    return an_awaited_return(*units, state=State.AWAITING_LABEL, requests=(a_request("q1"),), authorizations=())


@pytest.mark.parametrize("authorizations", [(), (an_authorization("A1"),)])
def test_an_authorization_is_waited_for_until_the_last_unit_has_one(authorizations):
    """One of two parcels is not enough; neither is an id without its authorization."""
    ret = a_label_wait(authorized(a_unit("1"), ""), authorized(a_unit("2"), ""))
    items = (a_return_item(ONE), a_return_item(FAR))
    assert authorization_found(ret, [an_order("O1", return_items=items, authorizations=authorizations)], NOW) is None


def test_a_unit_that_nobody_asks_for_any_more_is_not_waited_for():
    """The request of the other unit was cancelled: this one's label does not wait for its authorization."""
    ret = a_label_wait(authorized(a_unit("1"), ""), authorized(a_unit("2", request_id="q0"), ""))
    order = an_order("O1", return_items=(a_return_item(ONE),), authorizations=(an_authorization("A1"),))
    assert authorization_found(ret, [order], NOW).authorizations == (an_authorization("A1"),)


def test_an_authorization_read_before_counts():
    """What is known need not be listed again."""
    ret = an_awaited_return(ONE, FAR, authorizations=(an_authorization("A1"),))
    order = an_order("O1", authorizations=(an_authorization("A2"),))
    assert authorization_found(ret, [order], NOW).authorizations == (an_authorization("A2"),)


# ---- findings while the return is awaited


def test_no_news_is_no_event():
    """A reading that shows what is known already says nothing."""
    assert read(an_awaited_return(ONE), a_return_item(ONE)) is None
    assert read(an_awaited_return(ONE)) is None


def test_a_finding_keeps_amazons_words():
    """Condition, center, reason and time are as Amazon gave them; an unknown condition is kept raw."""
    event = read(an_awaited_return(ONE), processed(ONE, "Wet", at=NOW - 9.0, reason="UNKNOWN_OTHER_REASON"), at=NOW)
    expected = Finding(condition="Wet", found_at=NOW - 9.0, center="LEX1", reason="UNKNOWN_OTHER_REASON")
    assert event == ev.UnitsInspected(at=NOW, units=(replace(ONE, finding=expected, processed_at=NOW - 9.0),))


def test_a_finding_without_a_time_is_of_now():
    """Without Amazon's time the instant of reading counts, and stays."""
    (unit,) = read(an_awaited_return(ONE), processed(ONE, None, at=None)).units
    assert unit.processed_at == NOW
    again = read(an_awaited_return(unit), processed(ONE, "Sellable", at=None), at=NOW + 5.0)
    assert again.units[0].finding.found_at == NOW


def test_one_of_two_is_told_alone():
    """What has news is told while the sibling is still expected."""
    event = read(an_awaited_return(ONE, TWO), processed(ONE), a_return_item(TWO))
    assert event == ev.UnitInspected(at=NOW, units=(found(a_unit("1")),))


def test_the_last_finding_ends_the_wait():
    """All units found, the refused ones not awaited: the return is inspected."""
    event = read(an_awaited_return(found(a_unit("1")), TWO, refused(a_unit("3"))), processed(TWO, "Defective"))
    assert isinstance(event, ev.UnitsInspected)
    assert conditions(event) == ["Defective"]


def test_a_unit_that_amazon_lists_is_authorized():
    """An unclear create call is recognised by our own id, and its unit is awaited."""
    event = read(an_awaited_return(found(a_unit("1")), assigned(a_unit("2"))), processed(ONE), a_return_item(TWO))
    assert event == ev.UnitInspected(at=NOW, units=(TWO,))


def test_a_unit_struck_out_is_noted_but_not_awaited():
    """A removed line does not hold the verdict up; if it arrives, that is known."""
    removed = replace(TWO, standing=UnitState.REMOVED)
    event = read(an_awaited_return(found(a_unit("1")), removed), processed(ONE), processed(TWO))
    assert isinstance(event, ev.UnitsInspected)
    assert [u.standing for u in event.units] == [UnitState.REMOVED]
    assert conditions(event) == ["Sellable"]


def test_nothing_awaited_ends_the_wait():
    """When every unit was struck out or refused since, there is nothing to wait for, however late."""
    ret = an_awaited_return(refused(a_unit()))
    assert isinstance(read(ret, at=NOW + 400 * DAY), ev.UnitsInspected)


# ---- a condition that is not there


@pytest.mark.parametrize(
    ("age", "kind", "expected"),
    [
        (0.0, ev.UnitInspected, [None]),
        (24 * HOUR - 1.0, ev.UnitInspected, [None]),
        (24 * HOUR, ev.UnitsInspected, [""]),
    ],
)
def test_an_absent_condition_is_given_grace(age, kind, expected):
    """Processed without a condition waits a day, then counts as absent."""
    event = read(an_awaited_return(ONE), processed(ONE, None), at=NOW + age)
    assert type(event) is kind
    assert conditions(event) == expected
    assert event.units[0].processed_at == NOW


def test_grace_is_told_once():
    """While the grace runs, a second reading says nothing new."""
    (waiting,) = read(an_awaited_return(ONE), processed(ONE, None)).units
    assert read(an_awaited_return(waiting), processed(ONE, None), at=NOW + HOUR) is None


def test_what_was_told_is_not_taken_back_by_silence():
    """A condition that disappears later stays as it was found."""
    ret = an_awaited_return(found(a_unit()), **LATE)
    assert read(ret, processed(ONE, None), at=NOW + 9 * DAY) is None


# ---- corrections


@pytest.mark.parametrize(
    ("fields", "kind", "graded"),
    [
        ({}, ev.UnitsInspected, False),
        ({"state": State.STUCK, "resume_state": State.AWAITING_INSPECTION}, ev.LateFinding, False),
        ({"state": State.STUCK, "resume_state": State.SETTLING}, ev.LateFinding, True),
        ({"state": State.IN_REVIEW}, ev.LateFinding, True),
        (LATE, ev.LateFinding, True),
    ],
)
def test_a_correction_regrades_before_the_verdict_only(fields, kind, graded):
    """Afterwards it is recorded and noted, and undoes nothing."""
    event = read(an_awaited_return(found(a_unit(), graded=True), **fields), processed(ONE, "Defective"))
    assert type(event) is kind
    assert conditions(event) == ["Defective"]
    assert event.units[0].graded is graded


@pytest.mark.parametrize("state", [State.IN_REVIEW, State.CANCELLED, State.STUCK, State.CLOSED])
def test_late_findings_name_what_changed(state):
    """After the verdict only units with news are told, and no clock decides any more."""
    ret = an_awaited_return(found(a_unit("1")), missing(TWO), authorized(a_unit("3")), state=state)
    event = read(ret, processed(ONE), processed(TWO), at=NOW + 99 * DAY)
    assert event == ev.LateFinding(at=NOW + 99 * DAY, units=(found(a_unit("2")),))
    assert read(ret, processed(ONE), at=NOW + 99 * DAY) is None


@pytest.mark.parametrize("state", [State.AWAITING_INSPECTION, State.CLOSED])
def test_a_missing_unit_that_has_come_is_missing_no_more(state):
    """It is here although its condition is not told yet; what it is, is said when Amazon says it."""
    ret = an_awaited_return(found(a_unit("1")), missing(TWO), authorized(a_unit("3"), "A2"), state=state)
    event = read(ret, processed(TWO, None, at=NOW), at=NOW + HOUR)
    unit = next(u for u in event.units if u.line_id == "2")
    assert (unit.finding, unit.processed_at) == (None, NOW)
    later = apply(ret, event)
    told = read(later, processed(TWO, "Sellable", at=NOW), at=NOW + 2 * HOUR)
    assert next(u for u in told.units if u.line_id == "2").finding.condition == "Sellable"


# ---- missing by the clock


def parcel(authorization_id: str = "A2", **fields: float | None) -> Postage:
    """The bought label of the second parcel, last tracked just before the reading."""
    return Postage(authorization_id=authorization_id, shipment_id="S", tracking_id="1Z", **fields)


@pytest.mark.parametrize(("days", "is_missing"), [(7, True), (6.99, False)])
def test_a_sibling_is_missing_a_week_after_its_parcel_was_opened(days, is_missing):
    """Units of one authorization travel together."""
    ret = an_awaited_return(found(a_unit("1")), TWO, labelled_at=NOW - 30 * DAY)
    event = read(ret, processed(ONE), a_return_item(TWO), at=NOW + days * DAY)
    assert (isinstance(event, ev.UnitsMissing) and conditions(event) == ["missing"]) is is_missing


def test_the_first_unit_of_a_parcel_starts_its_siblings_clock():
    """A second one that came days later gives the third no further week."""
    three = authorized(a_unit("3"))
    second = found(a_unit("2"), at=NOW + 6 * DAY)
    ret = an_awaited_return(found(a_unit("1")), second, three, labelled_at=NOW - 30 * DAY)
    items = processed(ONE), processed(TWO, at=NOW + 6 * DAY), a_return_item(three)
    assert read(ret, *items, at=NOW + 6.9 * DAY) is None
    assert isinstance(read(ret, *items, at=NOW + 7 * DAY), ev.UnitsMissing)


def test_a_new_label_restarts_the_siblings_clock():
    """Whoever forgot a unit at home gets a week from the label that was given out for it."""
    ret = an_awaited_return(found(a_unit("1")), TWO, labelled_at=NOW + 6 * DAY)
    assert read(ret, processed(ONE), a_return_item(TWO), at=NOW + 12.9 * DAY) is None
    assert isinstance(read(ret, processed(ONE), a_return_item(TWO), at=NOW + 13 * DAY), ev.UnitsMissing)


# ---- a reading that lacks something


@pytest.mark.parametrize("days", [7, 45, 134])
def test_a_unit_that_amazon_does_not_list_is_not_judged(days):
    """An order that Amazon denies, or shows without our units, is no reading: no clock decides on it."""
    assert read(an_awaited_return(found(a_unit("1")), TWO), processed(ONE), at=NOW + days * DAY) is None
    assert read(an_awaited_return(ONE, TWO), a_return_item(ONE), at=NOW + days * DAY) is None


def test_a_unit_that_amazon_never_lists_again_needs_a_person():
    """The wait has an end: after the last clock and the late watch somebody has to look."""
    event = read(an_awaited_return(found(a_unit("1")), TWO), processed(ONE), at=NOW + 135 * DAY)
    assert event == ev.GaveUp(
        at=NOW + 135 * DAY,
        problem="Amazon does not list what it accepted any more",
        code=ProblemCode.AUTHORIZATION_GONE,
    )


def test_a_clock_in_doubt_decides_nothing():
    """While the hour is in doubt neither silence nor a missing condition counts; what was found does."""
    ret = an_awaited_return(ONE, TWO)
    items = processed(ONE, None), a_return_item(TWO)
    event = inspect(ret, [an_order("O1", return_items=items)], NOW + 400 * DAY, undecided(T))
    assert isinstance(event, ev.UnitInspected)
    assert conditions(event) == [None]


# ---- what is awaited


def withdrawn(request_id: str) -> LabelRequest:
    """A label request that was withdrawn after its label was delivered."""
    return replace(delivered(request_id), withdrawn=True)


@pytest.mark.parametrize("other", [withdrawn("q2"), a_request("q2", RequestState.CANCELLED)])
def test_a_unit_whose_label_is_not_asked_for_any_more_holds_up_nothing(other):
    """The verdict is made as soon as the others are there, and the unit is not called missing."""
    second = authorized(a_unit("2", request_id="q2"), "A2")
    ret = an_awaited_return(ONE, second, requests=(delivered("q1"), other))
    event = read(ret, processed(ONE), a_return_item(second), at=NOW + 100 * DAY)
    assert isinstance(event, ev.UnitsInspected)
    assert [u.key for u in event.units] == [("1", 1)]


def test_where_nobody_asks_any_more_everything_is_waited_for():
    """A parcel may have been sent before its label request was withdrawn."""
    ret = an_awaited_return(ONE, requests=(withdrawn("q1"),))
    assert read(ret, a_return_item(ONE)) is None
    assert isinstance(read(ret, processed(ONE)), ev.UnitsInspected)


def test_a_line_that_left_the_return_takes_its_unit_along():
    """Struck out in the portal: the unit is not expected; back in the return, it is again."""
    ret = an_awaited_return(ONE, TWO)
    gone = edits(ret, a_portal_return(a_line("1")), NOW)
    assert gone == ev.LinesEdited(at=NOW, units=(replace(TWO, standing=UnitState.REMOVED),))
    edited = apply(replace(ret, needs_read=True, amazon_due_at=NOW + DAY), gone)
    assert (edited.needs_read, edited.amazon_due_at) == (False, None)
    assert edits(edited, a_portal_return(a_line("1")), NOW) is None
    assert edits(edited, a_portal_return(a_line("1"), a_line("2")), NOW) == ev.LinesEdited(at=NOW, units=(TWO,))


def test_details_without_a_line_say_nothing_of_units():
    """An empty list is no reading."""
    assert edits(an_awaited_return(ONE), replace(a_portal_return(), lines=()), NOW) is None


def test_only_what_is_newly_missing_is_a_decision_of_the_clock():
    """A unit that was given up before, or that came, is none."""
    ret = an_awaited_return(ONE, missing(TWO))
    assert calls_missing(ret, ev.UnitsMissing(at=NOW, units=(missing(ONE),)))
    assert not calls_missing(ret, ev.UnitInspected(at=NOW, units=(found(a_unit("1")), missing(TWO))))
    assert not calls_missing(ret, None)


@pytest.mark.parametrize(
    ("heard", "patience"),
    [
        ({"lost_at": NOW}, T.missing_lost),
        ({"delivered_at": NOW, "scanned_at": NOW - 9 * DAY}, T.missing_delivered),
        ({"scanned_at": NOW}, T.missing_in_transit),
        ({}, T.missing_silent),
    ],
)
@pytest.mark.parametrize(("after", "is_missing"), [(0.0, True), (-1.0, False)])
def test_a_parcel_is_missing_by_when_it_was_last_heard_of(heard, patience, after, is_missing):
    """Lost, delivered, scanned or silent: each has its own patience, while another parcel has come."""
    at = NOW + patience + after
    ret = an_awaited_return(found(a_unit("1")), FAR, postage=(parcel(**heard, tracked_at=at),))
    event = read(ret, processed(ONE), a_return_item(FAR), at=at)
    assert isinstance(event, ev.UnitsMissing) is is_missing


def test_the_carriers_clocks_decide_on_what_the_carrier_said_last():
    """A carrier that was not asked since may know better: Amazon's reading alone does not lose a parcel."""
    asked_before = parcel(scanned_at=NOW, tracked_at=NOW + 29 * DAY)
    ret = an_awaited_return(found(a_unit("1")), FAR, postage=(asked_before,))
    assert read(ret, processed(ONE), a_return_item(FAR), at=NOW + 31 * DAY) is None
    asked_since = replace(ret, postage=(replace(asked_before, tracked_at=NOW + 30 * DAY),))
    assert isinstance(read(asked_since, processed(ONE), a_return_item(FAR), at=NOW + 31 * DAY), ev.UnitsMissing)


def test_a_parcel_that_was_scanned_is_missing_even_if_it_was_the_only_one():
    """Something of the return was seen, so it has not expired."""
    ret = an_awaited_return(FAR, postage=(parcel(scanned_at=NOW, tracked_at=NOW + 46 * DAY),))
    assert read(ret, a_return_item(FAR), at=NOW + 29 * DAY) is None
    event = read(ret, a_return_item(FAR), at=NOW + 46 * DAY)
    assert isinstance(event, ev.UnitsMissing)
    assert event.units[0].finding == Finding(condition="missing", found_at=NOW + 46 * DAY)


def test_processed_without_a_condition_is_never_missing():
    """It has arrived, whatever it is."""
    waiting = replace(TWO, processed_at=NOW + 8 * DAY)
    ret = an_awaited_return(found(a_unit("1")), waiting)
    assert read(ret, processed(ONE), processed(TWO, None, at=NOW + 8 * DAY), at=NOW + 8 * DAY) is None


# ---- silence


@pytest.mark.parametrize(("days", "expired"), [(45, True), (44.9, False)])
def test_a_return_of_which_nothing_came_expires(days, expired):
    """Forty-five days after the label without scan or receipt."""
    event = read(an_awaited_return(ONE, FAR), a_return_item(ONE), a_return_item(FAR), at=NOW + days * DAY)
    assert isinstance(event, ev.NothingCame) is expired


def test_without_a_label_nothing_expires():
    """The clock of silence starts with the label."""
    assert read(an_awaited_return(ONE, labelled_at=None), at=NOW + 400 * DAY) is None


EXPIRED = {"state": State.EXPIRED}


@pytest.mark.parametrize(
    ("units", "items", "kind"),
    [
        ((ONE,), (a_return_item(ONE),), None),
        ((assigned(a_unit("1")),), (a_return_item(ONE),), None),
        ((ONE,), (processed(ONE, at=NOW + 50 * DAY),), ev.UnitsInspected),
        ((ONE, TWO), (processed(ONE, at=NOW + 50 * DAY), a_return_item(TWO)), ev.UnitInspected),
        ((ONE, FAR), (processed(ONE, at=NOW + 50 * DAY), a_return_item(FAR)), ev.UnitsMissing),
    ],
)
def test_an_expired_return_wakes_when_something_comes(units, items, kind):
    """A sibling is given its week, a silent parcel has had its time; until anything comes nothing is told."""
    event = read(an_awaited_return(*units, **EXPIRED), *items, at=NOW + 50 * DAY)
    assert (None if event is None else type(event)) is kind
