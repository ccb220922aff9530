"""The names of what the store keeps, after a shop has got another name."""

import inspect

import pytest

from daemon.ports import names

DOCUMENTS = {"bought_labels", "tombstone"}
"""No marks: documents move with their return, and a tombstone is asked for under all names that the shop ever had."""

OF_SHOPS = {
    name: function
    for name, function in inspect.getmembers(names, inspect.isfunction)
    if next(iter(inspect.signature(function).parameters), "") == "shop" and name not in DOCUMENTS
}


@pytest.mark.parametrize("name", OF_SHOPS)
def test_every_mark_of_a_shop_goes_with_its_new_name(name):
    """Also what says that a restored database is not trusted yet; another shop's marks stay."""
    function = OF_SHOPS[name]
    rest = ["58120031"] * (len(inspect.signature(function).parameters) - 1)
    mark, renamed = function("acme", *rest), function("shoe", *rest)
    assert names.mark_of_renamed(mark, "shop", "acme", "shoe") == renamed
    assert names.mark_of_renamed(mark, "shop", "acm", "shoe") == mark
    assert names.mark_of_renamed(mark, "account", "acme", "shoe") == mark
