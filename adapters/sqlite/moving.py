"""Moving to another store: what is in the file, table by table, and the mark that it is there no more."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from adapters.sql.connection import Row
from adapters.sql.unit_of_work import SqlUnitOfWork
from adapters.sqlite.generation import GenerationFile
from adapters.sqlite.schema import check_place, damage, make_ready, migrations
from daemon.domain.provenance import Origin, origin
from daemon.errors import ConfigError, OperatorError
from daemon.ports.names import GENERATION

MOVED = "store-moved"
"""The mark of a file whose returns are elsewhere."""

Table = tuple[str, Sequence[str], Iterator[Row]]


class File:
    """A database that is to be moved; the caller holds the state lock."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def tables(self) -> Iterator[Table]:
        """Go through the tables, those that others refer to first: name, columns and rows."""
        names = [n for (n,) in self._connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        names = [name for name in names if not name.startswith("sqlite_")]
        owned = {name: bool(self._connection.execute(f"PRAGMA foreign_key_list({name})").fetchone()) for name in names}
        for name in sorted(names, key=lambda name: (owned[name], name)):
            columns = [row[1] for row in self._connection.execute(f"PRAGMA table_info({name})")]
            rest = f" WHERE name <> '{MOVED}'" if name == "marks" else ""  # an interrupted move may have left it
            yield name, columns, self._connection.execute(f"SELECT {', '.join(columns)} FROM {name}{rest}")  # noqa: S608

    def mark_moved(self, place: str) -> None:
        """Note that the returns are at `place` now, so that no daemon works on the file any more."""
        SqlUnitOfWork(self._connection).set_mark(MOVED, place)


@contextmanager
def opened_to_move(path: Path) -> Iterator[File]:
    """Open a file whose move has not begun, or was interrupted. Raises ConfigError, OperatorError, StoreUnavailable."""
    if not path.is_file():
        raise OperatorError(f"{path} is not a file; name the SQLite database")
    check_place(path, len(migrations()))
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        make_ready(path, connection, migrations())
        if finding := damage(connection):
            raise OperatorError(f"{path} is damaged ({finding}); restore a backup first")
        _check_noticed(path, SqlUnitOfWork(connection).mark(GENERATION))
        yield File(connection)
    finally:
        connection.close()


def _check_noticed(path: Path, name: str | None) -> None:
    """A restored file is known by what is beside it, which does not move along."""
    if origin(name, GenerationFile(path).read(), empty=False) is Origin.RESTORED:
        raise OperatorError(
            f"{path} was restored from a copy: start mcfd with it once, so that it notices; then move it"
        )


def check_not_moved(path: Path, connection: sqlite3.Connection) -> None:
    """Raise ConfigError for a file whose returns are elsewhere: two stores would act on the same returns."""
    place = SqlUnitOfWork(connection).mark(MOVED)
    if place is not None:
        hint = "set store.url; a copy that did not finish is made by `mcfd store copy` again"
        raise ConfigError([f"{path}: was moved to {place}: {hint}"])
