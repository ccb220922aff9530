"""Turns pydantic's errors into plain sentences, without showing any value."""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from config.fields import Contradiction
from config.model import SellerAccount, Settings
from config.secret_files import file_of
from config.yaml_file import Document

_KEY = "[key]"  # pydantic's mark for a mapping's key in a location

_NOT_TEXT = "is a key that is not text; put it in quotes"

_MEANINGS = {  # by pydantic's error type; {…} are its own limits
    "missing": "is missing; add it",
    "string_type": "is not text; put it in quotes",
    "string_unicode": "is not text; put it in quotes",
    "bool_type": "is not true or false; write one of them",
    "int_type": "is not a whole number; write one like 8",
    "float_type": "is not a number; write one like 2.5",
    "finite_number": "is not a finite number; write one like 2.5",
    "greater_than": "is too small; write a number above {gt:g}",
    "greater_than_equal": "is too small; write {ge:g} or more",
    "less_than_equal": "is too large; write at most {le:g}",
    "too_short": "is empty; write at least one",
    "string_too_short": "is empty; give it a value or remove the line",
    "string_too_long": "is too long; write at most {max_length} characters",
    "tuple_type": "is not a list; write [a, b], or a line with - for each",
    "dict_type": "does not hold keys; write lines like key: value below it",
    "model_type": "does not hold keys; write lines like key: value below it",
    "path_type": "is not a path; write one like /var/lib/mcfd/mcfd.db",
    "invalid_key": _NOT_TEXT,
    "recursion_loop": "refers to itself; write it out",
}
_EMPTY = "is empty; give it a value or remove the line"
_SECRET_FILES = {  # what people call a secret, and its file
    "client_secret": "the file amazon_client_secret{account}",
    "refresh_token": "the file amazon_refresh_token{account}",
    "api_key": "the file loop_api_key.{shop}",
    "webhook_secret": "the file loop_webhook_secrets.{shop}",
    "vault_key": "the file vault_keys",
    "ops_token": "the file ops_token",
}


def problems_of(error: ValidationError, document: Document) -> list[str]:
    """Return one line per problem, in the order of the file."""
    found = [problem for details in error.errors(include_url=False) for problem in _explain(details, document)]
    found.sort(key=lambda problem: document.line_of(problem[0]) or 0)
    return [document.at(location, message) for location, message in found]


_Problem = tuple[tuple[str | int, ...], str]


def _explain(details: ErrorDetails, document: Document) -> Iterator[_Problem]:
    location = details["loc"]
    context: dict[str, Any] = details.get("ctx", {})
    cause = context.get("error")
    if isinstance(cause, Contradiction):
        yield from (((*location, *path), message) for path, message in cause.problems)
    elif details["type"] == "extra_forbidden":
        yield location, _unknown_key(location, short=bool(document.unwritten))
    elif location and location[-1] == _KEY:
        yield location[:-1], _wrong_key(details)
    elif details["input"] is None:
        yield location, _EMPTY
    elif not _follows_from_another(details):
        yield location, _wrong_value(details)


def _follows_from_another(details: ErrorDetails) -> bool:
    """Whether another error causes this one: a default computed from a wrong value, a list short of wrong items."""
    return details["type"] == "default_factory_not_called" or bool(details["type"] == "too_short" and details["input"])


def _wrong_value(details: ErrorDetails) -> str:
    context = details.get("ctx", {})
    if details["type"] == "literal_error":
        return _none_of(details["input"], context["expected"])
    if details["type"] == "value_error":
        return str(context["error"])
    return _MEANINGS.get(details["type"], "is not right; see config.example.yaml").format(**context)


def _wrong_key(details: ErrorDetails) -> str:
    if details["type"] == "string_type":
        return _NOT_TEXT
    return _wrong_value(details)


def _none_of(written: object, expected: str) -> str:
    choices = expected.replace(" or ", ", ").replace("'", "").split(", ")
    close = get_close_matches(str(written).lower(), [choice.lower() for choice in choices], n=1, cutoff=0.7)
    near = next((choice for choice in choices if close and choice.lower() == close[0]), None)
    return f"is none of {', '.join(choices)}; {f'did you mean {near}?' if near else 'write one of them'}"


def _unknown_key(location: tuple[str | int, ...], *, short: bool) -> str:
    key = str(location[-1])
    for name, file in _SECRET_FILES.items():
        if name in key:
            account, shop = _owners(location, short=short)
            return f"unknown key; secrets are files, write it into {file.format(account=account, shop=shop)}"
    if len(location) == 1 and key in SellerAccount.model_fields:
        return f"stands beside accounts, which says the same for several; write it as accounts.NAME.{key}"
    homes = [home for home, section in sections(short=short) if key in section.model_fields]
    if len(homes) == 1:
        return f"unknown key here; it belongs {f'under {homes[0]}' if homes[0] else 'at the top'}"
    known = list(_section_at(location[:-1]).model_fields)
    if short and len(location) == 1:
        place = known.index("accounts")
        known[place:place] = SellerAccount.model_fields
    close = get_close_matches(key, known, n=1)
    return f"unknown key; {f'did you mean {close[0]}?' if close else 'known here: ' + ', '.join(known)}"


def _owners(location: tuple[str | int, ...], *, short: bool) -> tuple[str, str]:
    """The ending of an account's secret files, and the shop, of a key at this location."""
    account = ".ACCOUNT" if location[0] != "accounts" else file_of(str(location[1]), "")
    shop = str(location[3]) if len(location) > 4 and location[2] == "shops" else "SHOP"
    return "" if short else account, shop


def _section_at(location: tuple[str | int, ...]) -> type[BaseModel]:
    section: type[BaseModel] = Settings
    steps = iter(location)
    for step in steps:
        field = section.model_fields[str(step)]
        below = _section_in(field.annotation)
        if below is not None:
            section = below
            if get_origin(field.annotation) in {Mapping, tuple}:
                next(steps, None)  # the key or index
    return section


def _section_in(annotation: Any) -> type[BaseModel] | None:  # noqa: ANN401 -- any type expression
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((below for part in get_args(annotation) if (below := _section_in(part))), None)


def sections(
    section: type[BaseModel] = Settings, home: str = "", *, short: bool = True
) -> Iterator[tuple[str, type[BaseModel]]]:
    """List every section with its path, such as `shops.NAME.verdict.rules[]`; in the `short` form or the long one."""
    yield home, section
    for name, field in section.model_fields.items():
        below = _section_in(field.annotation)
        if below is not None:
            origin = get_origin(field.annotation)
            many = ".NAME" if origin is Mapping else "[]" if origin is tuple else ""
            path = home if short and below is SellerAccount else f"{home}.{name}{many}".removeprefix(".")
            yield from sections(below, path, short=short)
