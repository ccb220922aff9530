"""What each event changes, beyond the state."""

from dataclasses import replace

import pytest

from daemon.domain.acts import Act, Duty
from daemon.domain.allocation import transferable
from daemon.domain.direction import Direction
from daemon.domain.events import postage as pe
from daemon.domain.events import returns as ev
from daemon.domain.lifecycle import apply
from daemon.domain.postage import Tracking, tracked
from daemon.domain.problems import ProblemCode
from daemon.domain.returns import (
    TRACKED_ONLY,
    LabelRequest,
    LabelSourceName,
    Note,
    Postage,
    RequestState,
    Return,
    Settlement,
    State,
    Transit,
    UnitState,
    Void,
)
from daemon.domain.transitions.labels import with_note
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

AT = NOW + 60.0
BOUGHT = Postage(authorization_id="A1", shipment_id="S", tracking_id="1Z", carrier="UPS")


def notes(ret: Return) -> dict[str, str]:
    """The return's notes by key."""
    return {note.key: note.text for note in ret.notes}


def asked(ret: Return) -> list[RequestState]:
    """How far each label request has come."""
    return [request.asked for request in ret.requests]


def test_one_note_per_key():
    """A second note of the same key is not owed, whatever it says."""
    once = with_note(a_return(), "verdict", "first")
    assert with_note(once, "verdict", "second") is once
    assert [n.text for n in with_note(once, "expired", "second").notes] == ["first", "second"]


# ---- reading and matching


def test_a_request_that_was_read_brings_its_units_and_the_orders_names():
    """What the matching needs is remembered; the request is open."""
    event = ev.RequestRead(
        at=AT,
        request=a_request("q1"),
        units=(a_unit(),),
        order_name="#1001",
        order_number="1001",
        provider_order_id="5001",
        has_exchange=True,
    )
    ret = apply(a_return(requests=(a_request("q1", RequestState.UNREAD),)), event)
    assert (ret.order_name, ret.order_number, ret.provider_order_id, ret.has_exchange) == (
        "#1001",
        "1001",
        "5001",
        True,
    )
    assert (asked(ret), ret.units) == ([RequestState.OPEN], (a_unit(),))


@pytest.mark.parametrize("request_id", ["q1", "q9"])
def test_a_request_withdrawn_while_it_was_read_stays_withdrawn(request_id):
    """The reading of a request that is cancelled by now, or unknown, changes nothing."""
    ret = a_return(requests=(a_request("q1", RequestState.CANCELLED), a_request("q2", RequestState.UNREAD)))
    read = ev.RequestRead(at=AT, request=a_request(request_id), units=(a_unit(),))
    assert apply(ret, read) == replace(ret, changed_at=AT)


def test_holding_an_unmatched_return_keeps_looking():
    """Held, the return stays where it is, and says why."""
    ret = apply(
        a_return(units=(a_unit(),)),
        ev.Unmatched(at=AT, request_id="q1", why="tried #1", code=ProblemCode.ORDER_NOT_FOUND, hold=True),
    )
    assert (ret.state, ret.held, ret.problem) == (State.RECEIVED, True, "tried #1")
    assert ret.units == (a_unit(),)


def test_refusing_an_unmatched_return_gives_the_reason_to_each_unit():
    """Without a hold, what was only planned is not returnable, and the request is answered also if it was not read."""
    ret = a_return(units=(a_unit(), authorized(a_unit("2"))), requests=(a_request("q1", RequestState.UNREAD),))
    changed = apply(
        ret, ev.Unmatched(at=AT, request_id="q1", why="abroad", code=ProblemCode.ORDER_NOT_FOUND, hold=False)
    )
    assert changed.units == (refused(a_unit(), "abroad"), ret.units[1])
    assert asked(changed) == [RequestState.OPEN]


def test_an_unmatched_request_leaves_the_other_requests_alone():
    """Neither a request that was not read yet nor the units that another one asks for are refused with it."""
    units = (a_unit(), a_unit("2", request_id="q2"))
    ret = a_return(units=units, requests=(a_request("q1"), a_request("q2"), a_request("q3", RequestState.UNREAD)))
    changed = apply(
        ret, ev.Unmatched(at=AT, request_id="q1", why="tried #1", code=ProblemCode.ORDER_NOT_FOUND, hold=False)
    )
    assert changed.units == (refused(units[0], "tried #1"), units[1])
    assert asked(changed) == [RequestState.OPEN, RequestState.OPEN, RequestState.UNREAD]
    assert changed.state is State.RECEIVED


def test_the_reason_of_a_request_without_units_is_kept_until_it_is_told():
    """A sibling's match does not take the words away from a refusal that has no units to carry them."""
    ret = a_return(units=(a_unit(request_id="q2"),), requests=(a_request("q1"), a_request("q2")), problem="abroad")
    changed = apply(ret, ev.OrderMatched(at=AT, units=(assigned(a_unit(request_id="q2")),)))
    assert changed.problem == "abroad"


