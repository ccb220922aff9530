"""Keeps secrets and personal data out of the log: by key, by known secrets, and by patterns in texts."""

import re
from collections.abc import Iterable, Mapping, MutableMapping
from enum import Enum
from functools import lru_cache
from typing import Any
from urllib.parse import quote

MASK = "[redacted]"
SHORTEST = 8  # shorter secrets are masked only as whole values; inside texts they would match everywhere
DEEPEST = 6

_WORDS = frozenset(
    {
        *("token", "tokens", "secret", "secrets", "password", "passphrase", "passwd", "authorization", "signature"),
        *("credential", "credentials", "cookie", "cookies", "apikey", "body", "payload"),
        *("address", "addresses", "address1", "address2", "street", "city", "zip", "postcode"),
        *("email", "emails", "mail", "phone", "phones", "recipient", "customer", "shopper", "buyer", "person"),
    }
)
_KEYS = re.compile(
    r"(?:.*_)?(?:api_key|vault_keys?|private_key|postal_code|label_urls?|qrcode_url|rma_page_url|return_service_id"
    r"|first_name|last_name|full_name|company_name)|name",
)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")

_TEXTS = (  # patterns of secrets and personal data in any text, and their replacements
    (re.compile(r"(/labels/)(?!\d+(?:[/?#\s\"',)]|$))[^\s\"'<>,)]+"), rf"\1{MASK}"),
    (re.compile(r"\b(?:Atz[a-z]\||amzn1\.oa2-cs\.)[^\s\"'&,}]+"), MASK),
    (re.compile(r"\b(bearer|basic)\s+[\w.~+/|=-]+", re.IGNORECASE), rf"\1 {MASK}"),
    (re.compile(r"([?&](?:spapi_oauth_code|code|state|t)=)[^&\s\"'#]+"), rf"\1{MASK}"),
    (re.compile(r"\b((?:\w*_)?(?:token|secret))=[^&\s\"'#]+", re.IGNORECASE), rf"\1={MASK}"),
    (re.compile(r"(?<![\w.+-])[\w.+-]+@[\w-]+(?:\.[\w-]+)+"), MASK),
    (re.compile(r"input_value=.*, input_type="), f"input_value={MASK}, input_type="),  # pydantic quotes the value
)

_SUSPECT = re.compile(r"[=@|]|/labels/|amzn1|earer\s|EARER\s|asic\s|ASIC\s")  # nearly no text has any of these


@lru_cache(maxsize=1024)
def is_private(key: str) -> bool:
    """Whether the key's name says that its value is secret or personal."""
    snake = _CAMEL.sub("_", key).replace("-", "_").replace(" ", "_").lower()
    return not _WORDS.isdisjoint(snake.split("_")) or _KEYS.fullmatch(snake) is not None


class Redactor:
    """A processor of log events. `register` adds secrets that it must mask."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._whole: frozenset[str] = frozenset()
        self._within: re.Pattern[str] | None = None
        self.register(secrets)

    def register(self, secrets: Iterable[str]) -> None:
        """Also mask these from now on, and their encoded forms in URLs and forms."""
        known = {form for secret in secrets if secret for form in (secret, quote(secret, safe=""))}
        self._whole |= known
        longest_first = sorted((secret for secret in self._whole if len(secret) >= SHORTEST), key=len, reverse=True)
        self._within = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None

    def __call__(self, _logger: object, _method: str, event_dict: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        """Mask in place; the result holds only plain JSON values."""
        for key, value in event_dict.items():
            event_dict[key] = self._clean(key, value, 0)
        return event_dict

    def text(self, text: str) -> str:
        """Return the text without secrets."""
        if text in self._whole:
            return MASK
        if self._within is not None:
            text = self._within.sub(MASK, text)
        if _SUSPECT.search(text):
            for pattern, left in _TEXTS:
                text = pattern.sub(left, text)
        return text

    def _clean(self, key: str, value: object, depth: int) -> object:
        if value is None or isinstance(value, bool):
            return value
        if is_private(key):
            return MASK
        return self._value(value, depth)

    def _value(self, value: object, depth: int) -> object:
        if isinstance(value, Enum):
            value = value.value
        if isinstance(value, str):
            return self.text(value)
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, bytes | bytearray | memoryview):
            return f"<{len(value)} bytes>"
        if depth < DEEPEST and isinstance(value, Mapping):
            return {self.text(str(key)): self._clean(str(key), below, depth + 1) for key, below in value.items()}
        if depth < DEEPEST and isinstance(value, list | tuple | set | frozenset):
            return [self._value(below, depth + 1) for below in value]
        return self.text(_describe(value))


def _describe(value: object) -> str:
    """Return an object as text; a failing __repr__ must not break the log."""
    try:
        return f"{type(value).__name__}: {value}" if isinstance(value, BaseException) else str(value)
    except Exception:  # noqa: BLE001 -- anything may go wrong in somebody's __str__
        return f"<{type(value).__name__}>"
