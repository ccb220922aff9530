"""Which server the database is on: one that was promoted, or restored, may lack what was committed before."""

from functools import partial

import psycopg

from adapters.postgresql.connection import POSTGRESQL, PostgresConnection
from adapters.postgresql.engine import PostgresEngine
from adapters.sql.maintenance import SqlUpkeep
from adapters.sql.unit_of_work import SqlUnitOfWork
from daemon.errors import StoreUnavailable
from daemon.ports.store import Judge

JUDGING = 0x6D63_6664_0002
"""The advisory lock of who judges, so that of several nodes one does and the others find it done."""

# Any user may ask for these, at any server that can be written. The control file names the timeline only after the
# first checkpoint on it; the name of the log's file has it at once.
_SERVER = (
    "SELECT CASE WHEN NOT pg_is_in_recovery() THEN system_identifier || '/' "
    "|| left(pg_walfile_name(pg_current_wal_lsn()), 8) || '/' || CAST(to_regclass('marks') AS oid) END "
    "FROM pg_control_system()"
)
"""The cluster, its timeline (which rises with each promotion and recovery), and the table (another one in a dump)."""


class PostgresServers:
    """Implements the Servers port."""

    def __init__(self, engine: PostgresEngine) -> None:
        self._engine = engine

    async def judge(self, judge: Judge) -> None:
        """Tell `judge` now, and first of all on each new connection. Raises StoreUnavailable."""
        try:
            await self._engine.begin_with(partial(_judged, judge))
        except psycopg.Error as error:
            raise StoreUnavailable(POSTGRESQL.reason(error)) from error


def _judged(judge: Judge, connection: PostgresConnection) -> None:
    with connection.raw.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(?)", (JUDGING,))
        (server,) = connection.execute(_SERVER).fetchone()
        if server is None:
            raise psycopg.OperationalError("the server is a replica, which cannot be written")
        judge(SqlUnitOfWork(connection), SqlUpkeep(connection), server)
