"""EasyPost's wire: what is asked, and what its answers say."""

import json
from pathlib import Path

import pytest

from adapters.easypost.wire import accounts, errors, files, shipments, trackers, webhooks
from adapters.easypost.wire.shipments import Asking
from daemon.domain.orders import PostalAddress
from daemon.domain.portal import ParcelSize
from daemon.domain.postage import PostageOrder
from daemon.domain.returns import Transit
from daemon.errors import BadSignature, ContractBroken, Refused, Unavailable

SAMPLES = Path(__file__).parents[1] / "samples" / "easypost"
NOV_24, NOV_25_9H, NOV_27_15H = 1795514400.0, 1795597200.0, 1795791600.0

SHOPPER = PostalAddress(
    name="Zoë Straße", line1="18 Larch Row", line2="Apt 4", city="Boise", region="ID", postal_code="83702",
    country_code="US",
)  # fmt: skip
CENTER = PostalAddress(
    name="Amazon Returns", line1="900 Depot Ave", city="Reno", region="NV", postal_code="89506", country_code="US",
    phone="7755550100",
)  # fmt: skip


def sample(name: str) -> bytes:
    return (SAMPLES / f"{name}.json").read_bytes()


def order(**changes) -> PostageOrder:
    size = ParcelSize(length_in=12.0, width_in=9.41, height_in=4.0, weight_g=411.0)
    facts = {
        "reference": "77-A1",
        "key": "r" * 64,
        "ship_from": SHOPPER,
        "ship_to": CENTER,
        "rma_id": "RMA-1",
        "size": size,
        "value_cents": 1999,
        "skus": ("SOCK",),
    }
    return PostageOrder(**{**facts, **changes})


def asked(wanted: PostageOrder, asking: Asking | None = None) -> dict:
    return json.loads(shipments.encode_shipment(wanted, asking or Asking()))["shipment"]


# ---- what is asked


def test_a_return_is_asked_for_the_other_way_round():
    """The shopper is `to`, the center `from`, and `is_return` has EasyPost turn them."""
    body = asked(order(), Asking(shopper_phone="208 555 0100"))
    assert (body["is_return"], body["to_address"]["zip"], body["from_address"]["zip"]) == (True, "83702", "89506")
    assert body["to_address"]["name"] == body["to_address"]["company"] == "Zoe Strasse"
    assert (body["to_address"]["phone"], body["from_address"]["phone"]) == ("2085550100", "7755550100")
    assert body["reference"] == "r" * 64
    assert body["options"] == {"label_format": "PDF", "label_size": "4x6", "print_custom_1": "RMA RMA-1"}
    assert "carrier_accounts" not in body


def test_only_the_named_carrier_accounts_are_rated():
    """Accounts that the merchant did not name are not asked."""
    assert asked(order(), Asking(carrier_accounts=("ca_1",)))["carrier_accounts"] == ["ca_1"]


@pytest.mark.parametrize(("grams", "ounces"), [(411.0, 14.5), (28.349523125, 1.0), (0.5, 0.1), (453.59237, 16.0)])
def test_weight_is_in_ounces_rounded_up(grams, ounces):
    """A tenth of an ounce at least, and never less than the parcel weighs."""
    assert asked(order(size=ParcelSize(weight_g=grams)))["parcel"] == {"weight": ounces}


def test_sides_are_given_all_or_none():
    """A parcel that lacks a side is rated by its weight."""
    assert asked(order())["parcel"] == {"weight": 14.5, "length": 12.0, "width": 9.5, "height": 4.0}
    assert set(asked(order(size=ParcelSize(length_in=1.0, weight_g=10.0)))["parcel"]) == {"weight"}


@pytest.mark.parametrize(
    ("line1", "line2", "lines"),
    [
        ("1 Short St", "Apt 4", ("1 Short St", "Apt 4")),
        ("1234 Extraordinarily Long Boulevard Northwest", "", ("1234 Extraordinarily Long Boulevard", "Northwest")),
        ("X" * 40, "", ("X" * 35, "X" * 5)),
    ],
)
def test_long_streets_go_on_in_the_second_line(line1, line2, lines):
    """No line is longer than carriers print."""
    place = PostalAddress(name="", line1=line1, line2=line2, city="Boise", country_code="US")
    address = asked(order(ship_from=place))["to_address"]
    assert (address["street1"], address.get("street2", "")) == lines
    assert address["name"] == "Customer"


# ---- what is answered


def test_rates_are_exact_cents():
    """Amounts are decimals, as text or as a number; what cannot be read hides nothing else."""
    made = shipments.decode_shipment("x", 201, sample("created"))
    (rate,) = made.rates
    assert (rate.cents, rate.name, rate.carrier_account) == (607, "USPS/GroundAdvantage", "ca_1")
    assert (made.shipment_id, made.mode, made.sold, made.shopper_code) == ("shp_a1", "production", None, "83702")
    odd = shipments.decode_shipment("x", 201, sample("created_oddities"))
    assert [(r.rate_id, r.cents, r.currency) for r in odd.rates] == [("rate_cad", 100, "CAD"), ("rate_num", 600, "USD")]
    assert (odd.mode, odd.messages, odd.shopper_code) == ("test", ("a carrier: ",), "")


