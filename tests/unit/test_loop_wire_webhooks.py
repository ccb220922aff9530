import base64
import hashlib
import hmac
import json
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.loop_returns.wire.webhooks import CANONICAL_LIMIT, WebhookDelivery, decode_delivery, digest, verify
from daemon.domain.portal import (
    PortalState,
    ProcessingTrouble,
    RequestCancelled,
    RequestIssued,
    RestockAsked,
    ReturnChanged,
)
from daemon.errors import BadSignature, ContractBroken

SAMPLES = Path(__file__).parents[1] / "samples" / "loop_returns"
BODY = b'{ "topic": "return", "url": "https://x/caf\xc3\xa9", "rate": 9.5 }'
AS_PHP_WRITES_IT = rb'{"topic":"return","url":"https:\/\/x\/caf\u00e9","rate":9.5}'


def sample(name: str) -> bytes:
    """Load the sample of a delivery."""
    return (SAMPLES / f"webhook_{name}.json").read_bytes()


def sign(body: bytes, secret: bytes) -> str:
    """Sign as Loop does."""
    return base64.b64encode(hmac.new(secret, body, hashlib.sha256).digest()).decode()


def delivery(**fields: object) -> bytes:
    """Encode a delivery of these fields."""
    return json.dumps(fields).encode()


def processing(**fields: object) -> bytes:
    """Encode a delivery about processing that failed."""
    return delivery(topic="return.processing", trigger="return.processing.failed", **fields)


# ---- signatures


@pytest.mark.parametrize("secret", [b"newest", b"older", b"oldest"])
def test_any_configured_secret_signs(secret):
    """A delivery signed with any of the configured secrets is accepted over its raw bytes."""
    assert verify(BODY, sign(BODY, secret), [b"newest", b"older", b"oldest"]) == "raw"


def test_a_known_signature_is_accepted():
    """The signature is base64 of HMAC-SHA256, as computed by another tool."""
    assert verify(b"hello", "iKqz7ejTrflNJquQ07r9SiCDBww7zOnAFO4EpEOEfAs=", [b"secret"]) == "raw"


@pytest.mark.parametrize(
    "body", [b"", b"\xff\xfe", b"not json", b'{"topic":"label.request"}'], ids=["empty", "bytes", "text", "json"]
)
def test_the_raw_bytes_decide_whatever_they_are(body):
    """Bytes that are no JSON verify when they are signed."""
    assert verify(body, sign(body, b"key"), [b"key"]) == "raw"


def test_the_canonical_form_is_the_second_try():
    """A body that was re-encoded on the way verifies by its compact form with escaped slashes and letters."""
    assert verify(BODY, sign(AS_PHP_WRITES_IT, b"key"), [b"other", b"key"]) == "canonical"


@pytest.mark.parametrize(
    "signature",
    [None, "", "x", "é", "\ud800", sign(BODY, b"key")[:-1], sign(BODY, b"key") + "\n", sign(BODY, b"key").lower()],
)
def test_anything_else_is_refused(signature):
    """A missing, odd, cut or altered signature raises BadSignature."""
    with pytest.raises(BadSignature):
        verify(BODY, signature, [b"key"])


@pytest.mark.parametrize("secrets", [[], [b""], [b"wrong"]])
def test_no_secret_no_entry(secrets):
    """Without a matching secret nothing verifies; an empty one never matches."""
    with pytest.raises(BadSignature):
        verify(BODY, sign(BODY, b""), secrets)


def test_an_altered_body_is_refused():
    """One changed byte breaks the signature."""
    with pytest.raises(BadSignature):
        verify(BODY.replace(b"9.5", b"9.6"), sign(BODY, b"key"), [b"key"])


def test_what_is_too_long_is_not_parsed():
    """The second try ends at sixteen kilobytes, more than any delivery has."""
    body = b'["' + b"a" * CANONICAL_LIMIT + b'" ]'
    with pytest.raises(BadSignature):
        verify(body, sign(body.replace(b" ", b""), b"key"), [b"key"])


