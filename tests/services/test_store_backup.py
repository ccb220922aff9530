"""Backups: whole, private, made while the store works."""

import asyncio
import os
import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from adapters.sqlite import backup
from adapters.sqlite.backup import copy_database
from adapters.sqlite.store import open_store
from daemon.errors import OperatorError, StoreUnavailable
from tests.services.store_conformance import add, get, make_full_return, make_return


@pytest.fixture
async def store(tmp_path):
    """A store with a return in it, in a directory of its own."""
    (tmp_path / "state").mkdir()
    async with await open_store(tmp_path / "state" / "mcfd.db") as opened:
        await add(opened, make_full_return())
        yield opened


async def back_up(store, target):
    """Copy beside the running store, as another process does."""
    return await asyncio.to_thread(copy_database, store.path, target, threading.Event())


async def test_a_backup_is_a_database(store, tmp_path):
    """A backup opens as a store with everything committed before it, is private, and replaces the one before."""
    target = tmp_path / "backup.db"
    await back_up(store, target)
    await add(store, make_return("second"))
    assert await back_up(store, target) == target.stat().st_size
    await add(store, make_return("later"))

    assert target.stat().st_mode & 0o777 == 0o600
    assert sorted(p.name for p in tmp_path.iterdir()) == ["backup.db", "state"]
    async with await open_store(target) as restored:
        assert await get(restored) == await get(store)
        assert await get(restored, "second") == await get(store, "second")
        assert await get(restored, "later") is None


@pytest.mark.parametrize("name", ["notes.txt", "other.db", "/dev/null", "state", "relative.db"])
async def test_a_backup_replaces_nothing_but_a_backup(store, tmp_path, name):
    """A file of somebody else, another program's database, a device and a directory stay what they are."""
    (tmp_path / "notes.txt").write_text("precious")
    with closing(sqlite3.connect(tmp_path / "other.db")) as other:
        other.execute("CREATE TABLE kept (a)")
    target = Path(name) if name == "relative.db" else tmp_path / name
    before = target.read_bytes() if target.is_file() else None
    with pytest.raises(OperatorError, match=r"name another file|not an absolute path|is a directory"):
        await back_up(store, target)
    assert (target.read_bytes() if target.is_file() else None) == before


async def test_the_store_goes_on_during_a_backup(store, tmp_path):
    """Units are stored while a backup runs, and the copy is sound."""
    await asyncio.gather(*(add(store, make_return(f"r{n}", problem="x" * 500)) for n in range(100, 600)))
    copying = asyncio.ensure_future(back_up(store, tmp_path / "backup.db"))

    n = 0
    while not copying.done():
        await add(store, make_return(f"n{n}"))
        n += 1
    await copying

    assert n > 0
    copy = sqlite3.connect(tmp_path / "backup.db")
    assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert copy.execute("SELECT count(*) FROM returns").fetchone()[0] >= 501
    copy.close()


async def test_a_backup_that_cannot_be_written_is_said_so(store, tmp_path):
    """A missing directory, and the running database itself, are refused; nothing is left behind."""
    with pytest.raises(StoreUnavailable, match="No such file"):
        await back_up(store, tmp_path / "missing" / "backup.db")

    assert [p.name for p in tmp_path.iterdir()] == ["state"]
    assert await get(store) is not None


@pytest.mark.parametrize("name", ["mcfd.db", "mcfd.db-wal", "mcfd.db-shm", "mcfd.db-journal", "mcfd.db.bak", "link"])
async def test_a_backup_never_touches_the_database_itself(store, tmp_path, name):
    """A slip of the tab key names a file of the running database: it is refused unopened, so no lock of it is lost."""
    (tmp_path / "state" / "link").symlink_to(store.path)
    target = tmp_path / "state" / name
    with pytest.raises(StoreUnavailable, match="database"):
        await back_up(store, target)

    # Another reader would empty and remove the log on closing if it believed itself to be alone.
    with closing(sqlite3.connect(store.path)) as other:
        other.execute("SELECT count(*) FROM returns").fetchone()
    assert store.path.with_name("mcfd.db-wal").exists()
    await add(store, make_return("later"))
    with closing(sqlite3.connect(store.path)) as other:
        assert other.execute("SELECT count(*) FROM returns").fetchone() == (2,)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may look everywhere")
async def test_a_backup_into_a_forbidden_directory_is_said_so(store, tmp_path):
    """A directory that must not even be looked into is refused in words, as under systemd's ProtectHome."""
    (tmp_path / "private").mkdir(mode=0)
    with pytest.raises(StoreUnavailable, match="Permission denied"):
        await back_up(store, tmp_path / "private" / "backup.db")


async def test_the_log_is_left_while_somebody_reads(store):
    """Emptying the log waits for no reader, for deliveries would wait as well; it is emptied the next time."""
    log = store.path.with_name("mcfd.db-wal")
    reader = sqlite3.connect(store.path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM returns").fetchone()
    await add(store, make_return("later"))
    patience = await store._writer.read(lambda c: c.execute("PRAGMA busy_timeout").fetchone())

    began = time.monotonic()
    await store.shrink()
    assert time.monotonic() - began < patience[0] / 1000 / 2
    assert log.stat().st_size > 0

    reader.close()
    await store.shrink()
    assert log.stat().st_size == 0
    assert await store._writer.read(lambda c: c.execute("PRAGMA busy_timeout").fetchone()) == patience


async def test_a_backup_given_up_leaves_nothing(store, tmp_path, monkeypatch):
    """A backup that is told to stop ends early and leaves the older backup as it was."""
    monkeypatch.setattr(backup, "STEPS_BETWEEN_LOOKS", 100)
    target = tmp_path / "backup.db"
    await back_up(store, target)
    older = target.read_bytes()
    stop = threading.Event()
    stop.set()

    with pytest.raises(StoreUnavailable, match="backup to"):
        await asyncio.to_thread(backup.copy_database, store.path, target, stop)

    assert target.read_bytes() == older
    assert sorted(p.name for p in tmp_path.iterdir()) == ["backup.db", "state"]
