"""PostgreSQL's schema is SQLite's: what one store holds, the other does."""

import re
import sqlite3
from collections.abc import Mapping

import psycopg
import pytest

from adapters.postgresql.schema import VERSION_TABLE
from adapters.postgresql.schema import migrations as postgres_migrations
from adapters.postgresql.store import open_store
from adapters.sqlite.schema import migrations as sqlite_migrations
from daemon.errors import ConfigError

OWN = {VERSION_TABLE, "cluster_errands", "cluster_leases", "cluster_nodes"}
"""What PostgreSQL alone has: its schema's version, and the nodes that share it."""

TYPES = {"TEXT": "text", "INTEGER": "bigint", "REAL": "double precision", "BLOB": "bytea"}

COLUMNS = """
    SELECT table_name, column_name, data_type, is_nullable = 'NO', collation_name FROM information_schema.columns
    WHERE table_schema = current_schema() ORDER BY table_name, ordinal_position
"""
INDEXES = "SELECT indexdef FROM pg_indexes WHERE schemaname = current_schema()"
CHECKS = """
    SELECT r.relname, count(*) FROM pg_constraint c JOIN pg_class r ON r.oid = c.conrelid WHERE c.contype = 'c'
    AND r.relnamespace = current_schema()::regnamespace GROUP BY 1
"""

Columns = Mapping[str, list[tuple[str, str, bool]]]


@pytest.fixture
async def made(postgres):
    """The address of a database that mcfd made, and a connection to it."""
    url = postgres.new_database()
    await (await open_store("the database", url)).close()
    with psycopg.connect(url, autocommit=True) as connection:
        yield url, connection


@pytest.fixture
def file():
    """SQLite's schema."""
    connection = sqlite3.connect(":memory:")
    for step in sqlite_migrations():
        connection.executescript(step.sql)
    yield connection
    connection.close()


def tables_of(file: sqlite3.Connection) -> list[str]:
    """The tables in SQLite."""
    return [name for (name,) in file.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]


def columns_of_file(file: sqlite3.Connection) -> Columns:
    """Name, PostgreSQL's type and NOT NULL of each column in SQLite."""
    return {
        table: [
            (name, TYPES[kind], bool(required or key))
            for _, name, kind, required, _, key in file.execute(f"PRAGMA table_info({table})")
        ]
        for table in tables_of(file)
    }


def test_the_numbers_have_no_gap():
    """The migrations are numbered from 1, each number once."""
    assert [step.number for step in postgres_migrations()] == list(range(1, len(postgres_migrations()) + 1))


async def test_both_stores_have_the_same_columns(made, file):
    """Every table has the same columns of the corresponding types, and all texts are compared byte by byte."""
    found: dict[str, list[tuple[str, str, bool]]] = {}
    collations = set()
    for table, name, kind, required, collation in made[1].execute(COLUMNS):
        found.setdefault(table, []).append((name, kind, required))
        collations |= {collation} if kind == "text" else set()
    for table in OWN:
        del found[table]

    wanted = columns_of_file(file)
    assert set(found) == set(wanted)
    assert {table: sorted(rows) for table, rows in found.items()} == {
        table: sorted(rows) for table, rows in wanted.items()
    }
    assert collations == {"C"}


def unique_in_file(file: sqlite3.Connection) -> set[tuple[str, tuple[str, ...], bool]]:
    """Table, columns, and whether only some rows count, of whatever is unique in SQLite."""
    found = set()
    for table in tables_of(file):
        for _, name, unique, _, partial in file.execute(f"PRAGMA index_list({table})"):
            if unique:
                columns = tuple(row[2] for row in file.execute(f"PRAGMA index_info({name})"))
                found.add((table, columns, bool(partial)))
        key = [row for row in file.execute(f"PRAGMA table_info({table})") if row[5]]
        if key:
            found.add((table, tuple(row[1] for row in sorted(key, key=lambda row: row[5])), False))
    return found


