"""What the journal keeps of a request and its answer: the fields that an allow-list names. PURE.

A path that is not named is never read, so a person's data cannot slip in with a new field of a vendor's.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import unquote

from adapters.vendor_calls.json import code_word

Tree = Mapping[str, "Tree"]
Value = str | int | float | bool

LARGEST = 256 * 1024
"""Bytes of the largest body that is looked into."""

MOST_FIELDS = 60
LONGEST_VALUE = 80


class AllowList:
    """One vendor's allowed fields, as paths of members joined by dots; lists are passed through.

    `places` are patterns of URLs whose named groups are ids.
    """

    def __init__(self, paths: Iterable[str], *, places: Iterable[str] = ()) -> None:
        self._tree: dict[str, Tree] = {}
        for path in paths:
            node: dict[str, Tree] = self._tree
            for name in path.split("."):
                node = node.setdefault(name, {})  # type: ignore[assignment]  # our own dictionaries
        self._places = tuple(re.compile(place) for place in places)

    def fields(self, body: bytes | None) -> dict[str, Value]:
        """Return the allowed fields of a JSON body by their paths; nothing of one that is no JSON."""
        if not body or len(body) > LARGEST:
            return {}
        try:
            document = json.loads(body)
        except (ValueError, RecursionError):
            return {}
        found = _allowed(document, self._tree, "")
        return {path: value for (path, value), _ in zip(found, range(MOST_FIELDS), strict=False)}

    def place(self, url: str) -> dict[str, Value]:
        """Return the ids in a URL."""
        found = (place.search(url) for place in self._places)
        groups = {
            name: unquote(value) for match in found if match for name, value in match.groupdict().items() if value
        }
        return {name: value for name, value in groups.items() if _is_short(value)}


def _allowed(node: object, tree: Tree, path: str) -> Iterator[tuple[str, Value]]:
    if isinstance(node, list):
        for number, item in enumerate(node):
            yield from _allowed(item, tree, f"{path}[{number}]" if len(node) > 1 else path)
    elif isinstance(node, dict):
        for name, below in tree.items():
            if name in node:
                yield from _allowed(node[name], below, f"{path}.{name}" if path else name)
    elif not tree and isinstance(node, str | int | float) and _is_short(node) and _is_code(path, node):
        yield path, node


def _is_code(path: str, value: Value) -> bool:
    """Whether what should be a code is one: some vendors put a sentence there, which may quote the shopper."""
    return not path.endswith("code") or not isinstance(value, str) or bool(code_word(value))


def _is_short(value: Value) -> bool:
    """Whether a value can be an id, a word or an amount: short, on one line, and no e-mail address."""
    if not isinstance(value, str):
        return True
    return bool(value.strip()) and len(value) <= LONGEST_VALUE and value.isprintable() and "@" not in value
