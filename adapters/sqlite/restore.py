"""Restoring a backup: complete or not at all; the old files are kept beside it."""

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import quote

from adapters.sqlite.backup import sync_directory
from adapters.sqlite.generation import FOREIGN, file_beside
from adapters.sqlite.schema import check_marks, damage, migrations
from daemon.errors import ConfigError, StoreUnavailable

ENDINGS = ("-wal", "-shm", "-journal", "")
"""The files of a database; last the main file, without which the others mean nothing."""
DECIDED = ".restoring-"


def restore_database(backup: Path, path: Path, stamp: str) -> Path | None:
    """Replace the database by a backup. Return the name of the kept old file, None if there was none.

    The caller holds the state lock. `stamp` becomes part of that name. Raises ConfigError when the file is no backup of
    mcfd, and StoreUnavailable when it cannot be put in place; then nothing has changed.
    """
    _check_apart(backup, path)
    decided = path.with_name(f"{path.name}{DECIDED}{_free(path, stamp)}")
    try:
        draft = _draft(backup, path)
        try:
            _check_backup(backup, draft)
            draft.rename(decided)
        finally:
            draft.unlink(missing_ok=True)
        sync_directory(path.parent)
        return finish_restore(path)
    except OSError as error:
        raise StoreUnavailable(f"restore of {backup} to {path}: {error.strerror or error}") from error


def finish_restore(path: Path) -> Path | None:
    """Complete a restore that a crash interrupted; harmless otherwise."""
    aside = None
    for decided in sorted(path.parent.glob(f"{path.name}{DECIDED}*")) if path.parent.is_dir() else ():
        before = _aside(path, decided.name.removeprefix(path.name + DECIDED))
        for ending in ENDINGS:
            with suppress(FileNotFoundError):
                _with(path, ending).rename(_with(before, ending))
        mark_restored(path)
        decided.rename(path)
        sync_directory(path.parent)
        aside = before if before.exists() else None
    return aside


def mark_restored(path: Path) -> None:
    """Leave word for the next start that the database is not the one of the last."""
    file_beside(path).write_text(FOREIGN + "\n", encoding="ascii")


def _aside(path: Path, stamp: str) -> Path:
    return path.with_name(f"{path.name}.before-{stamp}")


def _with(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)


def _free(path: Path, stamp: str) -> str:
    """Return an unused stamp: a second restore in the same second gets a number appended."""
    return next(
        name for name in _numbered(stamp) if not any(_with(_aside(path, name), ending).exists() for ending in ENDINGS)
    )


def _numbered(stamp: str) -> Iterator[str]:
    yield stamp
    number = 2
    while True:
        yield f"{stamp}-{number}"
        number += 1


def _check_apart(backup: Path, path: Path) -> None:
    if not backup.is_file():
        raise ConfigError([f"{backup}: is not a file: name a backup that `mcfd backup` made"])
    if any(file.exists() and backup.samefile(file) for file in (_with(path, ending) for ending in ENDINGS)):
        raise ConfigError([f"{backup}: is the database itself: name a backup that `mcfd backup` made"])
    log = _with(backup, "-wal")
    if log.exists() and log.stat().st_size:
        raise ConfigError([f"{backup}: has a log beside it, so it is half of a database: a backup is one file"])


def _draft(backup: Path, path: Path) -> Path:
    """Copy the backup beside the database, readable only for the directory's owner."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file, backup.open("rb") as source:
            shutil.copyfileobj(source, file, 1024 * 1024)
            if os.geteuid() == 0:
                owner = path.parent.stat()
                os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        Path(name).unlink()
        raise
    return Path(name)


def _check_backup(backup: Path, draft: Path) -> None:
    try:
        with closing(sqlite3.connect(f"file:{quote(str(draft))}?immutable=1", uri=True)) as connection:
            check_marks(backup, connection, len(migrations()))
            if connection.execute("PRAGMA user_version").fetchone()[0] == 0:
                raise ConfigError([f"{backup}: is not a backup of mcfd: there is nothing in it"])
            finding = damage(connection)
    except sqlite3.Error as error:
        raise ConfigError([f"{backup}: is not a backup of mcfd ({error})"]) from error
    if finding:
        raise ConfigError([f"{backup}: is damaged ({finding}); name another backup"])
