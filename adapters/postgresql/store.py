"""Returns in a PostgreSQL database: the Store port."""

import asyncio
import os
import secrets
import socket
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from adapters.postgresql.connection import POSTGRESQL, PostgresConnection
from adapters.postgresql.engine import InlineEngine, PostgresEngine
from adapters.postgresql.errands import PostgresErrands
from adapters.postgresql.leases import CHANNEL, NodeWriter, PostgresLeases
from adapters.postgresql.listening import listen
from adapters.postgresql.schema import explain, make_ready, migrations
from adapters.postgresql.servers import PostgresServers
from adapters.sql.migration import Migration
from adapters.sql.store import SqlStore
from adapters.sql.writer import Writer
from daemon.errors import AlreadyRunning, ConfigError
from daemon.ports.store import StoreSize

WORKING = 0x6D63_6664
"""The advisory lock of who works on a database: nodes share it, a verb without a daemon has it alone. Its second half
is the schema's name."""

LAST_SESSION_SECONDS = 3.0
"""How long the end of an earlier session is waited for: ours that was lost, or that of a daemon which was killed."""

IDLE_SECONDS = 10.0
"""How long a transaction may wait for us, before the server ends the session: others wait for it."""

_DEFAULTS = {
    "connect_timeout": "5",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "15000",
    "target_session_attrs": "read-write",
}
"""libpq's parameters, unless store.url has others: no answer is waited for without end."""

_SESSION = """
    SET synchronous_commit = on;
    SET statement_timeout = '10s';
    SET lock_timeout = '8s';
    SET tcp_keepalives_idle = 20;
    SET tcp_keepalives_interval = 10;
    SET tcp_keepalives_count = 4;
    SET client_min_messages = error;
"""

_SIZES = """
    SELECT pg_database_size(current_database()),
    current_setting('synchronous_standby_names') = '' AND EXISTS (SELECT 1 FROM pg_stat_replication)
"""

_READING = "SET default_transaction_read_only = on"


class Occupied(psycopg.OperationalError):
    """Another mcfd works on the database."""


class PostgresStore(SqlStore):
    """Implements the Store port. Open it by `open_store` and close it, or its thread keeps the process alive."""

    def __init__(self, writer: NodeWriter, sessions: "Sessions", servers: PostgresServers) -> None:
        super().__init__(writer)
        self._sessions = sessions
        self.leases = PostgresLeases(writer)
        self.errands = PostgresErrands(writer)
        self.servers = servers

    async def listen(self, told: Callable[[], None], stop: asyncio.Event) -> None:
        """Call `told` whenever another node has written something that may concern this one, until `stop` is set."""
        await listen(self._sessions.connect_to_listen, self._sessions.label, told, stop)

    async def reader(self) -> SqlStore:
        """Open a session of its own, which can only read. It connects when it is first asked."""
        return SqlStore(Writer(PostgresEngine(self._sessions.connect_to_read)))

    async def shrink(self) -> int:
        """Nothing: the server's autovacuum does it."""
        return 0

    async def sizes(self) -> StoreSize:
        """Measure the database. The server checks its own pages. Raises StoreUnavailable."""
        row = await self._writer.read(lambda connection: connection.execute(_SIZES).fetchone())
        return StoreSize(size=row[0], unused=0, log=0, disk_free=None, finding="", replicas_lag=row[1])


