from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.domain.naming import NOTE_LIMIT, note_text
from daemon.domain.portal import PortalState
from daemon.domain.returns import Finding, Note, Postage, Settlement, State
from daemon.domain.wording import (
    authorized_words,
    cancelled_words,
    condition_words,
    count_skus,
    delivered_words,
    discrepancy_words,
    held_words,
    inspected_words,
    kept_words,
    parcel_words,
    stuck_words,
    verdict_words,
    voided_words,
)
from tests.support.builders import NOW, a_label, a_return, a_unit, an_authorization, authorized, found, refused

POSTAGE = Postage(authorization_id="A1", carrier="UPS", tracking_id="1Z")


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        ("Sellable", "sellable"),
        ("", "condition not given"),
        ("missing", "never arrived"),
        ("CustomerDamaged", "damaged by the customer"),
        ("Wet", "Wet"),
    ],
)
def test_conditions_are_said_as_people_say_them(condition, words):
    """An unknown word is passed on as Amazon's own."""
    assert condition_words(Finding(condition=condition, found_at=NOW)) == words


def test_units_are_counted_by_sku():
    """In the order in which they first appear."""
    assert count_skus([a_unit("1", "CAP"), a_unit("2"), a_unit("3", "CAP")]) == "2 x CAP, 1 x SOCK"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (
            authorized_words([authorized(a_unit())], [an_authorization("A1"), an_authorization("A2")]),
            "Return created in Amazon: 1 x SOCK. RMA RMA-A1, RMA-A2.",
        ),
        (
            authorized_words([authorized(a_unit()), refused(a_unit("2", "CAP")), a_unit("3")], []),
            "Return created in Amazon: 1 x SOCK. RMA to follow. Not returnable: 1 x CAP.",
        ),
        (delivered_words(a_label("1Z", carrier="UPS")), "Label delivered: UPS, tracking 1Z."),
        (
            delivered_words(a_label("1Z", carrier="UPS"), ["1Z2", "1Z3"]),
            "Label delivered: UPS, tracking 1Z. Further parcels: 1Z2, 1Z3.",
        ),
        (inspected_words(found(a_unit())), "Amazon inspected SOCK at LEX1: sellable."),
        (
            inspected_words(a_unit(finding=Finding(condition="Wet", found_at=NOW, reason="LEAK"))),
            "Amazon inspected SOCK: Wet. Amazon's reason: LEAK.",
        ),
        (
            inspected_words(found(a_unit(), "FulfillerDamaged")),
            "Amazon inspected SOCK at LEX1: damaged at Amazon. A case for reimbursement.",
        ),
        (inspected_words(found(a_unit(), "missing")), "Missing: SOCK has not arrived at Amazon in time."),
        (inspected_words(a_unit()), "Missing: SOCK has not arrived at Amazon in time."),
        (discrepancy_words(refused(a_unit(sku="AMZ", portal_sku="SOCK"))), "SOCK not returnable"),
        (discrepancy_words(found(a_unit(), "Defective")), "SOCK defective"),
        (discrepancy_words(authorized(a_unit())), "SOCK not inspected"),
        (
            stuck_words("Amazon is silent", State.AWAITING_LABEL),
            "No label could be made: Amazon is silent. Somebody has to look at it.",
        ),
        (
            stuck_words("Loop is silent", State.AWAITING_INSPECTION),
            "The inspection could not be followed: Loop is silent. Somebody has to look at it.",
        ),
        (voided_words(POSTAGE), "Label voided: UPS, tracking 1Z. It was never scanned."),
        (kept_words(POSTAGE, "it was used"), "Label not voided: UPS, tracking 1Z: it was used."),
        (
            kept_words(Postage(authorization_id="A1", carrier="UPS"), "it was used"),
            "Label not voided: UPS, tracking unknown: it was used.",
        ),
        (parcel_words(POSTAGE), "Parcel delivered to Amazon: UPS, tracking 1Z. Inspection follows."),
    ],
)
def test_notes_read_as_a_merchant_reads(words, expected):
    """Every note of the timeline, word by word."""
    assert words == expected


