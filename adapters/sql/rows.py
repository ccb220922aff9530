"""Maps dataclasses to rows: each field is a column of its name, an optional part is a group of columns."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from enum import StrEnum
from operator import attrgetter
from types import NoneType
from typing import Any, Generic, TypeVar, get_args, get_type_hints

from adapters.sql.connection import Connection, Row
from daemon.domain.acts import Act, Duty
from daemon.domain.orders import ReturnAuthorization
from daemon.domain.returns import LabelRequest, Note, Postage, Return, ReturnUnit

V = TypeVar("V")


def _write_duties(duties: Iterable[Duty]) -> str:
    """Write one duty per line, whatever characters a vendor's ids contain."""
    return "\n".join(duty.key.replace("%", "%25").replace("\n", "%0A") for duty in duties)


def _read_duties(text: str) -> tuple[Duty, ...]:
    keys = (key.partition(":") for key in text.split("\n") if key)
    return tuple(Duty(Act(act), subject.replace("%0A", "\n").replace("%25", "%")) for act, _, subject in keys)


_TEXTS: Mapping[object, tuple[Callable[[Any], str], Callable[[str], Any]]] = {
    tuple[Duty, ...]: (_write_duties, _read_duties)
}
"""Fields stored as text: how to write the text, and how to read it."""


class Shape(Generic[V]):
    """Maps one dataclass to columns: first the plain fields, then the optional parts.

    All columns of an absent part are NULL, so the first field of a part must never be None.
    """

    def __init__(self, kind: type[V], *, without: Iterable[str] = ()) -> None:
        left_out = set(without)
        hints = {f.name: get_type_hints(kind)[f.name] for f in fields(kind) if f.name not in left_out}  # type: ignore[arg-type]
        self._writers = {name: _TEXTS[hint][0] for name, hint in hints.items() if hint in _TEXTS}
        types = {name: str if name in self._writers else _without_none(hint) for name, hint in hints.items()}
        self._kind = kind
        self._parts: dict[str, Shape[Any]] = {name: Shape(t) for name, t in types.items() if is_dataclass(t)}
        self._names = tuple(name for name in types if name not in self._parts)
        self._makers: dict[str, Callable[[Any], Any]] = {
            **{n: t for n, t in types.items() if t is bool or issubclass(t, StrEnum)},
            **{n: _TEXTS[hints[n]][1] for n in self._writers},
        }
        self._places = {
            f"{name}_{column}": f"{name}.{column}" for name, p in self._parts.items() for column in p.columns
        }
        self._plain = self.picking(self._names)
        self.columns: tuple[str, ...] = (
            *self._names,
            *(f"{name}_{column}" for name, part in self._parts.items() for column in part.columns),
        )

    def picking(self, names: Sequence[str]) -> Callable[[V], Row]:
        """Return a function that reads these columns of plain fields, and of parts that are never absent."""
        plain: Callable[[V], Row] = attrgetter(*(self._places.get(name, name) for name in names))
        written = [(at, self._writers[name]) for at, name in enumerate(names) if name in self._writers]

        def row(value: V) -> Row:
            cells = list(plain(value))
            for at, write in written:
                cells[at] = write(cells[at])
            return tuple(cells)

        return row if written else plain

    def to_row(self, value: V) -> Row:
        """Return the columns of a value. Enums are stored as text, and booleans as integers."""
        row = self._plain(value)
        for name, part in self._parts.items():
            inner = getattr(value, name)
            row += (None,) * len(part.columns) if inner is None else part.to_row(inner)
        return row

    def from_row(self, row: Row, **others: object) -> V:
        """Build the value of a row; `others` are the fields that the row lacks."""
        values = dict(zip(self._names, row, strict=False))
        for name, make in self._makers.items():
            if values[name] is not None:
                values[name] = make(values[name])
        start = len(self._names)
        for name, part in self._parts.items():
            group = row[start : start + len(part.columns)]
            values[name] = None if group[0] is None else part.from_row(group)
            start += len(part.columns)
        return self._kind(**values, **others)


def _without_none(hint: Any) -> type[Any]:  # noqa: ANN401 - a type hint is any object
    kind: type[Any] = next((kind for kind in get_args(hint) if kind is not NoneType), hint)
    return kind


class PartTable(Generic[V]):
    """The table of one kind of part of a return; only rows that differ are written."""

    def __init__(self, name: str, attribute: str, kind: type[V], key: Sequence[str], *, owners: str = "") -> None:
        self.attribute = attribute
        self.shape = Shape(kind)
        self._owners = ("return_ref", *owners.split())
        columns = ("position", *self.shape.columns)
        self._key_at = tuple(columns.index(column) for column in key)
        inserted = (*self._owners, *columns)
        where = " AND ".join(f"{column} = ?" for column in ("return_ref", *key))
        # Only names of our own tables and columns become part of a statement.
        self._select = f"SELECT {', '.join(columns)} FROM {name} WHERE return_ref = ? ORDER BY position"  # noqa: S608
        self._insert = f"INSERT INTO {name} ({', '.join(inserted)}) VALUES ({', '.join('?' * len(inserted))})"  # noqa: S608
        self._update = f"UPDATE {name} SET {', '.join(f'{c} = ?' for c in columns)} WHERE {where}"  # noqa: S608
        self._delete = f"DELETE FROM {name} WHERE {where}"  # noqa: S608

    def load(self, connection: Connection, return_ref: int) -> tuple[V, ...]:
        """Read the parts of a return, in order."""
        return tuple(self.shape.from_row(row[1:]) for row in connection.execute(self._select, (return_ref,)))

    def store(self, connection: Connection, owner: Mapping[str, object], parts: Iterable[V]) -> None:
        """Write the parts that differ from the stored ones. Two parts with one key violate the primary key."""
        return_ref = owner["return_ref"]
        stored = {self._key(row): row for row in connection.execute(self._select, (return_ref,))}
        for position, part in enumerate(parts):
            row = (position, *self.shape.to_row(part))
            key = self._key(row)
            known = stored.pop(key, None)
            if known is None:
                connection.execute(self._insert, (*(owner[name] for name in self._owners), *row))
            elif known != row:
                connection.execute(self._update, (*row, return_ref, *key))
        for key in stored:
            connection.execute(self._delete, (return_ref, *key))

    def _key(self, row: Row) -> Row:
        return tuple(row[at] for at in self._key_at)


PARTS: tuple[PartTable[Any], ...] = (
    PartTable("label_requests", "requests", LabelRequest, ["request_id"], owners="shop"),
    PartTable("return_units", "units", ReturnUnit, ["line_id", "part"]),
    PartTable("authorizations", "authorizations", ReturnAuthorization, ["authorization_id"]),
    PartTable("postage", "postage", Postage, ["authorization_id"]),
    PartTable("notes", "notes", Note, ["key"]),
)
RETURN: Shape[Return] = Shape(Return, without=[table.attribute for table in PARTS])
