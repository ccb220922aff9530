"""What happened within a time, in sums."""

from collections.abc import Sequence
from itertools import pairwise

from adapters.sql.connection import Connection
from daemon.domain.returns import MISSING
from daemon.ports.store import Sum, Topic

_WAITS = (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 17, 21, 25, 30, 45, 60, 90)
"""Days from the label to the inspection, each the least of its group."""

_UNITS = (
    "FROM return_units u JOIN returns r ON r.id = u.return_ref WHERE u.finding_found_at >= ? AND u.finding_found_at < ?"
)
_WORTH = "count(*), sum(u.price_cents)"
_REASON = "CASE WHEN u.parent_reason = '' THEN u.reason ELSE u.parent_reason || ' / ' || u.reason END"
_WAITED = " ".join(
    f"WHEN u.finding_found_at - r.labelled_at < {below * 86400} THEN '{days}'" for days, below in pairwise(_WAITS)
)
_ARRIVED = (
    "EXISTS (SELECT 1 FROM postage p WHERE p.return_ref = r.id AND p.authorization_id = u.authorization_id "
    "AND p.delivered_at IS NOT NULL)"
)

# Only our own words become part of these statements.
_BY_TOPIC = {
    Topic.CONDITIONS: f"SELECT r.shop, u.sku, u.finding_condition, {_WORTH} {_UNITS} GROUP BY 1, 2, 3",
    Topic.REASONS: f"SELECT r.shop, {_REASON}, u.finding_condition, {_WORTH} {_UNITS} GROUP BY 1, 2, 3",
    Topic.WAITS: (
        f"SELECT r.shop, CASE {_WAITED} ELSE '{_WAITS[-1]}' END, '', {_WORTH} {_UNITS} "
        f"AND r.labelled_at IS NOT NULL AND u.finding_condition <> '{MISSING}' GROUP BY 1, 2"
    ),
    Topic.CLAIMS: (
        f"SELECT r.shop, u.sku, u.finding_condition, {_WORTH} {_UNITS} "
        f"AND (u.finding_condition = 'FulfillerDamaged' OR (u.finding_condition = '{MISSING}' AND {_ARRIVED})) "
        "GROUP BY 1, 2, 3"
    ),
    Topic.SPEND: (
        "SELECT r.shop, p.source, p.carrier, count(*), sum(p.charge_cents) "
        "FROM postage p JOIN returns r ON r.id = p.return_ref "
        "WHERE p.bought_at >= ? AND p.bought_at < ? AND p.shipment_id <> '' AND p.void <> 'done' GROUP BY 1, 2, 3"
    ),
}
_FIRST = (
    "SELECT min(at) FROM (SELECT min(finding_found_at) AS at FROM return_units WHERE finding_found_at IS NOT NULL "
    "UNION ALL SELECT min(bought_at) FROM postage WHERE bought_at IS NOT NULL) AS firsts"
)
_STORED = (
    "SELECT shop, a, b, sum(count), sum(cents) FROM sums WHERE topic = ? AND day >= ? AND day < ? "
    "GROUP BY shop, a, b ORDER BY shop, a, b"
)


def count(connection: Connection, start: float, end: float) -> Sequence[Sum]:
    """Count what happened from `start` until before `end`."""
    return [
        Sum(topic=topic, shop=shop, a=a, b=b, count=units, cents=int(cents or 0))
        for topic, sql in _BY_TOPIC.items()
        for shop, a, b, units, cents in connection.execute(sql, (start, end)).fetchall()
    ]


def keep(connection: Connection, day: int, rows: Sequence[Sum]) -> None:
    """Keep the sums of a day, in place of any earlier ones."""
    for topic in Topic:
        connection.execute("DELETE FROM sums WHERE topic = ? AND day = ?", (topic.value, day))
    for row in rows:
        connection.execute(
            "INSERT INTO sums VALUES (?, ?, ?, ?, ?, ?, ?)",
            (row.topic.value, day, row.shop, row.a, row.b, row.count, row.cents),
        )


def stored(connection: Connection, topic: Topic, start: int, end: int) -> Sequence[Sum]:
    """Add up the days from `start` until before `end`."""
    rows = connection.execute(_STORED, (topic.value, start, end)).fetchall()
    return [Sum(topic=topic, shop=shop, a=a, b=b, count=int(n), cents=int(cents)) for shop, a, b, n, cents in rows]


def first(connection: Connection) -> float | None:
    """Say when the first unit was found or label bought."""
    at: float | None = connection.execute(_FIRST).fetchone()[0]
    return at
