"""The stand-in for Amazon Shipping v2 sells, repeats, delivers, voids and tracks labels as the pages say."""

import base64
import re
from io import BytesIO

import pytest
from pypdf import PdfReader

from adapters.sandbox import ControlError, ServiceOffer
from tests.edges.test_sandbox_swagger import outside, purchase_request, rates_request


async def quote(out, **changes):
    """Ask for rates."""
    return await out.shipping("POST", "/shipments/rates", rates_request(**changes))


async def buy(out, request, key="k1"):
    """Purchase with an idempotency key."""
    return await out.shipping("POST", "/shipments", request, headers={"x-amzn-IdempotencyKey": key})


def error_of(answer) -> tuple[int, str]:
    """Name the status and the code of an error."""
    return answer.status, answer.body["errors"][0]["code"]


async def test_a_return_is_offered_the_return_service():
    """A RETURNS request is offered the account's return service; a forward one is not."""
    async with outside() as out:
        services = [rate["serviceId"] for rate in (await quote(out)).body["payload"]["rates"]]
        assert out.sandbox.options.return_service_id in services
        forward = (await quote(out, shipmentType="FORWARD")).body["payload"]["rates"]
        assert out.sandbox.options.return_service_id not in [rate["serviceId"] for rate in forward]


async def test_what_is_not_offered_is_explained():
    """Addresses abroad, and a service that is switched off, are ineligible with Amazon's code."""
    async with outside() as out:
        abroad = (await quote(out, country="CA")).body["payload"]
        assert abroad["rates"] == []
        assert {r["ineligibilityReasons"][0]["code"] for r in abroad["ineligibleRates"]} == {"NO_COVERAGE"}
        out.sandbox.offer_services([{"service_id": "RS", "ineligible": "TERMS_AND_CONDITIONS_NOT_ACCEPTED"}])
        closed = (await quote(out)).body["payload"]["ineligibleRates"]
        assert closed[0]["ineligibilityReasons"][0]["code"] == "TERMS_AND_CONDITIONS_NOT_ACCEPTED"
        with pytest.raises(ControlError, match="NO_COVERAGE"):
            out.sandbox.offer_services([{"service_id": "RS", "ineligible": "LAZY"}])


@pytest.mark.parametrize(
    "spoil",
    [
        lambda body: body.pop("shipTo"),
        lambda body: body["shipFrom"].pop("stateOrRegion"),
        lambda body: body["shipFrom"].update(name="x" * 51),
        lambda body: body["shipTo"].update(addressLine1="x" * 61),
        lambda body: body["channelDetails"].update(channelType="OTHER"),
        lambda body: body.update(shipmentType="RETURN"),
        lambda body: body.update(packages=[]),
        lambda body: body["packages"][0].pop("insuredValue"),
        lambda body: body["packages"][0]["dimensions"].update(unit="FOOT"),
        lambda body: body["packages"][0]["weight"].update(value=0),
        lambda body: body["packages"][0]["items"][0].pop("weight"),
        lambda body: body["packages"][0]["items"][0].pop("itemValue"),
        lambda body: body["packages"][0]["items"].clear(),
    ],
)
async def test_a_rates_request_must_be_complete(spoil):
    """What Amazon requires, limits or enumerates is checked: a 400 InvalidInput."""
    async with outside() as out:
        body = rates_request()
        spoil(body)
        assert error_of(await out.shipping("POST", "/shipments/rates", body)) == (400, "InvalidInput")


async def test_a_value_may_be_left_out_where_the_model_says_so():
    """Amazon's model calls it optional, its FAQ does not: an option decides."""
    async with outside(item_value="optional") as out:
        body = rates_request()
        body["packages"][0]["items"][0].pop("itemValue")
        assert (await out.shipping("POST", "/shipments/rates", body)).status == 200


async def test_what_a_rate_demands_must_be_bought_with_it():
    """A service may demand a value-added one: a purchase without it is refused, one with it is made."""
    async with outside() as out:
        out.sandbox.offer_services([{"service_id": "RS", "required_service": "SIGNATURE", "required_cents": 250}])
        rates = await quote(out)
        (group,) = rates.body["payload"]["rates"][0]["availableValueAddedServiceGroups"]
        assert group["isRequired"]
        assert group["valueAddedServices"][0]["cost"] == {"value": 2.5, "unit": "USD"}
        bare = purchase_request(rates)
        assert error_of(await out.shipping("POST", "/shipments", bare)) == (400, "InvalidInput")
        whole = bare | {"requestedValueAddedServices": [{"id": "SIGNATURE"}]}
        assert (await out.shipping("POST", "/shipments", whole)).status == 200


