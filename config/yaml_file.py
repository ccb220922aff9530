"""Reads the configuration file: plain values, the line of each path, and YAML errors."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

Location = Sequence[str | int]

_LONGEST_STEP = 60
_EXAMPLE = "start from config.example.yaml"
_JARGON = {  # what PyYAML says, and what it means; the first match counts
    "'\\t'": "a tab cannot indent; use blanks",
    "mapping values are not allowed": "a colon where none can be; check the indentation, or quote the text",
    "could not find expected ':'": "a key without a colon; write key: value",
    "but found another document": "a second document starts here; remove the --- line",
    "<block end>": "this line does not fit the ones above; check the indentation",
    "expected ',' or": "a bracket, brace or comma is out of place; close each that is open",
    "while scanning a quoted": "a quote is not closed; close it, or quote the whole text",
    "undefined alias": "an alias without an anchor; quote a text that starts with *",
    "could not determine a constructor": "a tag that has no meaning here; quote a text that starts with !",
    "unhashable": "a key that is itself a list or mapping; write a text",
    "cannot start any token": "a character that cannot start a value; put the text in quotes",
}
_ELSE = "is not YAML here; look for an open bracket or quote, or a missing colon"


class _Loader(yaml.SafeLoader):
    """Reads numbers as people write them: 010 is not eight, and 1:30:45 is not a number of seconds."""


_INT, _FLOAT = "tag:yaml.org,2002:int", "tag:yaml.org,2002:float"
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in {_INT, _FLOAT}]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(_INT, re.compile(r"[-+]?(?:0|[1-9][0-9]*)$"), list("-+0123456789"))
_Loader.add_implicit_resolver(
    _FLOAT,
    re.compile(r"[-+]?(?:0|[1-9][0-9]*)(?:\.[0-9]*)?(?:[eE][-+]?[0-9]+)?$|[-+]?\.(?:inf|nan)$", re.IGNORECASE),
    list("-+0123456789."),
)


@dataclass
class Document:
    """The file's content. `data` is None when it is unreadable; `problems` then say why.

    Locations may begin with the `unwritten` steps, which the file leaves out.
    """

    data: object = None
    problems: list[str] = field(default_factory=list)
    unwritten: Location = ()
    _lines: dict[str, int] = field(default_factory=dict)

    def line_of(self, location: Location) -> int | None:
        """Return the line of a path, or of its nearest parent with a line; counted from 1."""
        location = self.written(location)
        around = (location[:length] for length in range(len(location), 0, -1))
        return next((self._lines[path] for part in around if (path := format_path(part)) in self._lines), None)

    def at(self, location: Location, message: str) -> str:
        """Write `path: message (line 12)`, on one line."""
        line = self.line_of(location)
        where = f"{format_path(self.written(location))}: " if location else "config file: "
        return where + " ".join(message.split()) + (f" (line {line})" if line else "")

    def written(self, location: Location) -> Location:
        """Return the location as the file writes it."""
        length = len(self.unwritten)
        return location[length:] if length and tuple(location[:length]) == tuple(self.unwritten) else location

    def survey(self, node: Node) -> None:
        """Record the line of every path below `node`; a duplicate key is a problem."""
        self._walk(node, (), set())

    def _walk(self, node: Node, location: tuple[str | int, ...], seen: set[int]) -> None:
        if id(node) in seen:  # an alias, perhaps to its own parent
            return
        seen.add(id(node))
        if isinstance(node, MappingNode):
            self._walk_mapping(node, location, seen)
        elif isinstance(node, SequenceNode):
            for index, item in enumerate(node.value):
                self._lines[format_path((*location, index))] = item.start_mark.line + 1
                self._walk(item, (*location, index), seen)

    def _walk_mapping(self, node: MappingNode, location: tuple[str | int, ...], seen: set[int]) -> None:
        firsts: dict[str, int] = {}
        for key, value in node.value:
            if not isinstance(key, ScalarNode):
                continue
            here, line = (*location, key.value), key.start_mark.line + 1
            if key.value in firsts:
                self.problems.append(f"{format_path(here)}: repeats line {firsts[key.value]}; keep one (line {line})")
                continue
            firsts[key.value] = line
            self._lines[format_path(here)] = line
            self._walk(value, here, seen)


def format_path(location: Location) -> str:
    """Write a path such as `shops.acme.reasons.map[2].code`."""
    path = ""
    for step in location:
        text = f"[{step}]" if isinstance(step, int) else f".{_short(step)}"
        path += text
    return path.removeprefix(".")


def _short(step: str) -> str:
    text = " ".join(step.split())
    return text if len(text) <= _LONGEST_STEP else text[:_LONGEST_STEP] + "…"


def read_document(path: Path) -> Document:
    """Read the file; never raises."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        return _unreadable(f"{path} does not exist; name the file with --config")
    except IsADirectoryError:
        return _unreadable(f"{path} is a directory; name the file in it with --config")
    except OSError as error:
        return _unreadable(f"{path} cannot be read ({error.strerror}); let mcfd's user read it")
    except UnicodeDecodeError:
        return _unreadable(f"{path} is not UTF-8 text; save it as UTF-8")
    return parse_document(text)


def parse_document(text: str) -> Document:
    """Read a text; never raises."""
    document = Document()
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is not None:
            document.survey(node)
            document.data = loader.construct_document(node)
    except yaml.YAMLError as error:
        document.problems.append(_explain(error))
    except ValueError:
        document.problems.append("config file: holds a number or date that does not exist; put the text in quotes")
    except RecursionError:
        document.problems.append(f"config file: is nested too deeply; {_EXAMPLE}")
    if not document.problems and not isinstance(document.data, Mapping):
        document.problems.append(f"config file: {'does not hold keys' if document.data else 'is empty'}; {_EXAMPLE}")
    if not isinstance(document.data, Mapping):
        document.data = None
    return document


def _unreadable(message: str) -> Document:
    return Document(problems=[f"config file: {message}"])


def _explain(error: yaml.YAMLError) -> str:
    """Explain an error in plain words, without the excerpt of the file that PyYAML shows."""
    if not isinstance(error, yaml.MarkedYAMLError):
        return "config file: holds a character that YAML does not allow; retype the text, or put it in quotes"
    said = f"{error.context} {error.problem}"
    meaning = next((meaning for jargon, meaning in _JARGON.items() if jargon in said), _ELSE)
    mark = error.problem_mark or error.context_mark
    where = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
    return f"config file: {meaning}{where}"
