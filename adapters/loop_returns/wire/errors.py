"""The nine shapes of Loop's refusals. Status and body together decide whether an answer is a success.

| a | `{"error": {"code": "401", "http_code": "GEN-UNAUTHORIZED", "message"}}`  gateway                  |
| b | `{"errors": "Unauthorized."}`                                             401, a scope is missing  |
| c | `{"errors": {"message", "code"}}`                                         actions, with HTTP 200   |
| d | `{"error": {"message"}}`                                                  details, with HTTP 200   |
| e | `{"errors": [{"message"}]}`                                               403                      |
| f | `{"message", "errors": {"field": ["…"]}}`                                 422                      |
| g | `{"code", "message"}`                                                     404                      |
| h | `{"errors": {"code"}}`                                                    404 of webhooks          |
| i | `false`                                                                   422 of notes             |
"""

from contextlib import suppress

from adapters.loop_returns.wire.values import parse
from adapters.vendor_calls.json import code_word, printable
from daemon.errors import ContractBroken, CredentialsRefused, Refused, Unavailable

NOT_FOUND = "NOT_FOUND"
UNEXPECTED = "UNEXPECTED_ERROR"
MESSAGE_LIMIT = 200


def answer(what: str, status: int, body: bytes) -> object:
    """Return the JSON of an answer that is not a refusal, None when the body is empty.

    Raises CredentialsRefused (401), Refused, Unavailable for an error inside Loop, or ContractBroken for a body that is
    neither JSON nor empty, such as a page of HTML.
    """
    if status == 401:
        raise CredentialsRefused(f"{what}: Loop does not accept the API key")
    value = parse(body, f"{what}, status {status}") if body.strip() else None
    if status < 300 and not _is_refusal(value):
        return value
    code, message = complaint(value)
    if code == UNEXPECTED:
        raise Unavailable(f"{what}: {UNEXPECTED} (status {status})")
    raise Refused(NOT_FOUND if status == 404 else code or f"HTTP_{status}", said=message)


def told(what: str, status: int, body: bytes) -> object:
    """Return the JSON of a reading. Raises as `answer` does, and Unavailable when there is none."""
    value = answer(what, status, body)
    if value is None:
        raise Unavailable(f"{what}: the answer is empty (status {status})")
    return value


def found(what: str, status: int, body: bytes) -> object:
    """Return the JSON of details. For an unknown return Loop answers HTTP 200 without a code (shape d)."""
    try:
        return told(what, status, body)
    except Refused as refused:
        if status < 300 and _names_no_code(parse(body, what)):
            raise Refused(NOT_FOUND, said=refused.said) from None
        raise


def listed_or_none(what: str, status: int, body: bytes) -> object:
    """Return the JSON of a list. For a return without notes Loop answers 422 with `false` (shape i)."""
    return [] if status == 422 and body.strip() == b"false" else told(what, status, body)


def done(what: str, status: int, body: bytes) -> None:
    """Check that an action on a return succeeded: Loop answers `true`, or the text "true"."""
    value = answer(what, status, body)
    if status != 204 and value not in (True, "true"):
        raise ContractBroken(f"{what}: the answer is neither true nor an error")


def accepted(what: str, status: int, body: bytes) -> None:
    """Check that a write succeeded: Loop echoes it, answers `true`, or sends nothing."""
    value = answer(what, status, body)
    if not (value is None or value in (True, "true") or isinstance(value, dict | list)):
        raise ContractBroken(f"{what}: the answer is neither an echo nor an error")


def lacks_scope(body: bytes) -> bool:
    """Whether a 401 says that the key is good but lacks a scope (shape b)."""
    with suppress(ContractBroken):
        value = parse(body, "")
        return isinstance(value, dict) and isinstance(value.get("errors"), str)
    return False


def complaint(value: object) -> tuple[str, str]:
    """Return the code and the message of a refusal, each bounded and printable, "" where missing.

    Do not log the message: it may repeat what we sent.
    """
    if not isinstance(value, dict):
        return "", ""
    inner = value.get("error") or value.get("errors")
    code, message = _code(value), _words(value.get("message"))
    if isinstance(inner, dict):
        own = _code(inner), _words(inner.get("message"))
        code, message = (own[0] or code, own[1] or message) if any(own) else (code, _by_field(message, inner))
    elif isinstance(inner, list) and inner:
        first = inner[0] if isinstance(inner[0], dict) else {"message": inner[0]}
        code, message = _code(first) or code, _words(first.get("message")) or message
    return code, message or _words(inner)


def _is_refusal(value: object) -> bool:
    """Whether an answer with a good status is nevertheless a refusal.

    `errors` alone does not prove it: a label request has them, too. Nor does `message`: the echo of our note has one.
    """
    if not isinstance(value, dict) or "id" in value:
        return value is False
    bare = value.keys() <= {"code", "message"} and "code" in value
    return bare or any(value.get(word) for word in ("error", "errors"))


def _names_no_code(value: object) -> bool:
    inner = value.get("error") if isinstance(value, dict) else None
    return isinstance(inner, dict) and not _code(inner)


def _code(value: dict[str, object]) -> str:
    """Return Loop's error code; the gateway has a number in its place and the code elsewhere."""
    words = [code_word(_words(value.get(name))) for name in ("code", "http_code")]
    return next((word for word in words if word and not word.isdigit()), words[0])


def _by_field(message: str, errors: dict[str, object]) -> str:
    """Add the first words on each field to the message of a 422."""
    parts = [message] if message else []
    for field, texts in errors.items():
        words = _words(texts[0] if isinstance(texts, list) and texts else texts)
        parts += [f"{field}: {words}"] if words else []
    return printable("; ".join(parts), MESSAGE_LIMIT)


def _words(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int):
        return ""
    return printable(str(value), MESSAGE_LIMIT)
