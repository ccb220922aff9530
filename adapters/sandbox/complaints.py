"""Turns pydantic's errors about control arguments into plain sentences."""

from collections.abc import Iterable
from typing import Any

from pydantic_core import ErrorDetails

_MEANINGS = {  # by pydantic's error type; {…} are its own limits
    "missing": "is missing; add it",
    "string_type": "is not text; put it in quotes",
    "bool_type": "is not true or false; write one of them",
    "bool_parsing": "is not true or false; write one of them",
    "int_type": "is not a whole number; write one like 8",
    "int_parsing": "is not a whole number; write one like 8",
    "int_from_float": "is not a whole number; write one like 8",
    "float_type": "is not a number; write one like 2.5",
    "float_parsing": "is not a number; write one like 2.5",
    "finite_number": "is not a finite number; write one like 2.5",
    "greater_than": "is too small; write a number above {gt:g}",
    "greater_than_equal": "is too small; write {ge:g} or more",
    "list_type": "is not a list; write [a, b]",
    "tuple_type": "is not a list; write [a, b]",
    "frozen_set_type": "is not a list; write [a, b]",
    "dict_type": "is no mapping; write {{name: value}}",
    "mapping_type": "is no mapping; write {{name: value}}",
    "dataclass_type": "is no mapping; write {{name: value}}",
    "string_pattern_mismatch": "is no name; write one in small letters, such as ret_1",
    "literal_error": "is not one of {expected}",
}


def words(found: ErrorDetails, known: Iterable[str]) -> str:
    """Say what is wrong with a value; `known` are the member names that are allowed there."""
    if found["type"] == "extra_forbidden":
        return f"is unknown; known here: {', '.join(known)}"
    context: dict[str, Any] = found.get("ctx", {})
    return _MEANINGS.get(found["type"], f"is not right: {found['msg']}").format(**context)