@pytest.mark.parametrize("signature", [None, "", "AAAA", "A" * 44, "=" * 44])
def test_what_is_no_signature_costs_nothing(signature):
    """Nobody asks whether a body may be encoded anew for what cannot be a signature."""

    def never() -> bool:
        raise AssertionError("asked")

    with pytest.raises(BadSignature):
        verify(BODY, signature, [b"key"], never)


HOSTILE = {
    "garbage": b"\x00\xff{",
    "deep": b"[" * 100_000,
    "deep and closed": b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
    "huge integer": b'{"id": ' + b"9" * 20_000 + b"}",
    "infinite float": b'{"id": 1e999}',
    "nan": b'{"topic": NaN}',
    "infinity": b'{"topic": -Infinity}',
    "lone surrogate": rb'{"topic": "\ud800", "trigger": "\udfff"}',
    "half a surrogate pair in an id": rb'{"topic":"label.request","trigger":"label.request.issued","id":"\ud83d"}',
    "utf-16": '{"topic": "return"}'.encode("utf-16"),
    "bom only": b"\xef\xbb\xbf",
    "empty": b"",
    "scalar": b"7",
    "list": b"[]",
    "null": b"null",
}


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_bodies_end_in_a_bad_signature(body):
    """Whatever the body holds, a wrong signature ends in BadSignature alone."""
    with pytest.raises(BadSignature):
        verify(body, sign(b"something else", b"key"), [b"key"])


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_bodies_end_in_a_broken_contract(body):
    """Whatever a signed body holds, it is read or ends in ContractBroken."""
    with suppress(ContractBroken):
        assert decode_delivery(body).message is None


@given(st.binary(max_size=300), st.text(max_size=60) | st.none())
def test_verifying_never_raises_anything_else(body, signature):
    """Random bytes with a random signature never verify and never crash."""
    with pytest.raises(BadSignature):
        verify(body, signature, [b"key"])


# ---- what deliveries say


def test_a_label_request_is_issued():
    """An issued label request names itself and its return, as text."""
    assert decode_delivery(sample("label_request_issued")) == WebhookDelivery(
        topic="label.request",
        trigger="label.request.issued",
        message=RequestIssued(request_id="733104", return_id="58120031"),
    )


def test_a_label_request_is_cancelled():
    """A cancelled one does so, too, with an id of the older kind and empty objects sent as lists."""
    assert decode_delivery(sample("label_request_cancelled_uuid")) == WebhookDelivery(
        topic="label.request",
        trigger="label.request.cancelled",
        message=RequestCancelled(request_id="7b1f6a52-0c9e-4f5e-9d0a-2f3c4d5e6f70", return_id="58120032"),
    )


@pytest.mark.parametrize("trigger", ["return.created", "return.updated", "return.closed"])
def test_a_return_changed(trigger):
    """The three triggers of a return carry its id, state and lines."""
    body = sample("return_updated").replace(b"return.updated", trigger.encode())
    assert decode_delivery(body) == WebhookDelivery(
        topic="return",
        trigger=trigger,
        message=ReturnChanged(return_id="58120031", state=PortalState.OPEN, line_ids=frozenset({"310045511"})),
    )


@pytest.mark.parametrize("lines", [None, [], "x", [1], [{"sku": "A"}], [{"line_item_id": "1"}, {"line_item_id": []}]])
def test_lines_that_cannot_be_read_are_not_told(lines):
    """The state counts all the same."""
    changed = decode_delivery(delivery(topic="return", trigger="return.updated", id=1, state="open", line_items=lines))
    assert changed.message == ReturnChanged(return_id="1", state=PortalState.OPEN)


