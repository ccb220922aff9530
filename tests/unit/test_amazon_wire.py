"""Fulfillment Outbound on the wire: what is read, what is written, and what is never guessed."""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.amazon_mcf.wire import envelope
from adapters.amazon_mcf.wire import outbound as wire
from daemon.domain.orders import InvalidItem, PostalAddress, ReturnItem, ShippedItem
from daemon.domain.returns import ReturnUnit
from daemon.errors import ContractBroken, RateLimited, Refused, Transient, Unavailable
from daemon.ports.vendors import OrderHead
from tests.support import swagger

SAMPLES = Path(__file__).parents[1] / "samples" / "amazon_mcf"
DECODERS = [wire.decode_order, wire.decode_created, wire.decode_reasons, wire.decode_page]


def sample(name):
    """Read a recorded answer."""
    return (SAMPLES / name).read_bytes()


def answer(payload):
    """Wrap a payload into its envelope."""
    return json.dumps({"payload": payload}).encode()


def errors(code="InvalidInput", message="", details=""):
    """Write a list of one error."""
    return json.dumps({"errors": [{"code": code, "message": message, "details": details}]}).encode()


def order_with(**changes):
    """The sample order with members of its payload replaced."""
    return answer(json.loads(sample("order.json"))["payload"] | changes)


def return_item(**changes):
    """Build a unit on its way back; `...` leaves a member out."""
    row = {
        "sellerReturnItemId": "mcfd-1",
        "sellerFulfillmentOrderItemId": "line-A",
        "amazonShipmentId": "D1",
        "status": "New",
        "statusChangedDate": "2026-09-02T10:11:12Z",
    } | changes
    return {name: value for name, value in row.items() if value is not ...}


def authorization(**changes):
    """Build an authorization; `...` leaves a member out."""
    row = {
        "returnAuthorizationId": "RMA1",
        "amazonRmaId": "DxRMA1",
        "rmaPageURL": "https://www.amazon.com/gp/orc/rml/DxRMA1",
        "fulfillmentCenterId": "RNO1",
        "returnToAddress": {"name": "Returns", "addressLine1": "1 Dock Road"},
    } | changes
    return {name: value for name, value in row.items() if value is not ...}


def authorized(**changes):
    """A unit of ours and the authorization that it names, as members of an order's payload."""
    ours = return_item(returnAuthorizationId="RMA1")
    return {"returnItems": [ours], "returnAuthorizations": [authorization(**changes)]}


def outcome(decode, status, body):
    """Return the text of the error that an answer is to a decoder, or nothing when it is a value."""
    try:
        decode(status, body)
    except (Refused, ContractBroken, Transient) as error:
        return str(error)
    return ""


# Nothing here is timed: the machine that runs it may be busy.
untimed = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


# ---- the order


def test_order_is_read_whole():
    """An order comes with its lines, shipments, return items and authorizations."""
    order = wire.decode_order(200, sample("order.json"))
    assert (order.order_id, order.displayable_order_id, order.status) == ("#1001", "Shop #1001", "COMPLETE")
    assert [(item.item_id, item.sku, item.quantity) for item in order.items] == [
        ("line-A", "SHIRT-M", 3),
        ("line-B", "SOCK-L", 1),
    ]
    shipped, cancelled = order.shipments
    assert (shipped.shipment_id, shipped.shipped, shipped.shipped_at) == ("DxQ1example", True, 1788244200.0)
    assert shipped.items[1] == ShippedItem(item_id="line-B", sku="SOCK-L", quantity=1)
    assert (cancelled.shipped, cancelled.shipped_at) == (False, None)
    assert order.return_items == (
        ReturnItem(
            return_item_id="mcfd-acme-7001234-55-1",
            order_item_id="line-A",
            shipment_id="DxQ1example",
            processed=True,
            changed_at=1789406400.0,
            authorization_id="RMAEXAMPLE000001",
            condition="CustomerDamaged",
            reason="CR-DEFECTIVE",
            center="RNO1",
        ),
        ReturnItem(
            return_item_id="mcfd-acme-7001234-56-1",
            order_item_id="line-B",
            shipment_id="DxQ1example",
            processed=False,
            changed_at=1788343872.0,
        ),
    )


