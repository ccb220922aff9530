"""Opening a database: made with care, migrated in whole steps, refused untouched when it is not for us."""

import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from adapters.sqlite.schema import APPLICATION_ID, Migration, migrations
from adapters.sqlite.store import open_store
from daemon.domain.direction import Direction
from daemon.domain.events import returns as ev
from daemon.domain.queues import Queue
from daemon.domain.returns import LabelSourceName, RequestState, Settlement, State, Transit, UnitState, Void
from daemon.errors import ConfigError, StoreUnavailable
from daemon.ports.store import DeadLetter
from daemon.ports.vendors import OrderHead
from tests.services.store_conformance import WAITING, add, get, make_delivery, make_full_return, make_return

ROOT = Path(__file__).parents[2]


@pytest.fixture
def path(tmp_path):
    """Where the database goes."""
    return tmp_path / "mcfd.db"


@pytest.fixture
async def written(path):
    """A database with a return in it, closed."""
    async with await open_store(path) as store:
        await add(store, make_full_return())
    return path


@pytest.fixture
def ordinary_user():
    """A directory of one's own, as a user whom file modes bind."""
    directory = Path(tempfile.mkdtemp())
    directory.chmod(0o777)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    yield directory
    os.seteuid(user)
    directory.chmod(0o700)
    shutil.rmtree(directory)


async def pragmas(store, *names: str) -> list[object]:
    """Settings of the store's own connection."""

    def ask(connection):
        return [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in names]

    return await store._writer.read(ask)


def change(path: Path, *statements: str) -> None:
    """Do something to a closed database."""
    connection = sqlite3.connect(path, isolation_level=None)
    for statement in statements:
        connection.execute(statement)
    connection.close()


def content(path: Path) -> bytes:
    """The bytes of a file."""
    return path.read_bytes()


async def open_and_close(path: Path, **how: object) -> None:
    """Open a database that is to be refused, and leave nothing behind when it is not."""
    async with await open_store(path, **how):
        pass


async def refused(path: Path) -> str:
    """Open the file, which must be refused and must stay as it is; the reason."""
    before = content(path)
    with pytest.raises(ConfigError) as caught:
        await open_and_close(path)
    assert content(path) == before
    assert str(path) in str(caught.value)
    return str(caught.value)


async def test_a_new_database_is_private_and_durable(path):
    """A new database is readable by its owner alone, syncs every commit, enforces its keys and knows its owner."""
    async with await open_store(path) as store:
        await add(store, make_return())
        assert {file.stat().st_mode & 0o777 for file in path.parent.iterdir()} == {0o600}
        assert len(list(path.parent.iterdir())) == 3
        assert await pragmas(store, "journal_mode", "synchronous", "foreign_keys", "busy_timeout") == [
            "wal",
            2,
            1,
            2000,
        ]
        assert await pragmas(store, "auto_vacuum", "wal_autocheckpoint") == [2, 1000]
        assert await pragmas(store, "application_id", "user_version") == [APPLICATION_ID, len(migrations())]


async def test_a_database_opens_again(written):
    """What was stored is there after closing and opening."""
    async with await open_store(written) as store:
        found = await get(store)

    assert found is not None
    assert found.notes == make_full_return().notes


async def test_an_unfinished_creation_is_taken_up(path):
    """A file that a crash left empty, or without any table, becomes a database."""
    path.touch()
    with capture_logs() as lines:
        await open_and_close(path)
        await open_and_close(path)
    assert [line["event"] for line in lines] == ["store.empty"]  # it may have been a database: not without a word
    path.unlink()
    change(path, "PRAGMA auto_vacuum = INCREMENTAL", "PRAGMA journal_mode = WAL")
    async with await open_store(path) as store:
        await add(store, make_return())


async def test_a_newer_schema_is_refused(written):
    """A database of a later mcfd is left alone, and the message names both versions and the way out."""
    change(written, "PRAGMA user_version = 99")

    message = await refused(written)

    assert "schema 99" in message
    assert "backup" in message


async def test_the_database_of_another_program_is_refused(path):
    """A database with other marks, or with tables and no marks, is not ours to change."""
    change(path, "PRAGMA application_id = 77")
    assert "another program" in await refused(path)
    change(path, "PRAGMA application_id = 0", "CREATE TABLE theirs (x)")
    assert "another program" in await refused(path)


async def test_what_is_no_database_is_refused(path):
    """Any other file is refused, and nothing is written beside it."""
    path.write_text("store: elsewhere\n" * 500)

    assert "not a database" in await refused(path)
    assert list(path.parent.iterdir()) == [path]


