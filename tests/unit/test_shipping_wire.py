"""Amazon Shipping on the wire: the parcel that is offered, the label that is bought, where it is."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.amazon_mcf.limits import AmazonLimits
from adapters.amazon_mcf.wire import shipment
from adapters.amazon_mcf.wire import shipping as shipping_wire
from adapters.amazon_mcf.wire import tracking as tracking_wire
from daemon.domain.orders import PostalAddress
from daemon.domain.portal import ParcelSize
from daemon.domain.postage import OfferExpired, PostageOrder, Tracking
from daemon.domain.returns import Transit
from daemon.errors import ContractBroken, Refused, Transient
from tests.support import swagger

SAMPLES = Path(__file__).parents[1] / "samples" / "amazon_mcf"
SHOPPER = PostalAddress(
    name="Rowan Pike",
    line1="18 Larch Row",
    line2="Flat 3",
    city="Boise",
    region="ID",
    postal_code="83702",
    country_code="US",
    phone="208-555-0143",
)
CENTER = PostalAddress(
    name="Returns Department", line1="1 Dock Road", city="Reno", region="NV", postal_code="89506", country_code="US"
)
PARCEL = PostageOrder(
    ship_from=SHOPPER,
    ship_to=CENTER,
    rma_id="DxRMA1",
    size=ParcelSize(length_in=12.0, width_in=9.0, height_in=4.5, weight_g=500.0),
    value_cents=1999,
    skus=("SHIRT-M", "SHIRT-M"),
    reference="RMAEXAMPLE000001-1",
)


def outcome(decode, status, body):
    """Return the text of the error that an answer is to a decoder, or nothing when it is a value."""
    try:
        decode(status, body)
    except (Refused, ContractBroken, Transient) as error:
        return str(error)
    return ""


# Nothing here is timed: the machine that runs it may be busy.
untimed = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def sample(name):
    """Read a recorded answer."""
    return (SAMPLES / name).read_bytes()


def answer(payload):
    """Wrap a payload into its envelope."""
    return json.dumps({"payload": payload}).encode()


def errors(code="InvalidRequest", message="", details=""):
    """Write a list of one error."""
    return json.dumps({"errors": [{"code": code, "message": message, "details": details}]}).encode()


def quote_with(**changes):
    """The sample's first rate, with members replaced, as the only one."""
    payload = json.loads(sample("rates.json"))["payload"]
    rate = {name: value for name, value in (payload["rates"][0] | changes).items() if value is not ...}
    return answer(payload | {"rates": [rate]})


def offers(*options, label_format="PDF"):
    """Advertise a format with its ways to print."""
    return [{"format": label_format, "size": {"width": 4, "length": 6, "unit": "INCH"}, "printOptions": list(options)}]


def option(**changes):
    """Build a way to print a label."""
    details = [{"name": "LABEL", "isMandatory": True}]
    return {"supportedDPIs": [], "supportedPageLayouts": [], "supportedDocumentDetails": details} | changes


def rate_with(*documents, **changes):
    """Read a rate that advertises these documents."""
    return offer_in(quote_with(supportedDocumentSpecifications=list(documents), **changes))


def offer_in(body, service="std-us-swa-mfn"):
    """Read the rate of a service from an answer that offers it."""
    rate = shipping_wire.decode_quote(200, body, service, "USD").rate
    assert rate is not None
    return rate


# ---- asking for rates


def test_rate_request_is_a_return_through_an_external_channel():
    """The parcel goes from the shopper to the center, with its RMA on the address."""
    body = json.loads(shipping_wire.encode_rates(PARCEL, "USD"))
    assert body["shipmentType"] == "RETURNS"
    assert body["channelDetails"] == {"channelType": "EXTERNAL"}
    assert body["shipFrom"] == {
        "name": "Rowan Pike",
        "addressLine1": "18 Larch Row",
        "addressLine2": "Flat 3",
        "city": "Boise",
        "stateOrRegion": "ID",
        "postalCode": "83702",
        "countryCode": "US",
        "phoneNumber": "208-555-0143",
    }
    assert body["shipTo"]["companyName"] == "RMA DxRMA1"
    assert body["packages"] == [
        {
            "packageClientReferenceId": "RMAEXAMPLE000001-1",
            "dimensions": {"length": 12.0, "width": 9.0, "height": 4.5, "unit": "INCH"},
            "weight": {"value": 500.0, "unit": "GRAM"},
            "insuredValue": {"value": 19.99, "unit": "USD"},
            "items": [
                {
                    "quantity": 2,
                    "itemIdentifier": "SHIRT-M",
                    "weight": {"value": 250.0, "unit": "GRAM"},
                    "itemValue": {"value": 1.0, "unit": "USD"},
                }
            ],
        }
    ]


