"""A copy of the running database, whole or not at all."""

import os
import sqlite3
import tempfile
import threading
from pathlib import Path
from urllib.parse import quote

from daemon.errors import StoreUnavailable

STEPS_BETWEEN_LOOKS = 100_000  # of SQLite's virtual machine; a look needs the interpreter, which the loop is using


def copy_database(source: Path, target: Path, stop: threading.Event) -> None:
    """Write a consistent copy, mode 0600, in place of `target`. Raises StoreUnavailable; `stop` gives it up.

    The connection reads only, so it never writes or checkpoints beside the writer, and the writer does not wait.
    """
    try:
        _spare(source, target)
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    except OSError as error:
        raise StoreUnavailable(f"backup to {target}: {error.strerror}") from error
    draft = Path(name)
    try:
        _vacuum_into(source, draft, stop)
        os.fsync(handle)
        draft.replace(target)
        _sync_directory(target.parent)
    except (OSError, sqlite3.Error) as error:
        raise StoreUnavailable(f"backup to {target}: {error}") from error
    finally:
        os.close(handle)
        draft.unlink(missing_ok=True)


def _spare(source: Path, target: Path) -> None:
    if target.exists() and target.samefile(source):
        raise StoreUnavailable(f"backup to {target}: that is the running database")


def _vacuum_into(source: Path, draft: Path, stop: threading.Event) -> None:
    connection = sqlite3.connect(f"file:{quote(str(source))}?mode=ro", uri=True, isolation_level=None)
    try:
        connection.set_progress_handler(stop.is_set, STEPS_BETWEEN_LOOKS)
        connection.execute("VACUUM INTO ?", (str(draft),))
    finally:
        connection.close()


def _sync_directory(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
