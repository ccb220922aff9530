"""The Amazon stand-in shows orders as Amazon's pages say: ids, lists, reason codes, limits."""

from urllib.parse import quote

import pytest

from adapters.sandbox import ControlError
from tests.edges.test_sandbox_swagger import FBA, outside

NEW_ORDERS = "queryStartDate=2020-01-01T00:00:00Z"


@pytest.mark.parametrize("order_id", ["#1001", "a/b", "100%", "Ölso 7", "x y"])
async def test_odd_order_ids_are_found_when_encoded_once(order_id):
    """Ids with `#`, `/`, `%`, blanks and UTF-8 are found; encoded twice they are not."""
    async with outside() as out:
        out.sandbox.create_order(order_id, {"SOCK": 1})
        found = await out.order(order_id)
        assert found.body["payload"]["fulfillmentOrder"]["sellerFulfillmentOrderId"] == order_id
        twice = await out.order(quote(order_id, safe=""))
        assert (twice.status, twice.body["errors"][0]["code"]) == (400, "InvalidInput")


async def test_a_plus_in_an_order_id_is_read_as_a_blank():
    """Amazon shows such an order in the list only."""
    async with outside() as out:
        out.sandbox.create_order("a+b", {"SOCK": 1})
        assert (await out.order("a+b")).status == 400
        listing = await out.amazon("GET", f"{FBA}/fulfillmentOrders", params=NEW_ORDERS)
        assert [o["sellerFulfillmentOrderId"] for o in listing.body["payload"]["fulfillmentOrders"]] == ["a+b"]


async def test_two_blanks_in_a_row_are_forbidden():
    """An id with two consecutive blanks is answered with a 403."""
    async with outside() as out:
        assert (await out.order("a  b")).status == 403


async def test_the_list_pages_by_token_and_ends_with_an_empty_one():
    """Orders come in pages; the last one's token is empty, that of a single page is absent."""
    async with outside(list_page_size=2) as out:
        for n in range(5):
            out.sandbox.create_order(f"A-{n}", {"SOCK": 1}, displayable_order_id=f"#{n}")
        seen, params = [], NEW_ORDERS
        for _ in range(3):
            payload = (await out.amazon("GET", f"{FBA}/fulfillmentOrders", params=params)).body["payload"]
            seen += [order["displayableOrderId"] for order in payload["fulfillmentOrders"]]
            params = f"nextToken={payload['nextToken']}"
        assert payload["nextToken"] == ""
        assert seen == ["#0", "#1", "#2", "#3", "#4"]
    async with outside() as out:
        single = await out.amazon("GET", f"{FBA}/fulfillmentOrders", params=NEW_ORDERS)
        assert "nextToken" not in single.body["payload"]


async def test_the_list_starts_where_it_is_told():
    """Orders that changed before queryStartDate are left out; without one only the recent ones are shown."""
    async with outside() as out:
        out.sandbox.create_order("old", {"SOCK": 1}, age=90 * 86400)
        out.sandbox.create_order("new", {"SOCK": 1})
        listing = await out.amazon("GET", f"{FBA}/fulfillmentOrders")
        assert [o["sellerFulfillmentOrderId"] for o in listing.body["payload"]["fulfillmentOrders"]] == ["new"]
        bad = await out.amazon("GET", f"{FBA}/fulfillmentOrders", params="queryStartDate=soon")
        assert bad.status == 400


async def test_reason_codes_depend_on_the_sku():
    """Each SKU lists its own codes, or none; SKU and marketplace or order are required."""
    async with outside() as out:
        out.sandbox.create_order("A-1", {"SOCK": 1})
        out.sandbox.set_reason_codes("SOCK", ["CR-DEFECTIVE"])
        out.sandbox.set_reason_codes("CAP", [])
        path = f"{FBA}/returnReasonCodes"

        async def codes(params):
            answer = await out.amazon("GET", path, params=params)
            return [detail["returnReasonCode"] for detail in answer.body["payload"]["reasonCodeDetails"]]

        assert await codes("sellerSku=SOCK&sellerFulfillmentOrderId=A-1") == ["CR-DEFECTIVE"]
        assert await codes("sellerSku=CAP&marketplaceId=ATVPDKIKX0DER") == []
        assert "CR-UNWANTED_ITEM" in await codes("sellerSku=HAT&marketplaceId=ATVPDKIKX0DER")
        for params in ("sellerSku=SOCK", "marketplaceId=ATVPDKIKX0DER", "sellerSku=SOCK&sellerFulfillmentOrderId=no"):
            assert (await out.amazon("GET", path, params=params)).status == 400