def test_an_expired_return_that_is_cancelled_is_over_and_lends_what_never_came():
    """Its label is given back, and another return may ask for its units."""
    bought = Postage(authorization_id="A1", shipment_id="S", tracking_id="1Z")
    ret = a_return(state=State.EXPIRED, requests=(delivered("q1"),), units=(authorized(a_unit()),), postage=(bought,))
    changed = apply(ret, ev.LabelRequestCancelled(at=AT))
    assert (changed.state, changed.postage[0].void) == (State.CANCELLED, Void.WANTED)
    assert transferable(changed, ["O1"]) == changed.units
    withdrawn = apply(ret, ev.LabelRequestCancelled(at=AT, request_id="q1"))
    assert withdrawn.state is State.EXPIRED


def test_a_label_changes_hands_with_its_units():
    """What was bought for units that another return takes over is the other's; what is left stays."""
    kept, other = (Postage(authorization_id=name, shipment_id="S", tracking_id=name) for name in ("A1", "A2"))
    lender = a_return(
        state=State.CANCELLED, units=(authorized(a_unit()), authorized(a_unit("2"), "A2")), postage=(kept, other)
    )
    gave = apply(lender, ev.UnitsTransferred(at=AT, handed=(("1", 1),), postage=(kept,)))
    assert gave.postage == (other,)
    took = apply(a_return(units=(a_unit(),)), ev.OrderMatched(at=AT, units=(authorized(a_unit()),), postage=(kept,)))
    assert took.postage == (kept,)


def test_a_late_word_of_the_carrier_does_not_bring_back_a_label_that_was_handed_over():
    """It was asked about while it changed hands: the news are the new return's to hear."""
    seen = Postage(authorization_id="A1", shipment_id="S", tracking_id="1Z", delivered_at=AT)
    changed = apply(a_return(state=State.CANCELLED), pe.ParcelsTracked(at=AT, postage=(seen,)))
    assert (changed.postage, changed.notes) == ((), ())


def test_a_label_that_went_out_under_its_rma_is_followed_all_the_same():
    """The tracking id was learnt later: the portal hears of the parcel that it knows by the RMA."""
    rma = an_authorization("A1")
    label = a_label(rma.rma_id)
    request = delivered("q1", label=label, source=LabelSourceName.AMAZON_SHIPPING)
    bought = Postage(authorization_id="A1", shipment_id="S")
    ret = a_return(
        state=State.AWAITING_INSPECTION,
        requests=(request,),
        units=(authorized(a_unit()),),
        authorizations=(rma,),
        postage=(bought,),
    )
    seen = replace(bought, tracking_id="1Z", transit=Transit.IN_TRANSIT)
    assert apply(ret, pe.ParcelsTracked(at=AT, postage=(seen,))).requests[0].transit is Transit.IN_TRANSIT
    page = replace(ret, requests=(replace(request, source=LabelSourceName.RMA_PAGE),))
    assert apply(page, pe.ParcelsTracked(at=AT, postage=(seen,))).requests[0].transit is Transit.NEW


def test_a_match_ends_the_hold():
    """Once the order is found, neither hold nor problem is left."""
    ret = a_return(units=(a_unit(),), held=True, problem="tried #1")
    changed = apply(ret, ev.OrderMatched(at=AT, units=(assigned(a_unit()),)))
    assert (changed.held, changed.problem, changed.units[0].order_id) == (False, "", "O1")


# ---- authorizations and their note


def test_the_newer_reading_of_an_authorization_wins():
    """Authorizations are known by their id."""
    old, newer, other = an_authorization("A1"), an_authorization("A1", center="PHX7"), an_authorization("A2")
    ret = a_return(
        state=State.AWAITING_LABEL, requests=(a_request(),), units=(authorized(a_unit()),), authorizations=(old,)
    )
    event = ev.UnitsAuthorized(at=AT, units=(), authorizations=(newer, other))
    assert apply(ret, event).authorizations == (newer, other)


def test_units_and_authorizations_are_merged():
    """Accepted and refused units of one call are kept side by side, with the RMA."""
    ret = a_return(units=(assigned(a_unit()), assigned(a_unit("2", "CAP"))))
    event = ev.UnitsAuthorized(
        at=AT, units=(authorized(a_unit()), refused(a_unit("2", "CAP"))), authorizations=(an_authorization(),)
    )
    changed = apply(ret, event)
    assert [u.standing for u in changed.units] == [UnitState.AUTHORIZED, UnitState.NOT_RETURNABLE]
    assert notes(changed) == {
        "authorized:A1": "Return created in Amazon: 1 x SOCK. RMA RMA-A1. Not returnable: 1 x CAP."
    }


