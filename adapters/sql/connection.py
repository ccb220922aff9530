"""What the shared statements need of a database, which sqlite3's own connection offers as it is.

Statements are written once, in the words that SQLite and PostgreSQL share, with SQLite's placeholders.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

Row = tuple[Any, ...]
Values = Sequence[Any] | Mapping[str, Any]


class Cursor(Protocol):
    """The answer to a statement."""

    @property
    def rowcount(self) -> int:
        """How many rows were changed."""

    def fetchone(self) -> Any:  # noqa: ANN401 - a row, as the database's library has it
        """Return the next row; None after the last."""

    def fetchall(self) -> list[Any]:
        """Return the rows that are left."""

    def __iter__(self) -> Iterator[Any]:
        """Go through the rows."""


class Connection(Protocol):
    """An open connection; it commits nothing by itself."""

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""

    def execute(self, sql: str, parameters: Values = ..., /) -> Cursor:
        """Run a statement."""

    def executemany(self, sql: str, rows: Iterable[Values], /) -> object:
        """Run a statement once for each row."""


class Database(Protocol):
    """How one kind of database is spoken to."""

    begin: str
    """The statement that opens a transaction that writes."""

    begin_reading: str
    """The statement that opens a transaction that only reads; empty where reading needs none."""

    error: type[Exception]
    """The class of all its errors."""

    def unavailable(self, error: BaseException) -> bool:
        """Whether the environment, not the statement, caused the error."""

    def breaks(self, error: BaseException) -> bool:
        """Whether nothing may be written any more after this error, until the process has started again."""

    def reason(self, error: Exception) -> str:
        """Return the error's text for people, without stored values."""

    def discreet(self, error: Exception) -> Exception:
        """Return the error of a faulty statement, without stored values."""

    def settle(self, connection: Any) -> None:  # noqa: ANN401 - the database's own connection
        """Do what is left to do before the connection is closed."""
