"""Fills a database with returns, by plain SQL."""

import sqlite3
from collections.abc import Sequence
from pathlib import Path

from adapters.sqlite.schema import make_ready, migrations
from adapters.sqlite.store import CACHED_STATEMENTS

NUMBERS = "WITH RECURSIVE n(i) AS (SELECT ? UNION ALL SELECT i + 1 FROM n WHERE i < ?) "

CACHE = -2 * 2**20
"""Kibibytes for SQLite: rows come in no index's order."""
OWNED = {
    "returns": "id",
    "label_requests": "return_ref",
    "return_units": "return_ref",
    "authorizations": "return_ref",
    "notes": "return_ref",
    "return_events": "return_ref",
    "deliveries": "return_id <> '' AND return_id",
}
"""The tables in which a return with an RMA page has rows, and by what it has them."""
DUE = ("due_at", "amazon_due_at", "portal_due_at")
COPIES = 2_000_000_000
"""Copies are named by their numbers after this one."""

Row = tuple[str, dict[str, object], dict[str, str]]
"""A table, its constant columns, and its columns computed from the number `i`."""


def seed(path: Path, count: int, now: float, due_in: tuple[float, float] = (7200.0, 50400.0)) -> None:
    """Write returns with delivered labels, one unit and one order each, due within that span of seconds."""
    connection = sqlite3.connect(path, isolation_level=None, cached_statements=CACHED_STATEMENTS)
    try:
        make_ready(path, connection, migrations())
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute(f"PRAGMA cache_size = {CACHE}")
        if count:
            _fill(connection, 1, count, _rows(now, due_in))
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    finally:
        connection.close()
    path.chmod(0o600)


def _fill(connection: sqlite3.Connection, first: int, last: int, rows: Sequence[Row]) -> None:
    """Write the returns with these numbers."""
    connection.execute("BEGIN IMMEDIATE")
    for table, fixed, computed in rows:
        columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
        defaults = {row[1]: _nothing(row[2], bool(row[3])) for row in connection.execute(f"PRAGMA table_info({table})")}
        values = [computed.get(c) or _literal(fixed.get(c, defaults[c])) for c in columns]
        connection.execute(
            f"INSERT INTO {table} ({', '.join(columns)}) {NUMBERS} SELECT {', '.join(values)} FROM n", (first, last)
        )
    connection.execute("COMMIT")


def copy(connection: sqlite3.Connection, model: str, first: int, last: int, closed_at: str) -> None:
    """Write copies of an ended return, with its history and notes, under the numbers from `first` to `last`.

    Each ends at `closed_at`, an expression of its number `i`, and nothing of it is due. Where the model has its name, the
    copy has its own, which has ten digits, too.
    """
    connection.execute(f"PRAGMA cache_size = {CACHE}")
    number, ended = connection.execute("SELECT id, closed_at FROM returns WHERE return_id = ?", (model,)).fetchone()
    connection.execute("BEGIN IMMEDIATE")
    for table, owner in OWNED.items():
        given = {"id": "i", "return_ref": "i", "digest": "printf('copy-%d', i)"} | dict.fromkeys(DUE, "NULL")
        kinds = {row[1]: row[2] for row in connection.execute(f"PRAGMA table_info({table})")}
        changed = {
            "TEXT": f"replace({{0}}, '{model}', printf('%d', {COPIES} + i))",
            "REAL": f"{{0}} + ({closed_at}) - {ended!r}",
            "INTEGER": "{0}",
        }
        values = [given.get(name) or changed[kind].format(name) for name, kind in kinds.items()]
        connection.execute(
            f"INSERT INTO {table} {NUMBERS} SELECT {', '.join(values)} FROM n, {table} WHERE {owner} = ?",
            (first, last, model if table == "deliveries" else number),
        )
    connection.execute("COMMIT")


def _rows(now: float, due_in: tuple[float, float]) -> list[Row]:
    """List the tables with their constant and computed columns; all others are empty."""
    due = f"{now + due_in[0]!r} + (i * 7919 % 43200) * {(due_in[1] - due_in[0]) / 43200!r}"
    return [
        (
            "returns",
            {
                "shop": "acme",
                "account": "main",
                "version": 9,
                "created_at": now,
                "changed_at": now,
                "state": "awaiting_inspection",
                "queue": "looks",
                "settlement": "nothing",
                "asked_for": "nothing",
                "labelled_at": now,
            },
            {
                "id": "i",
                "return_id": "printf('%d', 100000000 + i)",
                "due_at": due,
                "amazon_due_at": due,
                "order_name": "printf('#%d', 100000 + i)",
                "order_number": "printf('%d', 100000 + i)",
            },
        ),
        (
            "label_requests",
            {
                "shop": "acme",
                "asked": "delivered",
                "source": "rma_page",
                "label_id": "3fa85f64",
                "transit": "new",
                "reported": "new",
                "label_url": "https://www.amazon.com/gp/orc/rml/DhTr6mBqRRMA",
                "label_carrier": "Amazon",
                "label_tracking_number": "DhTr6mBqRRMA",
                "label_rate_cents": 0,
            },
            {"return_ref": "i", "request_id": "printf('%d', 900000000 + i)"},
        ),
        (
            "return_units",
            {
                "part": 1,
                "portal_sku": "SOCK-2P-M",
                "sku": "SOCK-2P-M",
                "price_cents": 1999,
                "reason": "Too small",
                "parent_reason": "Size",
                "standing": "authorized",
                "order_item_id": "item-1",
                "shipment_id": "DsV8pRlkr",
                "reason_code": "CR-UNWANTED_ITEM",
                "authorization_id": "A1",
            },
            {
                "return_ref": "i",
                "line_id": "printf('%d', 500000000 + i)",
                "request_id": "printf('%d', 900000000 + i)",
                "order_id": "printf('#%d', 100000 + i)",
                "return_item_id": "printf('mcfd-%d', i)",
            },
        ),
        (
            "authorizations",
            {
                "authorization_id": "A1",
                "rma_id": "DhTr6mBqRRMA",
                "page_url": "https://www.amazon.com/gp/orc/rml/DhTr6mBqRRMA",
                "center": "RNO1",
                "ship_to_name": "Amazon",
                "ship_to_line1": "8000 N Virginia St",
                "ship_to_line2": "",
                "ship_to_line3": "",
                "ship_to_city": "Reno",
                "ship_to_region": "NV",
                "ship_to_postal_code": "89506",
                "ship_to_country_code": "US",
                "ship_to_phone": "",
            },
            {"return_ref": "i"},
        ),
    ]


def _nothing(kind: str, needed: bool) -> object:
    return None if not needed else "" if kind == "TEXT" else 0


def _literal(value: object) -> str:
    if value is None:
        return "NULL"
    return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else repr(value)