async def test_the_quota_is_a_bucket_per_operation():
    """Thirty calls at once are fine, the next is a 429 without the limit header; another operation is unaffected."""
    async with outside(enforce_limits=True) as out:
        out.sandbox.create_order("A-1", {"SOCK": 1})
        out.clock.hold()
        answers = [await out.order("A-1") for _ in range(31)]
        assert [answer.status for answer in answers] == [200] * 30 + [429]
        assert answers[-1].body["errors"][0]["code"] == "QuotaExceeded"
        assert "x-amzn-RateLimit-Limit" not in answers[-1].headers
        other = await out.amazon("GET", f"{FBA}/fulfillmentOrders")
        assert (other.status, other.headers["x-amzn-RateLimit-Limit"]) == (200, "2.0")
        out.clock.shift = 5
        assert [(await out.order("A-1")).status for _ in range(11)] == [200] * 10 + [429]


async def test_callers_with_a_bare_user_agent_are_remembered():
    """A user agent without Language works, and is listed among the warnings; one over 500 characters is refused."""
    async with outside() as out:
        await out.order("A-1")
        assert out.sandbox.snapshot()["amazon"]["warnings"] == []
        path = f"{FBA}/fulfillmentOrders"
        assert (await out.amazon("GET", path, headers={"User-Agent": "curl/8"})).status == 200
        assert len(out.sandbox.snapshot()["amazon"]["warnings"]) == 1
        assert (await out.amazon("GET", path, headers={"User-Agent": "x" * 501})).status == 400


async def test_an_unknown_path_is_forbidden():
    """Amazon answers a path it does not know as if it were forbidden."""
    async with outside() as out:
        answer = await out.amazon("GET", "/fba/outbound/2020-07-01/nothing")
        assert (answer.status, answer.body["errors"][0]["code"]) == (403, "Unauthorized")


@pytest.mark.parametrize(
    "wrong",
    [
        {"lines": {}},
        {"lines": {"SOCK": 1}, "return_centers": ("XXX9",)},
        {"lines": {"SOCK": 1}, "shipments": [{"status": "GONE", "lines": {"SOCK": 1}}]},
        {"lines": {"SOCK": 1}, "shipments": [{"lines": {"CAP": 1}}]},
    ],
)
async def test_an_impossible_order_is_explained(wrong):
    """Whoever plays the world is told why an order cannot be."""
    async with outside() as out:
        with pytest.raises(ControlError):
            out.sandbox.create_order("A-1", **wrong)
        assert out.sandbox.snapshot()["amazon"]["orders"] == {}


@pytest.mark.parametrize(("order_list", "shown"), [("repeats", ["A-1"]), ("empty", [])])
async def test_the_list_may_lead_nowhere(order_list, shown):
    """The same page, or an empty one, comes for ever, each time with a token that was never given before."""
    async with outside(list_of_orders=order_list) as out:
        out.sandbox.create_order("A-1", {"SOCK": 1})
        params, tokens = NEW_ORDERS, set()
        for _ in range(5):
            payload = (await out.amazon("GET", f"{FBA}/fulfillmentOrders", params=params)).body["payload"]
            assert [order["sellerFulfillmentOrderId"] for order in payload["fulfillmentOrders"]] == shown
            tokens.add(payload["nextToken"])
            params = f"nextToken={quote(payload['nextToken'], safe='')}"
        assert len(tokens) == 5


async def test_an_order_says_where_it_was_sent():
    """By the postal code that was chosen for it."""
    async with outside() as out:
        out.sandbox.create_order("A-1", {"SOCK": 1}, postal_code="10001")
        order = (await out.order("A-1")).body["payload"]["fulfillmentOrder"]
        assert order["destinationAddress"]["postalCode"] == "10001"


@pytest.mark.parametrize(("option", "accepted"), [("known", [0, 0]), ("any", [1, 1])])
async def test_shipment_ids_may_be_invented(option, accepted):
    """Where any will do, what was asked under an invented one counts against the order line, like any other."""
    async with outside(shipment_ids=option) as out:
        out.sandbox.create_order("A-1", shipments=[{"lines": {"SOCK": 1}}, {"lines": {"SOCK": 1}}])
        answers = [await out.amazon("PUT", f"{FBA}/fulfillmentOrders/A-1/return", _asking(n)) for n in range(3)]
        counts = [len(answer.body["payload"]["returnItems"]) for answer in answers]
        assert counts == [*accepted, 0]


def _asking(number: int) -> dict:
    item = {
        "sellerReturnItemId": f"by-hand-{number}",
        "sellerFulfillmentOrderItemId": "item-1",
        "amazonShipmentId": "DUMMY-1",
        "returnReasonCode": "CR-UNWANTED_ITEM",
    }
    return {"items": [item]}