def test_the_note_about_authorizations_waits_until_all_are_known():
    """One note tells all RMAs, not one per answer."""
    units = (authorized(a_unit(), "A1"), authorized(a_unit("2", "CAP"), "A2"))
    partly = apply(
        a_return(units=units), ev.UnitsAuthorized(at=AT, units=units, authorizations=(an_authorization("A1"),))
    )
    assert partly.notes == ()
    wholly = apply(partly, ev.UnitsAuthorized(at=AT, units=units, authorizations=(an_authorization("A2"),)))
    assert notes(wholly) == {"authorized:A1,A2": "Return created in Amazon: 1 x SOCK, 1 x CAP. RMA RMA-A1, RMA-A2."}


def test_doubtful_units_are_read_back():
    """How often a create call was read back is kept until its units are clear."""
    ret = a_return(units=(assigned(a_unit()), assigned(a_unit("2")), assigned(a_unit("3"))), verifications=2)
    accepted = ev.UnitsAuthorized(at=AT, units=(authorized(a_unit()),), verifications=1)
    refusal = ev.UnitsRefused(at=AT, units=(refused(a_unit()),), verifications=1)
    assert apply(ret, accepted).verifications == apply(ret, refusal).verifications == 1
    assert apply(ret, replace(refusal, verifications=0)).verifications == 0


def test_authorizations_are_noted_also_when_the_last_answer_was_a_refusal():
    """The second order's refusal ends the wait, and the first order's RMA is told then."""
    ret = a_return(
        units=(authorized(a_unit()), assigned(a_unit("2", "CAP"), "O2")), authorizations=(an_authorization(),)
    )
    changed = apply(ret, ev.UnitsRefused(at=AT, units=(refused(a_unit("2", "CAP")),)))
    assert changed.state is State.AWAITING_LABEL
    assert "authorized:A1" in notes(changed)


# ---- the label


def test_a_delivered_label_is_noted_with_its_tracking_number():
    """The merchant reads carrier and tracking number; the inspection's clock starts."""
    ret = a_return(state=State.LABEL_READY, requests=(a_request(label=a_label()),), units=(authorized(a_unit()),))
    changed = apply(ret, ev.LabelDelivered(at=AT, request_id="q1", label_id="9"))
    assert changed.requests[0].label_id == "9"
    assert changed.labelled_at == AT
    assert notes(changed) == {"label:q1": "Label delivered: Amazon, tracking RMA-1."}


def test_further_parcels_are_named_in_the_note():
    """The portal knows one tracking number; the others of the same request are told in words."""
    parcels = (("1", "q1", "A1"), ("2", "q1", "A2"), ("3", "q2", "A3"), ("4", "q1", "A4"))
    units = tuple(authorized(a_unit(line_id, request_id=asked), parcel) for line_id, asked, parcel in parcels)
    postage = (
        *(Postage(authorization_id=f"A{n}", tracking_id=f"1Z{n}") for n in (1, 2, 3)),
        Postage(authorization_id="A4"),
    )
    request = a_request(label=a_label("1Z1"), source=LabelSourceName.AMAZON_SHIPPING)
    ret = a_return(state=State.LABEL_READY, requests=(request,), units=units, postage=postage)
    changed = apply(ret, ev.LabelDelivered(at=AT, request_id="q1", label_id="9"))
    assert notes(changed)["label:q1"] == "Label delivered: Amazon, tracking 1Z1. Further parcels: 1Z2."


def test_a_label_of_which_nothing_is_known_is_delivered_all_the_same():
    """Without carrier and tracking number there is nothing to note, but the request is answered."""
    ret = a_return(state=State.LABEL_READY, units=(authorized(a_unit()),))
    changed = apply(ret, ev.LabelDelivered(at=AT, request_id="q1", label_id="9"))
    assert (asked(changed), changed.notes) == ([RequestState.DELIVERED], ())


def test_a_lost_label_id_is_told_once():
    """Without the portal's id no status can be sent, and the merchant is told why."""
    ret = a_return(state=State.LABEL_READY, requests=(a_request(label=a_label()),), units=(authorized(a_unit()),))
    changed = apply(ret, ev.LabelDelivered(at=AT, request_id="q1", label_id=None))
    assert set(notes(changed)) == {"label:q1", "label-id:q1"}


def test_a_label_delivered_while_another_was_asked_for_is_not_lost():
    """The webhook came first: the label is out all the same, with its id."""
    requests = (a_request("q1", label=a_label()), a_request("q2", RequestState.UNREAD))
    ret = a_return(requests=requests, units=(authorized(a_unit()),))
    changed = apply(ret, ev.LabelDelivered(at=AT, request_id="q1", label_id="9"))
    assert (changed.state, changed.requests[0].asked, changed.requests[0].label_id) == (
        State.RECEIVED,
        RequestState.DELIVERED,
        "9",
    )


