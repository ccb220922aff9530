"""Which accounts a node claims and lets go."""

import pytest

from daemon.domain.leases import CHORES, FORSAKEN_AFTER, Claim, Standing, share, to_claim, to_leave

ACCOUNTS = ("a", "b", "c", "d", "e")


def standing(nodes="n", now=100.0, **claims):
    """What the database says; `claims` are the ends of leases, by account."""
    rows = {name: Claim(name, "other", ends_at) for name, ends_at in claims.items()}
    return Standing(now=now, nodes=frozenset(nodes), claims=rows)


@pytest.mark.parametrize(("accounts", "nodes", "each"), [(5, 1, 5), (5, 2, 3), (4, 2, 2), (1, 3, 1), (5, 0, 5)])
def test_shares_cover_all_accounts(accounts, nodes, each):
    """A share is rounded up, and a node that nobody has heard of yet counts as one."""
    assert share(accounts, nodes) == each


def test_a_node_alone_claims_everything_that_is_free():
    """What nobody holds, or whose lease has ended, is free; what another holds is not."""
    assert to_claim(standing(), "n", ACCOUNTS, ()) == list(ACCOUNTS)
    assert to_claim(standing(b=99.0, c=101.0), "n", ACCOUNTS, ("d",)) == ["a", "b", "e"]


def test_a_node_among_others_claims_its_share():
    """With a second node alive three of five are enough; a node counts itself before it was heard."""
    assert to_claim(standing(nodes="m"), "n", ACCOUNTS, ("a",)) == ["b", "c"]
    assert to_claim(standing(nodes="mn"), "n", ACCOUNTS, ("a", "b", "c")) == []


def test_what_nobody_takes_is_claimed_beyond_the_share():
    """Nodes may know different accounts, so a free one is not left for ever."""
    ended = 100.0 - FORSAKEN_AFTER
    assert to_claim(standing(nodes="mn", d=ended, e=ended + 1), "n", ACCOUNTS, ("a", "b", "c")) == ["d"]


@pytest.mark.parametrize(
    ("nodes", "working", "left"),
    [
        ("n", dict.fromkeys((*ACCOUNTS, CHORES), 0), None),
        ("mn", {"a": 2, "b": 1, "c": 3, "d": 2, CHORES: 0}, "b"),
        ("mn", {"a": 2, "b": 1, "c": 3, CHORES: 0}, CHORES),
        ("mn", {"a": 2, "b": 1, "c": 3}, None),
        ("mn", {"a": 0, CHORES: 0}, None),
    ],
)
def test_a_node_lets_go_what_is_beyond_its_share(nodes, working, left):
    """Sellers are shared first, an idle one goes before others, and the chores go where fewer sellers are worked."""
    assert to_leave(standing(nodes=nodes), "n", (*ACCOUNTS, CHORES), working) == left


def test_one_seller_stays_where_it_is():
    """Of one seller and the chores a second node gets the chores; of two sellers each node gets one."""
    both = standing(nodes="mn")
    assert to_leave(both, "n", ("main", CHORES), {"main": 0, CHORES: 5}) == CHORES
    assert to_leave(both, "n", ("a", "b", CHORES), {"a": 1, "b": 0}) == "b"


def test_what_a_node_works_is_what_it_holds_now():
    """A lease that has ended is nobody's, and other nodes' are theirs."""
    now = standing(b=99.0, c=101.0, a=102.0)
    assert now.held_by("other") == ["a", "c"]
    assert now.held_by("n") == []
