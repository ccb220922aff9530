"""What happened within a time, in sums."""

from collections.abc import Collection, Iterator, Sequence
from functools import cache
from itertools import groupby, pairwise

from adapters.sql.connection import Connection
from daemon.domain.returns import MISSING
from daemon.ports.store import Sum, Topic

SPANS = (64, 8, 1)
"""Each sum is kept for a day, and for the 8 and the 64 days of which it is one: a long time has few rows to add up."""

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
    Topic.STATED: (
        "SELECT r.shop, u.parent_reason, u.reason, count(*), 0 "
        "FROM returns r JOIN return_units u ON u.return_ref = r.id "
        "WHERE r.created_at >= ? AND r.created_at < ? GROUP BY 1, 2, 3"
    ),
}
_FIRST = dict.fromkeys(
    _BY_TOPIC, "SELECT min(finding_found_at) FROM return_units WHERE finding_found_at IS NOT NULL"
) | {
    Topic.SPEND: "SELECT min(bought_at) FROM postage WHERE bought_at IS NOT NULL",
    Topic.STATED: "SELECT min(created_at) FROM returns",
}
_OF_DAY = "SELECT shop, a, b, count, cents FROM sums WHERE topic = ? AND days = 1 AND day = ?"
_ADD = (
    "INSERT INTO sums (topic, days, day, shop, a, b, count, cents) VALUES (?, ?, ?, ?, ?, ?, ?, ?) "
    "ON CONFLICT (topic, days, day, shop, a, b) DO UPDATE "
    "SET count = sums.count + excluded.count, cents = sums.cents + excluded.cents"
)
_EMPTY = "DELETE FROM sums WHERE topic = ? AND days = ? AND day = ? AND shop = ? AND a = ? AND b = ? AND count = 0"
_OF_SPANS = "SELECT shop, a, b, count, cents FROM sums WHERE topic = ? AND days = ? AND day >= ? AND day < ?"

_Key = tuple[str, str, str]
_Worth = tuple[int, int]


def count(connection: Connection, topics: Collection[Topic], start: float, end: float) -> Sequence[Sum]:
    """Count what happened from `start` until before `end`."""
    return [
        Sum(topic=topic, shop=shop, a=a, b=b, count=units, cents=int(cents or 0))
        for topic in topics
        for shop, a, b, units, cents in connection.execute(_BY_TOPIC[topic], (start, end)).fetchall()
    ]


def keep(connection: Connection, day: int, topics: Collection[Topic], rows: Sequence[Sum]) -> None:
    """Keep the sums of a day, in place of any earlier ones; the longer spans change by the difference."""
    for topic in topics:
        kept: dict[_Key, _Worth] = {
            (shop, a, b): (units, cents)
            for shop, a, b, units, cents in connection.execute(_OF_DAY, (topic.value, day)).fetchall()
        }
        wanted = {(row.shop, row.a, row.b): (row.count, row.cents) for row in rows if row.topic is topic}
        for key in sorted(kept.keys() | wanted.keys()):
            (old, old_cents), (new, new_cents) = kept.get(key, (0, 0)), wanted.get(key, (0, 0))
            if (old, old_cents) != (new, new_cents):
                _add(connection, topic, day, key, (new - old, new_cents - old_cents))


def _add(connection: Connection, topic: Topic, day: int, key: _Key, worth: _Worth) -> None:
    for days in SPANS:
        place = (topic.value, days, day - day % days, *key)
        connection.execute(_ADD, (*place, *worth))
        if worth[0] < 0:
            connection.execute(_EMPTY, place)


def stored(connection: Connection, topic: Topic, start: int, end: int) -> Sequence[Sum]:
    """Add up the days from `start` until before `end`."""
    spans = [*_cover(start, end)]
    parameters = [value for span in spans for value in (topic.value, *span)]
    rows = connection.execute(_added(len(spans)), parameters).fetchall() if spans else []
    return [Sum(topic=topic, shop=shop, a=a, b=b, count=int(n), cents=int(cents)) for shop, a, b, n, cents in rows]


@cache
def _added(spans: int) -> str:
    return (
        f"SELECT shop, a, b, sum(count), sum(cents) FROM ({' UNION ALL '.join([_OF_SPANS] * spans)}) AS spans "  # noqa: S608
        "GROUP BY shop, a, b ORDER BY shop, a, b"
    )


def _cover(start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Cover these days by as few spans as can be: (days of each, first day, before this day)."""
    for days, pieces in groupby(_pieces(start, end), key=lambda piece: piece[0]):
        firsts = [first for _, first in pieces]
        yield days, firsts[0], firsts[-1] + days


def _pieces(start: int, end: int) -> Iterator[tuple[int, int]]:
    while start < end:
        days = next(days for days in SPANS if start % days == 0 and start + days <= end)
        yield days, start
        start += days


def first(connection: Connection, topics: Collection[Topic]) -> float | None:
    """Say when the first of what these topics count happened."""
    times = [connection.execute(sql).fetchone()[0] for sql in {_FIRST[topic]: None for topic in topics}]
    return min((at for at in times if at is not None), default=None)