def test_a_return_needs_review():
    """The older words for the review state mean the same."""
    changed = decode_delivery(sample("return_needs_review"))
    assert changed.message == ReturnChanged(return_id="58120033", state=PortalState.REVIEW)


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("open", PortalState.OPEN),
        ("review", PortalState.REVIEW),
        (" Closed ", PortalState.CLOSED),
        ("cancelled", PortalState.CANCELLED),
        ("expired", PortalState.EXPIRED),
        ("processing", PortalState.UNKNOWN),
        ("unknown", PortalState.UNKNOWN),
        ("", PortalState.UNKNOWN),
        (None, PortalState.UNKNOWN),
        (["open"], PortalState.UNKNOWN),
    ],
)
def test_states_are_open_words(word, state):
    """A state that is not known means to wait."""
    changed = decode_delivery(delivery(topic="return", trigger="return.updated", id=1, state=word))
    assert changed.message == ReturnChanged(return_id="1", state=state)


def test_oddities_of_a_delivery_are_read():
    """A state nobody knows, a number for an id, and members of other shapes do not hide what it is about."""
    changed = decode_delivery(sample("return_oddities"))
    assert changed.message == ReturnChanged(return_id="58120037", state=PortalState.UNKNOWN)


def test_a_return_without_a_state_is_a_hint_still():
    """The state may be missing: the details are read anyway."""
    changed = decode_delivery(delivery(topic="return", trigger="return.updated", id=1))
    assert changed.message == ReturnChanged(return_id="1", state=PortalState.UNKNOWN)


def test_processing_failed():
    """A failure names the return and says why."""
    assert decode_delivery(sample("processing_failed")) == WebhookDelivery(
        topic="return.processing",
        trigger="return.processing.failed",
        message=ProcessingTrouble(return_id="58120031", said="Exchange order could not be created"),
    )


@pytest.mark.parametrize(
    ("message", "said"), [(None, ""), ("", ""), ("No refund for Rowan Pike", "No refund for Rowan Pike"), (17, "")]
)
def test_the_words_for_a_failure_are_shown_to_nobody_as_they_are(message, said):
    """They may name the shopper, so no error or log of ours that shows the message has them."""
    failed = decode_delivery(processing(return_id=5, message=message)).message
    assert failed == ProcessingTrouble(return_id="5", said=said)
    assert "Rowan" not in repr(failed)


@pytest.mark.parametrize(
    ("about", "heard"),
    [
        ({"return_id": 5}, RestockAsked(return_id="5")),
        ({"return_id": "5"}, RestockAsked(return_id="5")),
        ({"id": 9}, None),
    ],
)
def test_a_restock_names_its_return_or_nothing(about, heard):
    """Its fields are documented nowhere: an id may be a number or a text, and may be missing."""
    assert decode_delivery(delivery(topic="restock", trigger="restock.requested", **about)).message == heard


def test_what_we_do_not_act_on_is_unknown():
    """Another topic is named and nothing more is read of it."""
    assert decode_delivery(sample("label_updated")) == WebhookDelivery(topic="label", trigger="label.updated")


@pytest.mark.parametrize(
    ("topic", "trigger"), [("return", "label.request.issued"), ("label.request", "return.closed"), ("x" * 999, "y")]
)
def test_mismatched_pairs_are_unknown(topic, trigger):
    """A trigger under another topic is not guessed at; long words are cut."""
    assert decode_delivery(delivery(topic=topic, trigger=trigger, id=1, return_id=2)) == WebhookDelivery(
        topic=topic if len(topic) <= 64 else topic[:63] + "…", trigger=trigger
    )


