"""The Loop stand-in takes labels as Loop's pages say: label requests, errors, labels, their status."""

import pytest

from adapters.sandbox import ControlError
from tests.edges.test_sandbox_swagger import outside

SOCK = {"sku": "SOCK", "price": "18.00", "reason": "Seam came apart", "parent_reason": "Defective"}
UNKNOWN = 999


def details_of(out, ret: int) -> dict:
    """Show what the sandbox holds of a return."""
    return out.sandbox.snapshot()["loop"]["returns"][str(ret)]


def line_ids(out, ret: int) -> list[int]:
    """Name the lines of a return."""
    return [line["line_item_id"] for line in details_of(out, ret)["line_items"]]


def state_of(out, ret: int) -> str:
    """Name the state of a return."""
    return details_of(out, ret)["state"]


async def request_of(out, ret: int) -> dict:
    """Read the first label request of a return."""
    answer = await out.loop("GET", f"/label-requests/{details_of(out, ret)['label_requests'][0]}")
    return answer.body


def label_for(request: dict, **changes) -> dict:
    """Build the body of POST /labels."""
    return {
        "label_request_id": request["id"],
        "tracking_number": "T1",
        "carrier": "Amazon",
        "label_url": "https://mcfd.example/labels/1.pdf",
        "rate": {"amount": 650, "currency_code": "USD"},
    } | changes


async def test_label_requests_are_listed_and_read():
    """Requests can be filtered and paged by offset; the API spells addresses otherwise than the webhook does."""
    async with outside() as out:
        one = out.sandbox.submit_return("#1", [SOCK, SOCK], parcels=[[0], [1]], origin={"city": "Reno"})
        two = out.sandbox.submit_return("#2", [SOCK])
        rows = (await out.loop("GET", "/label-requests?status=issued")).body["data"]
        assert [row["return_id"] for row in rows] == [one, one, two]
        mine = (await out.loop("GET", f"/label-requests?return_id={one}&limit=1&offset=1")).body["data"]
        assert [row["id"] for row in mine] == [rows[1]["id"]]
        request = await request_of(out, one)
        assert (str(request["id"]), request["status"], len(request["products"])) == (rows[0]["id"], "issued", 1)
        origin = request["addresses"]["origin"]
        assert (origin["city"], origin["region"], origin["postal_code"], "phone" in origin) == (
            "Reno",
            "ID",
            "83702",
            False,
        )
        assert request["products"][0]["price"] == {"amount": 1800, "currency_code": "USD"}
        late = (await out.loop("GET", "/label-requests?from=2100-01-01T00:00:00Z")).body["data"]
        early = (await out.loop("GET", "/label-requests?to=2020-01-01T00:00:00Z")).body["data"]
        assert (late, early) == ([], [])
        for wrong in ("limit=251", "status=open", "offset=x", "from=x"):
            assert (await out.loop("GET", f"/label-requests?{wrong}")).status == 422
        missing = await out.loop("GET", f"/label-requests/{UNKNOWN}")
        assert (missing.status, missing.body["code"]) == (404, "NOT_FOUND")


async def test_an_error_leaves_the_request_issued():
    """A posted error is kept with the request, which stays issued."""
    async with outside() as out:
        ret = out.sandbox.submit_return("#1", [SOCK])
        path = f"/label-requests/{(await request_of(out, ret))['id']}/errors"
        answer = await out.loop("POST", path, {"reason": "Other", "message": "no such order"})
        assert (answer.status, answer.body["reason"]) == (202, "Other")
        request = await request_of(out, ret)
        assert (request["status"], [error["message"] for error in request["errors"]]) == ("issued", ["no such order"])
        assert (await out.loop("POST", path, {"reason": "OTHER"})).status == 400
        assert (await out.loop("POST", f"/label-requests/{UNKNOWN}/errors", {"reason": "Other"})).status == 404


async def test_a_label_fulfils_its_request_once():
    """A label answers 201 with its Location, fulfils the request and shows on the return; a second one is refused."""
    async with outside() as out:
        ret = out.sandbox.submit_return("#1", [SOCK, SOCK], parcels=[[0], [1]])
        request = await request_of(out, ret)
        answer = await out.loop("POST", "/labels", label_for(request))
        assert (answer.status, answer.body["status"]) == (201, "new")
        assert answer.headers["Location"] == f"{out.sandbox.loop_url}/2026-10/labels/{answer.body['id']}"
        assert (await request_of(out, ret))["status"] == "fulfilled"
        body = (await out.loop("GET", f"/warehouse/return/details?return_id={ret}")).body
        assert (body["tracking_number"], body["label_status"]) == ("T1", "new")
        assert body["labels"][0]["line_items"] == line_ids(out, ret)[:1]
        assert body["labels"][0]["url"] == "https://mcfd.example/labels/1.pdf"
        assert (await out.loop("POST", "/labels", label_for(request))).status == 422


