"""The journal of calls to vendors."""

import json
from collections.abc import Sequence

from adapters.sql.connection import Connection
from daemon.ports.store import CALLS_KEPT, Fields, VendorCall

_LAST = (
    "SELECT (SELECT coalesce(max(number), 0) FROM calls WHERE return_id = r.return_id AND shop = r.shop), "
    "c.number, c.outcome, c.status, c.why, c.asked, c.answered FROM returns AS r LEFT JOIN calls AS c "
    "ON c.return_id = r.return_id AND c.shop = r.shop AND c.vendor = ? AND c.operation = ? "
    "WHERE r.return_id = ? AND r.shop = ? ORDER BY c.number DESC LIMIT 1"
)
_AGAIN = (
    "UPDATE calls SET times = times + ?, at = ?, seconds = ?, request_id = ? "
    "WHERE return_id = ? AND shop = ? AND number = ?"
)
_ADD = "INSERT INTO calls VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_PRUNE = (
    "DELETE FROM calls WHERE return_id = ? AND shop = ? AND at < "
    "(SELECT at FROM calls WHERE return_id = ? AND shop = ? ORDER BY at DESC LIMIT 1 OFFSET ?)"
)
_OF = (
    "SELECT at, first_at, times, vendor, operation, outcome, status, seconds, request_id, why, asked, answered "
    "FROM calls WHERE return_id = ? AND shop = ? ORDER BY at DESC, number DESC LIMIT ?"
)
_DROP = (
    "DELETE FROM calls WHERE (return_id, shop, number) IN "
    "(SELECT return_id, shop, number FROM calls WHERE at < ? ORDER BY at LIMIT ?)"
)


def keep(connection: Connection, calls: Sequence[VendorCall]) -> None:
    """Add calls to the journals of stored returns; one with the same answer as before counts up."""
    for call in calls:
        last = connection.execute(_LAST, (call.vendor, call.operation, call.return_id, call.shop)).fetchone()
        if last is not None:  # otherwise there is no such return
            _keep(connection, call, *last)


def _keep(connection: Connection, call: VendorCall, newest: int, last: int | None, *said_last: object) -> None:
    """Add a call; `newest` is the number of the return's newest one, `last` that of the operation's."""
    key = (call.return_id, call.shop)
    said = (call.outcome, call.status, call.why, _write(call.asked), _write(call.answered))
    if last is not None and said_last == said:
        connection.execute(_AGAIN, (call.times, call.at, call.seconds, call.request_id, *key, last))
        return
    number = newest + 1
    outcome, status, why, asked, answered = said
    connection.execute(
        _ADD,
        (
            call.shop,
            call.return_id,
            number,
            call.at,
            call.first_at,
            call.times,
            call.vendor,
            call.operation,
            outcome,
            status,
            call.seconds,
            call.request_id,
            why,
            asked,
            answered,
        ),
    )
    if number > CALLS_KEPT:
        connection.execute(_PRUNE, (*key, *key, CALLS_KEPT - 1))


def of(connection: Connection, shop: str, return_id: str) -> Sequence[VendorCall]:
    """List the calls of a return, oldest first."""
    rows = connection.execute(_OF, (return_id, shop, CALLS_KEPT)).fetchall()
    names = ("at", "first_at", "times", "vendor", "operation", "outcome", "status", "seconds", "request_id", "why")
    return [
        VendorCall(
            shop=shop,
            return_id=return_id,
            **dict(zip(names, row, strict=False)),
            asked=json.loads(row[-2]),
            answered=json.loads(row[-1]),
        )
        for row in reversed(rows)
    ]


def drop(connection: Connection, before: float, limit: int) -> int:
    """Delete calls made before a time, oldest first."""
    return connection.execute(_DROP, (before, limit)).rowcount


def _write(fields: Fields) -> str:
    return json.dumps(dict(fields), separators=(",", ":"), ensure_ascii=False)
