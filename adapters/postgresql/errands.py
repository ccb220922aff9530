"""Errands in the database."""

from collections.abc import Sequence

from adapters.postgresql.connection import PostgresConnection
from adapters.postgresql.leases import NOW, NodeWriter
from daemon.ports.errands import Errand, Progress

_ASK = f"INSERT INTO cluster_errands (errand, account, verb, asked, ends_at) VALUES (?, ?, ?, ?, {NOW} + ?)"  # noqa: S608 - our names
_KEEP = f"UPDATE cluster_errands SET ends_at = {NOW} + ? WHERE errand = ?"  # noqa: S608 - as above
_LOOK = (
    "SELECT node, answer, node IS NOT NULL AND NOT EXISTS "  # noqa: S608 - as above
    f"(SELECT 1 FROM cluster_nodes n WHERE n.node = e.node AND n.ends_at > {NOW}) "
    "FROM cluster_errands e WHERE errand = ?"
)
_WITHDRAW = "DELETE FROM cluster_errands WHERE errand = ? RETURNING node IS NULL"
_WAITING = "SELECT errand, account, verb, asked FROM cluster_errands WHERE node IS NULL ORDER BY errand"
_OLD = f"SELECT 1 FROM cluster_errands WHERE ends_at < {NOW}"  # noqa: S608 - as above
_DROP_OLD = f"DELETE FROM cluster_errands WHERE ends_at < {NOW}"  # noqa: S608 - as above
_BEGIN = f"UPDATE cluster_errands SET node = ? WHERE errand = ? AND node IS NULL AND ends_at > {NOW}"  # noqa: S608 - as above
_ANSWER = "UPDATE cluster_errands SET answer = ? WHERE errand = ?"


class PostgresErrands:
    """Implements the ErrandBook port."""

    def __init__(self, writer: NodeWriter) -> None:
        self._writer = writer

    async def ask(self, errand: Errand, seconds: float) -> None:
        """Keep an errand, and tell the other nodes. Raises StoreUnavailable."""
        row = (errand.name, errand.account, errand.verb, errand.asked, seconds)
        await self._writer.write_and_tell(lambda connection: connection.execute(_ASK, row))

    async def keep(self, name: str, seconds: float) -> None:
        """Keep it longer. Raises StoreUnavailable."""
        await self._writer.write_quietly(lambda connection: connection.execute(_KEEP, (seconds, name)))

    async def look(self, name: str) -> Progress | None:
        """How far it is. Raises StoreUnavailable."""
        row = await self._writer.read(lambda connection: connection.execute(_LOOK, (name,)).fetchone())
        return Progress(node=row[0], answer=row[1], gone=row[2]) if row is not None else None

    async def withdraw(self, name: str) -> bool:
        """Drop it; True if nobody had begun it. Raises StoreUnavailable."""
        row = await self._writer.write_quietly(lambda connection: connection.execute(_WITHDRAW, (name,)).fetchone())
        return row is not None and bool(row[0])

    async def waiting(self) -> Sequence[Errand]:
        """Those that nobody has begun; drops what nobody waits for. Raises StoreUnavailable."""
        rows, old = await self._writer.read(_read_waiting)
        if old:
            await self._writer.write_quietly(lambda connection: connection.execute(_DROP_OLD))
        return [Errand(name=name, account=account, verb=verb, asked=asked) for name, account, verb, asked in rows]

    async def begin(self, name: str, node: str) -> bool:
        """Begin it under the current lease. Raises LeaseLost, StoreUnavailable."""
        return await self._writer.write(lambda connection: connection.execute(_BEGIN, (node, name)).rowcount == 1)

    async def answer(self, name: str, answer: bytes) -> None:
        """Keep the answer, whatever became of the lease meanwhile. Raises StoreUnavailable."""
        await self._writer.write_quietly(lambda connection: connection.execute(_ANSWER, (answer, name)))


def _read_waiting(connection: PostgresConnection) -> tuple[list[tuple[str, str, str, bytes]], bool]:
    return connection.execute(_WAITING).fetchall(), connection.execute(_OLD).fetchone() is not None
