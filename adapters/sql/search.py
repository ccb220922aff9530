"""Searching returns by an id that people know, and listing them page by page."""

from collections.abc import Sequence

from adapters.sql.connection import Connection
from daemon.ports.store import Listed, ListFilter

_COLUMNS = """
    r.id, r.shop, r.return_id, r.state, r.held, r.order_name, r.problem, coalesce(r.problem_code, ''),
    r.created_at, r.changed_at,
    coalesce((SELECT group_concat(DISTINCT u.portal_sku) FROM return_units u WHERE u.return_ref = r.id), ''),
    coalesce((SELECT group_concat(DISTINCT a.rma_id) FROM authorizations a WHERE a.return_ref = r.id), ''),
    coalesce(
        (SELECT group_concat(DISTINCT q.label_tracking_number) FROM label_requests q WHERE q.return_ref = r.id), '')
"""

_KNOWN_BY = (
    "SELECT id FROM returns WHERE return_id = :text",
    "SELECT id FROM returns WHERE order_name <> '' AND order_name IN (:text, '#' || :text)",
    "SELECT return_ref FROM return_units WHERE order_id <> '' AND order_id = :text",
    "SELECT return_ref FROM authorizations WHERE rma_id = :text",
    "SELECT return_ref FROM label_requests WHERE request_id = :text",
    "SELECT return_ref FROM label_requests WHERE label_tracking_number IN (:text, :upper)",
    "SELECT return_ref FROM postage WHERE tracking_id <> '' AND tracking_id IN (:text, :upper)",
    """SELECT * FROM
       (SELECT return_ref FROM return_units WHERE sku = :text ORDER BY return_ref DESC LIMIT :limit) AS s""",
    """SELECT * FROM
       (SELECT return_ref FROM return_units WHERE portal_sku = :text ORDER BY return_ref DESC LIMIT :limit) AS p""",
)
_FIND = (
    f"SELECT {_COLUMNS} FROM returns r "  # noqa: S608 - our own words alone
    f"WHERE r.id IN ({' UNION '.join(_KNOWN_BY)}) ORDER BY r.id DESC LIMIT :limit"
)

# Returns are numbered as they are heard, so that the newer ones, which cannot have been unchanged since, are skipped at
# once. Some more than the last are asked for, because a clock may have been put back meanwhile.
_HEARD_BEFORE = (
    "SELECT max(id) FROM "
    "(SELECT id FROM returns WHERE created_at < :unchanged_since ORDER BY created_at DESC LIMIT 200) AS heard"
)
_CONDITIONS = {
    "state": "r.state = :state",
    "shop": "r.shop = :shop",
    "before": "r.id < :before",
    "unchanged_since": f"r.changed_at < :unchanged_since AND r.id <= coalesce(({_HEARD_BEFORE}), 0)",
    "held": "r.held = 1",
}


def find(connection: Connection, text: str, limit: int) -> Sequence[Listed]:
    """List the newest returns for which exactly this text is one of their ids."""
    rows = connection.execute(_FIND, {"text": text, "upper": text.upper(), "limit": limit})
    return [Listed(*row) for row in rows]


def page(connection: Connection, wanted: ListFilter, limit: int) -> Sequence[Listed]:
    """List the newest returns that fit the filter, below `before`."""
    values = {name: getattr(wanted, name) for name in _CONDITIONS if getattr(wanted, name)}
    where = " AND ".join(_CONDITIONS[name] for name in values) or "TRUE"
    order = "r.changed_at, r.id" if wanted.oldest_first else "r.id DESC"
    sql = f"SELECT {_COLUMNS} FROM returns r WHERE {where} ORDER BY {order} LIMIT :limit"  # noqa: S608
    return [Listed(*row) for row in connection.execute(sql, {**values, "limit": limit})]