class Sessions:
    """Makes sessions that are ready for use, each under the lock that keeps others out.

    A node shares it with other nodes; `lease` is how long it may hold an account without renewing, in seconds.
    """

    def __init__(self, url: str, password: Callable[[], str | None], lease: float | None = None) -> None:
        self._password = password
        self._shared = lease is not None
        self._idle = IDLE_SECONDS if lease is None else min(IDLE_SECONDS, lease / 3)
        self.label = f"mcfd {socket.gethostname()[:24]} pid {os.getpid()} {secrets.token_hex(4)}"
        given = conninfo_to_dict(url)
        ours = {name: value for name, value in _DEFAULTS.items() if name not in given}
        self._conninfo = make_conninfo(url, **ours)

    def connect(self) -> PostgresConnection:
        """Connect, and take the lock. Raises psycopg.Error."""
        return self._connect(self.label, self._take_lock)

    def connect_to_read(self) -> PostgresConnection:
        """Connect to read only, beside whoever has the lock. Raises psycopg.Error."""
        return self._connect("mcfd reading", lambda connection: connection.execute(_READING))

    def connect_to_listen(self) -> PostgresConnection:
        """Connect to hear what other nodes tell. Raises psycopg.Error."""
        return self._connect("mcfd listening", lambda connection: connection.execute(f"LISTEN {CHANNEL}"))

    def _connect(self, label: str, prepare: Callable[[psycopg.Connection[Any]], object]) -> PostgresConnection:
        password = self._password()
        secret = {} if password is None else {"password": password}
        conninfo = make_conninfo(self._conninfo, **secret, application_name=label)
        connection = psycopg.connect(conninfo, autocommit=True, client_encoding="utf-8")
        try:
            connection.execute(_SESSION)
            connection.execute(f"SET idle_in_transaction_session_timeout = {round(self._idle * 1000)}")
            prepare(connection)
        except BaseException:
            connection.close()
            raise
        return PostgresConnection(connection)

    def _take_lock(self, connection: psycopg.Connection[Any]) -> None:
        """Take it, once our own session of before is over, which the server may not know to be lost."""
        give_up = time.monotonic() + LAST_SESSION_SECONDS
        while self._lost_session(connection) or not self._try_lock(connection):
            if time.monotonic() > give_up:
                if self._lost_session(connection):
                    raise psycopg.OperationalError("the server has not ended our lost session yet")
                raise Occupied(f"another mcfd{self._holder(connection)} works on this database")
            connection.execute("SELECT pg_sleep(0.05)")

    def _lost_session(self, connection: psycopg.Connection[Any]) -> bool:
        """End our session of before; say whether there was one: what it was committing may not be over yet."""
        mine = (
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name = %s AND pid <> pg_backend_pid()"
        )
        return bool(connection.execute(mine, (self.label,)).fetchall())

    def _try_lock(self, connection: psycopg.Connection[Any]) -> bool:
        kind = "_shared" if self._shared else ""
        ask = f"SELECT pg_try_advisory_lock{kind}(%s, hashtext(current_schema()))"
        row = connection.execute(ask, (WORKING,)).fetchone()
        return bool(row and row[0])

    def _holder(self, connection: psycopg.Connection[Any]) -> str:
        sql = (
            "SELECT a.application_name FROM pg_locks l JOIN pg_stat_activity a USING (pid) "
            "WHERE l.locktype = 'advisory' AND l.classid = %s::oid AND l.granted "
            "AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        )
        row = connection.execute(sql, (WORKING,)).fetchone()
        words = row[0].split() if row and row[0] else []
        return f" ({' '.join(words[1:4])})" if len(words) == 5 else ""


async def open_store(
    place: str,
    url: str,
    password: Callable[[], str | None] = lambda: None,
    *,
    create: bool = True,
    inline: bool = False,
    steps: Sequence[Migration] | None = None,
    lease: float | None = None,
) -> PostgresStore:
    """Connect and migrate. Raises ConfigError, AlreadyRunning or StoreUnavailable.

    Messages name the database by `place`, and the password is asked for at each connection.
    Unless `create`, an empty database is left as it is: NoDatabase. With `inline` there is no thread: every unit runs
    at once on the caller's event loop. With `lease`, in seconds, it is one of several nodes; otherwise no other mcfd
    may be there.
    """
    steps = migrations() if steps is None else steps
    try:
        sessions = Sessions(url, password, lease)
    except psycopg.ProgrammingError as error:
        raise ConfigError([f"store.url: cannot be read: {POSTGRESQL.reason(error).strip()}"]) from None
    engine = (InlineEngine if inline else PostgresEngine)(sessions.connect)
    try:
        await engine.run(partial(_ready, place, steps, create))
    except Occupied as error:
        await engine.close()
        raise AlreadyRunning(f"{error}, {place}: stop it first, or give this one another store.url") from None
    except psycopg.Error as error:
        await engine.close()
        raise explain(place, error, POSTGRESQL.reason(error)) from error
    except BaseException:
        await asyncio.shield(engine.close())
        raise
    return PostgresStore(NodeWriter(engine, teller=sessions.label), sessions, PostgresServers(engine))


def _ready(place: str, steps: Sequence[Migration], create: bool, connection: PostgresConnection) -> None:
    make_ready(place, connection.raw, steps, create=create)
