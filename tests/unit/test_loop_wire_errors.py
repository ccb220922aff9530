import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.loop_returns.wire.errors import accepted, answer, done, found, lacks_scope, listed_or_none, told
from daemon.errors import ContractBroken, CredentialsRefused, McfdError, Refused, Unavailable

SAMPLES = Path(__file__).parents[1] / "samples" / "loop_returns"
REFUSALS = json.loads((SAMPLES / "refusals.json").read_bytes())


def encoded(value: object) -> bytes:
    """Encode as JSON."""
    return json.dumps(value).encode()


@pytest.mark.parametrize("case", REFUSALS, ids=[case["shape"] for case in REFUSALS])
def test_every_shape_is_a_refusal(case):
    """Each way in which Loop says no gives its code and its message."""
    with pytest.raises(Refused) as refused:
        answer("Loop call", case["status"], encoded(case["body"]))
    assert (refused.value.code, refused.value.said) == (case["code"], case["message"])
    assert str(refused.value) == case["code"]


@pytest.mark.parametrize(
    "body",
    [
        encoded({"error": {"code": "401", "http_code": "GEN-UNAUTHORIZED", "message": "Unauthorized."}}),
        encoded({"errors": "Unauthorized."}),
        b"",
        b"<html>",
        b"true",
    ],
)
def test_a_401_refuses_the_credentials(body):
    """Whatever a 401 says, it is the key that is refused, and the text is ours."""
    with pytest.raises(CredentialsRefused, match=r"^Loop call: Loop does not accept the API key$"):
        answer("Loop call", 401, body)


@pytest.mark.parametrize("status", [400, 403, 404, 409, 422])
def test_a_refusal_without_a_body_goes_by_its_status(status):
    """An empty body adds nothing to the status."""
    with pytest.raises(Refused) as refused:
        answer("Loop call", status, b" \n")
    assert refused.value.code == ("NOT_FOUND" if status == 404 else f"HTTP_{status}")


@pytest.mark.parametrize("status", [200, 403, 404, 422])
def test_html_is_not_loops_word(status):
    """A page in between is no answer, whatever its status; its text is not repeated."""
    with pytest.raises(ContractBroken, match=rf"^Loop call, status {status}: HTML or XML, not JSON$"):
        answer("Loop call", status, b"<html>Rowan Pike</html>")


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        "true",
        [],
        {},
        7,
        {"id": 1, "errors": [{"reason": "Other", "message": "none"}]},
        {"id": 1, "errors": {"1": {"reason": "Other"}}},
        {"reason": "Other", "message": "none", "created_at": "2026-11-03T17:20:55Z"},
        {"message": "queued", "returnId": 1},
        {"message": "ok"},
        {"code": "x", "content": "a note"},
        {"data": [], "errors": [], "error": None},
    ],
)
def test_what_is_no_refusal_passes(value):
    """An answer that merely has a word of error among its keys is data."""
    assert answer("Loop call", 200, encoded(value)) == value


def test_an_empty_answer_is_nothing():
    """A 204 has no body and is fine; but a reading that brings nothing was not answered."""
    assert answer("Loop call", 204, b"") is None
    for read in (told, found, listed_or_none):
        with pytest.raises(Unavailable, match="empty"):
            read("Loop call", 200, b"")


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("a\nb\x00c", "a b c"),
        ("é" * 999, "é" * 199 + "…"),
        ("\u202eabc\ud800", "abc"),
        (" \t ", ""),
        ("no label for rowan.pike@example.net, sorry", "no label for […] sorry"),
        ("<rowan.pike@example.net>", "[…]"),
        ("two @ 5 dollars", "two @ 5 dollars"),
    ],
)
def test_messages_are_short_and_printable(raw, shown):
    """Nothing that could garble a page passes, no e-mail address, and nothing that is no code for one."""
    with pytest.raises(Refused) as refused:
        answer("Loop call", 409, encoded({"code": "Rowan Pike", "message": raw}))
    assert (refused.value.code, refused.value.said, str(refused.value)) == ("HTTP_409", shown, "HTTP_409")


def test_a_return_that_is_not_there_is_not_found():
    """Details that find nothing say so with HTTP 200 and no code."""
    with pytest.raises(Refused) as refused:
        found("Loop details", 200, encoded({"error": {"message": "No return found with this ID."}}))
    assert (refused.value.code, refused.value.said) == ("NOT_FOUND", "No return found with this ID.")


