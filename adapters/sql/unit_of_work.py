"""The statements that one transaction may run on the stored returns."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache

from adapters.sql import calls
from adapters.sql.connection import Connection, Row
from adapters.sql.history import describe
from adapters.sql.rows import PARTS, RETURN, Shape
from daemon.domain.copies import replace
from daemon.domain.events.returns import Event
from daemon.domain.queues import Queue, queue_of
from daemon.domain.returns import LabelSourceName, Return, ReturnUnit, State
from daemon.errors import StaleReturn
from daemon.ports.store import DeadLetter, Delivery, EventRow, Purchase, VendorCall
from daemon.ports.vendors import OrderHead

_UNITS = next(table.shape for table in PARTS if table.attribute == "units")
_CHANGING = tuple(c for c in RETURN.columns if c not in {"shop", "return_id", "version"})
_CLOCKS = (
    "due_at",
    "amazon_due_at",
    "portal_due_at",
    "announced_at",
    "looked_at",
    "deadline_at",
    "passed_over_until",
    "attempts",
    "transient_failures",
    "verifications",
    "pending_calls",
    "needs_read",
    "held",
    "problem",
    "problem_code",
)
_GUARD = "version = version + 1 WHERE return_id = ? AND shop = ? AND version = ? RETURNING id"


def _guarded_update(columns: Sequence[str]) -> str:
    return f"UPDATE returns SET {', '.join(f'{column} = ?' for column in columns)}, {_GUARD}"  # noqa: S608 - our names


# Only our own names become part of these statements.
_FIND = f"SELECT id, {', '.join(RETURN.columns)} FROM returns WHERE return_id = ? AND shop = ?"  # noqa: S608
_ADD = (
    f"INSERT INTO returns ({', '.join((*RETURN.columns, 'queue'))}) "  # noqa: S608
    f"VALUES ({', '.join('?' * (len(RETURN.columns) + 1))}) "
    "ON CONFLICT (return_id, shop) DO NOTHING RETURNING id"
)
_SAVE = _guarded_update((*_CHANGING, "queue"))
_DEFER = _guarded_update((*_CLOCKS, "queue"))
_SHOPS_DUE = (
    "WITH RECURSIVE shops(name) AS ("
    "SELECT min(shop) FROM returns WHERE queue = ? AND due_at IS NOT NULL UNION ALL "
    "SELECT (SELECT min(shop) FROM returns WHERE queue = ? AND due_at IS NOT NULL AND shop > name) "
    "FROM shops WHERE name IS NOT NULL) "
    "SELECT name FROM shops WHERE EXISTS "
    "(SELECT 1 FROM returns WHERE queue = ? AND shop = name AND due_at IS NOT NULL AND due_at <= ?)"
)
"""Steps from shop to shop in the index, however many returns each has."""
_QUEUED = (
    "SELECT due_at, shop, return_id FROM returns "
    "WHERE queue = ? AND shop = ? AND due_at IS NOT NULL AND due_at <= ? ORDER BY due_at, return_id LIMIT ?"
)
_NAMED = " UNION ".join(
    f"SELECT order_id, displayable_order_id, changed_at FROM order_index WHERE account = ? AND {name} BETWEEN ? AND ?"  # noqa: S608
    for name in ("order_id", "displayable_order_id")
)
_INDEX = (
    "INSERT INTO order_index (account, displayable_order_id, order_id, changed_at) VALUES (?, ?, ?, ?) "
    "ON CONFLICT (account, displayable_order_id, order_id) DO UPDATE SET changed_at = excluded.changed_at "
    "WHERE order_index.changed_at < excluded.changed_at"
)
_PURCHASE = Shape(Purchase)
_PURCHASES = f"SELECT {', '.join(_PURCHASE.columns)} FROM purchases"  # noqa: S608 - our names
_KEEP_PURCHASE = (
    f"INSERT INTO purchases ({', '.join(_PURCHASE.columns)}) VALUES ({', '.join('?' * len(_PURCHASE.columns))}) "  # noqa: S608
    f"ON CONFLICT (source, handle) DO UPDATE SET {', '.join(f'{c} = excluded.{c}' for c in _PURCHASE.columns)}"
)
_EVENT = (
    "INSERT INTO return_events (return_ref, version, at, event, before, after, detail) VALUES (?, ?, ?, ?, ?, ?, ?)"
)
SET_MARK = "INSERT INTO marks (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value"
_changing = RETURN.picking(_CHANGING)
_clocks = RETURN.picking(_CLOCKS)


@cache
def merged(condition: str, states: int) -> str:
    """Search the index once per state and merge by `due_at`, so that no more entries are read than wanted."""
    arm = f"SELECT due_at, shop, return_id FROM returns WHERE state = ? AND {condition}"  # noqa: S608 - our names
    return " UNION ALL ".join([arm] * states) + " ORDER BY 1, 2, 3 LIMIT ?"


@cache
def _promised(orders: int) -> str:
    return (
        f"SELECT {', '.join(_UNITS.columns)} FROM return_units "  # noqa: S608 - our names
        f"WHERE order_id IN ({', '.join('?' * orders)}) AND order_id <> '' AND standing IN ('planned', 'authorized') "
        "AND EXISTS (SELECT 1 FROM returns AS r WHERE r.id = return_ref AND r.account = ? "
        "AND NOT (r.return_id = ? AND r.shop = ?)) "
        "ORDER BY return_ref, position"
    )


class SqlUnitOfWork:
    """Implements the UnitOfWork port on an open connection. Violating an invariant raises the database's own error."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    # ---- one return

    def get(self, shop: str, return_id: str) -> Return | None:
        """Read a return."""
        rows = self._rows(_FIND, return_id, shop)
        return self._assemble(rows[0]) if rows else None

    def add(self, ret: Return) -> Return:
        """Store a new return as version 1. Raises StaleReturn when it exists already."""
        ret = replace(ret, version=1)
        rows = self._rows(_ADD, *RETURN.to_row(ret), queue_of(ret))
        if not rows:
            raise StaleReturn(f"{ret.ref} is stored already")
        self._store_parts(rows[0][0], ret)
        return ret

    def save(self, ret: Return, event: Event | None, before: State, *, read: Return | None = None) -> Return:
        """Store all changes, the next version, and the event's row, if any. Raises StaleReturn."""
        return_ref = self._guarded(_SAVE, (*_changing(ret), queue_of(ret)), ret)
        self._store_parts(return_ref, ret, read)
        version = ret.version + 1
        if event is not None:
            row = (return_ref, version, event.at, type(event).__name__, before, ret.state, describe(event))
            self._connection.execute(_EVENT, row)
        return replace(ret, version=version)

    def defer(self, ret: Return) -> Return:
        """Store clocks, counters, pending calls, `needs_read`, `held` and `problem` only. Raises StaleReturn."""
        self._guarded(_DEFER, (*_clocks(ret), queue_of(ret)), ret)
        return replace(ret, version=ret.version + 1)

    def history(self, shop: str, return_id: str) -> Sequence[EventRow]:
        """Read the history of a return, oldest event first."""
        rows = self._rows(
            "SELECT e.at, e.event, e.before, e.after, e.detail "
            "FROM returns r JOIN return_events e ON e.return_ref = r.id "
            "WHERE r.return_id = ? AND r.shop = ? ORDER BY e.version",
            return_id,
            shop,
        )
        return [EventRow(at=at, event=event, before=b, after=a, detail=detail) for at, event, b, a, detail in rows]

    # ---- many returns

    def due(self, states: Sequence[State], now: float, limit: int) -> Sequence[tuple[float, str, str]]:
        """List (due at, shop, return id) of what is due, longest due first, ties in the order of their ids."""
        if not states:
            return []
        parameters = [value for state in states for value in (state, now)]
        return self._rows(merged("due_at <= ?", len(states)), *parameters, limit)

    def due_after(self, states: Sequence[State], after: float, limit: int) -> Sequence[tuple[float, str, str]]:
        """List (due at, shop, return id) of what is due later than a time, soonest first."""
        parameters = [value for state in states for value in (state, after)]
        return self._rows(merged("due_at > ?", len(states)), *parameters, limit)

    def queued(
        self, queue: Queue, now: float, limit: int, ours: Callable[[str], bool] = lambda _shop: True
    ) -> Sequence[tuple[float, str, str]]:
        """List (due at, shop, return id) of what is due in a queue, up to `limit` per shop, longest due first."""
        shops = [name for (name,) in self._rows(_SHOPS_DUE, queue, queue, queue, now) if ours(name)]
        return sorted(row for shop in shops for row in self._rows(_QUEUED, queue, shop, now, limit))

    def next_due(self, states: Sequence[State]) -> float | None:
        """Say when the next return of these states is due, which may be in the past."""
        if not states:
            return None
        rows = self._rows(merged("due_at IS NOT NULL", len(states)), *states, 1)
        return rows[0][0] if rows else None

    def listing(self, states: Sequence[State], limit: int) -> Sequence[Return]:
        """List returns of these states, longest due first, those that are never due last."""
        found: list[Row] = []
        for condition in ("due_at IS NOT NULL", "due_at IS NULL") if states else ():
            found += self._rows(merged(condition, len(states)), *states, limit - len(found))
        return [self._assemble(self._rows(_FIND, return_id, shop)[0]) for _, shop, return_id in found]

    def counts(self) -> Mapping[tuple[str, str], int]:
        """Count returns by shop and state, without empty states. Reads the whole index."""
        rows = self._rows("SELECT shop, state, count(*) FROM returns GROUP BY shop, state ORDER BY shop")
        return {(shop, state): count for shop, state, count in rows}

    def find(self, return_id: str) -> Sequence[tuple[str, str]]:
        """List (shop, return id) of the returns with that id, by shop."""
        return self._rows("SELECT shop, return_id FROM returns WHERE return_id = ? ORDER BY shop", return_id)

    def on_order(self, account: str, order_id: str) -> Sequence[tuple[str, str]]:
        """List (shop, return id) of an account's returns with units on a fulfillment order, oldest return first."""
        return self._rows(
            "SELECT shop, return_id FROM returns WHERE id IN "
            "(SELECT return_ref FROM return_units WHERE order_id = ? AND order_id <> '') AND account = ? ORDER BY id",
            order_id,
            account,
        )

    def promised(self, ret: Return, order_ids: Sequence[str]) -> Sequence[ReturnUnit]:
        """List planned and authorized units of the account's other returns on these orders, oldest return first."""
        if not order_ids:
            return []
        rows = self._rows(_promised(len(order_ids)), *order_ids, ret.account, ret.return_id, ret.shop)
        return [_UNITS.from_row(row) for row in rows]

    # ---- deliveries, documents, orders

    def record_delivery(self, delivery: Delivery) -> bool:
        """Store a delivery's row; False when the shop sent the same bytes before."""
        sql = (
            "INSERT INTO deliveries (shop, digest, topic, trigger, subject, return_id, received_at) "
            "VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
        )
        d = delivery
        return self._change(sql, d.shop, d.digest, d.topic, d.trigger, d.subject, d.return_id, d.received_at) == 1

    def keep_dead_letter(self, letter: DeadLetter) -> bool:
        """Store an unreadable delivery; False when it is stored already."""
        sql = (
            "INSERT INTO dead_letters (shop, digest, reason, sealed, received_at) VALUES (?, ?, ?, ?, ?) "
            "ON CONFLICT DO NOTHING"
        )
        return self._change(sql, letter.shop, letter.digest, letter.reason, letter.sealed, letter.received_at) == 1

    def keep_document(self, name: str, sealed: bytes, expires_at: float) -> None:
        """Store an encrypted document under its name, replacing an older one."""
        sql = (
            "INSERT INTO documents (name, sealed, expires_at) VALUES (?, ?, ?) ON CONFLICT (name) "
            "DO UPDATE SET sealed = excluded.sealed, expires_at = excluded.expires_at"
        )
        self._change(sql, name, sealed, expires_at)

    def document(self, name: str) -> bytes | None:
        """Return an encrypted document; empty when its content was deleted."""
        rows = self._rows("SELECT sealed FROM documents WHERE name = ?", name)
        return rows[0][0] if rows else None

    def drop_documents(self, now: float, limit: int) -> int:
        """Delete the content of documents whose retention is over."""
        sql = (
            "UPDATE documents SET sealed = x'' WHERE name IN "
            "(SELECT name FROM documents WHERE sealed <> x'' AND expires_at <= ? LIMIT ?)"
        )
        return self._change(sql, now, limit)

    def orders_named(self, account: str, name: str) -> Sequence[OrderHead]:
        """List an account's orders that have an id beginning with `name`, in alphabetical order."""
        rows = self._rows(_NAMED, *(account, name, name + "\U0010ffff") * 2)
        return [OrderHead(order_id=o, displayable_order_id=d, changed_at=at) for o, d, at in rows]

    def index_orders(self, account: str, heads: Sequence[OrderHead]) -> None:
        """Store orders; for a known order, update only the date of its last change."""
        rows = [(account, head.displayable_order_id, head.order_id, head.changed_at) for head in heads]
        self._connection.executemany(_INDEX, rows)

    # ---- parcels bought by a handle

    def keep_purchase(self, purchase: Purchase) -> None:
        """Store a parcel before it is bought, replacing an older record."""
        self._change(_KEEP_PURCHASE, *_PURCHASE.to_row(purchase))

    def purchase(self, source: LabelSourceName, handle: str) -> Purchase | None:
        """Return a stored parcel."""
        rows = self._rows(f"{_PURCHASES} WHERE source = ? AND handle = ?", source, handle)
        return _PURCHASE.from_row(rows[0]) if rows else None

    def purchases_due(self, account: str, now: float, limit: int) -> Sequence[Purchase]:
        """List an account's parcels to check now, longest due first."""
        sql = f"{_PURCHASES} WHERE account = ? AND look_at <= ? ORDER BY look_at, handle LIMIT ?"
        rows = self._rows(sql, account, now, limit)
        return [_PURCHASE.from_row(row) for row in rows]

    def look_at_purchase(self, source: LabelSourceName, handle: str, look_at: float | None) -> None:
        """Set when to check a parcel again."""
        self._change("UPDATE purchases SET look_at = ? WHERE source = ? AND handle = ?", look_at, source, handle)

    def spent_since(self, account: str, source: LabelSourceName, since: float, *, but: str = "") -> int:
        """Sum the cost of parcels offered since a time, in cents."""
        sql = (
            "SELECT coalesce(sum(charge_cents), 0) FROM purchases "
            "WHERE account = ? AND source = ? AND offered_at >= ? AND handle <> ?"
        )
        return int(self._rows(sql, account, source, since, but)[0][0])

    def unspend(self, source: LabelSourceName, handle: str) -> None:
        """Set the cost of a refused parcel to nothing."""
        self._change("UPDATE purchases SET charge_cents = 0 WHERE source = ? AND handle = ?", source, handle)

    def keep_calls(self, sent: Sequence[VendorCall]) -> None:
        """Add calls to the journals of their returns; one with the same answer as before counts up."""
        calls.keep(self._connection, sent)

    def calls_of(self, shop: str, return_id: str) -> Sequence[VendorCall]:
        """List the journal of a return, oldest call first."""
        return calls.of(self._connection, shop, return_id)

    def buried(self, digest: str) -> bool:
        """Say whether something of this name was forgotten."""
        return bool(self._rows("SELECT 1 FROM tombstones WHERE digest = ?", digest))

    def mark(self, name: str) -> str | None:
        """Read a mark."""
        rows = self._rows("SELECT value FROM marks WHERE name = ?", name)
        return rows[0][0] if rows else None

    def set_mark(self, name: str, value: str) -> None:
        """Write a mark, replacing the old value."""
        self._change(SET_MARK, name, value)

    # ---- the connection

    def _rows(self, sql: str, *parameters: object) -> list[Row]:
        return self._connection.execute(sql, parameters).fetchall()

    def _change(self, sql: str, *parameters: object) -> int:
        return self._connection.execute(sql, parameters).rowcount

    def _assemble(self, row: Row) -> Return:
        parts = {table.attribute: table.load(self._connection, row[0]) for table in PARTS}
        return RETURN.from_row(row[1:], **parts)

    def _guarded(self, sql: str, values: Row, ret: Return) -> int:
        rows = self._rows(sql, *values, ret.return_id, ret.shop, ret.version)
        if not rows:
            raise StaleReturn(f"{ret.ref} is not stored as version {ret.version}")
        return_ref: int = rows[0][0]
        return return_ref

    def _store_parts(self, return_ref: int, ret: Return, read: Return | None = None) -> None:
        owner = {"return_ref": return_ref, "shop": ret.shop}
        for table in PARTS:
            parts = getattr(ret, table.attribute)
            if read is None or getattr(read, table.attribute) != parts:
                table.store(self._connection, owner, parts)
