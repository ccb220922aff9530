"""Makes a database ready. One that is not ours, or too new, is left unchanged."""

import re
from collections.abc import Sequence
from functools import cache
from typing import Any

import psycopg

from adapters.sql.migration import Migration, numbered
from daemon.errors import ConfigError, NoDatabase, StoreUnavailable

OLDEST_SERVER = 140000
MIGRATING = 0x6D63_6664_0001
"""The advisory lock of who migrates, so that several may start at once."""

VERSION_TABLE = "mcfd_schema"

_REFUSED = re.compile(
    "FATAL: .*(authentication failed|no pg_hba.conf entry|role .* does not exist)|no password supplied"
)
_MISSING = re.compile("FATAL: .*database .* does not exist")


@cache
def migrations() -> tuple[Migration, ...]:
    """Return all steps of the schema."""
    return numbered("adapters.postgresql")


def make_ready(place: str, connection: psycopg.Connection[Any], steps: Sequence[Migration], *, create: bool) -> None:
    """Check the server and migrate. Raises ConfigError, StoreUnavailable or psycopg.Error.

    Unless `create`, an empty database is left as it is: NoDatabase.
    """
    _check_server(place, connection)
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (MIGRATING,))
        version = _version(place, connection)
        if version > len(steps):
            hint = "install the mcfd that wrote it, or restore a dump of before the upgrade"
            raise ConfigError([f"{place}: has schema {version}, this mcfd knows up to {len(steps)}: {hint}"])
        if version == 0 and not create:
            raise NoDatabase([f"{place}: there is nothing of mcfd's in it yet; the first start of mcfd makes it"])
        connection.execute("SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0")
        for step in steps[version:]:
            connection.execute(step.sql.encode())
            connection.execute(f"UPDATE {VERSION_TABLE} SET version = %s", (step.number,))  # noqa: S608


def _check_server(place: str, connection: psycopg.Connection[Any]) -> None:
    if connection.info.server_version < OLDEST_SERVER:
        version = connection.info.parameter_status("server_version")
        raise ConfigError([f"{place}: PostgreSQL {version} is too old: mcfd needs 14 or newer"])
    encoding = connection.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        raise ConfigError([f"{place}: its encoding is {encoding}: make one with CREATE DATABASE … ENCODING 'UTF8'"])


def _version(place: str, connection: psycopg.Connection[Any]) -> int:
    tables = {
        name for (name,) in connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()")
    }
    if VERSION_TABLE in tables:
        (version,) = connection.execute(f"SELECT version FROM {VERSION_TABLE}").fetchone() or (0,)  # noqa: S608
        return int(version)
    if tables:
        raise ConfigError([f"{place}: holds tables of another program: give mcfd a database, or a schema, of its own"])
    return 0


def explain(place: str, error: psycopg.Error, text: str) -> Exception:
    """Classify: what the operator must change, and what passes by itself.

    libpq gives no code for a refused connection, so the server's English words must do.
    """
    state = error.sqlstate or ""
    if state.startswith("28") or _REFUSED.search(text):
        return ConfigError([f"{place}: {text}: check the user in store.url, and the secret file store_password"])
    if state.startswith("3D") or _MISSING.search(text):
        return ConfigError([f"{place}: {text}: make it with createdb, owned by the user in store.url"])
    if state in {"42501", "3F000"}:
        return ConfigError([f"{place}: {text}: let the user in store.url own the database"])
    return StoreUnavailable(f"{place}: {text}")
