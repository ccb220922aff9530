"""From the log into the database file."""

import sqlite3


def checkpoint(connection: sqlite3.Connection) -> None:
    """Bring the log's content into the database file, and empty the log, unless somebody reads it: then the next time.

    It waits for no reader: a backup reads for long, and webhooks would wait as well.
    """
    (patience,) = connection.execute("PRAGMA busy_timeout").fetchone()
    connection.execute("PRAGMA busy_timeout = 0").fetchall()
    try:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    finally:
        connection.execute(f"PRAGMA busy_timeout = {patience}").fetchall()
