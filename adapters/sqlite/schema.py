"""Opening a database file. One that is not ours, is damaged or too new is left unchanged."""

import os
import sqlite3
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from urllib.parse import quote

import structlog

from adapters.sql.migration import Migration, numbered
from adapters.sqlite.checkpoint import checkpoint
from adapters.sqlite.engine import SQLITE
from daemon.errors import ConfigError, StoreUnavailable

APPLICATION_ID = 0x6D636664  # "mcfd"
OLDEST_SQLITE = (3, 37, 0)  # STRICT tables
INCREMENTAL = 2
PIECE = 1024 * 1024  # bytes
CHECKED_WHOLE = 64 * 1024 * 1024  # bytes, checked in a quarter of a second; a larger file would delay the start

RESTORE = "restore a backup with `mcfd restore`, or move the file away to start empty"

log = structlog.get_logger(__name__)


@cache
def migrations() -> tuple[Migration, ...]:
    """Return all steps of the schema."""
    return numbered("adapters.sqlite")


def make_ready(path: Path, connection: sqlite3.Connection, steps: Sequence[Migration]) -> None:
    """Check the database, set the connection up and migrate. Raises ConfigError or StoreUnavailable."""
    try:
        _check_content(path, connection, len(steps))
        _settle_log(path, connection)
        _configure(path, connection)
        migrate(connection, steps)
        connection.execute("PRAGMA foreign_keys = ON")  # only now: migrations rebuild tables
    except sqlite3.Error as error:
        raise _explain(path, error) from error


def migrate(connection: sqlite3.Connection, steps: Sequence[Migration]) -> None:
    """Run the missing steps, each completely or not at all, with a checkpoint after each."""
    for step in steps[_pragma(connection, "user_version") :]:
        marks = f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {step.number};"
        try:
            connection.executescript(f"BEGIN IMMEDIATE;\n{step.sql}\n{marks}\nCOMMIT;")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        checkpoint(connection)


def _settle_log(path: Path, connection: sqlite3.Connection) -> None:
    """Rewrite the log with its own content and sync it, before anything is appended. Raises StoreUnavailable.

    After a failed sync, the kernel considers pages written that the disk does not have. They can be read, but no later
    sync writes them (https://lwn.net/Articles/752063/). A restarted daemon would believe that they are committed, and
    a power cut would then lose them and everything acknowledged after them.
    """
    log = path.with_name(path.name + "-wal")
    if not log.exists():
        return
    connection.execute("BEGIN IMMEDIATE")  # nobody else writes meanwhile
    try:
        _write_again(log)
    except OSError as error:
        raise StoreUnavailable(f"{log}: cannot be written and synced ({error.strerror})") from error
    finally:
        connection.execute("ROLLBACK")


def _write_again(file: Path) -> None:
    handle = os.open(file, os.O_RDWR | os.O_CLOEXEC)
    try:
        at = 0
        while piece := os.pread(handle, PIECE, at):
            at += os.pwrite(handle, piece, at)
        os.fsync(handle)
    finally:
        os.close(handle)


def check_place(path: Path, latest: int) -> None:
    """Check the file before SQLite opens it; create it, readable only for its owner, when it is missing."""
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        raise ConfigError([f"SQLite {sqlite3.sqlite_version} is too old: mcfd needs 3.37 or newer"])
    directory = path.parent
    if not directory.is_dir():
        raise ConfigError([f"{directory}: no such directory: create it, owned by the user that runs mcfd, mode 0700"])
    if not _writable(directory, os.W_OK | os.X_OK):
        raise ConfigError([f"{directory}: cannot be written: SQLite needs to create files beside {path.name}"])
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        _check_file(path, latest)
        if path.stat().st_size == 0:  # only a crash at the very first start may leave it empty
            log.warning("store.empty", path=str(path), text="it begins anew; if it held returns, restore a backup")
    except OSError as error:
        raise ConfigError([f"{path}: cannot be created: {error.strerror}"]) from error