def test_a_new_label_restarts_the_clock_of_silence():
    """A parcel with a fresh label is not overdue because of the label before it."""
    ret = a_return(state=State.LABEL_READY, requests=(a_request(label=a_label()),), labelled_at=1.0)
    assert apply(ret, ev.LabelDelivered(at=AT, request_id="q1", label_id="9")).labelled_at == AT


# ---- cancelled, asked again, not ours


def test_cancelling_one_request_leaves_the_others():
    """A label that is out stays out; an id names one request, no id means all."""
    ret = a_return(
        requests=(delivered("q1"), a_request("q2", RequestState.UNREAD), a_request("q3", RequestState.UNREAD))
    )
    one = apply(ret, ev.LabelRequestCancelled(at=AT, request_id="q2"))
    assert asked(one) == [RequestState.DELIVERED, RequestState.CANCELLED, RequestState.UNREAD]
    assert asked(apply(ret, ev.LabelRequestCancelled(at=AT))) == [
        RequestState.DELIVERED,
        RequestState.CANCELLED,
        RequestState.CANCELLED,
    ]


def test_cancelling_is_noted_when_amazon_expects_something():
    """Amazon knows no cancel, so the merchant is told; without an authorization there is nothing to tell."""
    expected = apply(an_awaited_return(needs_read=True), ev.LabelRequestCancelled(at=AT))
    assert set(notes(expected)) == {"cancelled:"}
    assert not expected.needs_read
    assert apply(a_return(units=(a_unit(),)), ev.LabelRequestCancelled(at=AT)).notes == ()


def test_cancelling_gives_places_in_shipments_back():
    """What was planned for the withdrawn request alone is free for other returns."""
    units = (assigned(a_unit()), assigned(a_unit("2", request_id="q2")))
    ret = a_return(requests=(a_request("q1"), a_request("q2")), units=units)
    changed = apply(ret, ev.LabelRequestCancelled(at=AT, request_id="q1"))
    assert changed.units == (a_unit(), units[1])


def test_cancelling_keeps_the_place_of_a_unit_that_amazon_may_have():
    """While the create call is unclear, the unit's place is not promised to anybody else."""
    ret = a_return(units=(assigned(a_unit()),), pending_calls=(Duty(Act.AUTHORIZE_UNITS, "O1"),))
    changed = apply(ret, ev.LabelRequestCancelled(at=AT))
    assert (changed.state, changed.units, changed.pending_calls) == (State.CANCELLED, ret.units, ret.pending_calls)


def test_closing_in_the_portal_gives_places_back_and_unused_labels():
    """Before the label is out, a closed return needs neither its place nor its postage."""
    ret = a_return(
        state=State.AWAITING_LABEL,
        units=(authorized(a_unit()), assigned(a_unit("2"))),
        postage=(BOUGHT,),
        needs_read=True,
    )
    changed = apply(ret, ev.ClosedInPortal(at=AT))
    assert (changed.units[1].return_item_id, changed.postage[0].void, changed.needs_read) == ("", Void.WANTED, False)


@pytest.mark.parametrize(
    "event", [ev.LabelRequestCancelled(at=AT, request_id="q1"), ev.NotOurs(at=AT, request_id="q1", why="")]
)
def test_a_bought_label_that_nobody_wants_is_given_back(event):
    """A request withdrawn, or answered by somebody else, has its postage voided."""
    ret = a_return(state=State.AWAITING_LABEL, units=(authorized(a_unit()),), postage=(BOUGHT,))
    assert apply(ret, event).postage[0].void is Void.WANTED


def test_asking_again_forgets_troubles():
    """One more label request opens the return anew, whatever it was stuck on; who asks begins to wait just now."""
    ret = a_return(state=State.STUCK, resume_state=State.AWAITING_LABEL, problem="x", held=True, transient_failures=200)
    changed = apply(ret, ev.LabelRequestedAgain(at=AT, request=LabelRequest(request_id="q2")))
    assert changed.transient_failures == 0
    assert (changed.problem, changed.held, asked(changed)) == ("", False, [RequestState.OPEN, RequestState.UNREAD])


def test_a_request_that_is_still_asked_for_is_there_once():
    """A request that we gave up reading goes back to work under its own id."""
    ret = a_return(state=State.STUCK, resume_state=State.RECEIVED, requests=(a_request("q1", RequestState.UNREAD),))
    changed = apply(ret, ev.LabelRequestedAgain(at=AT, request=LabelRequest(request_id="q1")))
    assert (changed.state, asked(changed)) == (State.RECEIVED, [RequestState.UNREAD])


