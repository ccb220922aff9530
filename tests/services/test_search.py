"""Returns are found by what people know of them, and listed page by page."""

from dataclasses import replace

import pytest

from daemon.domain.orders import ReturnAuthorization
from daemon.domain.returns import Label, LabelRequest, Postage, State
from daemon.operations.search import PAGE, Search
from daemon.operations.verbs.search import FIND, LIST
from tests.services.store_conformance import make_return, make_unit
from tests.support.virtual_time import FakeClock


@pytest.fixture
async def store(new_store):
    """An empty store."""
    async with await new_store() as opened:
        yield opened


@pytest.fixture
def search(store):
    """Over the store."""
    return Search(store, FakeClock())


async def add(store, *returns):
    """Store these returns, in this order."""
    for ret in returns:
        await store.transact(lambda uow, ret=ret: uow.add(ret))


FULL = make_return(
    "58120031",
    order_name="#1001",
    requests=(
        LabelRequest(
            request_id="733004",
            label=Label(url="https://r.test/1.pdf", carrier="UPS", tracking_number="1Z999AA10123456784"),
        ),
    ),
    units=(make_unit("1", portal_sku="TEE-L", sku="AMZ-TEE", order_id="CONSUMER-7"),),
    authorizations=(ReturnAuthorization(authorization_id="A1", rma_id="DxS00001RRMA", page_url="", center=""),),
    postage=(Postage(authorization_id="A1", tracking_id="TBA2", shipment_id="s"),),
)


@pytest.mark.parametrize(
    "text",
    [
        "58120031",
        "#1001",
        "1001",
        " #1001 ",
        "733004",
        "1Z999AA10123456784",
        "1z999aa10123456784",
        "TBA2",
        "DxS00001RRMA",
        "TEE-L",
        "AMZ-TEE",
        "CONSUMER-7",
    ],
)
async def test_a_return_is_found_by_everything_that_is_printed_on_something(store, search, text):
    """The number on the parcel, in the mail, in Shopify or at Amazon leads to the return, and to no other."""
    await add(store, make_return("1", order_name="#10010"), FULL, replace(make_return("2"), order_name="#100"))
    found = await search.find(text)
    assert [row.return_ for row in found.returns] == ["acme/58120031"]
    row = found.returns[0]
    assert (row.order, row.skus, row.rma, row.tracking) == ("#1001", "TEE-L", "DxS00001RRMA", "1Z999AA10123456784")


@pytest.mark.parametrize("text", ["%", "_", "", "'", "#", "nobody", "1Z"])
async def test_what_nobody_wrote_down_finds_nothing(store, search, text):
    """No pattern and no part of a number matches: a shopper's neighbour is not an answer."""
    await add(store, FULL, make_return("2"))
    assert (await search.find(text)).returns == []


async def test_a_sku_finds_the_newest_returns_only(store, search):
    """A best-seller has thousands: fifty of them are told, newest first."""
    for n in range(60):
        await add(store, make_return(f"r{n}", units=(make_unit("1", sku="SOCK", return_item_id=f"i{n}"),)))
    found = [row.return_ for row in (await search.find("SOCK")).returns]
    assert found == [f"acme/r{n}" for n in range(59, 9, -1)]


async def test_a_list_is_turned_page_by_page(store, search):
    """Every return is on one page, newest first, however long the list is."""
    names = [f"r{n}" for n in range(PAGE + 5)]
    await add(store, *(make_return(name) for name in names))
    seen, after = [], 0
    while after is not None:
        page = await search.page(state=None, shop=None, unchanged_since=None, after=after)
        seen += [row.return_.partition("/")[2] for row in page.rows]
        after = page.next
    assert seen == names[::-1]


async def test_a_list_is_narrowed(store, search):
    """By state, where held ones are told apart, by shop, and by how long nothing happened."""
    old = make_return("old", state=State.STUCK, changed_at=1000.0)
    new = make_return("new", state=State.STUCK, changed_at=2_000_000_000.0)
    held = make_return("held", held=True)
    other = replace(make_return("other", state=State.STUCK), shop="bella")
    await add(store, old, new, held, other)

    async def listed(**given):
        answer = await LIST.call(_At(search), given)
        return {row["return"] for row in answer["rows"]}

    assert await listed(state="stuck") == {"acme/old", "acme/new", "bella/other"}
    assert await listed(state="stuck", shop="acme") == {"acme/old", "acme/new"}
    assert await listed(state="held") == {"acme/held"}
    assert await listed(state="received") == {"acme/held"}
    assert await listed(state="stuck", shop="acme", unchanged="2020-01-01") == {"acme/old"}


async def test_nothing_found_is_a_failure_for_scripts(store, search):
    """`mcfd find` exits 1 when no return is known by that."""
    answer = await FIND.call(_At(search), {"text": "nobody"})
    assert FIND.failed(answer)


class _At:
    """What the verbs work with."""

    def __init__(self, search: Search) -> None:
        self.search = search
