"""Whoever plays the world can set delays, lose parcels, withdraw requests, and is told what cannot be."""

from contextlib import AsyncExitStack

import pytest

from adapters.sandbox import ControlError, Sandbox, SandboxOptions
from tests.edges.test_sandbox_swagger import ShiftedClock, outside, purchase_request, rates_request


async def a_return_on_its_way(out) -> int:
    """Put one unit, authorized as `u1`, on its way."""
    out.sandbox.create_order("1001", {"SOCK": 1})
    ret = out.sandbox.submit_return("#1001", [{"sku": "SOCK"}])
    await out.give_back("1001", await out.unit("1001", "u1"))
    return ret


async def test_a_carrier_loses_the_parcels_of_a_return():
    """Losing a return marks every label bought for it; without such a label it cannot be lost."""
    async with outside() as out:
        ret = await a_return_on_its_way(out)
        with pytest.raises(ControlError, match="no label"):
            out.sandbox.lose(ret)
        rates = await out.shipping("POST", "/shipments/rates", rates_request())
        bought = (await out.shipping("POST", "/shipments", purchase_request(rates))).body["payload"]
        tracking_id = bought["packageDocumentDetails"][0]["trackingId"]
        label = {
            "label_request_id": out.sandbox.snapshot()["loop"]["returns"][str(ret)]["label_requests"][0],
            "tracking_number": tracking_id,
            "carrier": "Amazon",
            "label_url": "https://mcfd.example/1.pdf",
            "rate": {"amount": 650},
        }
        assert (await out.loop("POST", "/labels", label)).status == 201
        assert out.sandbox.lose(ret) == [tracking_id]
        parcels = out.sandbox.snapshot()["amazon"]["shipments"][bought["shipmentId"]]["parcels"]
        assert [parcel["status"] for parcel in parcels] == ["Lost"]


async def test_delays_can_be_changed_while_running():
    """The waits for authorizations, documents and processing apply to what comes after the change."""
    async with outside() as out:
        out.sandbox.set_label_after(60)
        out.sandbox.set_documents_after(60)
        out.sandbox.set_process_after(60)
        ret = await a_return_on_its_way(out)
        assert (await out.order("1001")).body["payload"]["returnAuthorizations"] == []
        rates = await out.shipping("POST", "/shipments/rates", rates_request())
        bought = (await out.shipping("POST", "/shipments", purchase_request(rates))).body["payload"]
        assert bought["packageDocumentDetails"][0]["packageDocuments"] == []
        await out.loop("POST", f"/warehouse/return/{ret}/process")
        assert not await out.sandbox.idle(0.05)
        assert out.sandbox.snapshot()["loop"]["returns"][str(ret)]["state"] == "open"


async def test_access_tokens_end_on_demand():
    """Ended access tokens are refused as expired, while the refresh token still buys new ones."""
    async with outside() as out:
        out.sandbox.expire_access_tokens()
        assert "expired" in (await out.order("x")).body["errors"][0]["details"]
        await out.log_in()
        assert (await out.order("x")).status == 400


async def test_one_label_request_is_withdrawn():
    """A withdrawn label request reads cancelled, and its return stays open."""
    async with outside() as out:
        ret = str(out.sandbox.submit_return("#1", [{"sku": "SOCK"}]))
        request = out.sandbox.snapshot()["loop"]["returns"][ret]["label_requests"][0]
        out.sandbox.cancel_label_request(request)
        loop = out.sandbox.snapshot()["loop"]
        assert (loop["label_requests"][str(request)]["status"], loop["returns"][ret]["state"]) == ("cancelled", "open")
        with pytest.raises(ControlError, match="no label request"):
            out.sandbox.cancel_label_request(1)


async def test_a_unit_is_received_by_its_own_id_in_another_center():
    """A unit can be named by its sellerReturnItemId, and processed by another center than expected."""
    async with outside() as out:
        ret = await a_return_on_its_way(out)
        assert out.sandbox.receive(ret, seller_return_item_id="u1", center="TUS1") == "u1"
        item = out.sandbox.snapshot()["amazon"]["orders"]["1001"]["returnItems"][0]
        assert (item["status"], item["fulfillmentCenterId"]) == ("Processed", "TUS1")


async def test_what_cannot_be_played_is_explained():
    """Unknown units, centers, statuses, plans, settlements and orders are refused with a sentence."""
    async with outside() as out:
        stage, ret = out.sandbox, await a_return_on_its_way(out)
        impossible = [
            lambda: stage.receive(ret, seller_return_item_id="nobody"),
            lambda: stage.receive(ret, sku="CAP"),
            lambda: stage.receive(ret),
            lambda: stage.receive(ret, sku="SOCK", order_id="other"),
            lambda: stage.receive(ret, sku="SOCK", center="XXX9"),
            lambda: stage.set_shipment_status("1001", "nobody", "SHIPPED"),
            lambda: stage.set_shipment_status("1001", "DsX00001", "GONE"),
            lambda: stage.set_shipment_status("nobody", "DsX00001", "SHIPPED"),
            lambda: stage.create_order("1001", {"SOCK": 1}),
            lambda: stage.create_order("x" * 41, {"SOCK": 1}),
            lambda: stage.create_order("y", {"SOCK": 0}),
            lambda: stage.plan_processing(ret, "explode"),
            lambda: stage.settle_review(ret, "shrug"),
            lambda: stage.submit_return("#1", [{"sku": "SOCK"}], outcome="applause"),
            lambda: stage.submit_return("#1", [{"sku": "SOCK", "quantity": 0}]),
        ]
        for play in impossible:
            with pytest.raises(ControlError):
                play()
        stage.cancel_return(ret)
        with pytest.raises(ControlError, match="cancelled"):
            stage.cancel_return(ret)
        assert list(stage.snapshot()["amazon"]["orders"]) == ["1001"]
        assert list(stage.snapshot()["loop"]["returns"]) == [str(ret)]


async def test_an_error_of_the_sandbox_itself_surfaces_at_its_end():
    """A task that fails for a reason of its own makes the end of the sandbox fail."""

    class Broken(ShiftedClock):
        async def wait(self, event, seconds) -> bool:
            raise ArithmeticError("no time")

    stack = AsyncExitStack()
    sandbox = await stack.enter_async_context(Sandbox(SandboxOptions(), Broken()))
    ret = sandbox.shop.known(sandbox.submit_return("#1", [{"sku": "SOCK"}]))
    sandbox.actions.queue(ret)
    with pytest.raises(ExceptionGroup) as caught:
        await stack.aclose()
    assert isinstance(caught.value.exceptions[0], ArithmeticError)


async def test_stopping_does_not_wait_for_retries():
    """A delivery that waits for its retry is given up when the sandbox stops."""
    async with outside(webhook_url="http://127.0.0.1:9/", retry_unit=600) as out:
        out.sandbox.submit_return("#1", [{"sku": "SOCK"}])
        assert not await out.sandbox.idle(0.1)
        started = out.clock.monotonic()
    assert out.clock.monotonic() - started < 2