def test_asking_again_for_a_parcel_takes_its_label_back():
    """A label that is not voided yet serves the request that asks for its parcel; no other."""
    other = replace(BOUGHT, authorization_id="A2", void=Void.WANTED)
    ret = a_return(
        requests=(a_request("q1", RequestState.CANCELLED), a_request("q2", RequestState.UNREAD)),
        units=(authorized(a_unit()), authorized(a_unit("2"), "A2")),
        postage=(replace(BOUGHT, void=Void.WANTED), other),
    )
    read = ev.RequestRead(at=AT, request=a_request("q2"), units=(authorized(a_unit(request_id="q2")),))
    assert apply(ret, read).postage == (BOUGHT, other)


def test_a_label_that_another_request_needs_is_not_given_back():
    """Units that changed hands take their parcel's postage along."""
    units = (authorized(a_unit(request_id="q2")), authorized(a_unit("2")))
    ret = a_return(
        state=State.AWAITING_LABEL, requests=(a_request("q1"), a_request("q2")), units=units, postage=(BOUGHT,)
    )
    changed = apply(ret, ev.LabelRequestCancelled(at=AT, request_id="q1"))
    assert changed.postage == (BOUGHT,)


def test_cancelling_the_whole_return_sets_free_what_has_not_come():
    """The label is out, but nobody asks for the unit any more: another return may have it."""
    ret = an_awaited_return(authorized(a_unit()), found(a_unit("2")))
    whole = apply(ret, ev.LabelRequestCancelled(at=AT))
    assert [u.request_id for u in whole.units] == ["", "q1"]
    assert apply(ret, ev.LabelRequestCancelled(at=AT, request_id="q1")).units == ret.units


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (ev.NotOurs(at=AT, request_id="q1", why=""), RequestState.NOT_OURS),
        (ev.RefusalReported(at=AT, request_id="q1"), RequestState.REFUSED),
    ],
)
def test_answers_to_a_stuck_returns_request_leave_it_stuck(event, expected):
    """What happens to the label request does not free the return."""
    changed = apply(a_return(state=State.STUCK, resume_state=State.AWAITING_LABEL), event)
    assert (changed.state, asked(changed)) == (State.STUCK, [expected])


@pytest.mark.parametrize(
    ("requests", "expected"),
    [
        ((a_request("q1"),), State.CANCELLED),
        ((a_request("q1"), a_request("q2", RequestState.UNREAD)), State.STUCK),
        ((a_request("q1"), a_request("q2")), State.STUCK),
        ((delivered("q1"),), State.STUCK),
    ],
)
def test_cancelling_a_stuck_return(requests, expected):
    """It ends with its last open request, unless a label is out: then a person still has to look."""
    ret = a_return(state=State.STUCK, resume_state=State.AWAITING_LABEL, requests=requests)
    assert apply(ret, ev.LabelRequestCancelled(at=AT, request_id="q1")).state is expected


# ---- findings


def test_each_finding_has_its_note_and_the_parcel_has_arrived():
    """The first processed unit says that its parcel was delivered; a unit without news is not told again."""
    units = (found(a_unit()), authorized(a_unit("2", "CAP")))
    ret = an_awaited_return(authorized(a_unit()), units[1])
    changed = apply(ret, ev.UnitInspected(at=AT, units=units))
    assert notes(changed) == {"inspected:1:1:Sellable": "Amazon inspected SOCK at LEX1: sellable."}
    assert changed.requests[0].transit is Transit.DELIVERED


def test_a_correction_has_a_note_of_its_own():
    """A changed condition is told once more, under its own key."""
    ret = replace(an_awaited_return(found(a_unit())), state=State.CLOSED)
    changed = apply(ret, ev.LateFinding(at=AT, units=(found(a_unit(), "Defective"),)))
    assert set(notes(changed)) == {"inspected:1:1:Defective"}


def test_an_expired_return_says_so():
    """The merchant reads that nothing ever came, and the portal is read once more: it may have closed long ago."""
    changed = apply(an_awaited_return(), ev.NothingCame(at=AT))
    assert (set(notes(changed)), changed.needs_read) == ({"expired"}, True)


# ---- the outcome


def verdict(summary: str) -> ev.VerdictReached:
    """A verdict to flag."""
    return ev.VerdictReached(at=AT, units=(refused(a_unit("2")),), settlement=Settlement.FLAG, summary=summary)


def test_the_verdict_is_noted_before_anything_is_done():
    """Units edited in the portal, settlement and the reason are kept together; a new verdict has a new note."""
    ret = replace(an_awaited_return(), state=State.INSPECTED)
    changed = apply(ret, verdict("Discrepancy: SOCK defective."))
    assert (changed.settlement, len(changed.units)) == (Settlement.FLAG, 2)
    again = apply(replace(changed, state=State.INSPECTED), verdict("Discrepancy: CAP defective."))
    assert [n.text for n in again.notes] == ["Discrepancy: SOCK defective.", "Discrepancy: CAP defective."]