async def test_the_business_must_be_the_accounts():
    """Without the business header Amazon assumes the British one, in which this account is not enrolled."""
    async with outside() as out:
        path = "/shipping/v2/shipments/rates"
        assert error_of(await out.amazon("POST", path, rates_request())) == (403, "Unauthorized")
        odd = {"x-amzn-shipping-business-id": "AmazonShipping_MARS"}
        assert error_of(await out.shipping("POST", "/shipments/rates", rates_request(), headers=odd))[0] == 400


async def test_whoever_may_use_shipping_is_told_what_carriers_want():
    """The inputs of carriers' accounts need no parameters, but the role and the account's business."""
    async with outside() as out:
        (carrier,) = (await out.shipping("GET", "/carrierAccountFormInputs")).body["linkableCarriersList"]
        assert carrier["linkableAccountTypes"][0]["carrierAccountInputs"][0]["name"] == "ACCOUNT_NUMBER"
        assert error_of(await out.amazon("GET", "/shipping/v2/carrierAccountFormInputs")) == (403, "Unauthorized")


async def test_a_label_is_a_pdf():
    """A purchase returns the label as base64: a PDF whose cross references point at its objects."""
    async with outside() as out:
        bought = await buy(out, purchase_request(await quote(out), requestedDocumentTypes=["LABEL", "PACKSLIP"]))
        details = bought.body["payload"]["packageDocumentDetails"]
        assert [document["type"] for document in details[0]["packageDocuments"]] == ["LABEL", "PACKSLIP"]
        content = base64.b64decode(details[0]["packageDocuments"][0]["contents"])
        assert content.startswith(b"%PDF-1.4")
        start = int(re.search(rb"startxref\n(\d+)", content)[1])
        table = content[start:]
        assert table.startswith(b"xref\n0 6\n")
        for number, offset in enumerate(re.findall(rb"(\d{10}) 00000 n", table), 1):
            assert content[int(offset) :].startswith(b"%d 0 obj" % number)
        assert details[0]["trackingId"].encode() in content


@pytest.mark.parametrize(("file_format", "magic"), [("PNG", b"\x89PNG\r\n"), ("ZPL", b"^XA")])
async def test_a_label_may_have_another_format(file_format, magic):
    """The other advertised formats are delivered, too."""
    async with outside() as out:
        bought = await buy(out, purchase_request(await quote(out), format=file_format))
        document = bought.body["payload"]["packageDocumentDetails"][0]["packageDocuments"][0]
        assert (document["format"], base64.b64decode(document["contents"])[: len(magic)]) == (file_format, magic)


@pytest.mark.parametrize(
    "document",
    [
        {"size": {"width": 8, "length": 11, "unit": "INCH"}},
        {"format": "GIF"},
        {"requestedDocumentTypes": ["PACKSLIP"]},
        {"dpi": 72},
        {"pageLayout": "LEFT"},
        {"needFileJoining": None},
    ],
)
async def test_only_advertised_documents_are_sold(document):
    """A document specification that the rate did not list is refused, and nothing is bought."""
    async with outside() as out:
        answer = await buy(out, purchase_request(await quote(out), **document))
        assert error_of(answer) == (400, "InvalidInput")
        assert out.sandbox.snapshot()["amazon"]["shipments"] == {}


async def test_a_key_finds_its_purchase_again():
    """The same key and body answer with the same shipment; another key buys another."""
    async with outside() as out:
        request = purchase_request(await quote(out))
        first, again, other = await buy(out, request), await buy(out, request), await buy(out, request, "k2")
        assert again.body == first.body
        assert other.body["payload"]["shipmentId"] != first.body["payload"]["shipmentId"]
        assert len(out.sandbox.snapshot()["amazon"]["shipments"]) == 2


@pytest.mark.parametrize(("idempotency", "shipments"), [("key", 1), ("key_and_body", 2)])
async def test_a_key_with_another_body(idempotency, shipments):
    """Whether a key with a new rate still finds its purchase is not documented: both readings can be had."""
    async with outside(idempotency=idempotency) as out:
        for _ in range(2):
            assert (await buy(out, purchase_request(await quote(out)))).status == 200
        assert len(out.sandbox.snapshot()["amazon"]["shipments"]) == shipments


async def test_a_rate_goes_stale_after_ten_minutes():
    """A purchase within ten minutes works; later it is TOKEN_EXPIRED, even for a known key."""
    async with outside() as out:
        request = purchase_request(await quote(out))
        out.clock.shift = 590
        assert (await buy(out, request)).status == 200
        out.clock.shift = 610
        assert error_of(await buy(out, request)) == (400, "TOKEN_EXPIRED")


