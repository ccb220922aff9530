"""The Amazon stand-in takes units back as Amazon's pages say: refusals, authorizations, inspections."""

import pytest

from adapters.sandbox import ControlError
from tests.edges.test_sandbox_swagger import FBA, outside


def codes_of(answer) -> dict[str, str]:
    """Name the reason of each refused item."""
    invalid = answer.body["payload"]["invalidReturnItems"]
    return {item["sellerReturnItemId"]: item["invalidItemReason"]["invalidItemReasonCode"] for item in invalid}


def accepted(answer) -> list[str]:
    """Name the accepted items."""
    return [item["sellerReturnItemId"] for item in answer.body["payload"]["returnItems"]]


async def test_a_return_is_partly_refused_for_each_documented_reason():
    """One call may hold accepted units beside each of the four reasons for a refusal."""
    async with outside() as out:
        out.sandbox.create_order(
            "A-1",
            shipments=[
                {"status": "SHIPPED", "lines": {"SOCK": 1}},
                {"status": "PENDING", "lines": {"SOCK": 1, "CAP": 1}},
            ],
        )
        ok = await out.unit("A-1", "ok")
        items = [
            ok,
            ok | {"sellerReturnItemId": "over"},
            ok,
            ok | {"sellerReturnItemId": "stranger", "sellerFulfillmentOrderItemId": "no-such-line"},
            await out.unit("A-1", "unshipped", line=1, shipment=1),
            await out.unit("A-1", "elsewhere", line=1, shipment=0),
        ]
        answer = await out.give_back("A-1", *items)
        assert accepted(answer) == ["ok"]
        assert codes_of(answer) == {
            "over": "NoReturnableQuantity",
            "ok": "DuplicateRequest",
            "stranger": "InvalidValues",
            "unshipped": "NoCompletedShipItems",
            "elsewhere": "InvalidValues",
        }
        again = await out.give_back("A-1", ok)
        assert (codes_of(again), again.body["payload"]["returnAuthorizations"]) == ({"ok": "DuplicateRequest"}, [])


async def test_what_leaves_later_becomes_returnable():
    """A unit of a pending shipment is refused until the shipment has left."""
    async with outside() as out:
        out.sandbox.create_order("A-1", shipments=[{"status": "PENDING", "lines": {"SOCK": 1}}])
        unit = await out.unit("A-1", "u1")
        assert codes_of(await out.give_back("A-1", unit)) == {"u1": "NoCompletedShipItems"}
        out.sandbox.set_shipment_status("A-1", unit["amazonShipmentId"], "SHIPPED")
        assert accepted(await out.give_back("A-1", unit)) == ["u1"]


@pytest.mark.parametrize(
    "changes",
    [
        {"sellerReturnItemId": "x" * 81},
        {"returnComment": "x" * 1001},
        {"returnReasonCode": "CR-NONSENSE"},
        {"amazonShipmentId": None},
    ],
)
async def test_a_senseless_item_refuses_the_whole_request(changes):
    """Overlong, missing and unsuitable values are a 400 InvalidInput, and nothing is created."""
    async with outside() as out:
        out.sandbox.create_order("A-1", {"SOCK": 2})
        answer = await out.give_back("A-1", await out.unit("A-1", "u1"), await out.unit("A-1", "u2", **changes))
        assert (answer.status, answer.body["errors"][0]["code"]) == (400, "InvalidInput")
        assert (await out.order("A-1")).body["payload"]["returnItems"] == []


async def test_refusals_of_the_whole_request():
    """An unknown order, no items and a body that is no JSON are a 400 InvalidInput."""
    async with outside() as out:
        out.sandbox.create_order("A-1", {"SOCK": 1})
        unit = await out.unit("A-1", "u1")
        path = f"{FBA}/fulfillmentOrders/A-1/return"
        for answer in (
            await out.give_back("nobody", unit),
            await out.give_back("A-1"),
            await out.amazon("PUT", path, ["x"]),
            await out.send("PUT", out.sandbox.amazon_url + path, data=b"{", headers={"x-amz-access-token": out.token}),
        ):
            assert (answer.status, answer.body["errors"][0]["code"]) == (400, "InvalidInput")


