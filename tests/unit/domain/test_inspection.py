from dataclasses import replace

import pytest

from daemon.domain.events import returns as ev
from daemon.domain.inspection import authorization_found, inspect
from daemon.domain.lifecycle import apply
from daemon.domain.orders import ReturnItem
from daemon.domain.returns import MISSING, Finding, Postage, Return, ReturnUnit, State, UnitState
from daemon.domain.schedule import Timings
from tests.support.builders import (
    DAY,
    HOUR,
    NOW,
    a_request,
    a_return_item,
    a_unit,
    an_authorization,
    an_awaited_return,
    an_order,
    assigned,
    authorized,
    found,
    processed,
    refused,
)

T = Timings()
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
    ret = an_awaited_return(found(a_unit("1")), TWO, labelled_at=NOW + 6 * DAY)
    event = read(ret, processed(ONE), a_return_item(TWO), at=NOW + days * DAY)
    assert (isinstance(event, ev.UnitsMissing) and conditions(event) == ["missing"]) is is_missing


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
    ret = an_awaited_return(found(a_unit("1")), FAR, postage=(parcel(**heard),))
    event = read(ret, processed(ONE), a_return_item(FAR), at=at)
    assert isinstance(event, ev.UnitsMissing) is is_missing


def test_the_carriers_clocks_decide_on_what_the_carrier_said_last():
    """A carrier that was not asked since may know better: Amazon's reading alone does not lose a parcel."""
    asked_before = parcel(scanned_at=NOW, tracked_at=NOW + 29 * DAY)
    ret = an_awaited_return(found(a_unit("1")), FAR, postage=(asked_before,))
    assert read(ret, processed(ONE), at=NOW + 31 * DAY) is None
    asked_since = replace(ret, postage=(replace(asked_before, tracked_at=NOW + 30 * DAY),))
    assert isinstance(read(asked_since, processed(ONE), at=NOW + 31 * DAY), ev.UnitsMissing)


def test_a_parcel_that_was_scanned_is_missing_even_if_it_was_the_only_one():
    """Something of the return was seen, so it has not expired."""
    ret = an_awaited_return(FAR, postage=(parcel(scanned_at=NOW),))
    assert read(ret, at=NOW + 29 * DAY) is None
    event = read(ret, at=NOW + 46 * DAY)
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
    assert isinstance(read(an_awaited_return(ONE, FAR), at=NOW + days * DAY), ev.NothingCame) is expired


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
        ((ONE, TWO), (processed(ONE, at=NOW + 50 * DAY),), ev.UnitInspected),
        ((ONE, FAR), (processed(ONE, at=NOW + 50 * DAY),), ev.UnitsMissing),
    ],
)
def test_an_expired_return_wakes_when_something_comes(units, items, kind):
    """A sibling is given its week, a silent parcel has had its time; until anything comes nothing is told."""
    event = read(an_awaited_return(*units, **EXPIRED), *items, at=NOW + 50 * DAY)
    assert (None if event is None else type(event)) is kind