@pytest.mark.parametrize(
    ("settlement", "discrepant", "expected"),
    [
        (Settlement.PROCESS, [], "No discrepancy: all units arrived as they should. Processing the return."),
        (Settlement.FLAG, [found(a_unit(), "Defective")], "Discrepancy: SOCK defective. Sent to Needs Review."),
        (
            Settlement.FLAG,
            [refused(a_unit()), refused(a_unit("2")), found(a_unit("3", "CAP"), "")],
            "Discrepancy: SOCK not returnable; CAP condition not given. Sent to Needs Review.",
        ),
        (
            Settlement.REMOVE,
            [found(a_unit(), "missing")],
            "Discrepancy: SOCK never arrived. These items are removed, the rest is processed.",
        ),
        (
            Settlement.NOTHING,
            [],
            "No discrepancy: all units arrived as they should. Nothing was done: the return is closed in Loop.",
        ),
    ],
)
def test_a_verdict_says_why_and_what_is_done(settlement, discrepant, expected):
    """Each discrepancy once, then what becomes of the return."""
    assert verdict_words(settlement, discrepant, portal_says="closed") == expected


def test_nothing_came_is_said_of_a_return_that_was_left_alone():
    """A return cancelled before anything arrived is neither clean nor discrepant."""
    words = verdict_words(Settlement.NOTHING, [authorized(a_unit())], portal_says="cancelled", came=False)
    assert words == "Nothing came back. Nothing was done: the return is cancelled in Loop."


@given(st.lists(st.text(min_size=1, max_size=60), max_size=12))
def test_a_long_verdict_still_says_what_is_done(skus):
    """However many discrepancies, the whole note fits and its end is never cut off."""
    discrepant = [found(a_unit(str(n), sku), "Defective") for n, sku in enumerate(skus)]
    for settlement, state in product(Settlement, PortalState):
        words = verdict_words(settlement, discrepant, portal_says=state.value)
        assert note_text(a_return(), Note(key="verdict", text=words)).endswith(words[-20:])
        assert len(note_text(a_return(), Note(key="verdict", text=words))) <= NOTE_LIMIT


@pytest.mark.parametrize(
    ("during", "what"),
    [
        (State.RECEIVED, "No label could be made"),
        (State.LABEL_READY, "No label could be made"),
        (State.EXPIRED, "The inspection could not be followed"),
        (State.INSPECTED, "The inspection could not be judged"),
        (State.SETTLING, "The outcome could not be brought into Loop"),
        (State.PROCESSING, "The outcome could not be followed"),
        (State.IN_REVIEW, "The review could not be followed"),
    ],
)
def test_a_stuck_return_says_what_it_was_about(during, what):
    """A second label request may be stuck while the first label is out, and a flag may be refused."""
    assert stuck_words("no", during) == f"{what}: no. Somebody has to look at it."


@pytest.mark.parametrize(
    ("by", "who"), [("", "Cancelled in Loop. "), ("ann", "Cancelled in mcfd by a person, not in Loop. ")]
)
def test_a_cancel_says_who_did_it(by, who):
    """Whoever looks for it in Loop's history must not be misled; the name stays in mcfd's own history."""
    assert cancelled_words(by).startswith(who)
    assert "ann" not in cancelled_words(by)


def test_what_the_rules_let_pass_is_said():
    """A return that is paid for by a rule of the shop does not read as if all had come as it should."""
    waived = [found(a_unit("1", "CAP"), "missing"), refused(a_unit("2", "HAT")), found(a_unit(), "Defective")]
    assert verdict_words(Settlement.PROCESS, [], portal_says="open", waived=waived) == (
        "Accepted by the shop's rules: CAP never arrived; HAT not returnable; SOCK defective. Processing the return."
    )


def test_a_review_is_called_what_loop_calls_it():
    """`review` is Loop's word for machines."""
    words = verdict_words(Settlement.NOTHING, [found(a_unit(), "Defective")], portal_says="review")
    assert words == "Discrepancy: SOCK defective. Nothing was done: the return is in Needs Review in Loop."


def test_a_held_request_says_why_and_what_happens_next():
    """The shopper waits for a label, and whoever reads the timeline knows why."""
    assert held_words("no order; tried 1001") == (
        "No label yet: no order; tried 1001. It is looked for again by itself; whoever runs mcfd can name the order "
        "(mcfd link)."
    )
