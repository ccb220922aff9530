"""Restores: checked first, whole or not at all wherever they are cut off, and nothing that was there is lost."""

import os
import sqlite3
import threading
from contextlib import closing, suppress
from pathlib import Path

import pytest

from adapters.sqlite import restore
from adapters.sqlite.backup import copy_database
from adapters.sqlite.restore import finish_restore, restore_database
from adapters.sqlite.store import open_store
from daemon.errors import ConfigError, StoreUnavailable
from tests.services.store_conformance import add, get, make_full_return, make_return

STAMP = "20261128-120000"


class Killed(BaseException):
    """The process ends here."""


@pytest.fixture
async def backup(tmp_path: Path) -> Path:
    """A copy that knows one return."""
    folder = tmp_path / "old"
    folder.mkdir()
    async with await open_store(folder / "mcfd.db") as store:
        await add(store, make_full_return())
    copy_database(folder / "mcfd.db", tmp_path / "backup.db", threading.Event())
    return tmp_path / "backup.db"


@pytest.fixture
async def crashed(tmp_path: Path) -> Path:
    """A database with another return in its log, as a kill leaves it."""
    state, live = tmp_path / "state", tmp_path / "live"
    state.mkdir()
    live.mkdir()
    async with await open_store(live / "mcfd.db") as store:
        await add(store, make_return("lost"))
        for file in live.iterdir():
            (state / file.name).write_bytes(file.read_bytes())
    assert (state / "mcfd.db-wal").stat().st_size
    return state / "mcfd.db"


async def known(path: Path, return_id: str | None = None) -> bool:
    """Whether a return is in that database."""
    async with await open_store(path) as store:
        return (await get(store, return_id) if return_id else await get(store)) is not None


def sound(path: Path) -> bool:
    """Whether every table and index agrees."""
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


async def test_a_backup_takes_the_place_of_what_a_crash_left(backup, crashed):
    """The copy is the database, private; the old one is kept beside it with its log, and still knows what it knew."""
    aside = restore_database(backup, crashed, STAMP)

    assert aside == crashed.with_name(f"mcfd.db.before-{STAMP}")
    assert crashed.stat().st_mode & 0o777 == 0o600
    assert backup.exists()
    assert await known(crashed)
    assert not await known(crashed, "lost")
    assert sound(crashed)
    assert await known(aside, "lost")


async def test_a_restore_can_be_repeated(backup, crashed):
    """A second one, in the same second, keeps what the first has put there under a name of its own."""
    first, second = restore_database(backup, crashed, STAMP), restore_database(backup, crashed, STAMP)

    assert first != second
    assert await known(first, "lost")
    assert await known(second)
    assert sound(crashed)


async def test_a_restore_into_an_empty_place(backup, tmp_path):
    """On a new machine there is nothing to keep."""
    (tmp_path / "new").mkdir()
    assert restore_database(backup, tmp_path / "new" / "mcfd.db", STAMP) is None
    assert await known(tmp_path / "new" / "mcfd.db")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
async def test_what_root_restores_belongs_to_mcfd(backup, crashed):
    """The database has the owner of its directory, whose daemon has to open it."""
    os.chown(crashed.parent, 4321, 4322)
    restore_database(backup, crashed, STAMP)
    assert (crashed.stat().st_uid, crashed.stat().st_gid) == (4321, 4322)


def _break_index(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("CREATE TABLE other (shop, return_id)")
        page = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'other'").fetchone()[0]
        connection.execute("UPDATE sqlite_master SET rootpage = ? WHERE name = 'sqlite_autoindex_returns_1'", (page,))


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda path: path.write_bytes(b""), "nothing in it"),
        (lambda path: path.write_text("no database" * 500), "is not a backup of mcfd"),
        (lambda path: path.write_bytes(path.read_bytes()[:8192]), "is damaged|is not a backup"),
        (lambda path: path.unlink(), "is not a file"),
        (lambda path: (path.unlink(), path.mkdir()), "is not a file"),
        (lambda path: path.with_name("backup.db-wal").write_bytes(b"x" * 100), "has a log beside it"),
        (_break_index, "is damaged|is not a backup"),
        (lambda path: sqlite3.connect(path).execute("PRAGMA user_version = 99").connection.close(), "schema 99"),
        (lambda path: sqlite3.connect(path).execute("PRAGMA application_id = 7").connection.close(), "another program"),
    ],
)
async def test_what_is_no_sound_backup_is_refused(backup, crashed, spoil, told):
    """Whatever is wrong with the file is said, and the database stays as it was, to the byte."""
    before = {file.name: file.read_bytes() for file in crashed.parent.iterdir()}
    spoil(backup)
    with pytest.raises(ConfigError, match=told):
        restore_database(backup, crashed, STAMP)
    assert {file.name: file.read_bytes() for file in crashed.parent.iterdir()} == before


@pytest.mark.parametrize("name", ["mcfd.db", "mcfd.db-wal"])
async def test_the_database_is_not_its_own_backup(crashed, name):
    """The files in use are refused as a source."""
    with pytest.raises(ConfigError, match="the database itself"):
        restore_database(crashed.with_name(name), crashed, STAMP)


async def test_a_full_disk_leaves_everything_as_it_was(backup, crashed, monkeypatch):
    """A copy that finds no room is taken away again."""
    before = sorted(file.name for file in crashed.parent.iterdir())

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(restore.shutil, "copyfileobj", full)
    with pytest.raises(StoreUnavailable, match="No space left"):
        restore_database(backup, crashed, STAMP)
    assert sorted(file.name for file in crashed.parent.iterdir()) == before


async def test_a_restore_that_is_cut_off_is_finished_or_never_was(backup, crashed, monkeypatch, tmp_path):
    """A kill before or after any rename: the next start has either database whole, never one with the other's log."""
    for kill_at in range(8):
        state = tmp_path / f"cut{kill_at}"
        state.mkdir()
        for file in crashed.parent.iterdir():
            (state / file.name).write_bytes(file.read_bytes())
        renames = []

        def cut(self: Path, target: Path, *, real=Path.rename, renames=renames, kill_at=kill_at) -> Path:
            renames.append(target)
            if len(renames) == kill_at:
                raise Killed
            return real(self, target)

        with monkeypatch.context() as patched:
            patched.setattr(Path, "rename", cut)
            with suppress(Killed):
                restore_database(backup, state / "mcfd.db", STAMP)
        decided = bool(list(state.glob("mcfd.db.restoring-*"))) or kill_at == 0 or len(renames) < kill_at
        async with await open_store(state / "mcfd.db") as store:
            restored, kept = await get(store), await get(store, "lost")
        assert (restored is not None, kept is not None) == (decided, not decided)
        assert sound(state / "mcfd.db")
        if decided:
            assert await known(state / f"mcfd.db.before-{STAMP}", "lost")


def test_without_a_restore_there_is_nothing_to_finish(tmp_path):
    """Also where not even the directory is there."""
    assert finish_restore(tmp_path / "mcfd.db") is None
    assert finish_restore(tmp_path / "missing" / "mcfd.db") is None


async def test_a_large_database_is_looked_through_beside_the_daemon(backup, tmp_path, monkeypatch):
    """What the start leaves out because it would take long, the size that the doctor asks for does: all of it."""
    path = tmp_path / "state" / "mcfd.db"
    path.parent.mkdir()
    restore_database(backup, path, STAMP)
    _break_index(path)
    with pytest.raises(ConfigError, match="damaged"):
        await open_store(path)
    monkeypatch.setattr("adapters.sqlite.schema.CHECKED_WHOLE", 0)
    async with await open_store(path) as store:
        assert (await store.sizes()).finding
