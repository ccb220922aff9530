"""How the last days went."""

from statistics import median

from daemon.domain.durations import DAY, HOUR, MINUTE
from daemon.operations.verb import instant
from daemon.operations.verbs.trends import DayShown, Trends
from daemon.ports.host import Clock
from daemon.ports.store import DayOfReturns, ReadableStore

DAYS = 28


async def trends(store: ReadableStore, clock: Clock) -> Trends:
    """The last four weeks, day by day in UTC, today included."""
    first = (clock.now() // DAY - DAYS + 1) * DAY
    starts = [first + number * DAY for number in range(DAYS)]
    days = await store.survey(lambda keep: [keep.of_day(start, start + DAY) for start in starts])
    return Trends(days=[_shown(start, day) for start, day in zip(starts, days, strict=True)])


def _shown(start: float, day: DayOfReturns) -> DayShown:
    ended = dict(day.ended)
    return DayShown(
        day=(instant(start) or "")[:10],
        labels=day.labels,
        minutes_to_label=round(median(day.waits) / MINUTE, 2) if day.waits else None,
        hours_to_notice=round(median(day.lags) / HOUR, 2) if day.lags else None,
        processed=ended.pop("process", 0),
        reviewed=ended.pop("flag", 0),
        shortened=ended.pop("remove", 0),
        otherwise=sum(ended.values()),
    )