def test_carriers_words_lose_the_shopper():
    """A carrier's message is kept for the operator without what was sent of the shopper."""
    private = ("Rowan Pike", "18 Larch Row")
    found = shipments.decode_shipment("x", 201, sample("created_no_rates"), private)
    assert found.rates == ()
    assert found.messages[1] == "USPS: too heavy"
    assert "Rowan" not in found.messages[0]
    assert "Larch" not in found.messages[0]
    assert "street too long" in found.messages[0]


def test_a_carrier_may_fail_beside_others():
    """Its words are kept, and the other carrier's rate can be bought."""
    made = shipments.decode_shipment("x", 201, sample("created_carrier_fails"), ("Rowan Pike",))
    assert (len(made.rates), made.messages) == (1, ("UPS: no answer",))


@pytest.mark.parametrize("name", ["bought", "refund_submitted"])
def test_a_refund_is_told_by_its_status(name):
    """A label that nobody gave back has none."""
    assert shipments.decode_shipment("x", 200, sample(name)).refund_status == ("submitted" * (name != "bought"))


@pytest.mark.parametrize(("messages", "heals"), [(("UPS: Too Many Requests",), True), (("USPS: too heavy",), False)])
def test_trouble_that_passes_is_told_from_trouble_that_stays(messages, heals):
    """Rated again later, or not."""
    assert shipments.passing(messages) is heals


@pytest.mark.parametrize(
    ("name", "sold"),
    [
        ("created", None),
        ("being_sold", ("", "", "")),
        ("bought", ("9400100000000000000017", "trk_a1", "e8aa.pdf")),
        ("bought_png", ("9400100000000000000017", "trk_a1", "e8aa.pdf")),
    ],
)
def test_a_sale_is_told_by_the_label_the_rate_and_the_code(name, sold):
    """Anything that is set says that money was spent; a PDF is preferred to a picture."""
    found = shipments.decode_shipment("x", 200, sample(name)).sold
    assert (found and (found.tracking_code, found.tracker_id, found.label_url.rpartition("/")[2])) == sold


def test_a_rerated_shipment_has_new_rates():
    """Old ids are of no use after it."""
    assert [(r.rate_id, r.cents) for r in shipments.decode_rates(200, sample("rerated"))] == [("rate_b1", 622)]


# ---- errors, in every shape


@pytest.mark.parametrize(
    ("body", "code", "words"),
    [
        (sample("error_exists"), "SHIPMENT.POSTAGE.EXISTS", "exists"),
        (sample("error_address"), "ADDRESS.VERIFY.FAILURE", "no; E.ADDRESS.NOT_FOUND address: none for 18 Larch Row"),
        (sample("error_nested"), "X", "a; c; d"),
        (sample("error_bare"), "", "FromPhone"),
        (b'{"error": {"code": 7, "message": null}}', "", ""),
        (b'{"error": null}', "", ""),
        (b"[]", "", ""),
        (b"<html>502</html>", "", ""),
        (b"", "", ""),
    ],
)
def test_every_shape_of_an_error_is_read(body, code, words):
    """Objects, lists, nested texts, a bare text, a gateway's page, nothing."""
    assert errors.complaint(body) == errors.Complaint(code, words)


def test_deep_nesting_ends():
    """An error as deep as its sender likes is cut."""
    body = b'{"error": {"message": ' + b"[" * 60 + b'"x"' + b"]" * 60 + b"}}"
    assert errors.complaint(body) == errors.Complaint("", "")


def test_a_refusal_does_not_repeat_the_shopper():
    """The words of a refusal, which may repeat what we sent, are no part of the error's text."""
    with pytest.raises(Refused) as caught:
        errors.accept("x", 422, sample("error_address"))
    assert str(caught.value) == "ADDRESS.VERIFY.FAILURE"
    assert "Larch" in caught.value.said
    with pytest.raises(Refused, match="HTTP_404"):
        errors.accept("x", 404, b"")
    for said in (sample("error_bare"), b"", b" \n"):
        with pytest.raises(Unavailable):
            errors.accept("x", 200, said)


# ---- trackers


@pytest.mark.parametrize(
    ("name", "transit", "lost", "scanned_at", "delivered_at"),
    [
        ("tracker", None, False, None, None),
        ("tracker_scanned", Transit.IN_TRANSIT, False, NOV_25_9H, None),
        ("tracker_delivered", Transit.DELIVERED, False, NOV_27_15H, NOV_27_15H),
        ("tracker_returned", None, True, 1795856400.0, None),
        ("tracker_of_last_month", Transit.DELIVERED, False, NOV_24, NOV_24),
        ("tracker_oddities", None, True, NOV_25_9H, None),
    ],
)
def test_a_parcel_is_judged_by_all_that_happened(name, transit, lost, scanned_at, delivered_at):
    """What came back to its sender was not delivered to the center, and nothing happened before the label was made."""
    found = trackers.decode_tracker(200, sample(name))
    assert (found.transit, found.lost, found.scanned_at, found.delivered_at, found.known) == (
        transit,
        lost,
        scanned_at,
        delivered_at,
        True,
    )


