"""Receiving another store's rows: all of them in one transaction, or none."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import psycopg
from psycopg import sql

from adapters.postgresql.connection import POSTGRESQL
from adapters.postgresql.schema import VERSION_TABLE, explain, make_ready, migrations
from adapters.postgresql.store import Occupied, Sessions
from daemon.errors import AlreadyRunning, OperatorError

_SERIALS = """
    SELECT table_name, column_name FROM information_schema.columns
    WHERE table_schema = current_schema() AND is_identity = 'YES'
"""


def receive(
    place: str,
    url: str,
    password: Callable[[], str | None],
    tables: Iterable[tuple[str, Sequence[str], Iterable[Sequence[Any]]]],
    decided: Callable[[], None],
) -> Mapping[str, int]:
    """Write all rows of all tables into an empty database; return how many, by table.

    `decided` is called when all is written, just before the commit. Raises AlreadyRunning, ConfigError, OperatorError
    or StoreUnavailable; then nothing was written.
    """
    try:
        connection = Sessions(url, password).connect().raw
    except Occupied as error:
        raise AlreadyRunning(f"{error}, {place}: stop it first") from None
    except psycopg.Error as error:
        raise explain(place, error, POSTGRESQL.reason(error)) from error
    try:
        make_ready(place, connection, migrations(), create=True)
        with connection.transaction():
            connection.execute("SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0")
            _check_empty(place, connection)
            counts = {name: _copy(connection, name, columns, rows) for name, columns, rows in tables}
            _set_serials(connection)
            decided()
    except psycopg.Error as error:
        raise explain(place, error, POSTGRESQL.reason(error)) from error
    finally:
        connection.close()
    return counts


def _check_empty(place: str, connection: psycopg.Connection[Any]) -> None:
    listing = (
        "SELECT tablename FROM pg_tables WHERE schemaname = current_schema() AND tablename <> %s "
        "AND NOT starts_with(tablename, 'cluster_')"
    )
    for (name,) in connection.execute(listing, (VERSION_TABLE,)).fetchall():
        if connection.execute(sql.SQL("SELECT 1 FROM {} LIMIT 1").format(sql.Identifier(name))).fetchone():
            raise OperatorError(f"{place} has rows in {name} already; name an empty database")


def _copy(connection: psycopg.Connection[Any], name: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> int:
    fields = sql.SQL(", ").join(map(sql.Identifier, columns))
    count = 0
    with (
        connection.cursor() as cursor,
        cursor.copy(sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(name), fields)) as copy,
    ):
        for row in rows:
            copy.write_row(row)
            count += 1
    stored = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(name))).fetchone()
    if stored != (count,):
        raise OperatorError(f"{name} has {count} rows, and {stored} arrived; nothing was copied")
    return count


def _set_serials(connection: psycopg.Connection[Any]) -> None:
    """Let new rows be numbered after those that were copied."""
    for table, column in connection.execute(_SERIALS).fetchall():
        connection.execute(
            sql.SQL("SELECT setval(pg_get_serial_sequence(%s, %s), coalesce(max({}), 0) + 1, false) FROM {}").format(
                sql.Identifier(column), sql.Identifier(table)
            ),
            (table, column),
        )
