"""The journal of calls to vendors."""

import json
from collections.abc import Sequence

from adapters.sql.connection import Connection
from daemon.ports.store import CALLS_KEPT, Fields, VendorCall

_KNOWN = "SELECT 1 FROM returns WHERE return_id = ? AND shop = ?"
_LAST = (
    "SELECT number, outcome, status, why, asked, answered FROM calls "
    "WHERE return_id = ? AND shop = ? AND vendor = ? AND operation = ? ORDER BY number DESC LIMIT 1"
)
_NEWEST = "SELECT coalesce(max(number), 0) FROM calls WHERE return_id = ? AND shop = ?"
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
    known = {
        ref for ref in {(call.return_id, call.shop) for call in calls} if connection.execute(_KNOWN, ref).fetchone()
    }
    for call in calls:
        if (call.return_id, call.shop) in known:
            _keep(connection, call)


def _keep(connection: Connection, call: VendorCall) -> None:
    key = (call.return_id, call.shop)
    said = (call.outcome, call.status, call.why, _write(call.asked), _write(call.answered))
    last = connection.execute(_LAST, (*key, call.vendor, call.operation)).fetchone()
    if last is not None and last[1:] == said:
        connection.execute(_AGAIN, (call.times, call.at, call.seconds, call.request_id, *key, last[0]))
        return
    number = connection.execute(_NEWEST, key).fetchone()[0] + 1
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
