"""The ways in which EasyPost says no, read in one place. Status first, body second. PURE.

| `{"error": {"code", "message", "errors": []}}`                     the usual one                          |
| … `errors`: objects of field, message, suggestion, code; or texts  of a verification, of the other format |
| … `message`: a list, or an object of lists                         of older endpoints                     |
| `{"error": "…"}`                                                   a carrier's demand, handed on          |
| no JSON                                                            a gateway's page                       |
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from adapters.vendor_calls.json import code_word, printable
from adapters.vendor_calls.reading import JsonObject, parse
from daemon.errors import ContractBroken, Refused, Unavailable

WORDS_LIMIT = 400
DEEPEST = 6


@dataclass(frozen=True, slots=True)
class Complaint:
    """What an answer complains about; both are empty for a page of a gateway."""

    code: str
    words: str = field(repr=False)


def complaint(body: bytes) -> Complaint:
    """Take a refusal apart, whatever its shape."""
    with suppress(ContractBroken):
        error = parse("error", body).members.get("error")
        if isinstance(error, dict):
            code = error.get("code")
            words = [*_texts(error.get("message")), *_texts(error.get("errors"))]
            return Complaint(code_word(code) if isinstance(code, str) else "", _joined(words))
        return Complaint("", _joined(_texts(error)))
    return Complaint("", "")


def accept(operation: str, status: int, body: bytes) -> JsonObject:
    """Return the object of a good answer. Raises Refused, ContractBroken; Unavailable for an error or nothing in it."""
    if status >= 300:
        raise refusal(status, body)
    if not body.strip():
        raise Unavailable(f"{operation}: the answer is empty (status {status})")
    answer = parse(operation, body)
    if answer.members.get("error") is not None:
        raise Unavailable(f"{operation}: an error in an answer of status {status}")
    return answer


def refusal(status: int, body: bytes) -> Refused:
    """Build the error of a refusal; its words may repeat what we sent."""
    said = complaint(body)
    return Refused(said.code or f"HTTP_{status}", said=printable(said.words, WORDS_LIMIT))


def _joined(words: Iterator[str] | list[str]) -> str:
    return "; ".join(dict.fromkeys(word.strip() for word in words if word.strip()))


def _texts(value: object, depth: int = 0) -> Iterator[str]:
    """Every text of a value, however it is nested; a code or a field goes before its message."""
    if isinstance(value, str):
        yield value
    elif depth < DEEPEST and isinstance(value, list):
        for one in value:
            yield from _texts(one, depth + 1)
    elif depth < DEEPEST and isinstance(value, dict):
        named = [str(value[name]) for name in ("code", "field") if isinstance(value.get(name), str)]
        rest = [text for name, one in value.items() if name not in {"code", "field"} for text in _texts(one, depth + 1)]
        yield ": ".join(filter(None, (" ".join(named), ", ".join(rest))))