def test_authorization_is_read_with_its_address():
    """An authorization says where the parcel goes, its RMA and its page."""
    second = wire.decode_order(200, sample("order.json")).authorizations[1]
    assert (second.authorization_id, second.rma_id, second.center) == ("RMAEXAMPLE000002", "DxRMA2", "ABE8")
    assert second.page_url == "https://www.amazon.com/gp/orc/rml/DxRMA2"
    assert second.ship_to == PostalAddress(
        name="Returns Department",
        line1="2 Gate Street",
        line2="Door 7",
        line3="Yard B",
        city="Allentown",
        region="PA",
        postal_code="18101",
        country_code="US",
        phone="610-555-0100",
    )


def test_oddities_are_read():
    """Ids as numbers, capitals, times without a zone, blanks and nulls, members and words that nobody knows."""
    order = wire.decode_order(200, sample("order_oddities.json"))
    assert (order.order_id, order.displayable_order_id, order.status) == ("20417", "", "CompletePartialled")
    assert [(item.item_id, item.sku, item.quantity) for item in order.items] == [("line-A", "40012", 2)]
    (shipped,) = order.shipments
    assert (shipped.shipment_id, shipped.shipped, shipped.shipped_at) == ("1578648261977", True, 1788244200.0)
    assert shipped.items == (ShippedItem(item_id="line-A", sku="40012", quantity=2),)
    assert order.return_items == (
        ReturnItem(
            return_item_id="mcfd-acme-7001234-55-1",
            order_item_id="line-A",
            shipment_id="1578648261977",
            processed=True,
            changed_at=1789406400.25,
            condition="Chewed by a dog",
        ),
        ReturnItem(
            return_item_id="made-in-seller-central",
            order_item_id="line-A",
            shipment_id="1578648261977",
            processed=False,
            changed_at=None,
        ),
    )
    (authorization_,) = order.authorizations
    assert (authorization_.rma_id, authorization_.center, authorization_.ship_to) == ("7700112233", "", None)
    assert authorization_.page_url == "https://www.amazon.com/gp/orc/rml/7700112233"


def test_shopper_is_never_decoded():
    """Nothing of destinationAddress or notificationEmails is in the decoded order."""
    body = sample("order.json")
    assert b"Rowan Pike" in body
    text = repr(wire.decode_order(200, body))
    assert not any(word in text for word in ("Rowan", "Larch", "83702", "555-0143", "example.net"))


def test_absent_lists_are_empty():
    """An order with no lists at all is an order with nothing in it."""
    head = {"sellerFulfillmentOrderId": "A", "fulfillmentOrderStatus": "New", "never": ["heard", "of"]}
    order = wire.decode_order(200, answer({"fulfillmentOrder": head, "returnItems": None}))
    assert (order.items, order.shipments, order.return_items, order.authorizations) == ((), (), (), ())
    assert order.displayable_order_id == ""


@pytest.mark.parametrize(
    ("status", "shipped"), [("SHIPPED", True), ("Shipped", True), ("PENDING", False), ("?", False)]
)
def test_shipped_is_compared_without_case(status, shipped):
    """Only what Amazon calls shipped, in any case, has shipped."""
    shipment = {"amazonShipmentId": "D1", "fulfillmentShipmentStatus": status}
    assert wire.decode_order(200, order_with(fulfillmentShipments=[shipment])).shipments[0].shipped is shipped


@pytest.mark.parametrize(("status", "processed"), [("New", False), ("NEW", False), ("processed", True)])
def test_return_status_is_compared_without_case(status, processed):
    """New and Processed are read in any case."""
    order = wire.decode_order(200, order_with(returnItems=[return_item(status=status)]))
    assert order.return_items[0].processed is processed


@pytest.mark.parametrize("word", ["Sellable", "Defective", "CustomerDamaged", "CarrierDamaged", "FulfillerDamaged"])
def test_conditions_are_spelled_as_in_the_model(word):
    """Each of the five conditions is known in any case."""
    for sent in (word, word.upper(), f" {word.lower()} "):
        order = wire.decode_order(
            200, order_with(returnItems=[return_item(sellerReturnItemId="mcfd-1", returnReceivedCondition=sent)])
        )
        assert order.return_items[0].condition == word