@pytest.mark.parametrize(
    "changes",
    [
        {"carrier": "x" * 33},
        {"tracking_number": "x" * 257},
        {"tracking_number": ""},
        {"label_url": None},
        {"label_url": "https://x.example/" + "x" * 2048},
        {"qrcode_url": "https://x.example/" + "x" * 512},
        {"rate": [{"amount": 0, "currency_code": "USD"}]},
        {"rate": {"amount": 6.5}},
        {"rate": None},
        {"label_request_id": "733001"},
    ],
)
async def test_a_label_must_be_complete(changes):
    """Each limit of the label's body is checked: a 422 that names the field."""
    async with outside() as out:
        ret = out.sandbox.submit_return("#1", [SOCK])
        answer = await out.loop("POST", "/labels", label_for(await request_of(out, ret), **changes))
        assert answer.status == 422
        assert set(answer.body["errors"]) & set(changes)
        assert (await request_of(out, ret))["status"] == "issued"


async def test_labels_for_requests_that_are_gone():
    """A cancelled request takes no label (422), an unknown one is a 404; a QR code may stand for the URL."""
    async with outside() as out:
        ret = out.sandbox.submit_return("#1", [SOCK])
        other = out.sandbox.submit_return("#2", [SOCK])
        request = await request_of(out, ret)
        out.sandbox.cancel_return(ret)
        assert (await request_of(out, ret))["status"] == "cancelled"
        assert (await out.loop("POST", "/labels", label_for(request))).status == 422
        assert (await out.loop("POST", "/labels", label_for({"id": UNKNOWN}))).status == 404
        scannable = label_for(await request_of(out, other), label_url=None, qrcode_url="https://x.example/q")
        assert (await out.loop("POST", "/labels", scannable)).status == 201


async def test_a_labels_status_is_updated():
    """A known status is a 204 and shows on the return; others are a 422, an unknown label a 403."""
    async with outside() as out:
        ret = out.sandbox.submit_return("#1", [SOCK])
        label = (await out.loop("POST", "/labels", label_for(await request_of(out, ret)))).body["id"]
        answer = await out.loop("PUT", f"/labels/{label}", {"status": "in_transit"})
        assert (answer.status, answer.text) == (204, "")
        assert details_of(out, ret)["label_status"] == "in_transit"
        assert (await out.loop("PUT", f"/labels/{label}", {"status": "lost"})).status == 422
        assert (await out.loop("PUT", f"/labels/{UNKNOWN}", {"status": "new"})).status == 403
        assert state_of(out, ret) == "open"


async def test_a_shop_may_pay_out_on_a_label_status():
    """A shop that processes on `in_transit` closes the return before any inspection."""
    async with outside(auto_process="in_transit") as out:
        ret = out.sandbox.submit_return("#1", [SOCK])
        label = (await out.loop("POST", "/labels", label_for(await request_of(out, ret)))).body["id"]
        await out.loop("PUT", f"/labels/{label}", {"status": "in_transit"})
        assert await out.sandbox.idle()
        shown = details_of(out, ret)
        assert (shown["state"], shown["was_processed"], shown["refund_before_inspection"]) == ("closed", True, True)


async def test_returns_are_edited_and_asked_for_again():
    """A merchant may add and remove lines; a re-issued label request covers what is there then."""
    async with outside() as out:
        ret = out.sandbox.submit_return("#1", [SOCK, {"sku": "CAP"}])
        first = line_ids(out, ret)[0]
        added = out.sandbox.edit_return(ret, add=[{"sku": "HAT", "quantity": 2}], remove=[first])
        assert (first in line_ids(out, ret), line_ids(out, ret)[-2:]) == (False, added)
        assert details_of(out, ret)["edited_at"] is not None
        request = out.sandbox.reissue_label_request(ret)
        body = (await out.loop("GET", f"/label-requests/{request}")).body
        assert [product["sku"] for product in body["products"]] == ["CAP", "HAT", "HAT"]
        assert len(details_of(out, ret)["label_requests"]) == 2
        for wrong in ({"remove": [first]}, {"add": [{"sku": "X", "price": "much"}]}, {"add": [{"colour": "red"}]}):
            with pytest.raises(ControlError):
                out.sandbox.edit_return(ret, **wrong)