@pytest.mark.parametrize(
    ("message", "why"), [("nothing was heard of it for days",) * 2, ("", "Loop's history of the return says why")]
)
def test_failed_processing_is_told_and_flags_next(message, why):
    """The reason is told where it is known, and the return is never processed again by itself."""
    changed = apply(
        an_awaited_return(state=State.PROCESSING, needs_read=True), ev.ProcessingFailed(at=AT, message=message)
    )
    assert (changed.processing_failed, changed.needs_read) == (True, False)
    assert notes(changed)["processing-failed"] == f"The return could not be processed: {why}. Sent to Needs Review."


def test_a_refused_removal_flags():
    """If the portal does not remove the discrepant lines, a person has to."""
    ret = an_awaited_return(state=State.SETTLING, settlement=Settlement.REMOVE)
    changed = apply(ret, ev.RemovalRefused(at=AT, message="not all qualify"))
    assert changed.settlement is Settlement.FLAG
    assert "not all qualify" in notes(changed)["removal-refused"]


def test_a_return_beyond_settling_is_left_with_a_note():
    """Nobody can settle it any more; the merchant is told."""
    changed = apply(an_awaited_return(state=State.SETTLING), ev.LeftUnsettled(at=AT, how="it has expired in Loop"))
    assert changed.state is State.CLOSED
    assert "it has expired in Loop" in notes(changed)["unsettled"]


@pytest.mark.parametrize("event", [ev.ReturnFlagged(at=AT), ev.ReviewFound(at=AT)])
def test_a_review_is_known_until_its_flag_is_lifted(event):
    """Whoever flagged it, a lifted flag is noted once and nothing more is done."""
    review = apply(an_awaited_return(state=State.SETTLING), event)
    assert review.flagged
    lifted = apply(replace(review, needs_read=True), ev.FlagLifted(at=AT))
    assert (lifted.state, lifted.flagged, lifted.needs_read) == (State.IN_REVIEW, False, False)
    assert set(notes(lifted)) == {"flag-lifted"}


# ---- giving up, and people


@pytest.mark.parametrize("hold", [True, False])
def test_giving_up_says_why_and_where_it_came_from(hold):
    """The merchant reads the reason in words; with a hold the label request stays open."""
    changed = apply(a_return(), ev.GaveUp(at=AT, problem="Amazon is silent", code=ProblemCode.OTHER, hold=hold))
    assert (changed.resume_state, changed.problem, changed.held) == (State.RECEIVED, "Amazon is silent", hold)
    assert notes(changed) == {
        "stuck:Amazon is silent": "No label could be made: Amazon is silent. Somebody has to look at it."
    }


def test_trying_again_asks_the_label_request_anew():
    """A request answered with an error, or still open, is read again; a delivered label stays."""
    requests = (
        delivered("q1"),
        a_request("q2", label=a_label()),
        a_request("q3", RequestState.REFUSED),
        a_request("q4", RequestState.CANCELLED),
    )
    ret = a_return(
        state=State.STUCK, resume_state=State.AWAITING_LABEL, requests=requests, problem="x", processing_failed=True
    )
    changed = apply(ret, ev.Retried(at=AT, by="operator"))
    assert asked(changed) == [RequestState.DELIVERED, RequestState.UNREAD, RequestState.UNREAD, RequestState.CANCELLED]
    assert changed.requests[1].label is None
    assert (changed.problem, changed.processing_failed, changed.state) == ("", False, State.RECEIVED)


def test_trying_a_return_in_review_again_judges_it_anew():
    """What was found since, and what the portal says now, counts."""
    ret = an_awaited_return(state=State.IN_REVIEW, settlement=Settlement.NOTHING)
    assert apply(ret, ev.Retried(at=AT, by="operator")).state is State.INSPECTED


# ---- bookkeeping


def test_what_was_told_is_remembered():
    """Written notes, graded lines, reported transit and a begun call are each ticked off."""
    ret = an_awaited_return(
        found(a_unit()), found(a_unit("2")), notes=(Note(key="a", text="a"), Note(key="b", text="b"))
    )
    assert [n.written for n in apply(ret, ev.NotesWritten(at=AT, keys=("b",))).notes] == [False, True]
    assert [u.graded for u in apply(ret, ev.LinesGraded(at=AT, line_ids=("2",))).units] == [False, True]
    reported = apply(ret, ev.TransitReported(at=AT, request_id="q1", transit=Transit.IN_TRANSIT))
    assert reported.requests[0].reported is Transit.IN_TRANSIT
    assert apply(ret, ev.CallBegun(at=AT, call=Duty(Act.SETTLE))).pending_calls == (Duty(Act.SETTLE),)
    assert (
        apply(
            replace(ret, pending_calls=(Duty(Act.SETTLE),)), ev.CallHadNoEffect(at=AT, call=Duty(Act.SETTLE))
        ).pending_calls
        == ()
    )


