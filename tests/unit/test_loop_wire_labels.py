import json
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.loop_returns.wire.labels import read_label_id, read_label_request, read_request_page
from adapters.loop_returns.wire.setup import (
    Destination,
    Subscription,
    read_destinations,
    read_subscription,
    read_subscriptions,
)
from daemon.domain.orders import PostalAddress
from daemon.domain.portal import ParcelSize, PortalLabelRequest, RequestStatus
from daemon.errors import ContractBroken
from daemon.ports.vendors import IssuedRequest

SAMPLES = Path(__file__).parents[1] / "samples" / "loop_returns"
LEAST = {"id": 1, "return_id": 2, "status": "issued"}


def sample(name: str) -> object:
    """Load a sample."""
    return json.loads((SAMPLES / f"{name}.json").read_bytes())


def request(**fields: object) -> PortalLabelRequest:
    """Read a label request of the least fields and these."""
    return read_label_request({**LEAST, **fields}, "1")


def test_a_label_request_is_read():
    """Every field that mcfd decides on is taken from where the API has it."""
    assert read_label_request(sample("label_request"), "733104") == PortalLabelRequest(
        request_id="733104",
        return_id="58120031",
        status=RequestStatus.ISSUED,
        skus=("SOCK-2P-M", "CAP-BLK"),
        errors=("Amazon has no fulfilment order for this return",),
        origin_country="US",
        origin=PostalAddress(
            name="Rowan Pike",
            line1="18 Larch Row",
            line2="Flat 2",
            city="Boise",
            region="ID",
            postal_code="83702",
            country_code="US",
        ),
        private=("18 Larch Row", "83702", "Boise", "Flat 2", "ID", "Rowan Pike"),
        parcel=ParcelSize(length_in=12.0, width_in=9.5, height_in=4.0, weight_g=410.5),
        created_at=1793726441.0,
    )


def test_oddities_are_read():
    """Ids as text, a postal code as a number, a list with gaps, halves of letters, sizes that are none."""
    assert read_label_request(sample("label_request_oddities"), "733105") == PortalLabelRequest(
        request_id="733105",
        return_id="58120034",
        status=RequestStatus.FULFILLED,
        skus=("40012", ""),
        errors=("INVALID_ADDRESS", "out of paper"),
        origin_country="US",
        origin=PostalAddress(
            name="Ada Quay ", line1="2 Hill St", city="Boston", postal_code="02134", country_code="US"
        ),
        private=("2 Hill St", "2134", "Ada\x00Quay\ud83d", "Boston"),
        parcel=ParcelSize(height_in=4.5),
    )


def test_little_is_needed():
    """Id, return and status suffice."""
    assert request() == PortalLabelRequest(request_id="1", return_id="2", status=RequestStatus.ISSUED)


@pytest.mark.parametrize("empty", [None, [], ""])
def test_empty_objects_are_absent(empty):
    """PHP spells an empty object as a list."""
    assert request(addresses=empty, parcel=empty) == request()
    assert request(addresses={"origin": empty}) == request()


@pytest.mark.parametrize("word", ["issued", "cancelled", "fulfilled"])
def test_a_status_is_read(word):
    """Each status by its own word."""
    assert request(status=word).status == word


@pytest.mark.parametrize(
    ("country", "given", "read"), [("us", "512", "00512"), ("DE", 1067, "1067"), ("US", "A1", "A1")]
)
def test_only_american_codes_regain_their_zeros(country, given, read):
    """Five digits are only certain in the United States."""
    origin = request(addresses={"origin": {"postal_code": given, "country_code": country}}).origin
    assert origin is not None
    assert origin.postal_code == read


@pytest.mark.parametrize("odd", [True, -1, 0, "", "NaN", "inf", 10**400, [4], {"cm": 4}, None])
def test_a_size_that_is_none_was_left_out(odd):
    """A size must be positive and finite."""
    assert request(parcel={"height": odd, "weight": 3}).parcel == ParcelSize(weight_g=3.0)


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"id": None}, "id is unreadable"),
        ({"return_id": True}, "return_id is unreadable"),
        ({"status": "waiting"}, "status is unreadable"),
        ({"products": "none"}, "products is unreadable"),
        ({"products": [{}, 7]}, "products.1 is unreadable"),
        ({"products": [{"sku": []}]}, "products.0.sku is unreadable"),
        ({"errors": [{"message": [1]}]}, "errors.0 is unreadable"),
        ({"addresses": {"origin": {"city": {}}}}, "addresses.origin.city is unreadable"),
    ],
)
def test_the_unreadable_field_is_named(fields, place):
    """ContractBroken says where it is and not what it says."""
    with pytest.raises(ContractBroken, match=f"^Loop label request: {place}$"):
        request(**fields)


@pytest.mark.parametrize("name", ["id", "return_id", "status"])
def test_what_is_needed_is_missed(name):
    """Each of the three needed fields is named when it is missing."""
    with pytest.raises(ContractBroken, match=f"^Loop label request: {name} is missing$"):
        read_label_request({key: value for key, value in LEAST.items() if key != name}, "1")


