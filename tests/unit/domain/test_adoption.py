"""What a return with an unknown past has become, as far as the portal, Amazon and the label sources tell."""

from dataclasses import replace

import pytest

from daemon.domain.adoption import (
    Doubtful,
    OrderFacts,
    PortalFacts,
    SoldParcel,
    become,
    carried_numbers,
    listed,
    numbers_of,
    placed,
)
from daemon.domain.naming import note_marker
from daemon.domain.portal import PortalLabel, PortalNote, PortalState, RequestStatus
from daemon.domain.postage import KnownParcel
from daemon.domain.returns import MISSING, LabelSourceName, RequestState, State, UnitState, Void
from daemon.domain.wording import COULD_NOT_LABEL
from tests.support.builders import (
    NOW,
    a_label,
    a_line,
    a_portal_request,
    a_portal_return,
    a_return,
    a_return_item,
    a_shipment,
    a_unit,
    an_authorization,
    an_order,
    assigned,
    authorized,
    delivered,
    processed,
)
from tests.support.configured import a_policy

SKU_MAP = a_policy().sku_map
OUT = PortalLabel(url="https://rma.test/A1", carrier="Amazon", tracking_number="RMA-A1", line_ids=("1",))


def facts(*requests, notes=(), **details) -> PortalFacts:
    """What the portal tells of the return."""
    return PortalFacts(details=a_portal_return(**details), requests=requests, notes=tuple(notes))


def note(key: str, text: str = "words", at: float | None = None) -> PortalNote:
    """One of our notes on the timeline."""
    return PortalNote(text=f"{note_marker(a_return(), key)} {text}", at=at)


def at_amazon(*items) -> OrderFacts:
    """An order that shipped, with these return items and one authorization."""
    order = an_order("O1", a_shipment(SOCK=3), return_items=items, authorizations=(an_authorization(),))
    return OrderFacts(orders=(order,))


class TestListed:
    @pytest.mark.parametrize(
        ("request_", "state", "asked"),
        [
            (a_portal_request(), PortalState.OPEN, RequestState.UNREAD),
            (a_portal_request(errors=("somebody else's",)), PortalState.OPEN, RequestState.UNREAD),
            (a_portal_request(errors=(f"{COULD_NOT_LABEL}too old",)), PortalState.OPEN, RequestState.REFUSED),
            (a_portal_request(), PortalState.CANCELLED, RequestState.CANCELLED),
            (a_portal_request(status=RequestStatus.CANCELLED), PortalState.OPEN, RequestState.CANCELLED),
            (a_portal_request(status=RequestStatus.FULFILLED), PortalState.OPEN, RequestState.DELIVERED),
        ],
    )
    def test_each_request_is_what_the_portal_shows(self, request_, state, asked):
        """Waiting, refused by us, withdrawn, or answered."""
        (request,) = listed(a_return(), facts(request_, state=state), SKU_MAP).requests
        assert request.asked is asked

    def test_units_that_we_refused_say_why(self):
        """The words of our error are the unit's problem; they never come."""
        ret = listed(a_return(), facts(a_portal_request(errors=(f"{COULD_NOT_LABEL}too old",))), SKU_MAP)
        assert [(u.standing, u.problem) for u in ret.units] == [(UnitState.NOT_RETURNABLE, "too old")]

    def test_an_answered_request_without_a_label_in_the_portal_keeps_what_is_known(self):
        """Loop shows no label: the request is out all the same."""
        ret = listed(a_return(), facts(a_portal_request(status=RequestStatus.FULFILLED)), SKU_MAP)
        assert (ret.requests[0].label, len(ret.units)) == (None, 1)