def test_condition_is_kept_as_it_was_sent():
    """A condition that nobody knows is passed on, not interpreted."""
    order = wire.decode_order(200, order_with(returnItems=[return_item(returnReceivedCondition="Chewed ")]))
    assert order.return_items[0].condition == "Chewed "


def test_the_units_of_another_integration_are_read_whole():
    """A return item under a foreign id has its condition and authorization, for its return may be taken over."""
    foreign = return_item(
        sellerReturnItemId="hosted-1", returnReceivedCondition="Defective", returnAuthorizationId="A9"
    )
    (item,) = wire.decode_order(200, order_with(returnItems=[foreign])).return_items
    assert (item.return_item_id, item.condition) == ("hosted-1", "Defective")
    assert item.authorization_id == "A9"


def test_an_order_is_readable_while_a_part_of_it_is_being_packed():
    """A shipment that has not left may lack its id; the others are read."""
    left = {"amazonShipmentId": "D1", "fulfillmentShipmentStatus": "SHIPPED"}
    for word in ("PENDING", "CANCELLED_BY_FULFILLER", "CANCELLED_BY_SELLER"):
        order = wire.decode_order(200, order_with(fulfillmentShipments=[{"fulfillmentShipmentStatus": word}, left]))
        assert [shipment.shipment_id for shipment in order.shipments] == ["D1"]


def test_a_shipment_that_has_left_must_have_its_id():
    """Units cannot be named at Amazon without the shipment that they came in."""
    with pytest.raises(ContractBroken, match="amazonShipmentId is absent"):
        wire.decode_order(200, order_with(fulfillmentShipments=[{"fulfillmentShipmentStatus": "SHIPPED"}]))


@pytest.mark.parametrize("oddity", [{"sellerReturnItemId": ...}, {"sellerReturnItemId": "by-hand", "status": "Lost"}])
def test_a_return_that_somebody_else_made_only_takes_a_unit(oddity):
    """What others return of the same order counts as returned, whatever it is called and wherever it is."""
    order = wire.decode_order(200, order_with(returnItems=[return_item(**oddity), return_item()]))
    theirs, ours = order.return_items
    assert (theirs.order_item_id, theirs.shipment_id, theirs.processed) == ("line-A", "D1", False)
    assert ours.return_item_id == "mcfd-1"


@pytest.mark.parametrize("oddity", [{"amazonShipmentId": ...}, {"sellerFulfillmentOrderItemId": None}])
def test_a_stranger_s_return_that_names_no_unit_is_passed_over(oddity):
    """It cannot be counted, and must not make the order unreadable."""
    rows = [return_item(sellerReturnItemId="by-hand", **oddity)]
    assert wire.decode_order(200, order_with(returnItems=rows)).return_items == ()


def test_a_stranger_s_authorization_need_not_be_readable():
    """Only the authorizations that our units name must be whole."""
    rows = [authorization(returnAuthorizationId="X", rmaPageURL=...), authorization()]
    order = wire.decode_order(200, order_with(**authorized() | {"returnAuthorizations": rows}))
    assert [found.authorization_id for found in order.authorizations] == ["RMA1"]