def test_addresses_are_cut_by_code_point():
    """Long names, lines and numbers are cut to Amazon's limits without breaking a character."""
    long = replace(SHOPPER, name="Ä" * 70, line1="1\n " + "é" * 80, line2="b" * 61, line3="c" * 99, phone="1" * 30)
    sent = json.loads(shipping_wire.encode_rates(replace(PARCEL, ship_from=long), "USD"))["shipFrom"]
    assert sent["name"] == "Ä" * 50
    assert sent["addressLine1"] == "1 " + "é" * 58
    assert [len(sent[name]) for name in ("addressLine2", "addressLine3", "phoneNumber")] == [60, 60, 20]


def test_empty_optional_members_are_left_out():
    """Amazon refuses empty optional lines, and wants a name where the portal knows none."""
    bare = PostalAddress(
        name=" ", line1="18 Larch Row", city="Boise", region="ID", postal_code="83702", country_code="US"
    )
    sent = json.loads(shipping_wire.encode_rates(replace(PARCEL, ship_from=bare), "USD"))["shipFrom"]
    assert set(sent) == {"name", "addressLine1", "city", "stateOrRegion", "postalCode", "countryCode"}
    assert sent["name"] == "Customer"


long_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=90)


@untimed
@given(name=long_text, line=long_text.filter(str.strip), phone=long_text, cents=st.integers(0, 10**7))
def test_every_rate_request_fits_the_model(name, line, phone, cents):
    """Whatever the portal says of a shopper, the body is one that Amazon's model allows."""
    place = replace(SHOPPER, name=name, line1=line, line2=name, line3=phone, phone=phone)
    body = json.loads(shipping_wire.encode_rates(replace(PARCEL, ship_from=place, value_cents=cents), "USD"))
    assert swagger.problems(swagger.SHIPPING, "GetRatesRequest", body) == []


def test_shopper_stays_out_of_reprs():
    """A rate request in a traceback or a log shows no shopper."""
    assert "Rowan" not in repr(PARCEL)
    assert "Larch" not in repr(PARCEL)


# ---- the offers


def test_quote_is_read_whole():
    """A quote has its token, the rate of the service asked for in cents, and the services on offer."""
    quote = shipping_wire.decode_quote(200, sample("rates.json"), "std-us-swa-mfn", "USD")
    first, second = quote.rate, offer_in(sample("rates.json"), quote.offered[1])
    assert quote.request_token == "token-6DCCEDD3"
    assert (first.rate_id, first.carrier_id, first.carrier_name) == ("rate-1", "AMZN_US", "Amazon Shipping")
    assert (first.charge_cents, first.requires_additional_inputs) == (745, False)
    assert (second.charge_cents, second.requires_additional_inputs) == (600, True)


def test_oddities_of_a_quote_are_read():
    """Ids as numbers, amounts as text, options of another kind passed over, documents nobody knows."""
    rate = offer_in(sample("rates_oddities.json"))
    assert (rate.rate_id, rate.carrier_name, rate.charge_cents) == ("77", "", 746)
    (offer,) = rate.documents
    assert (offer.width, offer.length) == (4.0, 6.0)
    (printing,) = offer.options
    assert (printing.dpis, printing.layouts, printing.joining) == ((203,), ("DEFAULT",), (False,))
    assert (printing.kinds, printing.mandatory) == (("LABEL", "HOLOGRAM"), ("LABEL",))


def test_quote_without_rates_is_empty():
    """No offer is an answer."""
    quote = shipping_wire.decode_quote(200, answer({"requestToken": "t"}), "std-us-swa-mfn", "USD")
    assert (quote.rate, quote.offered) == (None, ())


