"""Copying a file into PostgreSQL, and PostgreSQL's own backup: whole or not at all."""

import sqlite3
from contextlib import closing

import psycopg
import pytest

from adapters.postgresql.moving import receive
from adapters.postgresql.store import open_store as open_database
from adapters.sqlite.generation import FOREIGN, GenerationFile
from adapters.sqlite.moving import opened_to_move
from adapters.sqlite.store import open_store as open_file
from daemon.domain.returns import Note
from daemon.errors import ConfigError, OperatorError
from daemon.ports.names import GENERATION
from tests.services.store_conformance import (
    add,
    get,
    make_delivery,
    make_full_return,
    make_purchase,
    make_return,
)


def no_password() -> None:
    """The tests' server asks for none."""


@pytest.fixture
async def file(tmp_path):
    """A file with something of everything."""
    path = tmp_path / "mcfd.db"
    async with await open_file(path) as store:
        await add(store, make_full_return(), make_return("r2"), make_return("r3", notes=(Note(key="k", text="t"),)))

        def fill(uow):
            uow.record_delivery(make_delivery())
            uow.keep_document("hosted/x", b"\x00sealed\xff", 5.0)
            uow.keep_purchase(make_purchase())
            uow.set_mark("poll", "1.5")

        await store.transact(fill)
    return path


def moving(path, url, decided=lambda: None):
    """Copy it."""
    with opened_to_move(path) as source:

        def mark():
            source.mark_moved("postgresql://there/mcfd")
            decided()

        return receive("the database", url, no_password, source.tables(), mark)


async def test_a_restored_file_must_be_noticed_first(file, postgres):
    """What tells that a file was restored is beside it: it is not moved before a start has noticed that."""
    async with await open_file(file) as store:
        await store.transact(lambda uow: uow.set_mark(GENERATION, "name"))
    GenerationFile(file).write(FOREIGN)
    with pytest.raises(OperatorError, match="start mcfd with it once"):
        moving(file, postgres.new_database())
    GenerationFile(file).write("name")
    assert moving(file, postgres.new_database())["returns"] == 3


async def test_everything_arrives(file, postgres):
    """Each row of each table reads back as it was, new returns are numbered on, and the file opens no more."""
    async with await open_file(file) as store:
        before = [await get(store, name) for name in ("r1", "r2", "r3")]
    url = postgres.new_database()

    counts = moving(file, url)

    assert counts["returns"] == 3
    assert counts["marks"] >= 1
    async with await open_database("the database", url) as store:
        assert [await get(store, name) for name in ("r1", "r2", "r3")] == before
        assert await store.read(lambda uow: uow.document("hosted/x")) == b"\x00sealed\xff"
        assert await store.read(lambda uow: uow.mark("poll")) == "1.5"
        assert await store.transact(lambda uow: uow.record_delivery(make_delivery())) is False
        await add(store, make_return("r4"))
        changed = await store.survey(lambda keep: keep.changed_since(0.0, 3, 9))
        assert [name for _, _, name in changed] == ["r4"]
    with pytest.raises(ConfigError, match=r"was moved to postgresql://there/mcfd: set store.url"):
        await open_file(file)


async def test_a_copy_that_fails_leaves_nothing(file, postgres):
    """When it breaks at the last moment the database is empty; the copy can be made again, and is whole then."""
    url = postgres.new_database()

    def broken():
        raise RuntimeError("killed here")

    with pytest.raises(RuntimeError):
        moving(file, url, broken)
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT count(*) FROM returns").fetchone() == (0,)
    with pytest.raises(ConfigError, match="store copy"):
        await open_file(file)

    assert moving(file, url)["returns"] == 3
    async with await open_database("the database", url) as store:
        assert await store.read(lambda uow: uow.mark("store-moved")) is None


async def test_only_an_empty_database_takes_it(file, postgres):
    """A database with returns is left as it is, and the file is not marked."""
    url = postgres.new_database()
    async with await open_database("the database", url) as store:
        await add(store, make_return("theirs"))

    with pytest.raises(OperatorError, match="rows in returns already"):
        moving(file, url)

    async with await open_database("the database", url) as store:
        assert await store.read(lambda uow: uow.counts()) == {("acme", "received"): 1}
    await (await open_file(file)).close()


async def test_what_is_no_store_is_not_copied(tmp_path, postgres):
    """Another program's file is refused, and so is one that is not there."""
    with closing(sqlite3.connect(tmp_path / "other.db")) as other:
        other.execute("CREATE TABLE theirs (x)")
        other.commit()
    with pytest.raises(ConfigError, match="another program"):
        moving(tmp_path / "other.db", postgres.new_database())
    with pytest.raises(OperatorError, match="is not a file"):
        moving(tmp_path / "missing.db", postgres.new_database())


async def test_pg_dump_is_the_backup(file, postgres):
    """What pg_dump writes while a store is open, pg_restore puts into another database, where mcfd goes on with it."""
    url = postgres.new_database()
    moving(file, url)
    async with await open_database("the database", url) as store:
        before = await get(store)
        dump = str(postgres.directory / "mcfd.dump")
        postgres.run("pg_dump", "--format=custom", f"--file={dump}", url)
    restored = postgres.new_database()

    postgres.run("pg_restore", f"--dbname={restored}", "--exit-on-error", dump)

    async with await open_database("the database", restored) as store:
        assert await get(store) == before
        await add(store, make_return("r9"))