async def test_senseless_purchases_are_refused():
    """A made-up token, a rate of another quote, and missing additional inputs are a 400 InvalidInput."""
    async with outside() as out:
        one, two = purchase_request(await quote(out)), purchase_request(await quote(out))
        for wrong in (one | {"requestToken": "x"}, one | {"rateId": two["rateId"]}, {"rateId": "x"}):
            assert error_of(await buy(out, wrong)) == (400, "InvalidInput")
        out.sandbox.offer_services([ServiceOffer(service_id="RS", requires_additional_inputs=True)])
        needy = purchase_request(await quote(out))
        assert error_of(await buy(out, needy)) == (400, "InvalidInput")
        assert (await buy(out, needy | {"additionalInputs": {"a": 1}})).status == 200


async def test_documents_may_come_later():
    """Until the documents are ready their list is empty; then they can be fetched by package reference."""
    async with outside(documents_after=30) as out:
        bought = await buy(out, purchase_request(await quote(out)))
        assert bought.body["payload"]["packageDocumentDetails"][0]["packageDocuments"] == []
        path = f"/shipments/{bought.body['payload']['shipmentId']}/documents"
        out.clock.shift = 31
        late = await out.shipping("GET", path, params="packageClientReferenceId=lbl-1&format=PDF")
        assert len(late.body["payload"]["packageDocumentDetail"]["packageDocuments"]) == 1
        for params in ("packageClientReferenceId=other", "packageClientReferenceId=lbl-1&format=PNG", ""):
            assert (await out.shipping("GET", path, params=params)).status == 400


async def test_a_label_is_voided_once_and_only_before_its_scan():
    """A void answers an empty payload; a second one, and one after a scan, are refused."""
    async with outside() as out:
        request = purchase_request(await quote(out))
        fresh, moving = [(await buy(out, request, key)).body["payload"] for key in ("a", "b")]
        cancel = f"/shipments/{fresh['shipmentId']}/cancel"
        assert (await out.shipping("PUT", cancel)).body == {"payload": {}}
        assert "already cancelled" in (await out.shipping("PUT", cancel)).body["errors"][0]["message"]
        out.sandbox.scan(moving["packageDocumentDetails"][0]["trackingId"], "InTransit")
        assert error_of(await out.shipping("PUT", f"/shipments/{moving['shipmentId']}/cancel"))[0] == 400
        states = {i: s["cancelled"] for i, s in out.sandbox.snapshot()["amazon"]["shipments"].items()}
        assert states == {fresh["shipmentId"]: True, moving["shipmentId"]: False}


async def test_tracking_shows_the_carriers_scans():
    """A new label is PreTransit; each scan adds an event and moves the summary; strangers are a 404."""
    async with outside() as out:
        bought = await buy(out, purchase_request(await quote(out)))
        tracking_id = bought.body["payload"]["packageDocumentDetails"][0]["trackingId"]
        params = f"trackingId={tracking_id}&carrierId=AMZN_US"
        fresh = (await out.shipping("GET", "/tracking", params=params)).body["payload"]
        assert (fresh["summary"]["status"], fresh["eventHistory"]) == ("PreTransit", [])
        for status in ("InTransit", "Delivered"):
            out.sandbox.scan(tracking_id, status)
        late = (await out.shipping("GET", "/tracking", params=params)).body["payload"]
        assert late["summary"]["status"] == "Delivered"
        assert [event["eventCode"] for event in late["eventHistory"]] == ["PickupDone", "Delivered"]
        for wrong in (f"trackingId={tracking_id}&carrierId=UPS", "trackingId=x&carrierId=AMZN_US"):
            assert (await out.shipping("GET", "/tracking", params=wrong)).status == 404
        with pytest.raises(ControlError, match="Vanished"):
            out.sandbox.scan(tracking_id, "Vanished")
        with pytest.raises(ControlError, match="no label"):
            out.sandbox.scan("x", "Delivered")


@pytest.mark.parametrize(("kind", "shown"), [("plain", True), ("locked", True), ("blank", False)])
async def test_a_label_may_be_locked_or_blank(kind, shown):
    """A PDF that asks for no password though it is encrypted, or one that shows nothing, is still a PDF."""
    async with outside(label_pdf=kind) as out:
        bought = await out.shipping("POST", "/shipments", purchase_request(await quote(out)))
        (detail,) = bought.body["payload"]["packageDocumentDetails"]
        document = PdfReader(BytesIO(base64.b64decode(detail["packageDocuments"][0]["contents"])))
        assert document.is_encrypted is (kind == "locked")
        assert not document.is_encrypted or document.decrypt("")
        assert bool(document.pages[0].extract_text().strip()) is shown