@pytest.mark.parametrize(("sent", "read"), [(2, 2), ("2", 2), ("0", 0)])
def test_a_count_may_be_written_as_text(sent, read):
    """Numbers arrive as text now and then."""
    row = {"sellerFulfillmentOrderItemId": "a", "sellerSku": "s", "quantity": sent}
    assert wire.decode_order(200, order_with(fulfillmentOrderItems=[row])).items[0].quantity == read


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"returnItems": [return_item(status="Lost")]}, "returnItems[0].status is neither New nor Processed"),
        ({"returnItems": [return_item(status=...)]}, "returnItems[0].status is absent"),
        ({"returnItems": [return_item(amazonShipmentId=None)]}, "amazonShipmentId is absent"),
        ({"returnItems": [return_item(returnReceivedCondition=True)]}, "returnReceivedCondition is not text"),
        ({"returnItems": [return_item(returnReceivedCondition="\ud800")]}, "returnReceivedCondition is not text"),
        ({"returnItems": [return_item(statusChangedDate="yesterday")]}, "statusChangedDate is not a time"),
        ({"returnItems": "none"}, "payload.returnItems is not a list"),
        ({"returnItems": ["r-1"]}, "payload.returnItems holds what is no object"),
        (authorized(amazonRmaId=""), "amazonRmaId is absent"),
        (authorized(rmaPageURL="javascript:x"), "rmaPageURL is not a web address"),
        (authorized(returnToAddress="Reno"), "returnToAddress is not an object"),
        (authorized(returnToAddress={"name": "R"}), "addressLine1 is absent"),
        ({"fulfillmentOrder": None}, "payload.fulfillmentOrder is absent"),
        ({"fulfillmentOrder": {"sellerFulfillmentOrderId": "A"}}, "fulfillmentOrderStatus is absent"),
        (
            {"fulfillmentOrderItems": [{"sellerFulfillmentOrderItemId": "a", "sellerSku": "s", "quantity": "one"}]},
            "fulfillmentOrderItems[0].quantity is not a count",
        ),
    ],
)
def test_unreadable_member_is_named_and_never_guessed(changes, named):
    """A member that cannot be read breaks the contract, and the error names its path."""
    with pytest.raises(ContractBroken) as broken:
        wire.decode_order(200, order_with(**changes))
    assert str(broken.value).endswith(named)


def test_error_names_the_member_but_not_its_value():
    """The text of a broken contract never shows what was sent."""
    with pytest.raises(ContractBroken) as broken:
        wire.decode_order(200, order_with(returnItems=[return_item(status="Rowan Pike")]))
    assert str(broken.value).startswith("getFulfillmentOrder: payload.returnItems[0].status is neither ")
    assert "Rowan" not in str(broken.value)


def test_missing_seller_reason_is_tolerated():
    """Amazon's own example leaves out sellerReturnReasonCode."""
    assert "sellerReturnReasonCode" not in return_item()
    assert wire.decode_order(200, order_with(returnItems=[return_item()])).return_items[0].reason is None


def test_authorization_may_lack_address_and_center():
    """An authorization without an address or a center is read all the same."""
    row = authorization(returnToAddress=..., fulfillmentCenterId=...)
    read = wire.decode_order(200, order_with(returnAuthorizations=[row])).authorizations[0]
    assert (read.ship_to, read.center) == (None, "")


@pytest.mark.parametrize(
    ("sent", "seconds"),
    [
        ("2026-09-02T10:11:12Z", 1788343872.0),
        ("2026-09-02T10:11:12", 1788343872.0),
        ("2026-09-02T12:11:12.500+02:00", 1788343872.5),
        ("", None),
    ],
)
def test_times_are_unix_seconds(sent, seconds):
    """ISO times become Unix seconds; without an offset they are UTC."""
    order = wire.decode_order(200, order_with(returnItems=[return_item(statusChangedDate=sent)]))
    assert order.return_items[0].changed_at == seconds


def test_numeric_id_is_read_as_text():
    """An id that Amazon prints as a number is the same id."""
    order = wire.decode_order(200, order_with(returnItems=[return_item(amazonShipmentId=1578648261977)]))
    assert order.return_items[0].shipment_id == "1578648261977"


# ---- success is decided by status and body


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, sample("order_unknown.json")),
        (400, errors(message="Requested order NOT FOUND")),
        (400, errors(message="The order does not exist")),
        (400, errors(message="We are unable to find the order.")),
        (400, errors(message="We can't do that", details="No such order.")),
        (404, errors("NotFound", "whatever")),
    ],
)
def test_unknown_order_is_none(status, body):
    """A 404 of the application and Amazon's 400 both mean that there is no such order."""
    assert wire.decode_order(status, body) is None


def test_gateway_404_is_not_an_unknown_order():
    """A 404 that lists no errors did not come from the application: it says nothing about the order."""
    with pytest.raises(Refused) as refused:
        wire.decode_order(404, b'{"message": "Not Found"}')
    assert refused.value.code == "HTTP404"


def test_other_400_is_refused():
    """Any other 400 is Amazon's no, with its code and its words."""
    with pytest.raises(Refused) as refused:
        wire.decode_order(400, sample("refused.json"))
    assert (refused.value.code, refused.value.said) == ("InvalidInput", "No inventory for the order item id line-A.")