@pytest.mark.parametrize(
    "others",
    [
        {"rates": [{"serviceId": "other"}]},
        {"ineligibleRates": [{"reasons": [{}]}, {"serviceId": 7, "ineligibilityReasons": [{"message": "no"}]}]},
        {"ineligibleRates": "none"},
    ],
)
def test_what_other_services_are_offered_for_is_not_read(others):
    """A service that nobody asked for may be as strange as it likes."""
    payload = json.loads(sample("rates.json"))["payload"]
    strange = payload | others | {"rates": [*others.get("rates", []), *payload["rates"]]}
    quote = shipping_wire.decode_quote(200, answer(strange), "std-us-swa-mfn", "USD")
    assert quote.rate.rate_id == "rate-1"


def test_the_first_rate_of_a_service_is_taken():
    """Amazon lists the cheaper one first."""
    payload = json.loads(sample("rates.json"))["payload"]
    twice = [payload["rates"][0], payload["rates"][0] | {"rateId": "dearer"}]
    quote = shipping_wire.decode_quote(200, answer(payload | {"rates": twice}), "std-us-swa-mfn", "USD")
    assert (quote.rate.rate_id, quote.offered) == ("rate-1", ("std-us-swa-mfn",))


@pytest.mark.parametrize("missing", ["requiresAdditionalInputs"])
def test_a_flag_that_is_absent_is_not_set(missing):
    """A rate without the word asks for nothing more."""
    assert rate_with(*offers(option()), **{missing: ...}).requires_additional_inputs is False


@pytest.mark.parametrize(("value", "cents"), [(7, 700), (7.455, 746), ("2.00000", 200), (0, 0), (19.99, 1999)])
def test_charges_are_cents(value, cents):
    """A charge is exact to the cent, also where Amazon writes it as text."""
    body = quote_with(totalCharge={"value": value, "unit": "USD"})
    assert offer_in(body).charge_cents == cents


@pytest.mark.parametrize("value", [-1, True, None, "free", "sNaN", "Infinity", 10**9, [7]])
def test_charge_that_is_none_breaks_the_contract(value):
    """A charge that is no amount is not guessed."""
    with pytest.raises(ContractBroken, match=r"rates\[0\].totalCharge.value is not an amount"):
        offer_in(quote_with(totalCharge={"value": value, "unit": "USD"}))


def test_a_charge_in_another_currency_is_refused():
    """The portal is told every charge in the account's currency, so no other is bought."""
    with pytest.raises(Refused, match="OTHER_CURRENCY: the service charges in EUR, not in USD"):
        offer_in(quote_with(totalCharge={"value": 7, "unit": "EUR"}))


def test_an_account_elsewhere_asks_and_pays_in_its_own_currency():
    """Values, charges and required services are all in the currency of the account's marketplace."""
    package = json.loads(shipping_wire.encode_rates(PARCEL, "EUR"))["packages"][0]
    assert {package["insuredValue"]["unit"], *(item["itemValue"]["unit"] for item in package["items"])} == {"EUR"}

    payload = json.loads(sample("rates.json").replace(b'"USD"', b'"EUR"'))["payload"]
    rate = payload["rates"][0] | {"availableValueAddedServiceGroups": [group(("SIGNED", 1, "EUR"))]}
    body = json.dumps({"payload": payload | {"rates": [rate]}}).encode()
    found = shipping_wire.decode_quote(200, body, rate["serviceId"], "EUR").rate
    assert found is not None
    assert (found.services, found.unmet) == (("SIGNED",), "")
    with pytest.raises(Refused, match="OTHER_CURRENCY: the service charges in EUR, not in USD"):
        shipping_wire.decode_quote(200, body, rate["serviceId"], "USD")


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("rateId", ...),
        ("carrierId", ...),
        ("serviceId", ""),
        ("totalCharge", ...),
        ("requiresAdditionalInputs", "no"),
        ("supportedDocumentSpecifications", [{"format": "PDF"}]),
        ("supportedDocumentSpecifications", offers(option(supportedDocumentDetails=[{"isMandatory": True}]))),
        ("supportedDocumentSpecifications", offers(option(supportedDPIs=300))),
    ],
)
def test_rate_needs_what_is_bought_by(member, value):
    """A rate that cannot be bought knowingly breaks the contract."""
    with pytest.raises(ContractBroken):
        offer_in(quote_with(**{member: value}))


