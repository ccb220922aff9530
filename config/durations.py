"""Durations as people write them: `500ms`, `2s`, `5m`, `12h`, `7d`, `1h30m`. Inside mcfd they are seconds."""

import re
from typing import Annotated

from pydantic import BeforeValidator

from daemon.domain.durations import DAY, HOUR, MINUTE

LONGEST = 3650 * DAY

_UNITS = {"d": DAY, "h": HOUR, "m": MINUTE, "s": 1.0, "ms": 0.001}
_NAMES = tuple(_UNITS)  # from long to short, as they are combined
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|[dhms])", re.ASCII)
_NUMBER = re.compile(r"[+-]?\d+(?:\.\d+)?", re.ASCII)
_ECHO_LIMIT = 20
_HINT = "write 24h, 30m, 10s"


def parse_duration(value: object) -> float:
    """Return seconds; ValueError with a text for the operator when `value` is no positive duration with units."""
    text = _text_of(value)
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        what = "has no unit" if _NUMBER.fullmatch(text) else "is not a duration"
        raise ValueError(f"{_quoted(text)} {what}; {_HINT}")
    ranks = [_NAMES.index(unit) for _, unit in parts]
    if ranks != sorted(set(ranks)):
        raise ValueError(f"{_quoted(text)} mixes its units up; write the longest first and each once, as in 1h30m")
    seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
    if not 0 < seconds <= LONGEST:
        raise ValueError(f"{_quoted(text)} is out of range; write more than 0s and at most 3650d")
    return seconds


def format_duration(seconds: float) -> str:
    """Write `seconds` in the shortest form that `parse_duration` reads back, to the millisecond."""
    left = round(seconds * 1000)
    written = ""
    for name, size in _UNITS.items():
        count, left = divmod(left, round(size * 1000))
        written += f"{count}{name}" if count else ""
    return written or "0ms"


def _text_of(value: object) -> str:
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"{value:g}" if isinstance(value, float) else str(value)
    raise ValueError(f"is not a duration; {_HINT}")


def _quoted(text: str) -> str:
    return f'"{text}"' if len(text) <= _ECHO_LIMIT else f'"{text[:_ECHO_LIMIT]}…"'


Duration = Annotated[float, BeforeValidator(parse_duration)]
"""Seconds, read from text with a unit; always more than zero."""