def test_the_subject_is_what_the_delivery_is_about():
    """A label request goes by its own id, a return by its, an unknown delivery by none."""
    issued = decode_delivery(sample("label_request_issued"))
    assert (issued.subject, issued.return_id) == ("733104", "58120031")
    assert decode_delivery(sample("return_updated")).subject == "58120031"
    unknown = decode_delivery(sample("label_updated"))
    assert (unknown.subject, unknown.return_id) == ("", "")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"{}", "topic is missing"),
        (delivery(topic="return"), "trigger is missing"),
        (delivery(topic=None, trigger="x"), "topic is unreadable"),
        (delivery(topic="x", trigger=["y"]), "trigger is unreadable"),
        (delivery(topic="label.request", trigger="label.request.issued", return_id=1), "id is missing"),
        (delivery(topic="label.request", trigger="label.request.issued", id=1), "return_id is missing"),
        (
            delivery(topic="label.request", trigger="label.request.cancelled", id=1, return_id=[]),
            "return_id is unreadable",
        ),
        (delivery(topic="return", trigger="return.closed", return_id=1), "id is missing"),
        (processing(id=1), "return_id is missing"),
        (b"[]", "the answer is unreadable"),
        (b"{", "not JSON"),
    ],
)
def test_the_unreadable_field_is_named(body, field):
    """ContractBroken says which field it is."""
    with pytest.raises(ContractBroken, match=field):
        decode_delivery(body)


@pytest.mark.parametrize(
    "odd",
    [
        True,
        False,
        None,
        1.5,
        "",
        " 1",
        "1 ",
        "1\n",
        "1\x00",
        "1/2",
        "..",
        "-1",
        -1,
        "x" * 65,
        10**70,
        [1],
        {"id": 1},
        "é",
    ],
)
def test_an_id_is_a_number_or_a_plain_word(odd):
    """Nothing else passes as an id, and the value is never told."""
    with pytest.raises(ContractBroken, match=r"^return\.processing\.failed: return_id is unreadable$") as broken:
        decode_delivery(processing(return_id=odd))
    assert broken.value.__cause__ is None
    assert broken.value.__context__ is None


def test_the_last_of_two_equal_keys_counts():
    """A key that comes twice is read as most readers do."""
    body = b'{"topic":"return","trigger":"return.closed","id":1,"id":2,"state":"open","state":"closed"}'
    assert decode_delivery(body) == WebhookDelivery(
        topic="return", trigger="return.closed", message=ReturnChanged(return_id="2", state=PortalState.CLOSED)
    )


def test_a_byte_order_mark_is_skipped():
    """UTF-8 may begin with a mark."""
    assert decode_delivery(b"\xef\xbb\xbf" + sample("label_updated")).topic == "label"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
PAIRS = [
    ("label.request", "label.request.issued"),
    ("label.request", "label.request.cancelled"),
    ("return", "return.updated"),
    ("return.processing", "return.processing.failed"),
    ("label", "label.created"),
]


@given(
    st.sampled_from(PAIRS),
    st.fixed_dictionaries({}, optional=dict.fromkeys(("id", "return_id", "state", "message", "topic"), json_values)),
)
def test_random_fields_are_read_or_refused(pair, fields):
    """Any JSON in any field gives a delivery with clean ids, or ContractBroken."""
    try:
        read = decode_delivery(json.dumps({"topic": pair[0], "trigger": pair[1], **fields}).encode())
    except ContractBroken:
        return
    assert isinstance(read, WebhookDelivery)
    assert all(text.isprintable() for text in (read.subject, read.return_id, read.topic, read.trigger))


@given(st.binary(max_size=200))
def test_random_bytes_are_read_or_refused(body):
    """Any bytes give a delivery or ContractBroken."""
    with suppress(ContractBroken):
        assert isinstance(decode_delivery(body), WebhookDelivery)


# ---- naming deliveries


def test_a_digest_names_one_delivery():
    """Topic, trigger, id and bytes all count; the same delivery has the same digest."""
    body = sample("label_request_issued")
    issued = decode_delivery(body)
    others = [
        digest(replace(issued, topic="t"), body),
        digest(replace(issued, trigger="t"), body),
        digest(replace(issued, message=RequestIssued(request_id="7", return_id="58120031")), body),
        digest(issued, body + b" "),
    ]
    same = digest(decode_delivery(body), body)
    assert digest(issued, body) == same
    assert len({same, *others}) == 5
    assert len(same) == 64
    assert set(same) <= set("0123456789abcdef")