def test_what_amazon_says_of_rates_stays_out_of_the_errors_text():
    """Amazon repeats what it was sent: its words are kept apart, for whoever can strike the shopper from them."""
    body = errors(message="Invalid address for ROWAN PIKE", details="addressLine1 '18 Larch Row' unknown")
    with pytest.raises(Refused) as refused:
        shipping_wire.decode_quote(400, body, "std-us-swa-mfn", "USD")
    assert str(refused.value) == "InvalidRequest"
    assert refused.value.said == "Invalid address for ROWAN PIKE (addressLine1 '18 Larch Row' unknown)"


def group(*services: tuple[str, float, str], required: bool = True) -> dict[str, object]:
    """A group of value-added services."""
    rows = [{"id": name, "name": name, "cost": {"value": value, "unit": unit}} for name, value, unit in services]
    return {
        "groupId": "SIG_VERIFICATION",
        "groupDescription": "Rowan Pike",
        "isRequired": required,
        "valueAddedServices": rows,
    }


def test_the_cheapest_of_each_group_that_is_demanded_is_bought():
    """Amazon refuses a purchase without them; what they cost is part of the charge, and what is free to choose is not."""
    groups = [
        group(("DEAR", 9, "USD"), ("CHEAP", 2.5, "USD"), ("ELSEWHERE", 1, "INR")),
        group(("FREE", 0, "USD")),
        group(("EXTRA", 3, "USD"), required=False),
    ]
    plain = offer_in(quote_with(availableValueAddedServiceGroups=[]))
    rate = offer_in(quote_with(availableValueAddedServiceGroups=groups))
    assert rate.services == ("CHEAP", "FREE")
    assert rate.charge_cents == plain.charge_cents + 250
    body = json.loads(shipping_wire.encode_purchase("t", "r", shipment.choose_document(rate), rate.services))
    assert body["requestedValueAddedServices"] == [{"id": "CHEAP"}, {"id": "FREE"}]


@pytest.mark.parametrize("services", [(), (("ELSEWHERE", 1, "INR"),)])
def test_a_group_of_which_nothing_can_be_bought_is_named(services):
    """The merchant learns which group it is, by its id alone."""
    rate = offer_in(quote_with(availableValueAddedServiceGroups=[group(*services)]))
    with pytest.raises(Refused, match=r"REQUIRED_SERVICE.*SIG_VERIFICATION"):
        shipment.choose_document(rate)


def test_of_two_rates_of_a_service_the_one_that_can_be_bought_is_taken():
    """A rate that demands what cannot be had is passed over, however cheap."""
    payload = json.loads(sample("rates.json"))["payload"]
    demanding = {**payload["rates"][0], "serviceId": "S", "rateId": "demanding"}
    demanding["availableValueAddedServiceGroups"] = [group()]
    plain = {**payload["rates"][0], "serviceId": "S", "rateId": "plain"}
    plain["totalCharge"] = {"value": 99, "unit": "USD"}
    body = json.dumps({"payload": payload | {"rates": [demanding, plain]}}).encode()
    rate = shipping_wire.decode_quote(200, body, "S", "USD").rate
    assert rate is not None
    assert (rate.rate_id, rate.charge_cents) == ("plain", 9900)


def test_every_item_has_a_value():
    """What a line cost, and a dollar where that is unknown: Amazon demands one, though it calls it optional."""
    order = replace(PARCEL, skus=("A", "B", "A"), prices_cents=(1250, 0, 1250))
    items = json.loads(shipping_wire.encode_rates(order, "USD"))["packages"][0]["items"]
    assert [(one["itemIdentifier"], one["quantity"], one["itemValue"]) for one in items] == [
        ("A", 2, {"value": 12.5, "unit": "USD"}),
        ("B", 1, {"value": 1.0, "unit": "USD"}),
    ]


