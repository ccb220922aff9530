"""Shops of one seller's account must be told apart by what their orders are called at Amazon."""

import pytest

from config.order_names import has_own_prefix, shared_templates
from config.shop import Shop


def shops(first: dict, second: dict) -> dict[str, Shop]:
    """Two shops of one account."""
    return {"acme": Shop(**first), "zeta": Shop(**second)}


def named(*templates: str, prefix: str = "") -> dict:
    """What a shop says of its orders' names."""
    return {"order_id_templates": templates, "order_id_prefix": prefix}


@pytest.mark.parametrize(
    ("first", "second", "shared"),
    [
        ({}, {}, ["{order_name}", "{order_name_bare}"]),
        (named("{provider_order_id}"), {}, []),
        (named("{order_name_bare}"), named("{order_name}"), ["{order_name_bare}"]),
        (named("{order_number}"), named("{order_name}"), ["{order_number}"]),
        (named("{prefix}{order_name_bare}", prefix="A-"), named("{prefix}{order_name_bare}", prefix="Z-"), []),
        (named("{prefix}{order_name_bare}", prefix="A-"), named("A-{order_name}"), ["{prefix}{order_name_bare}"]),
        (named("{prefix}{order_name_bare}", prefix="A-"), {}, []),
        (named("{order_name_bare}-1"), named("{order_name_bare}-2"), []),
        (named("{provider_order_id}"), named("{provider_order_id}"), []),
    ],
)
def test_templates_that_may_name_another_shops_order(first, second, shared):
    """Names and numbers begin alike in every shop; a prefix of one's own or the shop system's id tells them apart."""
    assert list(shared_templates("acme", shops(first, second))) == shared


def test_a_shop_alone_shares_nothing():
    """Nobody else's order can bear its names."""
    assert shared_templates("acme", {"acme": Shop()}) == {}


@pytest.mark.parametrize(
    ("own", "other", "is_own"),
    [
        ("A-", "Z-", True),
        ("A-", "", True),
        ("A-", "A-", False),
        ("A-", "A-B", False),
        ("A-B", "A-", False),
        ("", "", False),
    ],
)
def test_a_prefix_is_a_shops_own_when_no_other_begins_so(own, other, is_own):
    """Nor the other way round."""
    assert (
        has_own_prefix("acme", shops(named("{order_name}", prefix=own), named("{order_name}", prefix=other))) is is_own
    )