@pytest.mark.parametrize(("code", "kind"), [("InvalidInput", Refused), ("InternalFailure", Unavailable)])
def test_200_with_errors_and_no_payload_is_a_failure(code, kind):
    """Status 200 with a list of errors is no success; what passes is told from what does not by its code."""
    for decode in DECODERS:
        with pytest.raises(kind):
            decode(200, errors(code))


def test_200_with_errors_and_empty_payload_is_a_failure():
    """An empty payload beside errors is no success either."""
    with pytest.raises(Refused):
        wire.decode_created(200, json.dumps({"payload": {}, "errors": [{"code": "InvalidInput"}]}).encode())


def test_errors_beside_a_result_do_not_hide_it():
    """A payload with content is the answer, whatever stands beside it."""
    body = json.loads(sample("created.json")) | {"errors": [{"code": "Partial", "message": ""}]}
    assert len(wire.decode_created(200, json.dumps(body).encode()).return_items) == 1


def test_single_error_object_is_understood():
    """Errors that came as one object instead of a list are still errors."""
    with pytest.raises(Refused) as refused:
        wire.decode_reasons(200, b'{"errors": {"code": "Odd", "message": 7}}')
    assert (refused.value.code, refused.value.said) == ("Odd", "")


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("QuotaExceeded", RateLimited),
        ("TooManyRequests", RateLimited),
        ("RequestThrottled", RateLimited),
        ("InternalFailure", Unavailable),
        ("InternalError", Unavailable),
        ("InternalServerError", Unavailable),
        ("ServiceUnavailable", Unavailable),
    ],
)
def test_what_passes_is_told_by_its_code_whatever_the_status(code, kind):
    """To slow down, or to come again, is said by the code, even when the status says something else."""
    with pytest.raises(kind, match=rf"^listReturnReasonCodes: {code} \(status 400\)$"):
        wire.decode_reasons(400, errors(code))


def test_the_code_and_its_texts_are_not_read_as_one():
    """A word that begins in the code and ends in the message is no word."""
    with pytest.raises(Refused):
        wire.decode_order(400, errors("Not", "found by nobody"))
    with pytest.raises(Refused):
        wire.decode_order(400, errors("InvalidInput", "It was not", "Found elsewhere"))


def test_operations_are_named_as_amazon_names_them():
    """The names are those of the model: limits, metrics and messages use them."""
    names = {wire.GET_ORDER, wire.LIST_ORDERS, wire.LIST_REASONS, wire.CREATE_RETURN}
    assert names == {
        "getFulfillmentOrder",
        "listAllFulfillmentOrders",
        "listReturnReasonCodes",
        "createFulfillmentReturn",
    }
    assert envelope.UNAUTHORIZED == "Unauthorized"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"<html><body>oops</body></html>", "HTML or XML, not JSON"),
        (b"oops", "not JSON"),
        (b"[1]", "JSON, but no object"),
        (b"null", "JSON, but no object"),
        (b'{"payload": NaN}', "not JSON"),
        (b'{"payload": 1e99999999999999999999}', "not JSON"),
        (b'{"payload": "\xff"}', "not JSON"),
        (b"1" * 5000, "not JSON"),
        (b'{"payload":' + b"[" * 200_000, "not JSON"),
    ],
)
def test_what_is_not_json_breaks_the_contract(body, said):
    """A body that is no JSON object is never a success and never "no return items"."""
    for decode in DECODERS:
        for status in (200, 404):
            with pytest.raises(ContractBroken, match=said):
                decode(status, body)


@pytest.mark.parametrize("body", [b"", b" \n"])
def test_an_empty_success_is_no_answer(body):
    """A success without a body is a gateway's accident, to be asked for again; a refusal without one is unreadable."""
    for decode in DECODERS:
        with pytest.raises(Unavailable, match="the answer is empty"):
            decode(200, body)
        with pytest.raises(ContractBroken, match="empty"):
            decode(404, body)


@pytest.mark.parametrize("body", [b"{}", b'{"payload": null}', b'{"payload": []}', b'{"payload": null, "errors": []}'])
def test_success_needs_a_payload(body):
    """Status 200 with neither payload nor errors breaks the contract."""
    for decode in DECODERS:
        with pytest.raises(ContractBroken):
            decode(200, body)


