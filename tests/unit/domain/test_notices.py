"""Which cases are news, for whom, and in which words."""

from dataclasses import replace

import pytest

from daemon.domain.notices import AGAIN_AFTER, Case, CaseKind, message_about, news, remember, wanted

NOW = 1_000_000.0
STUCK = Case(kind=CaseKind.STUCK, shop="acme", subject="acme/77", problem="no label could be bought in time")
PARKED = Case(kind=CaseKind.PARKED, subject="amazon", problem="credentials: refused")
CLAIM = Case(kind=CaseKind.CLAIMS, shop="bella", subject="bella/5", problem="MUG FulfillerDamaged")


def test_everybody_hears_what_they_asked_for():
    """Kinds and shops choose; what concerns no single shop concerns everybody who wants its kind."""
    cases = [STUCK, PARKED, CLAIM]
    assert wanted(cases, list(CaseKind), ()) == cases
    assert wanted(cases, list(CaseKind), ["acme"]) == [STUCK, PARKED]
    assert wanted(cases, [CaseKind.CLAIMS], ["acme"]) == []


@pytest.mark.parametrize(
    ("case", "told_at", "is_news"),
    [
        (STUCK, None, True),
        (STUCK, NOW - AGAIN_AFTER + 1, False),
        (STUCK, NOW - AGAIN_AFTER, True),
        (CLAIM, None, True),
        (CLAIM, NOW - 2 * AGAIN_AFTER, False),
    ],
)
def test_what_goes_on_is_told_again_after_a_day_and_what_happened_once_is_not(case, told_at, is_news):
    """Only a case that waits for somebody is worth a reminder."""
    told = {} if told_at is None else {case.key: told_at}
    assert news([case], told, NOW) == ([case] if is_news else [])


def test_a_case_that_is_over_is_forgotten_and_may_come_back_as_news():
    """The memory holds only what still exists, so it cannot grow."""
    told = {STUCK.key: NOW - 5, CLAIM.key: NOW - 5}
    assert remember([STUCK], told, [], NOW) == {STUCK.key: NOW - 5}
    assert remember([STUCK, PARKED], told, [PARKED], NOW) == {STUCK.key: NOW - 5, PARKED.key: NOW}


def test_the_message_counts_and_groups():
    """The subject counts by kind, the text has a line for each case, whitespace folded."""
    odd = replace(STUCK, subject="acme/78", problem="two\nlines")
    message = message_about([PARKED, STUCK, odd, replace(CLAIM, problem="")])
    assert message.subject == "mcfd: 2 stuck, 1 parked, 1 claims"
    assert message.text.splitlines() == [
        "2 stuck: mcfd gave up and needs a person",
        "- acme/77: no label could be bought in time",
        "- acme/78: two lines",
        "1 connection parked: its credentials are refused",
        "- amazon: credentials: refused",
        "1 to claim from Amazon or the carrier",
        "- bella/5",
    ]


def test_a_long_message_is_cut():
    """Twenty lines of a kind, then how many more; a line ends with an ellipsis."""
    many = [replace(STUCK, subject=f"acme/{n}", problem="x" * 500) for n in range(23)]
    lines = message_about(many).text.splitlines()
    assert len(lines) == 22
    assert lines[-1] == "- and 3 more"
    assert lines[1].endswith("x…")
    assert len(lines[1]) == len("- ") + 240
