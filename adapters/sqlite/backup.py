"""Backup of the running database: complete or not at all."""

import os
import sqlite3
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote

from adapters.sqlite.schema import APPLICATION_ID, damage
from daemon.errors import OperatorError, StoreUnavailable

DATABASE = b"SQLite format 3\0"
OWNER = slice(68, 72)
"""Where the header holds the application id: https://www.sqlite.org/fileformat2.html#the_database_header"""

STEPS_BETWEEN_LOOKS = 100_000  # of SQLite's virtual machine; each look takes the interpreter from the event loop


def copy_database(source: Path, target: Path, stop: threading.Event) -> int:
    """Write a consistent copy, mode 0600, replacing an older backup. Return its size; `stop` aborts.

    Raises StoreUnavailable, or OperatorError when the target is something else.

    The connection is read-only: it never writes or checkpoints, and the writer does not wait for it.
    """
    try:
        _spare(source, target)
        _spare_others(target)
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    except OSError as error:
        raise StoreUnavailable(f"backup to {target}: {error.strerror}") from error
    draft = Path(name)
    try:
        _vacuum_into(source, draft, stop)
        _unname(draft)
        os.fsync(handle)
        draft.replace(target)
        sync_directory(target.parent)
        return target.stat().st_size
    except (OSError, sqlite3.Error) as error:
        raise StoreUnavailable(f"backup to {target}: {error}") from error
    finally:
        os.close(handle)
        draft.unlink(missing_ok=True)


def _spare(source: Path, target: Path) -> None:
    """Refuse the database's own files, by name, without opening them.

    Closing a file drops all locks of the process on it (https://sqlite.org/howtocorrupt.html, 2.2). And if the copy
    replaced the log, everything that the daemon then writes to the log would be lost.
    """
    own = (source.with_name(source.name + ending) for ending in ("", "-wal", "-shm", "-journal"))
    if any(target.exists() and file.exists() and target.samefile(file) for file in own):
        raise StoreUnavailable(f"backup to {target}: that is the running database")
    if target.name.startswith(source.name) and target.parent.exists() and target.parent.samefile(source.parent):
        raise StoreUnavailable(
            f"backup to {target}: names that begin with {source.name} are the running database's here"
        )


def _spare_others(target: Path) -> None:
    """Replace only an older backup, so that asking for a backup can destroy nothing else."""
    if not target.is_absolute():
        raise OperatorError(f"{target} is not an absolute path")
    if target.is_dir():
        raise OperatorError(f"{target} is a directory; name a file in it")
    if target.exists() and not _is_replaceable(target):
        raise OperatorError(f"{target} is there already and is not a backup of mcfd; name another file")


def _is_replaceable(target: Path) -> bool:
    """Whether it is a plain file; a rename onto a device would replace the device."""
    if not target.is_file():
        return False
    try:
        with target.open("rb") as file:
            header = file.read(OWNER.stop)
    except OSError:
        return False
    return not header or (header.startswith(DATABASE) and header[OWNER] == APPLICATION_ID.to_bytes(4))


def examine_database(path: Path, stop: threading.Event) -> str:
    """Return the first defect of the running database; empty when it is sound. Raises StoreUnavailable."""
    try:
        with _reading(path, stop) as connection:
            return damage(connection)
    except sqlite3.Error as error:
        raise StoreUnavailable(f"{path}: {error}") from error


def _vacuum_into(source: Path, draft: Path, stop: threading.Event) -> None:
    with _reading(source, stop) as connection:
        connection.execute("VACUUM INTO ?", (str(draft),))


def _unname(draft: Path) -> None:
    """Take the database's name from the copy, so that the copy is noticed when it is put in the database's place."""
    with closing(sqlite3.connect(draft)) as connection, connection:
        connection.execute("UPDATE marks SET value = 'copy' WHERE name = 'generation'")


@contextmanager
def _reading(path: Path, stop: threading.Event) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, isolation_level=None)
    try:
        connection.set_progress_handler(stop.is_set, STEPS_BETWEEN_LOOKS)
        yield connection
    finally:
        connection.close()


def sync_directory(directory: Path) -> None:
    """Sync the names in a directory to the disk."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