def test_refusal_is_bounded_and_printable():
    """What Amazon says is cut, put on one line, freed of e-mail addresses, and no part of the error's own text."""
    with pytest.raises(Refused) as refused:
        wire.decode_created(400, errors("X\x00" * 99, "No\n  good\x1b[31m for rowan.pike@example.net " + "y" * 999))
    assert refused.value.said.startswith("No good [31m for […] yyy")
    assert len(refused.value.said) == envelope.LONGEST_MESSAGE
    assert str(refused.value) == "HTTP400"  # what stands for the code is none


def test_details_are_kept_apart_with_the_words():
    """The details of an error may repeat a request's texts, as its message may."""
    with pytest.raises(Refused) as refused:
        wire.decode_created(400, errors("InvalidInput", "Invalid address.", "Rowan Pike, 18 Larch Row"))
    assert refused.value.said == "Invalid address. (Rowan Pike, 18 Larch Row)"
    assert str(refused.value) == "InvalidInput"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"<html>Rowan Pike", "status 403"),
        (b'{"message": "Forbidden"}', "status 403"),
        (errors("Unauthorized", "Rowan Pike may not see this."), "Unauthorized (status 403)"),
        (errors("Rowan Pike", "Rowan Pike"), "HTTP403 (status 403)"),
        (
            errors("Unauthorized", "Access to requested resource is denied, Rowan Pike."),
            "Access to requested resource is denied (status 403)",
        ),
    ],
)
def test_a_denial_repeats_only_what_is_known(body, words):
    """Of a 403 the code is told, or a sentence that Amazon is known to say; of a gateway's the status."""
    assert envelope.denial("op", 403, body) == envelope.Denial(words)


def test_an_expired_client_secret_is_told_from_other_denials():
    """Tokens are issued, and calls are refused with a text that names the secret."""
    said = "The LWA secret token you provided has expired. For assistance, contact Rowan Pike."
    denied = envelope.denial("op", 403, errors("Unauthorized", said))
    assert denied.secret_expired
    assert "amazon_client_secret" in denied.words
    assert "Rowan" not in denied.words


# ---- create, reasons, list


def test_created_tells_accepted_from_refused():
    """One answer may accept some units and refuse others."""
    created = wire.decode_created(200, sample("created.json"))
    assert [item.return_item_id for item in created.return_items] == ["mcfd-acme-7001234-55-1"]
    assert created.invalid_items == (
        InvalidItem(
            return_item_id="mcfd-acme-7001234-55-2",
            code="NoReturnableQuantity",
            description="All returnable units are already assigned to return items.",
        ),
    )
    assert [a.rma_id for a in created.authorizations] == ["DxRMA1"]


def test_created_without_authorizations_and_with_a_new_reason():
    """Authorizations may come later, a reason nobody knows is passed on, and errors beside a result hide nothing."""
    created = wire.decode_created(200, sample("created_oddities.json"))
    assert [(item.return_item_id, item.authorization_id) for item in created.return_items] == [
        ("mcfd-acme-7001234-55-1", None)
    ]
    assert [(item.code, item.description) for item in created.invalid_items] == [("TooOldToReturn", "")]
    assert created.authorizations == ()


@pytest.mark.parametrize(
    "payload", [{}, {"returnItems": None, "invalidReturnItems": None}, {"returnAuthorizations": []}]
)
def test_created_lists_may_be_absent(payload):
    """Any list of the answer may be missing or null."""
    created = wire.decode_created(200, answer(payload))
    assert (created.return_items, created.invalid_items, created.authorizations) == ((), (), ())


@pytest.mark.parametrize(
    "row",
    [
        {"sellerReturnItemId": "r"},
        {"sellerReturnItemId": "r", "invalidItemReason": {"description": "no"}},
        {"invalidItemReason": {"invalidItemReasonCode": "X"}},
    ],
)
def test_refused_unit_needs_its_id_and_code(row):
    """A refused unit without its id or Amazon's code is unreadable."""
    with pytest.raises(ContractBroken):
        wire.decode_created(200, answer({"invalidReturnItems": [row]}))


def test_refused_unit_needs_no_description():
    """Amazon's words may be missing."""
    row = {"sellerReturnItemId": "r", "invalidItemReason": {"invalidItemReasonCode": "X"}}
    assert wire.decode_created(200, answer({"invalidReturnItems": [row]})).invalid_items[0].description == ""


