"""What people read of a return: its history as sentences, what happens next, and which clock ends the wait."""

from dataclasses import replace

import pytest

from daemon.domain.acts import Act
from daemon.domain.events import operator, postage  # noqa: F401 - their kinds are counted below
from daemon.domain.events.returns import Event
from daemon.domain.prospects import _NEXT, next_words, prospect
from daemon.domain.returns import MISSING, Finding, Postage, State, UnitState
from daemon.domain.story import is_bookkeeping, told
from tests.support.builders import DAY, NOW, a_return, a_unit
from tests.support.configured import clocks


def kinds(base=Event):
    """Every kind of event."""
    below = base.__subclasses__()
    return [kind for one in below for kind in ([*kinds(one)] if one.__subclasses__() else [one])]


@pytest.mark.parametrize("kind", sorted({kind.__name__ for kind in kinds()} - {"PostageEvent"}))
def test_every_event_is_a_sentence(kind):
    """No event is told by the name of its class, even when its history kept nothing of it."""
    words = told(kind, {}, {})
    assert words
    assert kind not in words
    assert not set("{}[]_") & set(words)


@pytest.mark.parametrize(
    ("kind", "detail", "words"),
    [
        ("LabelRequestCancelled", {"by": "Ada"}, "Ada cancelled it in mcfd"),
        ("LabelRequestCancelled", {"request_id": "q1"}, "Loop withdrew a label request"),
        (
            "Unmatched",
            {"hold": True, "why": "no order #1"},
            "No order was found at Amazon, and it is looked for again: no order #1",
        ),
        ("VerdictReached", {"settlement": "flag"}, "The verdict: a person looks at it in Loop"),
        ("VerdictReached", {}, "The verdict: nothing is to be done in Loop"),
        ("OperatorActed", {"by": "Ada", "how": "linked it to #1"}, "Ada linked it to #1"),
        ("Retried", {"by": "Ada"}, "Ada sent it back to work"),
        ("CallBegun", {"key": "buy_postage:A1"}, "About to call: buy postage"),
        ("ParcelsTracked", {"postage": {"A1": "#1 S1 delivered void:no"}}, "The carrier says: delivered"),
        ("ParcelsTracked", {"postage": {"A1": "?"}}, "The carrier was asked where the parcel is"),
    ],
)
def test_what_the_history_kept_is_told(kind, detail, words):
    """Names, reasons and decisions of the history are in the sentence."""
    assert told(kind, detail, {}) == words


def test_units_are_named_and_counted():
    """Units have their SKU and what was found, alike ones are counted, and only some are listed."""
    units = {"1/1": "Sellable", "2/1": "Sellable", "3/1": MISSING, "4/1": "authorized"}
    skus = {"1/1": "SOCK", "2/1": "SOCK", "3/1": "CAP", "4/1": "MUG"}
    words = told("UnitsInspected", {"units": units}, skus)
    assert words == "Amazon has inspected everything: 2 x SOCK sellable, CAP never arrived, MUG"
    many = {f"{number}/1": "Sellable" for number in range(9)}
    assert told("UnitsInspected", {"units": many}, {}).endswith(" and 5 more")


def test_bookkeeping_is_told_apart():
    """What changes nothing for a merchant is bookkeeping; what happened to the goods is not."""
    assert is_bookkeeping("NotesWritten")
    assert not is_bookkeeping("UnitsInspected")


def test_every_duty_has_words():
    """Whatever is owed next can be said."""
    assert set(_NEXT) == set(Act)


def waiting(**fields):
    """A return whose label is out, with one unit of one parcel."""
    unit = a_unit(standing=UnitState.AUTHORIZED, authorization_id="A1")
    fields = {"state": State.AWAITING_INSPECTION, "labelled_at": NOW, "units": (unit,), "due_at": NOW + 60, **fields}
    return a_return(**fields)


def parcel(**fields):
    return (Postage(authorization_id="A1", shipment_id="S1", **fields),)


@pytest.mark.parametrize(
    ("ret", "clock", "days"),
    [
        (waiting(), "missing_silent", 45),
        (waiting(postage=parcel(scanned_at=NOW + DAY)), "missing_in_transit", 31),
        (waiting(postage=parcel(scanned_at=NOW, delivered_at=NOW + 2 * DAY)), "missing_delivered", 16),
        (waiting(postage=parcel(scanned_at=NOW, lost_at=NOW + 3 * DAY)), "missing_lost", 10),
        (replace(waiting(), units=(replace(waiting().units[0], processed_at=NOW),)), "condition_grace", 1),
        (
            waiting(
                units=(
                    a_unit("1", standing=UnitState.AUTHORIZED, authorization_id="A1"),
                    a_unit(
                        "2",
                        standing=UnitState.AUTHORIZED,
                        authorization_id="A1",
                        processed_at=NOW + DAY,
                        finding=Finding(condition="Sellable", found_at=NOW),
                    ),
                )
            ),
            "missing_sibling",
            8,
        ),
    ],
)
def test_the_clock_of_an_inspection(ret, clock, days):
    """The clock that runs out first is named, with its end."""
    end = prospect(ret, clocks())
    assert (end.clock, end.ends_at) == (clock, NOW + days * DAY)
    assert end.then


@pytest.mark.parametrize(
    ("ret", "clock", "words"),
    [
        (a_return(state=State.RECEIVED, deadline_at=NOW, due_at=NOW), "unmatched_deadline", "refused or held"),
        (a_return(state=State.RECEIVED, held=True), "", "No clock"),
        (a_return(state=State.AWAITING_LABEL, deadline_at=NOW, due_at=NOW), "label_deadline", "stuck"),
        (a_return(state=State.IN_REVIEW, deadline_at=NOW), "", "decides in Loop"),
        (a_return(state=State.STUCK, deadline_at=NOW), "", "a person"),
        (a_return(state=State.PROCESSING, deadline_at=NOW, due_at=NOW), "", "stuck"),
        (a_return(state=State.CLOSED, deadline_at=NOW, due_at=NOW), "late_watch", "no longer asked"),
        (a_return(state=State.CLOSED), "", ""),
        (waiting(units=()), "", ""),
        (waiting(labelled_at=None), "", ""),
    ],
)
def test_the_end_of_each_wait(ret, clock, words):
    """Each state that a clock ends names it; where a person decides, that is said; at the end there is nothing."""
    end = prospect(ret, clocks())
    assert end.clock == clock
    assert words in end.then


def test_what_happens_next():
    """A duty owed now is named, else the one owed when it is due; a return at its end has none."""
    assert next_words(a_return(state=State.SETTLING), NOW) == "The outcome is brought into Loop"
    later = waiting(amazon_due_at=NOW + 60)
    assert next_words(later, NOW) == "Amazon is asked what it has inspected"
    assert next_words(a_return(state=State.CLOSED), NOW).startswith("Nothing more")
    assert "looked for once more" in next_words(a_return(held=True, due_at=NOW + 60), NOW)
    assert next_words(a_return(state=State.CLOSED, due_at=NOW + 60), NOW) == "It is looked at again"
    assert "compared with Loop and Amazon" in next_words(waiting(unproven=True), NOW)
    assert "mcfd adopt" in prospect(waiting(unproven=True), clocks()).then
