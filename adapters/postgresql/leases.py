"""The leases in the database: rows that each node's transactions are checked against."""

from collections.abc import Callable, Collection, Mapping
from typing import TypeVar

from adapters.postgresql.connection import PostgresConnection
from adapters.sql.writer import Engine, Writer
from daemon.domain.leases import Claim, Standing
from daemon.errors import LeaseLost
from daemon.ports.leases import LEASE, Beat, Lease
from daemon.ports.names import KEPT_IN_MEMORY

T = TypeVar("T")
Work = Callable[[PostgresConnection], T]

CHANNEL = "mcfd"
"""Where nodes tell each other that there is something new."""

NOW = "extract(epoch FROM clock_timestamp())::double precision"
_CLOCK = f"SELECT {NOW}"
_KEPT = " OR ".join("name >= ? AND name < ?" for _ in KEPT_IN_MEMORY)
_RANGES = [end for prefix in KEPT_IN_MEMORY for end in (prefix, prefix[:-1] + chr(ord(prefix[-1]) + 1))]
_LOOK = (
    f"SELECT {NOW}, coalesce(md5(string_agg(name || ' ' || value, ',' ORDER BY name)), '') "  # noqa: S608 - our names
    f"FROM marks WHERE {_KEPT}"
)
_NODES = f"SELECT node FROM cluster_nodes WHERE ends_at > {NOW}"  # noqa: S608 - as above
_CLAIMS = "SELECT account, node, ends_at FROM cluster_leases"
_LIVES = (
    f"INSERT INTO cluster_nodes (node, ends_at) VALUES (?, {NOW} + ?) "  # noqa: S608 - as above
    "ON CONFLICT (node) DO UPDATE SET ends_at = excluded.ends_at"
)
_RENEW = f"UPDATE cluster_leases SET ends_at = {NOW} + ? WHERE account = ? AND token = ?"  # noqa: S608 - as above
_FIND = "SELECT ends_at, handed_over FROM cluster_leases WHERE account = ? FOR UPDATE"
_CLAIM = (
    f"INSERT INTO cluster_leases (account, token, node, ends_at, handed_over) VALUES (?, ?, ?, {NOW} + ?, 0) "  # noqa: S608
    "ON CONFLICT (account) DO UPDATE SET token = excluded.token, node = excluded.node, ends_at = excluded.ends_at, "
    "handed_over = 0"
)
_HAND_OVER = (
    f"UPDATE cluster_leases SET ends_at = {NOW}, token = '', handed_over = ? "  # noqa: S608 - as above
    "WHERE account = ? AND token = ?"
)
_PROVE = "SELECT 1 FROM cluster_leases WHERE account = ? AND token = ? FOR KEY SHARE"
_LEAVE = "DELETE FROM cluster_nodes WHERE node = ?"
_TELL = f"SELECT pg_notify('{CHANNEL}', ?)"


class NodeWriter(Writer):
    """A writer whose units are checked against the lease of the task that asks for them.

    What runs under no lease is told to the other nodes: it may concern an account that one of them works.
    """

    def __init__(self, engine: Engine, *, teller: str) -> None:
        super().__init__(engine)
        self._teller = teller

    async def write(self, work: Work[T]) -> T:
        """Run `work`, if its lease is still ours, and return after the commit. Raises LeaseLost as well."""
        lease = LEASE.get()
        return await super().write(_fenced(work, lease) if lease.token else self._told(work))

    async def write_and_tell(self, work: Work[T]) -> T:
        """Run `work`, whatever the lease, and tell the other nodes."""
        return await super().write(self._told(work))

    async def write_quietly(self, work: Work[T]) -> T:
        """Run `work`, whatever the lease, and tell nobody."""
        return await super().write(work)

    def _told(self, work: Work[T]) -> Work[T]:
        def run(connection: PostgresConnection) -> T:
            result = work(connection)
            if self._teller not in connection.proven:  # once for all that share a commit
                connection.execute(_TELL, (self._teller,))
                connection.proven.add(self._teller)
            return result

        return run


def _fenced(work: Work[T], lease: Lease) -> Work[T]:
    """The lease's row stays locked until the commit, so nobody can claim the account in between."""

    def run(connection: PostgresConnection) -> T:
        if lease.token not in connection.proven:
            if connection.execute(_PROVE, (lease.account, lease.token)).fetchone() is None:
                raise LeaseLost(f"another node works the account {lease.account}")
            connection.proven.add(lease.token)
        try:
            return work(connection)
        except BaseException:  # undone to before the check, which the next unit has to make again
            connection.proven.discard(lease.token)
            raise

    return run


class PostgresLeases:
    """Implements the LeaseBook port."""

    def __init__(self, writer: NodeWriter) -> None:
        self._writer = writer

    async def look(self) -> Standing:
        """Read who holds what, and which nodes live. Raises StoreUnavailable."""
        return await self._writer.read(_look)

    async def beat(self, node: str, seconds: float, held: Mapping[str, str], wanted: Mapping[str, str]) -> Beat:
        """Renew, and claim what is free, in one transaction. Raises StoreUnavailable."""

        def work(connection: PostgresConnection) -> Beat:
            connection.execute(_LIVES, (node, seconds))
            kept = _renewed(connection, held, seconds)
            (now,) = connection.execute(_CLOCK).fetchone()
            found = {
                name: _claimed(connection, name, token, node=node, seconds=seconds, now=now)
                for name, token in wanted.items()
            }
            won = {name: handed_over for name, handed_over in found.items() if handed_over is not None}
            return Beat(now=now, kept=kept, won=won)

        return await self._writer.write_quietly(work)

    async def renew(self, seconds: float, held: Mapping[str, str]) -> Collection[str]:
        """Renew without saying that the node will go on. Raises StoreUnavailable."""
        return await self._writer.write_quietly(lambda connection: _renewed(connection, held, seconds))

    async def leave(self, node: str) -> None:
        """Forget the node. Raises StoreUnavailable."""
        await self._writer.write_quietly(lambda connection: connection.execute(_LEAVE, (node,)))

    async def hand_over(self, held: Mapping[str, str], *, clean: bool) -> None:
        """Let others have these accounts at once, and tell them. Raises StoreUnavailable."""

        def work(connection: PostgresConnection) -> None:
            connection.executemany(_HAND_OVER, [(clean, name, token) for name, token in held.items()])
            connection.execute(_TELL, ("",))

        await self._writer.write_quietly(work)


def _look(connection: PostgresConnection) -> Standing:
    now, kept = connection.execute(_LOOK, _RANGES).fetchone()
    claims = [Claim(*row) for row in connection.execute(_CLAIMS)]
    return Standing(
        now=now,
        nodes=frozenset(name for (name,) in connection.execute(_NODES)),
        claims={claim.account: claim for claim in claims},
        kept=kept,
    )


def _renewed(connection: PostgresConnection, held: Mapping[str, str], seconds: float) -> list[str]:
    return [name for name, token in held.items() if connection.execute(_RENEW, (seconds, name, token)).rowcount]


def _claimed(
    connection: PostgresConnection, account: str, token: str, *, node: str, seconds: float, now: float
) -> bool | None:
    """Claim an account if it is free; say whether nobody, or who handed it over, had it before."""
    row = connection.execute(_FIND, (account,)).fetchone()
    if row is not None and row[0] > now:
        return None
    connection.execute(_CLAIM, (account, token, node, seconds))
    return row is None or bool(row[1])
