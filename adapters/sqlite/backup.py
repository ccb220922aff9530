"""A copy of the running database, whole or not at all."""

import os
import sqlite3
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from adapters.sqlite.schema import APPLICATION_ID, damage
from daemon.errors import OperatorError, StoreUnavailable

DATABASE = b"SQLite format 3\0"
OWNER = slice(68, 72)
"""Where a database's header says whose it is: https://www.sqlite.org/fileformat2.html#the_database_header"""

STEPS_BETWEEN_LOOKS = 100_000  # of SQLite's virtual machine; a look needs the interpreter, which the loop is using


def copy_database(source: Path, target: Path, stop: threading.Event) -> int:
    """Write a consistent copy, mode 0600, in place of an older one; its size. `stop` gives it up.

    Raises StoreUnavailable, or OperatorError for a target that is something else.

    The connection reads only, so it never writes or checkpoints beside the writer, and the writer does not wait.
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
    """Refuse the database's own files, by their names, without opening any.

    Closing a file drops every lock of the process on it (https://sqlite.org/howtocorrupt.html, 2.2). And an empty log,
    replaced by a copy, would take away what the daemon goes on writing into it.
    """
    own = (source.with_name(source.name + ending) for ending in ("", "-wal", "-shm", "-journal"))
    if any(target.exists() and file.exists() and target.samefile(file) for file in own):
        raise StoreUnavailable(f"backup to {target}: that is the running database")
    if target.name.startswith(source.name) and target.parent.exists() and target.parent.samefile(source.parent):
        raise StoreUnavailable(
            f"backup to {target}: names that begin with {source.name} are the running database's here"
        )


def _spare_others(target: Path) -> None:
    """Replace only an older backup: whoever may ask for backups must not destroy anything by it."""
    if not target.is_absolute():
        raise OperatorError(f"{target} is not an absolute path")
    if target.is_dir():
        raise OperatorError(f"{target} is a directory; name a file in it")
    if target.exists() and not _is_replaceable(target):
        raise OperatorError(f"{target} is there already and is not a backup of mcfd; name another file")


def _is_replaceable(target: Path) -> bool:
    """A plain file; a rename onto a device would put a file in its place."""
    if not target.is_file():
        return False
    try:
        with target.open("rb") as file:
            header = file.read(OWNER.stop)
    except OSError:
        return False
    return not header or (header.startswith(DATABASE) and header[OWNER] == APPLICATION_ID.to_bytes(4))


def examine_database(path: Path, stop: threading.Event) -> str:
    """The first thing that is wrong with the running database; empty when it is sound. Raises StoreUnavailable."""
    try:
        with _reading(path, stop) as connection:
            return damage(connection)
    except sqlite3.Error as error:
        raise StoreUnavailable(f"{path}: {error}") from error


def _vacuum_into(source: Path, draft: Path, stop: threading.Event) -> None:
    with _reading(source, stop) as connection:
        connection.execute("VACUUM INTO ?", (str(draft),))


@contextmanager
def _reading(path: Path, stop: threading.Event) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, isolation_level=None)
    try:
        connection.set_progress_handler(stop.is_set, STEPS_BETWEEN_LOOKS)
        yield connection
    finally:
        connection.close()


def sync_directory(directory: Path) -> None:
    """Bring the names of a directory to the disk."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