class TestPlaced:
    def delivered(self, *units, url="https://rma.test/A1"):
        """A return whose label is out, with units that have no place yet."""
        return a_return(requests=(delivered(label=a_label("RMA-A1", url=url)),), units=units)

    def test_a_unit_that_amazon_did_not_take_is_not_returnable(self):
        """Our label is out for both, and Amazon expects one of them."""
        one, other = a_unit("1"), a_unit("2")
        ret = placed(self.delivered(one, other), at_amazon(a_return_item(assigned(one))), facts())
        assert [u.standing for u in ret.units] == [UnitState.AUTHORIZED, UnitState.NOT_RETURNABLE]

    def test_nothing_at_amazon_is_no_guess(self):
        """A label is out, and there is no return item: a person has to say which order."""
        with pytest.raises(Doubtful, match="no_items"):
            placed(self.delivered(a_unit()), at_amazon(), facts())

    def test_an_item_of_an_ended_return_is_taken(self):
        """Its return needs it no more, and this one asks for its SKU."""
        item = replace(a_return_item(assigned(a_unit())), return_item_id="mcfd-acme-70-9-1")
        orders = replace(at_amazon(item), freed=frozenset({"mcfd-acme-70-9-1"}))
        (unit,) = placed(self.delivered(a_unit()), orders, facts()).units
        assert (unit.return_item_id, unit.standing) == ("mcfd-acme-70-9-1", UnitState.AUTHORIZED)

    def test_a_label_without_a_url_of_ours_is_somebody_elses(self):
        """Without label, link, page or note of ours a missing item is a doubt."""
        ret = replace(self.delivered(a_unit("1"), a_unit("2")), requests=(delivered(label=None),))
        with pytest.raises(Doubtful):
            placed(ret, at_amazon(a_return_item(assigned(a_unit("1")))), facts())

    def test_units_left_behind_are_found(self):
        """Ids of ours that no label waits for: a line that has left the return, or one whose request was withdrawn."""
        gone, kept = assigned(a_unit("8")), assigned(a_unit("1"))
        foreign = replace(a_return_item(assigned(a_unit("3"))), return_item_id="other-system-1")
        orders = at_amazon(a_return_item(gone), a_return_item(kept), foreign)
        withdrawn = a_return(requests=(replace(delivered(), asked=RequestState.CANCELLED),))
        units = placed(withdrawn, orders, facts()).units
        assert {u.line_id: u.standing for u in units} == {"8": UnitState.REMOVED, "1": UnitState.AUTHORIZED}
        waiting = a_return(requests=(replace(delivered(), asked=RequestState.UNREAD, label=None),))
        assert {u.line_id for u in placed(waiting, orders, facts()).units} == {"8"}


class TestBecome:
    def test_a_request_without_a_label_has_no_number(self):
        """Nothing can be tracked by it."""
        assert numbers_of(a_return(), delivered(label=None), ()) == ()
        assert carried_numbers(a_return(requests=(delivered(label=None),)), facts()) == {}

    @pytest.mark.parametrize(
        ("asked", "portal", "state"),
        [
            (RequestState.UNREAD, facts(), State.RECEIVED),
            (RequestState.DELIVERED, facts(notes=[note("unsettled")]), State.CLOSED),
            (RequestState.CANCELLED, facts(), State.CANCELLED),
            (RequestState.REFUSED, facts(), State.CLOSED),
            (RequestState.DELIVERED, facts(notes=[note("expired")]), State.EXPIRED),
            (RequestState.DELIVERED, facts(), State.AWAITING_INSPECTION),
        ],
    )
    def test_the_state_follows_from_requests_and_notes(self, asked, portal, state):
        """Without a verdict on the timeline."""
        label = a_label() if asked is RequestState.DELIVERED else None
        ret = a_return(requests=(replace(delivered(label=label), asked=asked),))
        assert become(ret, portal, OrderFacts(), {}, NOW).state is state

    def test_a_unit_called_missing_stays_so_until_it_comes(self):
        """The note says it; once Amazon has processed the unit, that counts instead."""
        unit = authorized(a_unit())
        ret = a_return(requests=(delivered(),), units=(unit,))
        portal = facts(notes=[note(f"inspected:1:{unit.part}:{MISSING}", at=NOW - 5)])
        (missing,) = become(ret, portal, at_amazon(a_return_item(unit)), {}, NOW).units
        assert (missing.finding.condition, missing.finding.found_at) == (MISSING, NOW - 5)
        (come,) = become(ret, portal, at_amazon(processed(unit)), {}, NOW).units
        assert come.finding is None

    def test_an_unused_label_of_a_withdrawn_request_is_to_be_given_back(self):
        """The source knows the parcel by its handle, and it was not given back yet."""
        withdrawn = replace(delivered(label=a_label("1Z")), withdrawn=True)
        ret = a_return(requests=(withdrawn,), units=(authorized(a_unit()),))
        sold = {"1Z": SoldParcel(LabelSourceName.EASYPOST, KnownParcel(tracking_id="1Z", handle="shp_1"))}
        (postage,) = become(ret, facts(), OrderFacts(), sold, NOW).postage
        assert (postage.void, postage.handle) == (Void.WANTED, "shp_1")

    def test_our_older_notes_are_kept_as_written(self):
        """What was told about holding, cancelling and the like is not told again."""
        notes = become(
            a_return(requests=(delivered(),)), facts(notes=[note("held", "why")]), OrderFacts(), {}, NOW
        ).notes
        assert [(n.key, n.text, n.written) for n in notes if n.key == "held"] == [("held", "why", True)]

    def test_the_label_goes_to_the_request_whose_lines_it_names(self):
        """Two labels, two requests: by the SKUs of their lines."""
        lines = (a_line("1", "SOCK"), a_line("2", "MUG"))
        mug = replace(OUT, url="https://rma.test/A2", line_ids=("2",))
        requests = [
            a_portal_request("q1", status=RequestStatus.FULFILLED, skus=("MUG",)),
            a_portal_request("q2", status=RequestStatus.FULFILLED, skus=("SOCK",)),
        ]
        portal = facts(*requests, lines=lines, labels=(OUT, mug))
        assert [r.label.url for r in listed(a_return(), portal, SKU_MAP).requests] == [mug.url, OUT.url]
