"""How every vendor's JSON is read. PURE."""

import json
import re
from collections.abc import Callable
from contextlib import suppress
from decimal import ROUND_HALF_UP, Decimal
from functools import cache

from daemon.errors import ContractBroken

_CODE = re.compile(r"[A-Za-z0-9_.:/-]{1,64}")


def parse(body: bytes, what: str, parse_float: Callable[[str], object]) -> object:
    """Read JSON; the last of duplicate keys wins. Raises ContractBroken, whose text begins with `what`."""
    # Raised outside the handler, because a JSONDecodeError as its context would carry the body.
    with suppress(ValueError, ArithmeticError, RecursionError):  # ValueError: not JSON, not UTF-8, thousands of digits
        return _decoder(parse_float).decode(body.decode("utf-8-sig"))
    raise ContractBroken(f"{what}: {_kind(body)}")


@cache
def _decoder(parse_float: Callable[[str], object]) -> json.JSONDecoder:
    """Make a decoder, which takes longer than most answers."""
    return json.JSONDecoder(parse_constant=_no_number, parse_float=parse_float)


def printable(text: str, longest: int) -> str:
    """Return at most `longest` characters on one line, without e-mail addresses and unprintable characters."""
    words = text[: 8 * longest].split()
    line = " ".join("[…]" if "@" in word[1:-1] else word for word in words)
    visible = "".join(char if char.isprintable() else " " for char in line)
    clean = " ".join(visible.split())
    return clean if len(clean) <= longest else clean[: longest - 1] + "…"


def code_word(text: str) -> str:
    """Return a vendor's error code, or "" when the text is something else, such as a sentence or an address."""
    word = text.strip()
    return word if _CODE.fullmatch(word) else ""


def cents(amount: Decimal) -> int:
    """Return an amount of money in hundredths, rounded half up."""
    return int((amount * 100).quantize(Decimal(1), ROUND_HALF_UP))


def _no_number(_word: str) -> float:
    raise ValueError("NaN and Infinity are not JSON")


def _kind(body: bytes) -> str:
    start = body[:64].lstrip()
    if not start:
        return "empty"
    return "HTML or XML, not JSON" if start.startswith(b"<") else "not JSON"