def _writable(path: Path, mode: int) -> bool:
    return os.access(path, mode, effective_ids=os.access in os.supports_effective_ids)


def _check_file(path: Path, latest: int) -> None:
    """Read the header without a lock and without the log, so that a foreign or newer file is never touched."""
    if not path.is_file():
        raise ConfigError([f"{path}: is not a file: store.path must name the database file"])
    if not _writable(path, os.R_OK | os.W_OK):
        raise ConfigError(
            [f"{path}: cannot be written; run chown --reference={path.parent} {path} && chmod 600 {path}"]
        )
    header = sqlite3.connect(f"file:{quote(str(path))}?immutable=1", uri=True)
    try:
        check_marks(path, header, latest)
    except sqlite3.Error as error:
        # Without the log all other findings may be wrong: a checkpoint that a crash interrupted looks like damage. And
        # an interrupted creation may look like anything until its journal has been rolled back.
        undoable = path.with_name(path.name + "-journal").exists()
        if getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_NOTADB and not undoable:
            raise _explain(path, error) from error
    finally:
        header.close()


def check_marks(path: Path, connection: sqlite3.Connection, latest: int) -> None:
    """Raise ConfigError for a database of another program, or of a later mcfd."""
    owner, version = _pragma(connection, "application_id"), _pragma(connection, "user_version")
    if owner not in {0, APPLICATION_ID} or (owner == 0 and version):
        raise ConfigError([f"{path}: belongs to another program: give store.path a file of mcfd's own"])
    if version > latest:
        hint = "install the mcfd that wrote it, or restore a backup of before the upgrade"
        raise ConfigError([f"{path}: has schema {version}, this mcfd knows up to {latest}: {hint}"])


def _check_content(path: Path, connection: sqlite3.Connection, latest: int) -> None:
    check_marks(path, connection, latest)
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if tables and _pragma(connection, "application_id") == 0:
        raise ConfigError([f"{path}: belongs to another program: give store.path a file of mcfd's own"])
    if path.stat().st_size > CHECKED_WHOLE:
        log.info("store.not_checked", bytes=path.stat().st_size, text="`mcfd doctor` reads all of it")
    elif finding := damage(connection):
        raise ConfigError([f"{path}: is damaged ({finding}): {RESTORE}"])


def damage(connection: sqlite3.Connection) -> str:
    """Return the first defect of the database or its indexes; empty when it is sound."""
    finding = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
    return "" if finding == "ok" else " ".join(str(finding).split())


def _configure(path: Path, connection: sqlite3.Connection) -> None:
    if _pragma(connection, "auto_vacuum") != INCREMENTAL:  # setting it again would cost a commit
        connection.execute(f"PRAGMA auto_vacuum = {INCREMENTAL}")  # has an effect only before the first table exists
    if connection.execute("PRAGMA journal_mode = WAL").fetchone()[0] != "wal":
        raise ConfigError([f"{path}: cannot have a write-ahead log here: use a local disk"])
    for setting in (
        "synchronous = FULL",
        "wal_autocheckpoint = 1000",
        "journal_size_limit = 67108864",
        "secure_delete = ON",
        "trusted_schema = OFF",
    ):
        connection.execute(f"PRAGMA {setting}")


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    value: int = connection.execute(f"PRAGMA {name}").fetchone()[0]
    return value


def _explain(path: Path, error: sqlite3.Error) -> Exception:
    """Classify: damage and permissions are for the operator, a busy or full disk is temporary, the rest is a bug."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_NOTADB:
        return ConfigError([f"{path}: is not a database: check store.path, or {RESTORE}"])
    if code == sqlite3.SQLITE_CORRUPT:
        return ConfigError([f"{path}: is damaged ({error}): {RESTORE}"])
    if code in {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM}:
        return ConfigError([f"{path}: cannot be opened for writing ({error}): check its owner and mode"])
    return StoreUnavailable(f"{path}: {error}") if SQLITE.unavailable(error) else error