# ---- the choice of the document


def test_pdf_label_is_preferred():
    """Of ZPL, PNG and PDF the PDF is bought, in the first way in which it is advertised."""
    rate = offer_in(sample("rates.json"))
    assert shipment.choose_document(rate) == shipment.DocumentChoice(
        format="PDF", width=4.0, length=6.0, unit="INCH", dpi=None, layout="DEFAULT", joined=False, kinds=("LABEL",)
    )


def test_preferred_format_can_be_another():
    """An operator may want PNG; its finest advertised resolution is taken."""
    rate = offer_in(sample("rates.json"))
    choice = shipment.choose_document(rate, "PNG")
    assert (choice.format, choice.dpi) == ("PNG", 300)


def test_png_will_do_without_pdf():
    """A rate that prints PNG only is bought as PNG, for it can be laid on a page."""
    assert shipment.choose_document(rate_with(*offers(option(), label_format="PNG"))).format == "PNG"


def test_only_zpl_is_refused():
    """Shoppers own no ZPL printer."""
    with pytest.raises(Refused) as refused:
        shipment.choose_document(rate_with(*offers(option(), label_format="ZPL")))
    assert refused.value.code == shipment.NO_PRINTABLE_LABEL


def test_pdf_that_holds_no_label_is_passed_over():
    """A print option without a label is no way to print a label."""
    slip = option(supportedDocumentDetails=[{"name": "PACKSLIP", "isMandatory": False}])
    png = offers(option(), label_format="PNG")
    assert shipment.choose_document(rate_with(*offers(slip), *png)).format == "PNG"


def test_additional_inputs_are_refused():
    """A service that asks for more than we know is not bought."""
    with pytest.raises(Refused) as refused:
        shipment.choose_document(rate_with(*offers(option()), requiresAdditionalInputs=True))
    assert refused.value.code == shipment.ADDITIONAL_INPUTS


@pytest.mark.parametrize(
    ("changes", "dpi", "layout", "joined", "kinds"),
    [
        ({}, None, None, False, ("LABEL",)),
        ({"supportedDPIs": [600, 203, True, "300"]}, 203, None, False, ("LABEL",)),
        ({"supportedDPIs": [600]}, 600, None, False, ("LABEL",)),
        ({"supportedPageLayouts": ["RIGHT", "LEFT", 3]}, None, "RIGHT", False, ("LABEL",)),
        ({"supportedFileJoiningOptions": [True]}, None, None, True, ("LABEL",)),
        (
            {
                "supportedDocumentDetails": [
                    {"name": "RECEIPT", "isMandatory": True},
                    {"name": "LABEL", "isMandatory": False},
                    {"name": "PACKSLIP", "isMandatory": False},
                ]
            },
            None,
            None,
            False,
            ("LABEL", "RECEIPT"),
        ),
    ],
)
def test_choice_keeps_to_what_is_advertised(changes, dpi, layout, joined, kinds):
    """Resolution, layout and joining come from the rate; mandatory documents are asked for with the label."""
    choice = shipment.choose_document(rate_with(*offers(option(**changes))))
    assert (choice.dpi, choice.layout, choice.joined, choice.kinds) == (dpi, layout, joined, kinds)


def test_purchase_body_says_what_was_chosen():
    """The body names token, rate and document, and is the same for the same choice."""
    rate = offer_in(sample("rates.json"))
    for choice in (shipment.choose_document(rate), shipment.choose_document(rate, "PNG")):
        raw = shipping_wire.encode_purchase("token-6DCCEDD3", rate.rate_id, choice)
        assert raw == shipping_wire.encode_purchase("token-6DCCEDD3", rate.rate_id, replace(choice))
        body = json.loads(raw)
        assert swagger.problems(swagger.SHIPPING, "PurchaseShipmentRequest", body) == []
    assert (body["requestToken"], body["rateId"]) == ("token-6DCCEDD3", "rate-1")
    assert body["requestedDocumentSpecification"] == {
        "format": "PNG",
        "size": {"width": 4.0, "length": 6.0, "unit": "INCH"},
        "needFileJoining": False,
        "requestedDocumentTypes": ["LABEL"],
        "dpi": 300,
        "pageLayout": "DEFAULT",
    }


