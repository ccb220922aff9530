"""What the call journal keeps of requests and answers: what an allow-list names, and never a person's data."""

import json
from pathlib import Path

import pytest

from adapters.amazon_mcf.wire.journal import JOURNALED as AMAZON
from adapters.easypost.wire.journal import JOURNALED as EASYPOST
from adapters.loop_returns.wire.journal import JOURNALED as LOOP
from adapters.vendor_calls.call_fields import LARGEST, LONGEST_VALUE, MOST_FIELDS, AllowList

SAMPLES = Path(__file__).parents[1] / "samples"
PEOPLE = (
    "Rowan",
    "Pike",
    "Larch",
    "Boise",
    "83702",
    "208",
    "rowan",
    "example.org",
    "example.net",
    "label",
    ".pdf",
    "Flat",
)
LISTS = {"amazon_mcf": AMAZON, "loop_returns": LOOP, "easypost": EASYPOST}


@pytest.mark.parametrize("path", sorted(SAMPLES.glob("*/*.json")), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_no_sample_lets_a_persons_data_through(path):
    """Of every answer that we have, nothing about a person and no link to a label is kept."""
    kept = LISTS[path.parent.name].fields(path.read_bytes())

    assert [value for value in kept.values() if any(word in str(value) for word in PEOPLE)] == []


def test_an_answer_is_kept_by_its_ids_and_states():
    """The answer to a created return names each unit, its state, and why another was refused."""
    kept = AMAZON.fields((SAMPLES / "amazon_mcf/created.json").read_bytes())

    assert kept == {
        "payload.returnItems.sellerReturnItemId": "mcfd-acme-7001234-55-1",
        "payload.returnItems.status": "New",
        "payload.returnItems.statusChangedDate": "2026-09-02T10:11:12Z",
        "payload.returnItems.returnAuthorizationId": "RMAEXAMPLE000001",
        "payload.invalidReturnItems.sellerReturnItemId": "mcfd-acme-7001234-55-2",
        "payload.invalidReturnItems.invalidItemReason.invalidItemReasonCode": "NoReturnableQuantity",
        "payload.returnAuthorizations.returnAuthorizationId": "RMAEXAMPLE000001",
        "payload.returnAuthorizations.amazonRmaId": "DxRMA1",
        "payload.returnAuthorizations.fulfillmentCenterId": "RNO1",
    }


def test_a_refusal_is_kept_by_its_code_alone():
    """The vendor's words may quote an address, so only the code stays."""
    assert EASYPOST.fields((SAMPLES / "easypost/error_address.json").read_bytes()) == {
        "error.code": "ADDRESS.VERIFY.FAILURE",
        "error.errors.code": "E.ADDRESS.NOT_FOUND",
        "error.errors.field": "address",
    }


@pytest.mark.parametrize(
    ("allowed", "url", "kept"),
    [
        (AMAZON, "https://a.test/fba/outbound/2020-07-01/fulfillmentOrders/%231001/return", {"order": "#1001"}),
        (AMAZON, "https://a.test/shipping/v2/tracking?trackingId=TBA1&carrierId=AMZN_US", {"tracking": "TBA1"}),
        (AMAZON, "https://a.test/shipping/v2/shipments/rates", {}),
        (AMAZON, "https://a.test/shipping/v2/shipments/8785/cancel", {"shipment": "8785"}),
        (LOOP, "https://l.test/2026-10/label-requests/733104", {"label_request": "733104"}),
        (LOOP, "https://l.test/2026-10/warehouse/return/details?return_id=58120031", {"return": "58120031"}),
        (LOOP, "https://l.test/2026-10/warehouse/return/58120031/notes", {"return": "58120031"}),
        (EASYPOST, "https://e.test/v2/shipments/shp_a1/buy", {"shipment": "shp_a1"}),
        (EASYPOST, "https://files.test/postage_label/20261124/e8aa.pdf", {}),
    ],
)
def test_the_ids_of_a_url_are_kept(allowed, url, kept):
    """Of a URL only the ids in known places stay; a link to a label leaves nothing."""
    assert allowed.place(url) == kept


@pytest.mark.parametrize(
    "body", [None, b"", b"\xff", b"{", b"[" * 100_000, b'"x"', b"7", b'{"id": ' + b"1" * LARGEST + b"}"]
)
def test_what_cannot_be_looked_into_keeps_nothing(body):
    """A body that is no JSON object, or a huge one, keeps no fields and raises nothing."""
    assert AllowList(["id"]).fields(body) == {}


@pytest.mark.parametrize("value", ["x" * (LONGEST_VALUE + 1), "me@example.org", "two\nlines", "", " ", None, {}, ["@"]])
def test_what_cannot_be_an_id_is_left_out(value):
    """A text that is long, has several lines or an e-mail address is left out even where an id is allowed."""
    assert AllowList(["id"]).fields(json.dumps({"id": value}).encode()) == {}


def test_a_sentence_is_no_code():
    """Where a code should be, a sentence that may quote the shopper is left out."""
    said = {"error": {"code": "no such place: 18 Larch Row"}, "errors": [{"code": "BAD.ONE"}]}

    assert LOOP.fields(json.dumps(said).encode()) == {"errors.code": "BAD.ONE"}


def test_a_long_list_is_cut():
    """At most so many fields of one body are kept, the first ones."""
    body = json.dumps({"items": [{"id": n} for n in range(MOST_FIELDS * 2)]}).encode()

    assert list(AllowList(["items.id"]).fields(body).values()) == list(range(MOST_FIELDS))
