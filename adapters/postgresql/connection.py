"""PostgreSQL's connections, and what its errors mean."""

import time
from collections.abc import Iterable
from typing import Any

import psycopg
from psycopg.adapt import Dumper
from psycopg.pq import TransactionStatus
from psycopg.types.numeric import Int8Dumper
from psycopg.types.string import StrDumperUnknown

from adapters.postgresql.dialect import translate
from adapters.sql.connection import Cursor, Values

_SURROUNDINGS = ("08", "28", "40", "53", "57", "58", "XX", "25006", "25P03", "3D", "42501", "55P03")
"""The beginnings of the codes about the server, its disk, its rights and other sessions. All others mean a bug in a
statement: https://www.postgresql.org/docs/current/errcodes-appendix.html"""

_OPEN = frozenset({TransactionStatus.INTRANS, TransactionStatus.INERROR, TransactionStatus.ACTIVE})


class _Text(StrDumperUnknown):
    """PostgreSQL's text cannot hold NUL, which a vendor's might."""

    def dump(self, obj: str) -> Any:  # noqa: ANN401 - psycopg's own type of bytes
        return super().dump(obj.replace("\0", "\N{REPLACEMENT CHARACTER}") if "\0" in obj else obj)


class _Truth(Dumper):
    """Booleans are stored as 0 and 1, as SQLite has them."""

    oid = Int8Dumper.oid

    def dump(self, obj: bool) -> bytes:
        return b"1" if obj else b"0"


WRITING = 0x6D63_6664_5752
"""The advisory lock of who writes: nodes write one after the other, as SQLite's only writer does, so that no rule about
what several rows may say together needs an index of its own."""

_BEGIN = b"BEGIN ISOLATION LEVEL READ COMMITTED; SELECT pg_advisory_xact_lock(%d)" % WRITING


class PostgresConnection:
    """Implements the Connection protocol.

    `asking_since` is when the running statement began; `proven` is what this transaction need not do again: the leases
    that it has checked, and to tell other nodes of itself.
    """

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.raw = connection
        self.asking_since: float | None = None
        self.proven: set[str] = set()
        for kind, dumper in ((str, _Text), (bool, _Truth), (int, Int8Dumper)):
            connection.adapters.register_dumper(kind, dumper)

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open, even one that can only be rolled back."""
        return not self.raw.closed and self.raw.info.transaction_status in _OPEN

    def execute(self, sql: str, parameters: Values = (), /) -> Cursor:
        """Run a statement of the shared words."""
        self.asking_since = time.monotonic()
        try:
            if sql is Postgresql.begin:
                self.proven.clear()
                return self.raw.execute(_BEGIN)
            return self.raw.execute(translate(sql), parameters)
        finally:
            self.asking_since = None

    def executemany(self, sql: str, rows: Iterable[Values], /) -> None:
        """Run a statement once for each row."""
        self.asking_since = time.monotonic()
        try:
            with self.raw.cursor() as cursor:
                cursor.executemany(translate(sql), rows)
        finally:
            self.asking_since = None


class Postgresql:
    """Implements the Database protocol."""

    begin = "BEGIN"
    begin_reading = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
    error: type[Exception] = psycopg.Error

    def unavailable(self, error: BaseException) -> bool:
        """Look at the class of the error's code; a lost connection has none."""
        if not isinstance(error, psycopg.Error):
            return False
        if error.sqlstate is None:
            return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
        return error.sqlstate.startswith(_SURROUNDINGS)

    def breaks(self, error: BaseException) -> bool:  # noqa: ARG002 - the server keeps its own disk
        """Never: the server ends all its sessions when its disk fails."""
        return False

    def reason(self, error: Exception) -> str:
        """Return the message alone: what follows it quotes rows."""
        return _message(error)

    def discreet(self, error: Exception) -> Exception:
        """Return the same error with its message alone: what follows it quotes rows."""
        return type(error)(_message(error)).with_traceback(error.__traceback__)

    def settle(self, connection: PostgresConnection) -> None:
        """Nothing: the server looks after itself."""


POSTGRESQL = Postgresql()


def _message(error: Exception) -> str:
    if isinstance(error, psycopg.Error) and error.diag.message_primary:
        table = error.diag.table_name
        return error.diag.message_primary + (f" (table {table})" if table else "")
    if isinstance(error, psycopg.OperationalError):  # the connection's own troubles fill several lines
        return " ".join(str(error).split()) or "the connection was lost"
    return next(iter(str(error).splitlines()), type(error).__name__)