def test_reading_the_portal_ends_the_hint_and_may_owe_a_note():
    """What was seen may be worth a line, once."""
    ret = an_awaited_return(needs_read=True)
    assert apply(ret, ev.ReturnRead(at=AT)) == replace(ret, needs_read=False, changed_at=AT)
    told = apply(ret, ev.ReturnRead(at=AT, note_key="processed-early", note="Processed early."))
    assert notes(told) == {"processed-early": "Processed early."}


def test_units_handed_over_are_awaited_by_another_return():
    """The lender keeps the line, but expects nothing more of it."""
    ret = an_awaited_return(authorized(a_unit()), authorized(a_unit("2")), state=State.CANCELLED)
    changed = apply(ret, ev.UnitsTransferred(at=AT, handed=(("1", 1),)))
    assert (changed.units[0].standing, changed.units[0].return_item_id) == (UnitState.REMOVED, "")
    assert changed.units[1] == ret.units[1]


# ---- bought labels


@pytest.mark.parametrize("kind", [pe.PostageOffered, pe.OfferLapsed, pe.PostageBought, pe.LabelFetched])
def test_postage_is_kept_as_the_event_brings_it(kind):
    """One postage per authorization, the newest."""
    ret = a_return(postage=(Postage(authorization_id="A2"), Postage(authorization_id="A1")))
    changed = apply(ret, kind(at=AT, postage=BOUGHT))
    assert changed.postage == (ret.postage[0], BOUGHT)


def test_a_label_given_back_or_kept_is_told():
    """The merchant reads what became of the money."""
    voided = apply(a_return(postage=(BOUGHT,)), pe.PostageVoided(at=AT, postage=replace(BOUGHT, void=Void.DONE)))
    kept = apply(
        a_return(postage=(BOUGHT,)), pe.PostageKept(at=AT, postage=replace(BOUGHT, void=Void.KEPT), why="it was used")
    )
    assert notes(voided) == {"voided:1Z": "Label voided: UPS, tracking 1Z. It was never scanned."}
    assert notes(kept) == {"kept:1Z": "Label not voided: UPS, tracking 1Z: it was used."}


def test_a_refund_that_takes_its_time_is_told_so():
    """A carrier that was asked pays later."""
    event = pe.PostageVoided(at=AT, postage=replace(BOUGHT, void=Void.DONE), pending=True)
    told = notes(apply(a_return(postage=(BOUGHT,)), event))
    assert told == {"voided:1Z": "Label voided: UPS, tracking 1Z. The carrier refunds it within weeks."}


def test_a_purchase_that_did_not_take_place_may_be_made_again():
    """The next one is a new call, and what becomes of it is waited for anew."""
    asked = Postage(authorization_id="A1", handle="shp_1", sealed_offer=b"x")
    buying, other = Duty(Act.BUY_POSTAGE, "A1"), Duty(Act.BUY_POSTAGE, "A2")
    beside = Postage(authorization_id="A2", sealed_offer=b"y")
    ret = a_return(postage=(asked, beside), pending_calls=(buying, other), verifications=5)
    changed = apply(ret, pe.NothingBought(at=AT, postage=asked))
    assert (changed.pending_calls, changed.verifications, changed.postage) == ((other,), 0, (asked, beside))


def test_looks_at_a_purchase_are_counted_from_its_beginning():
    """Looks at something else before do not shorten the wait for this one."""
    ret = a_return(verifications=3)
    assert apply(ret, ev.CallBegun(at=AT, call=Duty(Act.BUY_POSTAGE, "A1"))).verifications == 0
    assert apply(ret, ev.CallBegun(at=AT, call=Duty(Act.SETTLE))).verifications == 3


@pytest.mark.parametrize(
    ("stored", "void"),
    [
        (BOUGHT, Void.WANTED),
        (replace(BOUGHT, void=Void.KEPT), Void.KEPT),
        (replace(BOUGHT, shipment_id="S9"), Void.NO),
    ],
)
def test_an_unused_label_is_to_be_given_back(stored, void):
    """Unless something has become of it meanwhile, or another was bought in its place."""
    ret = an_awaited_return(postage=(stored,))
    assert apply(ret, pe.LabelUnused(at=AT, postage=BOUGHT)).postage[0].void is void
    assert apply(an_awaited_return(), pe.LabelUnused(at=AT, postage=BOUGHT)).postage == ()


