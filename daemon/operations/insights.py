"""What many returns tell together: sums that are kept for each past day, and counted anew for the days since."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

import structlog

from daemon.domain.durations import DAY
from daemon.domain.returns import MISSING
from daemon.operations.verb import instant, money
from daemon.operations.verbs.insights import ClaimRow, Insight, SkuRow, WaitRow
from daemon.operations.verbs.keeping import ReasonRow, SpendRow, UnitRows
from daemon.ports.host import Clock
from daemon.ports.store import MaintainedStore, Maintenance, ReadableStore, Sum, Topic

log = structlog.get_logger(__name__)

SUMS = frozenset({"reasons", "spend"})
"""The reports that are sums."""

FOUND = (Topic.CONDITIONS, Topic.REASONS, Topic.WAITS, Topic.CLAIMS, Topic.SPEND)
"""The topics of insights; reasons have a topic of their own."""

SUMMED, SUMMED_STATED = "sums/until", "sums/stated"
"""The marks for the day, counted from 1970, until which all days have their sums: of insights, and of reasons."""

COUNTED_AGAIN = 35
"""Days that are counted again each night: findings are corrected, and unused labels given back."""

LIVE_DAYS = 7
"""The most days that a question counts by itself; before the first night, older ones are not seen."""

USUAL_DAYS = 90
MOST_SKUS, MOST_REASONS = 200, 500
SELLABLE = "Sellable"
ABSENT = "absent"


class _Key(NamedTuple):
    shop: str
    a: str
    b: str


class Sums:
    """Counts the past days, one transaction each, so that nobody waits long."""

    def __init__(self, store: MaintainedStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def nightly(self) -> None:
        """Count the days that have no sums yet, and the last ones again."""
        await self._count(SUMMED, FOUND)
        await self._count(SUMMED_STATED, (Topic.STATED,))

    async def _count(self, mark: str, topics: Collection[Topic]) -> None:
        today = _day(self._clock.now())
        first = await self._store.survey(lambda keep: keep.first_of(topics))
        if first is None:
            return
        until = int(await self._store.read(lambda uow: uow.mark(mark)) or 0)
        start = max(_day(first), min(until, today) - COUNTED_AGAIN) if until else _day(first)
        for day in range(start, today):
            await self._store.upkeep(lambda keep, day=day: _keep(keep, day, topics))  # type: ignore[misc]
            if day >= until:
                await self._store.transact(lambda uow, day=day: uow.set_mark(mark, str(day + 1)))  # type: ignore[misc]
        log.debug("sums.counted", mark=mark, days=today - start)


def _keep(keep: Maintenance, day: int, topics: Collection[Topic]) -> None:
    keep.keep_sums(day, topics, keep.count_sums(topics, day * DAY, (day + 1) * DAY))


def _day(at: float) -> int:
    return int(at // DAY)


class Insights:
    """Answers from the sums."""

    def __init__(self, store: ReadableStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def report(self, report: str, since: datetime | None) -> UnitRows:
        """One of the reports that are sums, as rows."""
        rows = await self._rows(since, None)
        if report == "spend":
            return UnitRows(rows=_spend(rows[Topic.SPEND]), next=None, columns=list(SpendRow.model_fields))
        return UnitRows(rows=_reasons(rows[Topic.REASONS]), next=None, columns=list(ReasonRow.model_fields))

    async def show(self, since: datetime | None, shop: str | None) -> Insight:
        """All that the sums tell of the days since then."""
        rows = await self._rows(since, shop)
        skus, claims, spend = _skus(rows[Topic.CONDITIONS]), _claims(rows[Topic.CLAIMS]), rows[Topic.SPEND]
        missing = [row for row in rows[Topic.CONDITIONS] if row.b == MISSING]
        return Insight(
            since=instant(self._start(since) * DAY),
            until=instant(self._clock.now()),
            units=sum(row.units for row in skus),
            unsellable=sum(row.unsellable for row in skus),
            never_received=sum(row.count for row in missing),
            never_received_value=money(sum(row.cents for row in missing)),
            labels=sum(row.count for row in spend),
            spent=money(sum(row.cents for row in spend)),
            claimable=sum(row.count for row in rows[Topic.CLAIMS]),
            claimable_value=money(sum(row.cents for row in rows[Topic.CLAIMS])),
            skus=skus[:MOST_SKUS],
            reasons=_reasons(rows[Topic.REASONS])[:MOST_REASONS],
            waits=_waits(rows[Topic.WAITS]),
            spend=_spend(spend),
            claims=claims[:MOST_SKUS],
        )

    def _start(self, since: datetime | None) -> int:
        return _day(since.timestamp()) if since else _day(self._clock.now()) - USUAL_DAYS

    async def _rows(self, since: datetime | None, shop: str | None) -> dict[Topic, list[Sum]]:
        """The sums since a day: those kept, and those of the days that have none yet."""
        now, start = self._clock.now(), self._start(since)
        until = int(await self._store.read(lambda uow: uow.mark(SUMMED)) or 0)
        live = max(start, until, _day(now) - LIVE_DAYS)

        def work(keep: Maintenance) -> list[Sum]:
            kept = [row for topic in FOUND for row in keep.sums(topic, start, until)]
            return [*kept, *keep.count_sums(FOUND, live * DAY, now)]

        found: dict[Topic, list[Sum]] = {topic: [] for topic in FOUND}
        for row in added(await self._store.survey(work)):
            if shop in {None, row.shop}:
                found[row.topic].append(row)
        return found


def added(rows: Iterable[Sum]) -> list[Sum]:
    """Rows of the same kind as one."""
    totals: defaultdict[tuple[Topic, _Key], list[int]] = defaultdict(lambda: [0, 0])
    for row in rows:
        total = totals[row.topic, _Key(row.shop, row.a, row.b)]
        total[0] += row.count
        total[1] += row.cents
    return [
        Sum(topic=topic, shop=key.shop, a=key.a, b=key.b, count=count, cents=cents)
        for (topic, key), (count, cents) in totals.items()
    ]


def _skus(rows: Sequence[Sum]) -> list[SkuRow]:
    units: defaultdict[tuple[str, str], dict[str, int]] = defaultdict(dict)
    for row in rows:
        units[row.shop, row.a][row.b] = row.count
    made = [_sku(shop, sku, found) for (shop, sku), found in units.items()]
    return sorted(made, key=lambda row: (-row.unsellable, -row.units, row.shop, row.sku))


def _sku(shop: str, sku: str, found: dict[str, int]) -> SkuRow:
    total, missing = sum(found.values()), found.get(MISSING, 0)
    unsellable = total - missing - found.get(SELLABLE, 0) - found.get("", 0)
    came = total - missing
    share = unsellable / came if came else 0.0
    return SkuRow(
        shop=shop,
        sku=sku,
        units=total,
        unsellable=unsellable,
        missing=missing,
        share=round(share, 4),
        percent=f"{share:.0%}" if came else "",
    )


def _reasons(rows: Sequence[Sum]) -> list[ReasonRow]:
    made = [
        ReasonRow(shop=row.shop, reason=row.a, condition=row.b or ABSENT, units=row.count, value=money(row.cents))
        for row in rows
    ]
    return sorted(made, key=lambda row: (-row.units, row.shop, row.reason, row.condition))


def _waits(rows: Sequence[Sum]) -> list[WaitRow]:
    units: defaultdict[int, int] = defaultdict(int)
    for row in rows:
        units[int(row.a)] += row.count
    return [WaitRow(days=days, units=count) for days, count in sorted(units.items())]


def _spend(rows: Sequence[Sum]) -> list[SpendRow]:
    made = [
        (row.cents, SpendRow(shop=row.shop, source=row.a, carrier=row.b, labels=row.count, cost=money(row.cents)))
        for row in rows
    ]
    return [row for _, row in sorted(made, key=lambda pair: (-pair[0], pair[1].shop, pair[1].source, pair[1].carrier))]


def _claims(rows: Sequence[Sum]) -> list[ClaimRow]:
    made = [
        ClaimRow(shop=row.shop, sku=row.a, condition=row.b, units=row.count, value=money(row.cents)) for row in rows
    ]
    return sorted(made, key=lambda row: (-row.units, row.shop, row.sku, row.condition))