def test_an_unknown_word_is_noticed():
    """A status that nobody documented tells nothing, and is counted."""
    found = trackers.decode_tracker(200, b'{"status": "teleported"}')
    assert (found.known, found.transit) == (False, None)


# ---- events

VECTOR = (
    b'{"id":"evt_0a","object":"Event","description":"tracker.updated","mode":"test","result":{"id":"trk_0a",'
    b'"object":"Tracker","status":"in_transit","weight":16.0}}'
)
SIGNED = "hmac-sha256-hex=9f7e9df909baddf5d2f9713b46c1e3cd95b22e65af53e7badf67a82d702e838b"


@pytest.mark.parametrize("secrets", [["sécret"], ["another", "sécret"], ["sécret", ""]])
def test_the_known_vector_is_signed(secrets):
    """Over the raw bytes, with the secret decomposed, whichever of the secrets it is."""
    webhooks.verify(VECTOR, SIGNED, secrets)


@pytest.mark.parametrize(
    ("body", "signature", "secrets"),
    [
        (VECTOR.replace(b"16.0", b"16"), SIGNED, ["sécret"]),
        (VECTOR, SIGNED, ["secret"]),
        (VECTOR, SIGNED.removeprefix("hmac-sha256-hex="), ["sécret"]),
        (VECTOR, None, ["sécret"]),
        (VECTOR, "hmac-sha256-hex=" + "é" * 64, ["sécret"]),
        (VECTOR, SIGNED, []),
        (b"", webhooks.PREFIX + "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad", [""]),
    ],
)
def test_any_other_signature_is_refused(body, signature, secrets):
    """Another body, another secret, half a signature, none; an empty secret signs nothing."""
    with pytest.raises(BadSignature):
        webhooks.verify(body, signature, secrets)


@pytest.mark.parametrize(
    ("name", "kind", "heard", "shipment_id"),
    [
        ("event", "tracker.updated", True, "shp_a1"),
        ("event_refund", "refund.successful", True, "shp_a1"),
        ("event_other", "batch.created", False, ""),
    ],
)
def test_an_event_is_a_hint_about_a_shipment(name, kind, heard, shipment_id):
    """Nothing of what it says is believed but what it is about."""
    hint = webhooks.decode_event(sample(name))
    assert (hint.kind, hint.heard, hint.shipment_id) == (kind, heard, shipment_id)


# ---- labels' addresses

HOSTS = ("easypost-files.s3.us-west-2.amazonaws.com",)
REAL = files.allowed_hosts(HOSTS, "https://api.easypost.com/v2")
HERE = files.allowed_hosts(HOSTS, "http://127.0.0.1:9503/v2")
GOOD = f"https://{HOSTS[0]}/files/postage_label/20261124/e8aa.pdf"


def test_labels_come_from_allowed_hosts():
    """By https from a listed host; from an API on this machine also by http, from its own port."""
    assert files.check_label_url(GOOD, REAL) is False
    assert files.check_label_url(GOOD.replace(HOSTS[0], HOSTS[0].upper() + ":443"), REAL) is False
    assert files.check_label_url("http://127.0.0.1:9503/files/x.pdf", HERE) is True


@pytest.mark.parametrize(
    "url",
    [
        GOOD.replace("https", "http"),
        GOOD.replace("https", "file"),
        GOOD.replace(".com", ".com.evil.test"),
        GOOD.replace("https://", "https://evil.test/"),
        GOOD.replace("https://", "https://evil.test@"),
        GOOD.replace(".com", ".com:8443"),
        GOOD.replace(".com", ".com:x"),
        "https://169.254.169.254/latest/meta-data",
        "http://127.0.0.1:9503/files/x.pdf",
        "https://[::1/x",
        GOOD + " x",
        GOOD + "\n",
        GOOD + "é",
        GOOD + "a" * 2000,
        "",
    ],
)
def test_no_other_address_is_fetched(url):
    """Another scheme, host, port, user, or what is no URL; the error does not repeat it."""
    with pytest.raises(ContractBroken) as caught:
        files.check_label_url(url, REAL)
    assert not url or url not in str(caught.value)


def test_another_port_of_this_machine_is_another_host():
    """An API on this machine lends its own origin alone."""
    with pytest.raises(ContractBroken):
        files.check_label_url("http://127.0.0.1:9108/metrics", HERE)


@pytest.mark.parametrize("content", [b"", b"<html>", b"GIF89a", b" %PDF-1.7"])
def test_the_type_of_a_label_is_told_by_its_content(content):
    """What is neither a PDF nor a PNG is no label, whatever it is called."""
    assert files.printable_file(b"%PDF-1.4 x") == b"%PDF-1.4 x"
    with pytest.raises(ContractBroken):
        files.printable_file(content)


def test_the_unreadable_account_is_named():
    """The error says which call it was, which row and which member."""
    with pytest.raises(ContractBroken, match=rf"^{accounts.READ}: \[1\]\.id is absent$"):
        accounts.decode_accounts(200, b'[{"id": "ca_1"}, {"id": null}]')
