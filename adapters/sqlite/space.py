"""The space that the database takes: measuring it, and returning it to the disk."""

import shutil
import sqlite3
from pathlib import Path

from adapters.sqlite.schema import APPLICATION_ID
from daemon.ports.store import StoreSize

PAGES_AT_ONCE = 500
"""Pages freed at a time: a few milliseconds, for which the writer's queue has to wait."""


def give_back(connection: sqlite3.Connection) -> bool:
    """Return some unused pages to the disk; False when none is left. Not within a transaction.

    A file that somebody rebuilt with another auto_vacuum never returns any.
    """
    before = connection.execute("PRAGMA freelist_count").fetchone()[0]
    connection.execute(f"PRAGMA incremental_vacuum({PAGES_AT_ONCE})").fetchall()
    left = connection.execute("PRAGMA freelist_count").fetchone()[0]
    return bool(0 < left < before)


def sizes(path: Path, connection: sqlite3.Connection) -> StoreSize:
    """Measure the database and check its header."""
    page, pages, unused, owner = (
        int(connection.execute(f"PRAGMA {name}").fetchone()[0])
        for name in ("page_size", "page_count", "freelist_count", "application_id")
    )
    finding = "" if owner == APPLICATION_ID else "its header is not mcfd's"
    log = path.with_name(path.name + "-wal")
    return StoreSize(
        size=page * pages,
        unused=page * unused,
        log=log.stat().st_size if log.exists() else 0,
        disk_free=shutil.disk_usage(path.parent).free,
        finding=finding,
    )
