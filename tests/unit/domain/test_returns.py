from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.domain.naming import (
    ID_LIMIT,
    NOTE_LIMIT,
    joined_notes,
    joined_text,
    note_marker,
    note_text,
    return_item_id,
    told_apart,
)
from daemon.domain.portal import PortalNote
from daemon.domain.returns import Note, Postage, RequestState, Transit, Void, change_request, merge_units
from tests.support.builders import a_request, a_return, a_unit, assigned, authorized, delivered, refused

NAMES = st.text(max_size=60) | st.integers(0, 10**18).map(str)
IDS = st.tuples(NAMES, NAMES, NAMES, st.integers(1, 10**6))


# ---- ids


def test_notes_are_joined_as_far_as_they_fit():
    """Each group is one text within the limit, in the order in which the notes were owed; none is cut for company."""
    ret = a_return()
    notes = [Note(key=key, text=key * length) for key, length in (("a", 100), ("b", 80), ("c", 100), ("d", 400))]

    groups = joined_notes(ret, notes)

    assert [[note.key for note in group] for group in groups] == [["a", "b"], ["c"], ["d"]]
    assert joined_text(ret, groups[0]) == f"{note_text(ret, notes[0])} {note_text(ret, notes[1])}"
    assert all(len(joined_text(ret, group)) <= NOTE_LIMIT for group in groups)
    assert joined_notes(ret, []) == []
    on_timeline = [PortalNote(text=joined_text(ret, groups[0]), at=5.0), PortalNote(text="by [mcfd a person]")]
    assert [(note.text, note.at) for note in told_apart(on_timeline)] == [
        (note_text(ret, notes[0]), 5.0),
        (note_text(ret, notes[1]), 5.0),
        ("by [mcfd a person]", None),
    ]


def test_a_return_item_id_reads_like_what_it_names():
    """Ids as Loop gives them stay readable in Amazon's console."""
    assert return_item_id("acme", "7001234", "55", 2) == "mcfd-acme-7001234-55-2"


@given(IDS)
def test_a_return_item_id_fits_and_is_stable(names):
    """Whatever the names, the id is printable ASCII of at most 80 characters, and the same each time."""
    item_id = return_item_id(*names)
    assert item_id.isascii()
    assert item_id.isprintable()
    assert 0 < len(item_id) <= ID_LIMIT
    assert item_id == return_item_id(*names)


@given(IDS, IDS)
def test_different_units_have_different_return_item_ids(one, other):
    """No two units of any shops share an id."""
    assert (return_item_id(*one) == return_item_id(*other)) == (one == other)


def test_dashes_do_not_blur_return_item_ids():
    """Names that only differ in where a dash belongs still make different ids."""
    names = [("a", "1-2", "3"), ("a", "1", "2-3"), ("a-1", "2", "3"), ("a-1-2", "3", "3"), ("a", "1-2-3", "3")]
    assert len({return_item_id(*name, 1) for name in names}) == len(names)


# ---- notes


@given(st.text(max_size=400))
def test_a_note_opens_with_its_marker_and_fits(text):
    """A note is at most 250 code points long and never loses the marker by which it is found again."""
    note = Note(key="verdict", text=text)
    whole = note_text(a_return(), note)
    assert len(whole) <= NOTE_LIMIT
    assert whole.startswith(note_marker(a_return(), "verdict"))
    assert whole.endswith((text, "…"))


def test_a_long_note_is_cut_by_code_point():
    """A letter outside the basic plane counts as one, and is never cut in two."""
    whole = note_text(a_return(), Note(key="k", text="\N{PACKAGE}" * 300))
    assert len(whole) == NOTE_LIMIT
    assert whole[:-1].endswith("\N{PACKAGE}")


def test_a_marker_belongs_to_one_note_of_one_return():
    """Markers differ by shop, return and key, and are short."""
    returns = [a_return(), a_return(shop="other"), a_return(return_id="78")]
    markers = {note_marker(ret, key) for ret, key in product(returns, ["verdict", "expired"])}
    assert len(markers) == 6
    assert all(len(marker) <= 16 for marker in markers)


def test_a_marker_survives_every_change_of_the_return():
    """The marker depends on nothing that changes during a life."""
    assert note_marker(a_return(), "verdict") == note_marker(a_return(version=9, problem="x", requests=()), "verdict")


# ---- what a return knows of its parts


def test_a_return_answers_questions_about_its_parts():
    """Requests, units, orders and notes are found by what they are."""
    units = (
        authorized(a_unit("1")),
        refused(assigned(a_unit("2", request_id="q2"), "O2")),
        assigned(a_unit("3", request_id="q2"), "O1"),
        a_unit("4"),
    )
    notes = (Note(key="a", text="a", written=True), Note(key="b", text="b"))
    ret = a_return(units=units, requests=(delivered("q1"), a_request("q2")), notes=notes)
    assert ret.ref == "acme/77"
    assert [r.request_id for r in ret.open_requests()] == ["q2"]
    assert ret.request("q2") is ret.requests[1]
    assert ret.request("q9") is None
    assert ret.units_of("q2") == units[1:3]
    assert ret.authorized() == units[:1]
    assert ret.order_ids() == ("O1", "O2")
    assert ret.owed_notes() == notes[1:]


@pytest.mark.parametrize("asked", RequestState)
def test_a_label_is_out_once_a_request_was_delivered(asked):
    """Only a delivered label request means that a shopper holds a label."""
    assert a_return(requests=(a_request("q1", asked),)).label_out == (asked is RequestState.DELIVERED)


def test_transit_only_advances_in_the_order_of_its_words():
    """Ranks follow a parcel's way."""
    ranks = [Transit(word).rank for word in ("new", "pre_transit", "in_transit", "out_for_delivery", "delivered")]
    assert ranks == sorted(ranks)
    assert len(set(ranks)) == len(Transit)


@pytest.mark.parametrize(
    ("postage", "bought", "travelling"),
    [
        ({}, False, False),
        ({"shipment_id": "S"}, True, True),
        ({"shipment_id": "S", "tracking_id": "1Z"}, True, True),
        ({"shipment_id": "S", "tracking_id": "1Z", "void": Void.KEPT}, True, True),
        ({"shipment_id": "S", "tracking_id": "1Z", "void": Void.DONE}, False, False),
        ({"shipment_id": "S", "tracking_id": "1Z", "delivered_at": 1.0}, True, False),
        ({"shipment_id": "S", "tracking_id": "1Z", "lost_at": 1.0}, True, True),
    ],
)
def test_a_parcel_travels_while_its_label_is_bought_and_it_has_not_arrived(postage, bought, travelling):
    """Bought labels are looked after until the parcel has arrived; even a lost one may turn up again."""
    built = Postage(authorization_id="A1", **postage)
    assert (built.bought, built.travelling) == (bought, travelling)


# ---- changing parts


def test_changed_units_take_their_old_places():
    """Merging keeps the order, replaces by line and part, and appends what is new."""
    old = (a_unit("1"), a_unit("2"), a_unit("2", part=2))
    changed, new = refused(a_unit("2")), a_unit("3")
    assert merge_units(old, [new, changed]) == (old[0], changed, old[2], new)


def test_one_request_changes_alone():
    """Changing a label request leaves its siblings as they are."""
    ret = a_return(requests=(a_request("q1"), a_request("q2")))
    changed = change_request(ret, "q2", asked=RequestState.REFUSED)
    assert changed.requests == (ret.requests[0], replace(ret.requests[1], asked=RequestState.REFUSED))