@pytest.mark.parametrize(
    ("status", "value", "code"),
    [
        (200, {"error": {"code": "NOT_AUTHORIZED", "message": "Oops."}}, "NOT_AUTHORIZED"),
        (200, {"errors": {"message": "Oops."}}, "HTTP_200"),
        (200, False, "HTTP_200"),
        (403, {"error": {"message": "Not yours."}}, "HTTP_403"),
        (404, {}, "NOT_FOUND"),
    ],
)
def test_other_refusals_of_details_keep_their_code(status, value, code):
    """Only the shape that means so is read as not found."""
    with pytest.raises(Refused) as refused:
        found("Loop details", status, encoded(value))
    assert refused.value.code == code


@pytest.mark.parametrize("status", [200, 404, 422])
@pytest.mark.parametrize("wrapped", [lambda said: {"errors": said}, lambda said: {"error": said}, lambda said: said])
def test_an_error_of_loop_s_own_is_no_refusal(status, wrapped):
    """Loop says with any status that something of its own went wrong: that passes, and the effect is unknown."""
    with pytest.raises(Unavailable) as failed:
        answer("Loop process", status, encoded(wrapped({"code": "UNEXPECTED_ERROR", "message": "Oops."})))
    assert failed.value.unclear


def test_details_pass():
    """Details that are no refusal are returned."""
    assert found("Loop details", 200, b'{"id": 1}') == {"id": 1}


@pytest.mark.parametrize(("status", "body"), [(200, b"true"), (200, b'"true"'), (202, b" true\n"), (204, b"")])
def test_an_action_is_done(status, body):
    """Loop says true, or the text of it, or nothing with 204."""
    done("Loop flag", status, body)


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"null", b'"false"', b"0", b'{"message":"ok"}', b"<html>"])
def test_an_action_is_not_guessed_to_be_done(body):
    """Any other body of a 200 is unreadable."""
    with pytest.raises(ContractBroken, match="Loop flag"):
        done("Loop flag", 200, body)


def test_an_action_is_refused_with_a_good_status():
    """A 200 with an error inside is a refusal."""
    with pytest.raises(Refused) as refused:
        done("Loop flag", 200, encoded({"errors": {"message": "Flagged.", "code": "UNPROCESSABLE_FLAGGED_RETURN"}}))
    assert refused.value.code == "UNPROCESSABLE_FLAGGED_RETURN"


@pytest.mark.parametrize("body", [b"", b"true", b'"true"', b"[]", b'[{"line_item_id":1}]', b'{"reason":"Other"}'])
def test_a_write_is_accepted(body):
    """An echo, true or nothing at all means that it was written."""
    accepted("Loop grade", 200, body)


@pytest.mark.parametrize("body", [b'"ok"', b"7", b"<html>"])
def test_a_write_is_not_guessed_to_be_accepted(body):
    """Anything else is unreadable."""
    with pytest.raises(ContractBroken, match="Loop grade"):
        accepted("Loop grade", 200, body)


def test_a_write_is_refused():
    """False is a no."""
    with pytest.raises(Refused):
        accepted("Loop grade", 200, b"false")


def test_no_notes_are_an_empty_list():
    """A 422 with false means that there are none; with anything else it is a refusal, and so is false otherwise."""
    assert listed_or_none("Loop notes", 422, b"false\n") == []
    assert listed_or_none("Loop notes", 200, b"[1]") == [1]
    for status, body in ((422, b"{}"), (200, b"false"), (403, b"false")):
        with pytest.raises(Refused):
            listed_or_none("Loop notes", status, body)


@pytest.mark.parametrize(
    ("body", "lacking"),
    [
        (b'{"errors": "Unauthorized."}', True),
        (b'{"error": {"code": "401", "http_code": "GEN-UNAUTHORIZED"}}', False),
        (b'{"errors": {"code": "401"}}', False),
        (b"false", False),
        (b"<html>", False),
        (b"", False),
    ],
)
def test_a_missing_scope_is_told_from_a_bad_key(body, lacking):
    """Loop spells a missing scope in its own way."""
    assert lacks_scope(body) is lacking


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["error", "errors", "code", "http_code", "message", "field"]), inner)
    ),
)


def _said(decode, status, value):
    try:
        decode("Loop call", status, encoded(value))
    except McfdError as error:
        return str(error)
    return ""


@given(st.sampled_from([200, 400, 401, 403, 404, 422]), json_values)
def test_any_answer_is_data_or_a_classified_error(status, value):
    """No shape of JSON crashes the decoder, and what it says of it is bounded and printable."""
    for decode in (answer, found, done, accepted, listed_or_none):
        said = _said(decode, status, value)
        assert len(said) < 300
        assert said.isprintable()