def test_purchase_body_leaves_out_what_was_not_chosen():
    """No resolution and no layout are sent where none was advertised."""
    choice = shipment.choose_document(rate_with(*offers(option())))
    specification = json.loads(shipping_wire.encode_purchase("t", "r", choice))["requestedDocumentSpecification"]
    assert not {"dpi", "pageLayout"} & set(specification)


# ---- the purchase


@pytest.mark.parametrize(
    ("decode", "name"),
    [(shipping_wire.decode_purchase, "purchase.json"), (shipping_wire.decode_documents, "documents.json")],
)
def test_bought_label_is_decoded(decode, name):
    """Shipment, tracking id and the bytes of the label come out of either answer."""
    bought = decode(200, sample(name))
    assert (bought.shipment_id, bought.tracking_id) == ("87852211788104", "TBA0000000001")
    assert bought.document[:5] == b"%PDF-"
    assert "%PDF" not in repr(bought)


@pytest.mark.parametrize(
    "details",
    [
        None,
        [],
        [{"packageDocuments": None, "trackingId": None}],
        [{"packageDocuments": [{"type": "LABEL", "format": "PDF", "contents": ""}]}],
        [{"packageDocuments": [{"type": "PACKSLIP", "format": "PDF", "contents": "YWJj"}, {"contents": "YWJj"}]}],
    ],
)
def test_documents_may_come_later(details):
    """A purchase without documents or tracking id is a purchase all the same."""
    bought = shipping_wire.decode_purchase(200, answer({"shipmentId": "S1", "packageDocumentDetails": details}))
    assert (bought.tracking_id, bought.document) == ("", None)
    assert shipping_wire.decode_documents(200, answer({"shipmentId": "S1"})).document is None


def test_a_purchase_may_wait_for_everything_but_its_id():
    """Neither the tracking id nor the contents of the label need be there at first."""
    bought = shipping_wire.decode_purchase(200, sample("purchase_pending.json"))
    assert (bought.shipment_id, bought.tracking_id, bought.document) == ("amzn1.sid.example-1", "", None)


def test_numeric_tracking_id_is_text():
    """Amazon's own example prints the tracking id as a number."""
    details = [{"trackingId": 1578648261977, "packageDocuments": []}]
    bought = shipping_wire.decode_purchase(200, answer({"shipmentId": "S1", "packageDocumentDetails": details}))
    assert bought.tracking_id == "1578648261977"


@pytest.mark.parametrize("contents", ["%%%", "YWJ", "ÄÖÜ="])
def test_label_that_is_not_base64_breaks_the_contract(contents):
    """A damaged label is never given to a shopper."""
    document = {"type": "LABEL", "format": "PDF", "contents": contents}
    body = answer({"shipmentId": "S1", "packageDocumentDetail": {"packageDocuments": [document]}})
    with pytest.raises(ContractBroken, match="contents is not base64"):
        shipping_wire.decode_documents(200, body)


def test_purchase_needs_its_shipment_id():
    """Without the id a label could not be voided."""
    with pytest.raises(ContractBroken, match="shipmentId is absent"):
        shipping_wire.decode_purchase(200, answer({"packageDocumentDetails": []}))


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, sample("token_expired.json")),
        (400, errors("TOKEN_EXPIRED")),
        (400, errors("RequestTokenExpired")),
        (400, errors(message="Expired request token")),
        (200, errors(message="Request token is expired")),
    ],
)
def test_an_expired_offer_is_told_from_a_refusal(status, body):
    """A purchase that came too late needs a new offer, however Amazon words it."""
    assert shipping_wire.decode_purchase(status, body) == OfferExpired()


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (409, errors("Conflict"), shipment.IDEMPOTENCY_CONFLICT),
        (400, errors(message="IdempotencyKey was used with another body"), shipment.IDEMPOTENCY_CONFLICT),
        (400, errors("InvalidRequest", "RateId cannot be null"), "InvalidRequest"),
        (404, errors("NotFound"), "NotFound"),
        (400, errors(message="token|expired"), "InvalidRequest"),
        (413, b'{"message": "too large"}', "HTTP413"),
    ],
)
def test_a_reused_key_has_a_code_of_its_own(status, body, code):
    """A key that was used for another purchase is told from other refusals, however Amazon words it."""
    with pytest.raises(Refused) as refused:
        shipping_wire.decode_purchase(status, body)
    assert refused.value.code == code