async def test_rules_may_refuse_a_sku_or_a_reason_as_an_item():
    """A refused SKU, and with `bad_reason=item` an unsuitable reason, only cost their own unit."""
    async with outside(bad_reason="item") as out:
        out.sandbox.create_order("A-1", {"SOCK": 2, "CAP": 1})
        out.sandbox.refuse_sku("CAP", "InvalidValues")
        answer = await out.give_back(
            "A-1",
            await out.unit("A-1", "fine"),
            await out.unit("A-1", "odd", returnReasonCode="CR-NONSENSE"),
            await out.unit("A-1", "cap", line=1),
        )
        assert accepted(answer) == ["fine"]
        assert codes_of(answer) == {"odd": "InvalidValues", "cap": "InvalidValues"}


async def test_an_authorization_may_be_split_over_two_centers():
    """Units of one return may go to two centers, each with its own authorization, address and page."""
    async with outside() as out:
        out.sandbox.create_order("A-1", {"SOCK": 3}, return_centers=("RNO1", "ABE8"))
        payload = (await out.give_back("A-1", *[await out.unit("A-1", f"u{n}") for n in range(3)])).body["payload"]
        first, second = payload["returnAuthorizations"]
        assert first["fulfillmentCenterId"] != second["fulfillmentCenterId"]
        assert first["returnToAddress"]["postalCode"] != second["returnToAddress"]["postalCode"]
        groups = [item["returnAuthorizationId"] for item in payload["returnItems"]]
        assert groups == [a["returnAuthorizationId"] for a in (first, second, first)]
        page = await out.send("GET", first["rmaPageURL"])
        assert (page.status, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
        assert first["amazonRmaId"] in page.text
        assert (await out.send("GET", first["rmaPageURL"] + "x")).status == 404


async def test_an_authorization_may_come_later():
    """With a delay the create answer lacks authorizations and their ids; the order shows them later."""
    async with outside(label_after=60) as out:
        out.sandbox.create_order("A-1", {"SOCK": 1})
        answer = await out.give_back("A-1", await out.unit("A-1", "u1"))
        assert "returnAuthorizations" not in answer.body["payload"]
        assert "returnAuthorizationId" not in answer.body["payload"]["returnItems"][0]
        early = (await out.order("A-1")).body["payload"]
        assert (early["returnAuthorizations"], "returnAuthorizationId" in early["returnItems"][0]) == ([], False)
        out.clock.shift = 61
        late = (await out.order("A-1")).body["payload"]
        wanted = late["returnAuthorizations"][0]["returnAuthorizationId"]
        assert late["returnItems"][0]["returnAuthorizationId"] == wanted


async def test_units_are_inspected_one_by_one():
    """A received line turns Processed with its condition; received again it is corrected; the next line is another."""
    async with outside() as out:
        out.sandbox.create_order("1001", {"SOCK": 2})
        ret = out.sandbox.submit_return("#1001", [{"sku": "SOCK", "quantity": 2}])
        lines = [line["line_item_id"] for line in out.sandbox.snapshot()["loop"]["returns"][str(ret)]["line_items"]]
        await out.give_back("1001", await out.unit("1001", "u1"), await out.unit("1001", "u2"))
        first = out.sandbox.receive(ret, line=lines[0], condition="Defective", amazon_reason="CR-DEFECTIVE")
        assert out.sandbox.receive(ret, line=lines[0], condition="CustomerDamaged") == first
        second = out.sandbox.receive(ret, line=lines[1], condition=None)
        items = {i["sellerReturnItemId"]: i for i in (await out.order("1001")).body["payload"]["returnItems"]}
        assert {first, second} == items.keys()
        assert (items[first]["status"], items[first]["returnReceivedCondition"]) == ("Processed", "CustomerDamaged")
        assert (items[first]["amazonReturnReasonCode"], items[first]["fulfillmentCenterId"]) == ("CR-DEFECTIVE", "RNO1")
        assert (items[second]["status"], "returnReceivedCondition" in items[second]) == ("Processed", False)
        with pytest.raises(ControlError, match="no unit"):
            out.sandbox.receive(ret, sku="SOCK")


async def test_units_of_two_returns_are_told_apart_by_their_ids():
    """With two returns of one order, the unit whose id names the return and the line is received."""
    async with outside() as out:
        out.sandbox.create_order("1001", {"SOCK": 2})
        one = out.sandbox.submit_return("#1001", [{"sku": "SOCK"}])
        two = out.sandbox.submit_return("#1001", [{"sku": "SOCK"}])
        for ret in (one, two):
            await out.give_back("1001", await out.unit("1001", f"loop-{ret}-1"))
        assert out.sandbox.receive(two, sku="SOCK") == f"loop-{two}-1"
        assert out.sandbox.receive(one, sku="SOCK") == f"loop-{one}-1"
