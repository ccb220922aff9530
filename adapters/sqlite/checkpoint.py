"""Checkpointing the write-ahead log."""

import sqlite3


def checkpoint(connection: sqlite3.Connection) -> None:
    """Copy the log into the database file and empty the log, unless somebody is reading it.

    It never waits for a reader: a backup reads for a long time, and webhooks would have to wait, too.
    """
    (patience,) = connection.execute("PRAGMA busy_timeout").fetchone()
    connection.execute("PRAGMA busy_timeout = 0").fetchall()
    try:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    finally:
        connection.execute(f"PRAGMA busy_timeout = {patience}").fetchall()