def test_reason_codes_keep_their_order():
    """The first code is the one Amazon names first; an absent list allows none."""
    assert wire.decode_reasons(200, sample("reasons.json")) == ("CR-UNWANTED_ITEM", "CR-DEFECTIVE", "AMZ-PG-BAD-DESC")
    assert wire.decode_reasons(200, answer({})) == ()


def test_page_of_orders():
    """A page has its heads and the token of the next one."""
    page = wire.decode_page(200, sample("orders_page.json"))
    assert page.heads == (
        OrderHead(order_id="#1001", displayable_order_id="Shop #1001", changed_at=1788244200.0),
        OrderHead(order_id="GW-77", displayable_order_id="Shop #1002", changed_at=1788244200.0),
    )
    assert page.next_token == "bmV4dA==+/1"


@pytest.mark.parametrize(
    ("dates", "changed_at"),
    [
        ({"statusUpdatedDate": "2026-09-01T06:30:00Z", "receivedDate": "2026-08-30T08:00:05Z"}, 1788244200.0),
        ({"receivedDate": "2026-09-01T06:30:00Z"}, 1788244200.0),
        ({"statusUpdatedDate": "soon", "receivedDate": 7}, 0.0),
        ({}, 0.0),
    ],
)
def test_an_order_of_the_list_says_when_it_changed(dates, changed_at):
    """By the date of its status, else of its arrival; a date that cannot be read does not hide the order."""
    page = wire.decode_page(200, answer({"fulfillmentOrders": [{"sellerFulfillmentOrderId": "A", **dates}]}))
    assert [(head.order_id, head.changed_at) for head in page.heads] == [("A", changed_at)]


@pytest.mark.parametrize(
    ("members", "received_at", "postal_code"),
    [
        (
            {"receivedDate": "2026-09-01T06:30:00Z", "destinationAddress": {"postalCode": "83702"}},
            1788244200.0,
            "83702",
        ),
        ({"receivedDate": "soon", "destinationAddress": {"postalCode": None}}, None, ""),
        ({"receivedDate": None, "destinationAddress": "hidden"}, None, ""),
        ({"destinationAddress": {"postalCode": {}}}, None, ""),
        ({}, None, ""),
    ],
)
def test_what_tells_two_orders_apart_is_good_to_know(members, received_at, postal_code):
    """The order's date and postal code are taken where they can be read, and are never what makes it unreadable."""
    head = {"sellerFulfillmentOrderId": "A", "fulfillmentOrderStatus": "Complete", **members}
    order = wire.decode_order(200, answer({"fulfillmentOrder": head}))
    assert order is not None
    assert (order.received_at, order.postal_code) == (received_at, postal_code)
    assert postal_code == "" or postal_code not in repr(order)


def test_an_unreadable_order_does_not_hide_the_others():
    """One odd row must not keep the list from its next page; a page of nothing but odd rows is no page."""
    odd, good = {"displayableOrderId": "x"}, {"sellerFulfillmentOrderId": "GW-77"}
    assert [head.order_id for head in wire.decode_page(200, answer({"fulfillmentOrders": [odd, good]})).heads] == [
        "GW-77"
    ]
    with pytest.raises(ContractBroken, match="no order that can be read"):
        wire.decode_page(200, answer({"fulfillmentOrders": [odd]}))


def test_last_page_has_no_token():
    """An empty token and an absent one both end the list."""
    assert wire.decode_page(200, sample("orders_last_page.json")).next_token == ""
    assert wire.decode_page(200, answer({})) == wire.OrderPage(heads=(), next_token="")


def test_create_body_has_one_item_per_unit_and_no_comment():
    """Each unit is one item under its own id; nothing that a person wrote goes out."""
    unit = ReturnUnit(
        line_id="55",
        portal_sku="S",
        sku="S",
        reason="it smells of smoke",
        return_item_id="r-1",
        order_item_id="line-A",
        shipment_id="D1",
        reason_code="CR-DEFECTIVE",
    )
    body = json.loads(wire.encode_create([unit, unit]))
    item = {
        "sellerReturnItemId": "r-1",
        "sellerFulfillmentOrderItemId": "line-A",
        "amazonShipmentId": "D1",
        "returnReasonCode": "CR-DEFECTIVE",
    }
    assert body == {"items": [item, item]}
    assert swagger.problems(swagger.FULFILLMENT, "CreateFulfillmentReturnRequest", body) == []


