"""What operators pass to verbs and are answered, as a JSON object carries it."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime

from daemon.errors import McfdError

Given = Mapping[str, object]
Verb = Callable[[Given], Awaitable[object]]
"""Takes the arguments as a JSON object carries them; answers what JSON can carry."""


class OperatorError(McfdError):
    """What was asked cannot be done; the text says why and what to do."""


def text(given: Given, name: str) -> str:
    """A text that must be there. Raises OperatorError."""
    value = given.get(name)
    if not isinstance(value, str) or not value:
        raise OperatorError(f"{name.upper()} is {'missing' if value is None else 'empty'}; give it a value")
    return value


def text_or_none(given: Given, name: str) -> str | None:
    """A text that may be left out."""
    return text(given, name) if given.get(name) is not None else None


def texts(given: Given, name: str) -> list[str]:
    """One text or more. Raises OperatorError."""
    value = given.get(name)
    if not isinstance(value, list) or not value or not all(isinstance(item, str) and item for item in value):
        raise OperatorError(f"{name.upper()} are missing or empty; name at least one")
    return [str(item) for item in value]


def number(given: Given, name: str) -> float:
    """A number, 0 when it is left out. Raises OperatorError."""
    value = given.get(name, 0)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise OperatorError(f"{name} is not a number")
    return value


def flag(given: Given, name: str) -> bool:
    """Whether it is asked for."""
    return given.get(name) is True


def instant(at: float | None) -> str | None:
    """Unix seconds as people and spreadsheets read them, in UTC."""
    return None if at is None else datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")