def test_a_label_in_doubt_waits_for_whoever_retries():
    """What stands in the way is kept with the return; retrying says that the label was looked at."""
    doubtful = replace(BOUGHT, printable=True, direction=Direction.UNREADABLE)
    request = a_request(source=LabelSourceName.EASYPOST)
    ret = a_return(state=State.AWAITING_LABEL, requests=(request,), units=(authorized(a_unit()),), postage=(BOUGHT,))
    stuck = apply(ret, ev.GaveUp(at=AT, problem="look at it", code=ProblemCode.OTHER, hold=True, postage=doubtful))
    assert (stuck.state, stuck.held, stuck.postage) == (State.STUCK, True, (doubtful,))
    assert apply(stuck, ev.Retried(at=AT, by="ann")).postage[0].direction is Direction.ACCEPTED


def test_tracking_tells_the_portal_of_its_one_parcel_and_notes_every_arrival():
    """The request's transit follows the parcel whose number the portal knows, and never goes back."""
    other = Postage(authorization_id="A2", shipment_id="S2", tracking_id="1Z-2", carrier="UPS")
    request = delivered("q1", label=a_label("1Z"))
    ret = an_awaited_return(requests=(request, a_request("q2")), postage=(BOUGHT, other))
    moving = tracked(BOUGHT, Tracking(transit=Transit.IN_TRANSIT, scanned_at=AT), AT)
    arrived = tracked(other, Tracking(transit=Transit.DELIVERED, delivered_at=AT), AT)
    changed = apply(ret, pe.ParcelsTracked(at=AT, postage=(moving, arrived)))
    assert changed.postage == (moving, arrived)
    assert [r.transit for r in changed.requests] == [Transit.IN_TRANSIT, Transit.NEW]
    assert notes(changed) == {"parcel:1Z-2": "Parcel delivered to Amazon: UPS, tracking 1Z-2. Inspection follows."}
    assert apply(changed, pe.ParcelsTracked(at=AT, postage=(BOUGHT,))).requests[0].transit is Transit.IN_TRANSIT


def test_a_request_may_change_how_its_label_is_made():
    """A service that is not offered gives way to Amazon's page."""
    ret = a_return(requests=(a_request(source=LabelSourceName.AMAZON_SHIPPING),))
    changed = apply(ret, pe.LabelSourceChanged(at=AT, request_id="q1", source=LabelSourceName.RMA_PAGE))
    assert changed.requests[0].source is LabelSourceName.RMA_PAGE


def test_a_label_bought_for_the_other_way_is_given_back():
    """When the way changes, what was bought already is not used."""
    request = a_request(source=LabelSourceName.AMAZON_SHIPPING)
    ret = a_return(state=State.AWAITING_LABEL, requests=(request,), units=(authorized(a_unit()),), postage=(BOUGHT,))
    changed = apply(ret, pe.LabelSourceChanged(at=AT, request_id="q1", source=LabelSourceName.RMA_PAGE))
    assert changed.postage[0].void is Void.WANTED


def test_the_parcel_that_the_portal_knows_decides_on_delivery():
    """With bought labels a unit of another parcel does not make the request's own parcel arrive."""
    units = (authorized(a_unit(), "A1"), authorized(a_unit("2"), "A2"))
    ret = an_awaited_return(*units, requests=(delivered(label=a_label("1Z")),), postage=(BOUGHT,))
    second = replace(units[1], processed_at=AT)
    after_second = apply(ret, ev.UnitInspected(at=AT, units=(second,)))
    assert after_second.requests[0].transit is Transit.NEW
    after_first = apply(after_second, ev.UnitInspected(at=AT, units=(replace(units[0], processed_at=AT),)))
    assert after_first.requests[0].transit is Transit.DELIVERED


def test_stock_that_is_counted_twice_is_told_once():
    """However many units Loop restocks, the merchant reads once what to turn off, and nothing else changes."""
    ret = an_awaited_return(needs_read=True)
    told = apply(apply(ret, ev.RestockRequested(at=AT)), ev.RestockRequested(at=AT))
    assert "restocking in Loop" in notes(told)["restock"]
    assert replace(told, notes=ret.notes) == replace(ret, changed_at=AT)


def test_a_unit_that_amazon_knows_already_needs_the_label_that_only_its_tracking_is_known_of():
    """The first of two labels of one parcel went out before the store was lost: the second needs the document again."""
    known_label = Postage(authorization_id="A1", shipment_id=f"{TRACKED_ONLY}TBA1", tracking_id="TBA1")
    out, waits = a_request("q0", asked=RequestState.DELIVERED), a_request("q1")
    units = (authorized(a_unit("1", request_id="q0")), a_unit("2", request_id="q1"))
    ret = a_return(state=State.RECEIVED, requests=(out, waits), units=units, postage=(known_label,))
    known = authorized(a_unit("2", request_id="q1"))
    assert apply(ret, ev.OrderMatched(at=AT, units=(known,))).postage == (Postage(authorization_id="A1"),)