# ---- voiding


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, sample("cancelled.json")),
        (200, b""),
        (204, b" \n"),
        (200, b"{}"),
        (400, errors(message="The shipment has already been cancelled.")),
        (400, errors("SHIPMENT_ALREADY_CANCELED")),
        (409, errors(message="Shipment was cancelled already")),
    ],
)
def test_voided_label_is_voided(status, body):
    """A label that was voided before counts as voided."""
    assert shipping_wire.decode_cancelled(status, body) is None


@pytest.mark.parametrize("status", [200, 400])
def test_label_that_cannot_be_voided_is_refused(status):
    """Any other answer with errors says that the label still stands."""
    with pytest.raises(Refused, match=r"^InvalidRequest$"):
        shipping_wire.decode_cancelled(status, errors(message="It was picked up."))


# ---- paths


def test_paths_are_encoded():
    """Ids travel percent-encoded."""
    assert shipping_wire.RATES_PATH == "/shipping/v2/shipments/rates"
    assert shipping_wire.PURCHASE_PATH == "/shipping/v2/shipments"
    assert shipping_wire.cancel_path("a/b") == "/shipping/v2/shipments/a%2Fb/cancel"
    assert (
        shipping_wire.documents_path("a b", "r&1", "PDF")
        == "/shipping/v2/shipments/a%20b/documents?packageClientReferenceId=r%261&format=PDF"
    )
    assert tracking_wire.tracking_path("T+1", "A/B") == "/shipping/v2/tracking?trackingId=T%2B1&carrierId=A%2FB"


# ---- tracking


def test_tracking_is_read():
    """A delivered parcel has its last scan and its delivery."""
    assert tracking_wire.decode_tracking(200, sample("tracking.json")) == Tracking(
        transit=Transit.DELIVERED, scanned_at=1788784200.5, delivered_at=1788784200.5
    )


@pytest.mark.parametrize(
    ("status", "known", "transit", "lost"),
    [
        ("PreTransit", True, Transit.PRE_TRANSIT, False),
        ("InTransit", True, Transit.IN_TRANSIT, False),
        ("OutForDelivery", True, Transit.OUT_FOR_DELIVERY, False),
        ("DeliveryAttempted", True, Transit.OUT_FOR_DELIVERY, False),
        ("DELIVERED", True, Transit.DELIVERED, False),
        ("Lost", True, None, True),
        ("Rejected", True, None, False),
        ("Undeliverable", True, None, False),
        ("PickupCancelled", True, None, False),
        ("AwaitingCustomerPickup", True, None, False),
        ("Beamed", False, None, False),
    ],
)
def test_status_is_mapped_or_left_alone(status, known, transit, lost):
    """Only what the portal has a word for is reported; a new word is marked as unknown."""
    read = tracking_wire.decode_tracking(200, answer({"summary": {"status": status}}))
    assert (read.known, read.transit, read.lost) == (known, transit, lost)


def test_oddities_of_a_tracking_are_read():
    """A status nobody knows is told as such; the scan is the last event with hands in it, whatever its case or its zone."""
    read = tracking_wire.decode_tracking(200, sample("tracking_oddities.json"))
    assert read == Tracking(known=False, scanned_at=1788598800.0)


@pytest.mark.parametrize(("status", "code", "message"), [(404, "NotFound", ""), (400, "InvalidInput", "Not found.")])
def test_of_a_parcel_that_nobody_has_heard_of_nothing_is_read(status, code, message):
    """The carrier may not know a label yet."""
    assert tracking_wire.decode_tracking(status, errors(code, message)) == Tracking()


def test_operations_of_shipping_are_named_as_amazon_names_them():
    """The names are those of the model: limits, metrics and messages use them."""
    names = (
        *(shipping_wire.GET_RATES, shipping_wire.PURCHASE, shipping_wire.GET_DOCUMENTS, shipping_wire.CANCEL),
        *(tracking_wire.GET_TRACKING, shipping_wire.LIST_INPUTS),
    )
    assert names == AmazonLimits.SHIPPING