async def test_both_stores_keep_the_same_things_unique(made, file):
    """Each invariant that an index of SQLite keeps is kept by one of PostgreSQL."""
    found = set()
    for (sql,) in made[1].execute(INDEXES):
        match = re.fullmatch(r"CREATE UNIQUE INDEX \w+ ON \w+\.(\w+) USING btree \((.+?)\)( WHERE .*)?", sql)
        if match and match[1] not in OWN:
            found.add((match[1], tuple(match[2].split(", ")), match[3] is not None))

    assert found == unique_in_file(file)


async def test_both_stores_have_the_same_indexes(made, file):
    """What SQLite finds by an index, PostgreSQL does, too."""
    named = "SELECT indexname FROM pg_indexes WHERE schemaname = current_schema()"
    found = {name for (name,) in made[1].execute(named)}
    wanted = {n for (n,) in file.execute("SELECT name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL")}
    assert wanted <= found


async def test_both_stores_check_as_much(made, file):
    """Each table has as many conditions on its rows in PostgreSQL as in SQLite."""
    found = {table: count for table, count in made[1].execute(CHECKS) if table not in OWN}
    sql = "SELECT name, sql FROM sqlite_master WHERE type = 'table'"
    wanted = {name: len(re.findall(r"\bCHECK\b", text)) for name, text in file.execute(sql)}
    assert found == {name: count for name, count in wanted.items() if count}


async def test_the_history_is_append_only(made):
    """Rows of the history are never changed, and go only with their return."""
    _, connection = made
    file = "INSERT INTO returns ({}) VALUES ({})"
    values = {"shop": "acme", "return_id": "r1", "version": 1, "created_at": 1.0, "changed_at": 1.0, "state": "closed"}
    values |= dict.fromkeys(("attempts", "transient_failures", "verifications", "needs_read", "held"), 0)
    values |= dict.fromkeys(("pending_calls", "problem", "order_name", "order_number", "provider_order_id"), "")
    values |= dict.fromkeys(("has_exchange", "processing_failed", "flagged"), 0)
    values |= dict.fromkeys(("settlement", "asked_for"), "nothing")
    connection.execute(file.format(", ".join(values), ", ".join(f"%({name})s" for name in values)), values)
    connection.execute("INSERT INTO return_events VALUES (1, 1, 1.0, 'x', 'a', 'b', '')")
    for forbidden in ("UPDATE return_events SET detail = 'y'", "DELETE FROM return_events"):
        with pytest.raises(psycopg.IntegrityError, match="append-only"):
            connection.execute(forbidden)

    connection.execute("DELETE FROM returns")
    assert connection.execute("SELECT count(*) FROM return_events").fetchone() == (0,)


async def test_a_later_schema_is_refused(made):
    """A database of a later mcfd is left alone, and the message says what to do."""
    url, connection = made
    connection.execute(f"UPDATE {VERSION_TABLE} SET version = 9999")
    with pytest.raises(ConfigError, match="schema 9999, this mcfd knows up to"):
        await open_store("the database", url)


async def test_another_programs_database_is_refused(postgres):
    """A database with somebody else's tables gets none of ours."""
    url = postgres.new_database()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE theirs (x int)")
        with pytest.raises(ConfigError, match="another program"):
            await open_store("the database", url)
        assert [
            name for (name,) in connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        ] == ["theirs"]


async def test_a_schema_of_its_own_in_anothers_database(postgres):
    """With a search path in store.url, mcfd lives in its own schema beside another program's tables."""
    url = postgres.new_database()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE theirs (x int)")
        connection.execute("CREATE SCHEMA mcfd")
        async with await open_store("the database", f"{url}&options=-csearch_path%3Dmcfd") as store:
            await store.transact(lambda uow: uow.set_mark("a", "b"))
        assert connection.execute("SELECT value FROM mcfd.marks").fetchone() == ("b",)