# ---- paths


@pytest.mark.parametrize(
    ("order_id", "encoded"),
    [
        ("#1001", "%231001"),
        ("A+B", "A%2BB"),
        ("a/b", "a%2Fb"),
        ("two  blanks", "two%20%20blanks"),
        ("%23", "%2523"),
        ("Käse?&=", "K%C3%A4se%3F%26%3D"),
        ("plain-1_2.3~", "plain-1_2.3~"),
    ],
)
def test_ids_are_encoded_once(order_id, encoded):
    """Every reserved character of an order id is percent-encoded, once."""
    assert wire.order_path(order_id) == f"/fba/outbound/2020-07-01/fulfillmentOrders/{encoded}"
    assert wire.create_return_path(order_id) == wire.order_path(order_id) + "/return"


def test_first_page_is_named_by_its_start_and_later_ones_by_the_token():
    """A start date and a token never go out together."""
    assert wire.orders_path(1788343872.9, "").endswith("/fulfillmentOrders?queryStartDate=2026-09-02T10%3A11%3A12Z")
    assert wire.orders_path(-5.0, "").endswith("queryStartDate=1970-01-01T00%3A00%3A00Z")
    assert wire.orders_path(1788343872.9, "a+/=").endswith("/fulfillmentOrders?nextToken=a%2B%2F%3D")


def test_sku_is_encoded_in_the_query():
    """A SKU may hold a blank, a quote or an ampersand."""
    path = wire.reasons_path('A "b"&c', "ATVPDKIKX0DER")
    assert path.endswith("/returnReasonCodes?sellerSku=A%20%22b%22%26c&marketplaceId=ATVPDKIKX0DER")


# ---- whatever comes


@pytest.mark.parametrize(
    ("name", "definition"),
    [
        ("order.json", "GetFulfillmentOrderResponse"),
        ("created.json", "CreateFulfillmentReturnResponse"),
        ("reasons.json", "ListReturnReasonCodesResponse"),
        ("orders_page.json", "ListAllFulfillmentOrdersResponse"),
        ("orders_last_page.json", "ListAllFulfillmentOrdersResponse"),
        ("order_unknown.json", "GetFulfillmentOrderResponse"),
        ("refused.json", "CreateFulfillmentReturnResponse"),
    ],
)
def test_samples_are_what_amazon_documents(name, definition):
    """Every sample fits Amazon's own model, but for capitals that it really sends."""
    document = json.loads(sample(name))
    found = swagger.problems(swagger.FULFILLMENT, definition, document)
    assert [problem for problem in found if "'COMPLETE' is not one of" not in problem] == []


NAMES = st.sampled_from(
    [
        *("payload", "errors", "code", "message", "details", "fulfillmentOrder", "sellerFulfillmentOrderId"),
        *("fulfillmentOrderStatus", "fulfillmentOrders", "nextToken", "fulfillmentShipments", "amazonShipmentId"),
        *("fulfillmentShipmentStatus", "shippingDate", "returnItems", "status", "statusChangedDate"),
        *("sellerReturnItemId", "invalidReturnItems", "invalidItemReason", "returnAuthorizations", "reasonCodeDetails"),
    ]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["New", "2026-09-02"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES | st.text(max_size=3), inner, max_size=6),
    max_leaves=25,
)


@untimed
@given(body=JSON.map(lambda value: json.dumps(value).encode()) | st.binary(), status=st.sampled_from([200, 400, 404]))
def test_no_answer_crashes_a_decoder(body, status):
    """Whatever Amazon sends is a value or one of our own errors, with a text that can be logged."""
    for decode in DECODERS:
        assert outcome(decode, status, body).isprintable()


@untimed
@given(changes=st.dictionaries(NAMES, JSON, max_size=4))
def test_no_order_crashes_the_decoder(changes):
    """An order with members replaced by anything is a value or a broken contract."""
    assert outcome(wire.decode_order, 200, order_with(**changes)).isprintable()