def test_tracking_without_summary_says_nothing():
    """A parcel that Amazon says nothing of has no status and no scan."""
    assert tracking_wire.decode_tracking(200, answer({"alternateLegTrackingId": "T2"})) == Tracking()


def test_a_delivery_counts_while_the_parcel_is_delivered():
    """An event of a delivery that Amazon's status does not bear out is a scan and no more."""
    event = {"eventCode": "Delivered", "eventTime": "2026-09-05T07:00:00Z"}
    body = answer({"summary": {"status": "InTransit"}, "eventHistory": [event]})
    assert tracking_wire.decode_tracking(200, body) == Tracking(transit=Transit.IN_TRANSIT, scanned_at=1788591600.0)


@pytest.mark.parametrize(
    ("code", "scanned"),
    [("ReadyForReceive", False), ("PickupCancelled", False), ("Lost", False), ("PickupDone", True), ("Beamed", True)],
)
def test_scan_needs_hands(code, scanned):
    """A label that is only ready was not scanned; an event that nobody knows counts as a scan."""
    event = {"eventCode": code, "eventTime": "2026-09-05T07:00:00Z"}
    read = tracking_wire.decode_tracking(200, answer({"eventHistory": [event]}))
    assert read.scanned_at == (1788591600.0 if scanned else None)


@pytest.mark.parametrize("event", [{"eventCode": "Delivered"}, {"eventTime": "2026-09-05T07:00:00Z"}])
def test_event_needs_code_and_time(event):
    """An event without its code or its time is unreadable."""
    with pytest.raises(ContractBroken):
        tracking_wire.decode_tracking(200, answer({"eventHistory": [event]}))


# ---- whatever comes


@pytest.mark.parametrize(
    ("name", "definition"),
    [
        ("rates.json", "GetRatesResponse"),
        ("purchase.json", "PurchaseShipmentResponse"),
        ("documents.json", "GetShipmentDocumentsResponse"),
        ("cancelled.json", "CancelShipmentResponse"),
        ("tracking.json", "GetTrackingResponse"),
        ("token_expired.json", "ErrorList"),
    ],
)
def test_samples_are_what_amazon_documents(name, definition):
    """Every sample fits Amazon's own model."""
    assert swagger.problems(swagger.SHIPPING, definition, json.loads(sample(name))) == []


NAMES = st.sampled_from(
    [
        *("payload", "errors", "code", "message", "requestToken", "rates", "ineligibleRates", "rateId", "totalCharge"),
        *("value", "unit", "shipmentId", "packageDocumentDetails", "packageDocumentDetail", "packageDocuments"),
        *("contents", "type", "format", "trackingId", "summary", "status", "eventHistory", "eventCode", "eventTime"),
        *("supportedDocumentSpecifications", "printOptions", "size", "supportedDPIs", "supportedDocumentDetails"),
    ]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["YWJj", "2026-09-02"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES | st.text(max_size=3), inner, max_size=6),
    max_leaves=25,
)
DECODERS = [
    lambda status, body: shipping_wire.decode_quote(status, body, "std-us-swa-mfn", "USD"),
    shipping_wire.decode_purchase,
    shipping_wire.decode_documents,
    shipping_wire.decode_cancelled,
    tracking_wire.decode_tracking,
]


@untimed
@given(body=JSON.map(lambda value: json.dumps(value).encode()) | st.binary(), status=st.sampled_from([200, 400, 404]))
def test_no_answer_crashes_a_decoder(body, status):
    """Whatever Amazon sends is a value or one of our own errors, with a text that can be logged."""
    for decode in DECODERS:
        assert outcome(decode, status, body).isprintable()


@untimed
@given(changes=st.dictionaries(NAMES, JSON, max_size=4))
def test_no_rate_crashes_the_decoder(changes):
    """A rate with members replaced by anything is a value or a broken contract."""
    assert outcome(DECODERS[0], 200, quote_with(**changes)).isprintable()