def test_another_request_is_not_taken():
    """An answer about another request is broken."""
    with pytest.raises(ContractBroken, match="asked for"):
        read_label_request(LEAST, "2")


def test_a_page_of_requests_is_read():
    """Rows have ids as text or as numbers."""
    page = read_request_page(sample("label_requests_page"))
    assert page.requests == [
        IssuedRequest(request_id="733104", return_id="58120031"),
        IssuedRequest(request_id="733106", return_id="58120035"),
    ]
    assert page.size == 2


def test_a_bare_page_is_read():
    """A bare array is a page, too, and an empty one is the end."""
    assert read_request_page([{"id": 1, "return_id": 2}]).requests == [IssuedRequest(request_id="1", return_id="2")]
    assert read_request_page({"data": []}).size == 0


def test_a_broken_row_does_not_hide_the_others():
    """Rows are hints: what can be read is used, and all of them count for the paging."""
    page = read_request_page({"data": [{"id": None}, {"id": 5, "return_id": 6}, "x"]})
    assert page.requests == [IssuedRequest(request_id="5", return_id="6")]
    assert page.size == 3


@pytest.mark.parametrize("value", [None, {}, {"data": None}, {"data": 7}, "x", {"data": [{"id": 1}]}, [[]]])
def test_a_page_without_a_readable_row_is_broken(value):
    """Nothing readable is not the same as nothing."""
    with pytest.raises(ContractBroken, match=r"^Loop label requests: "):
        read_request_page(value)


@pytest.mark.parametrize(
    ("value", "location", "label_id"),
    [
        (sample("label_created"), None, "550771"),
        (sample("label_created_older"), None, "7b1f0c22-9f6e-4a43-8f25-5f1c6d1e8a10"),
        ({"id": "7b1f-aa"}, "https://x/labels/9", "7b1f-aa"),
        (None, "https://api.example/api/2026-10/labels/550772", "550772"),
        ({"id": None}, "/labels/550773/", "550773"),
        (True, "/labels/7b%2D1?x=1", "7b-1"),
        ([], "/labels/8#x", "8"),
    ],
)
def test_a_label_id_is_found(value, location, label_id):
    """It is in the body, or else in the Location."""
    assert read_label_id(value, location) == label_id


@pytest.mark.parametrize(
    ("value", "location", "place"),
    [
        (None, None, "id is missing"),
        ({}, "https://x/other/9", "id is missing"),
        ({"id": True}, "/labels/9", "id is unreadable"),
        ({}, "/labels/%00", "id is unreadable"),
    ],
)
def test_a_label_without_an_id_is_broken(value, location, place):
    """No id is made up."""
    with pytest.raises(ContractBroken, match=f"^Loop label: {place}$"):
        read_label_id(value, location)


def test_destinations_are_read():
    """Each has an id, a name, a kind, and is on or off."""
    assert read_destinations(sample("destinations")) == [
        Destination(destination_id="6021", name="Amazon MCF", kind="warehouse", enabled=True),
        Destination(destination_id="6022", name="Food bank", kind="donate", enabled=False),
    ]
    assert read_destinations([{"id": 1}])[0].enabled
    assert read_destinations(sample("destinations_oddities")) == [
        Destination(destination_id="6021", name="", kind="warehouse", enabled=True),
        Destination(destination_id="6023", name="", kind="", enabled=False),
    ]


def test_webhooks_are_read():
    """Each subscription says what it delivers, where, and whether it does."""
    url = "https://mcfd.example.net/webhooks/loop/acme"
    assert read_subscriptions(sample("webhooks")) == [
        Subscription(webhook_id="90211", topic="label.request", trigger="label.request.issued", url=url, active=True),
        Subscription(webhook_id="90212", topic="return", trigger="return.closed", url=url, active=False),
    ]
    odd = read_subscriptions(sample("webhooks_oddities"))
    assert [(one.webhook_id, one.trigger, one.active) for one in odd] == [
        ("90213", "label.requested", True),
        ("90214", "return.closed", False),
    ]


@pytest.mark.parametrize("name", ["id", "topic", "trigger", "url"])
def test_a_webhook_is_read_whole(name):
    """Each of its fields is needed."""
    whole = {"id": 1, "topic": "t", "trigger": "g", "url": "u"}
    assert not read_subscription(whole).active
    del whole[name]
    with pytest.raises(ContractBroken, match=f"^Loop webhooks: {name} is missing$"):
        read_subscription(whole)


@pytest.mark.parametrize(("read", "key"), [(read_destinations, "destinations"), (read_subscriptions, "webhooks")])
def test_no_list_is_broken(read, key):
    """What is not a list names the key that it should be under."""
    with pytest.raises(ContractBroken, match=f"{key} is not a list"):
        read({key: "none"})


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
FIELDS = ("id", "return_id", "status", "addresses", "parcel", "products", "errors")


@given(st.dictionaries(st.sampled_from(FIELDS), json_values))
def test_random_requests_are_read_or_refused(fields):
    """Any JSON in any field gives a label request or ContractBroken."""
    with suppress(ContractBroken):
        assert read_label_request({**LEAST, **fields}, "1").request_id == "1"