async def test_a_damaged_database_is_refused(written):
    """A truncated file and one with overwritten pages are refused with the advice to restore a backup."""
    whole = written.read_bytes()
    written.write_bytes(whole[: len(whole) // 2])
    assert "restore a backup" in await refused(written)
    written.write_bytes(whole[:8192] + b"\xff" * 16384 + whole[24576:])
    assert "restore a backup" in await refused(written)


async def test_a_directory_or_a_missing_directory_is_refused(path, tmp_path):
    """A path that cannot be a database file is refused in plain words, and nothing is created."""
    path.mkdir()
    with pytest.raises(ConfigError, match="not a file"):
        await open_and_close(path)
    with pytest.raises(ConfigError, match="no such directory"):
        await open_and_close(tmp_path / "missing" / "mcfd.db")
    assert list(tmp_path.iterdir()) == [path]


async def test_a_read_only_file_is_refused(ordinary_user):
    """A database that the daemon's user may not write is refused with what to do."""
    path = ordinary_user / "mcfd.db"
    await open_and_close(path)
    path.chmod(0o400)

    assert "cannot be written" in await refused(path)


async def test_a_read_only_directory_is_refused(ordinary_user):
    """A directory without room for SQLite's own files is refused, whether the database is there or not."""
    (ordinary_user / "state").mkdir()
    (ordinary_user / "state").chmod(0o500)

    with pytest.raises(ConfigError, match="cannot be written"):
        await open_and_close(ordinary_user / "state" / "mcfd.db")


async def test_a_locked_database_is_unavailable(written):
    """A database that another process holds fully is unavailable, not misconfigured."""
    foreign = sqlite3.connect(written, isolation_level=None)
    foreign.execute("PRAGMA locking_mode = EXCLUSIVE")
    foreign.execute("BEGIN EXCLUSIVE")
    try:
        with pytest.raises(StoreUnavailable, match="locked"):
            await open_and_close(written)
    finally:
        foreign.close()


NEXT = Migration(len(migrations()) + 1, "CREATE TABLE parcels (x TEXT) STRICT; ALTER TABLE notes ADD COLUMN tone TEXT;")


async def test_a_migration_is_taken_once(written):
    """An old database takes the missing steps in order, keeps its content, and takes none of them twice."""
    for _ in range(2):
        async with await open_store(written, steps=[*migrations(), NEXT]) as store:
            assert await pragmas(store, "user_version") == [NEXT.number]
            assert await store._writer.read(lambda c: c.execute("SELECT count(tone) FROM notes").fetchone()) == (0,)


async def test_a_failing_migration_leaves_the_old_version(written):
    """A step that fails half way is undone wholly, and the old version goes on working."""
    broken = Migration(NEXT.number, NEXT.sql + "INSERT INTO nowhere VALUES (1);")
    with pytest.raises(sqlite3.OperationalError, match="nowhere"):
        await open_and_close(written, steps=[*migrations(), broken])

    async with await open_store(written) as store:
        found, version = await get(store), await pragmas(store, "user_version")

    assert found is not None
    assert version == [len(migrations())]


CRASH = """
import os, signal, sqlite3, sys
from pathlib import Path
from adapters.sqlite.schema import Migration, make_ready, migrations

connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.create_function("crash", 0, lambda: os.kill(os.getpid(), signal.SIGKILL))
steps = [*migrations()[: int(sys.argv[2])], Migration(int(sys.argv[2]) + 1, sys.argv[3] + "SELECT crash();")]
make_ready(Path(sys.argv[1]), connection, steps)
"""


def crash_inside(path: Path, done: int, step: str) -> int:
    """Migrate in a process that is killed at the end of the step after `done`; its return code."""
    command = [sys.executable, "-c", CRASH, str(path), str(done), step]
    return subprocess.run(command, cwd=ROOT, check=False).returncode


@pytest.mark.slow
@pytest.mark.parametrize("done", range(len(migrations()) + 1))
async def test_a_crash_inside_a_migration_leaves_the_old_version(path, done):
    """A process killed inside a step leaves a database of the version before, which the next start migrates."""
    step = [*migrations(), NEXT][done].sql
    assert crash_inside(path, done, step) == -signal.SIGKILL
    connection = sqlite3.connect(path)
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    connection.close()

    async with await open_store(path) as store:
        await add(store, make_full_return())

    assert version == done


def test_migrations_are_numbered_without_gaps():
    """The files of the schema are numbered from 1."""
    assert [step.number for step in migrations()] == list(range(1, len(migrations()) + 1))


@pytest.mark.parametrize(
    ("table", "column", "words"),
    [
        ("returns", "state", State),
        ("returns", "resume_state", State),
        ("returns", "settlement", Settlement),
        ("label_requests", "asked", RequestState),
        ("label_requests", "source", LabelSourceName),
        ("label_requests", "transit", Transit),
        ("label_requests", "reported", Transit),
        ("return_units", "standing", UnitState),
        ("postage", "transit", Transit),
        ("postage", "void", Void),
        ("postage", "source", LabelSourceName),
        ("postage", "direction", Direction),
    ],
)
async def test_the_schema_knows_every_word_of_the_domain(written, table, column, words):
    """The values that a column allows are those of its enum, no more and no fewer."""
    connection = sqlite3.connect(written)
    (sql,) = connection.execute("SELECT sql FROM sqlite_master WHERE name = ?", (table,)).fetchone()
    connection.close()

    allowed = re.search(rf"\b{column} TEXT\b.*? CHECK \((.*?)\),\s", sql, re.DOTALL)

    assert allowed
    assert set(re.findall(r"'(\w+)'", allowed[1])) == {word.value for word in words}


async def test_writing_a_return_makes_no_temporary_table(written):
    """SQLite makes one for `x IN (...)` of more than two words, each time, and that takes longer than the write."""
    connection = sqlite3.connect(written)
    plans = {
        table: connection.execute(f"EXPLAIN INSERT INTO {table} DEFAULT VALUES").fetchall()
        for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    }
    connection.close()

    assert {table for table, plan in plans.items() if any(step[1] == "OpenEphemeral" for step in plan)} == set()


async def test_history_is_append_only(written):
    """Events cannot be changed or removed, except together with their return."""
    left = "SELECT (SELECT count(*) FROM return_events) + (SELECT count(*) FROM return_units)"

    async with await open_store(written) as store:
        ret = await get(store)
        await store.transact(lambda uow: uow.save(ret, ev.ReturnRead(at=1.0), ret.state))
        for sql in ("UPDATE return_events SET at = 0", "DELETE FROM return_events"):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                await store._writer.write(lambda connection, sql=sql: connection.execute(sql).fetchall())

        await store._writer.write(lambda connection: connection.execute("DELETE FROM returns").fetchall())
        assert await store._writer.read(lambda c: c.execute(left).fetchone()) == (0,)


async def test_no_statement_scans_a_table(path):
    """Every statement of the store finds its rows through an index; only counting reads a whole one."""
    statements: set[str] = set()
    letter = DeadLetter(shop="acme", digest="d", reason="r", sealed=b"", received_at=1.0)

    def everything(uow):
        ret = uow.add(make_full_return())
        ret = uow.defer(uow.save(ret, ev.ReturnRead(at=1.0), ret.state))
        uow.save(with_parts_changed(ret), ev.ReturnRead(at=2.0), ret.state)
        uow.record_delivery(make_delivery())
        uow.keep_dead_letter(letter)
        uow.index_orders("main", [OrderHead(order_id="o", displayable_order_id="d")])
        uow.keep_document("n", b"x", 1.0)
        uow.drop_documents(2.0, 9)
        uow.set_mark("m", "1")

    def ask(uow):
        uow.get("acme", "r1"), uow.history("acme", "r1"), uow.find("r1"), uow.on_order("main", "o1"), uow.mark("m")
        (
            uow.due(WAITING, 1.0, 10),
            uow.next_due(WAITING),
            uow.queued(Queue.LABELS, 1.0, 10),
            uow.listing([State.STUCK, State.CLOSED], 10),
        )
        uow.promised(make_full_return(), ["o1", "o2"]), uow.orders_named("main", "d")
        uow.document("n")

    async with await open_store(path) as store:
        await store._writer.read(lambda connection: connection.set_trace_callback(statements.add))
        await store.transact(everything)
        await store.read(ask)
        plans = await store._writer.read(lambda connection: [plan(connection, sql) for sql in sorted(statements)])

    assert len(statements) > 25
    assert [p for p in plans if re.search(r"\bSCAN (?!value|json_each|shops|CONSTANT|\d)", p)] == []


def with_parts_changed(ret):
    """The return with a part of each kind changed or gone, so that every statement is needed."""
    return replace(
        ret,
        requests=tuple(replace(r, label_id="x") for r in ret.requests[:1]),
        units=tuple(replace(u, problem="x") for u in ret.units[:1]),
        authorizations=tuple(replace(a, center="x") for a in ret.authorizations[:1]),
        postage=tuple(replace(p, number=7) for p in ret.postage[:1]),
        notes=tuple(replace(n, text="x") for n in ret.notes[:1]),
    )


def plan(connection: sqlite3.Connection, sql: str) -> str:
    """How SQLite runs a statement, with the statement in front."""
    if not sql.startswith(("SELECT", "INSERT", "UPDATE", "DELETE")):
        return ""
    rows = connection.execute("EXPLAIN QUERY PLAN " + sql, {}).fetchall()
    return "\n".join([sql, *(row[3] for row in rows)])
