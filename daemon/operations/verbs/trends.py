"""The verb about how the last days went."""

from typing import Any

from pydantic import Field

from daemon.operations.verb import STORE, Answer, Table, Verb
from daemon.operations.verbs.returns import Nothing


class DayShown(Answer):
    """One day, in UTC; waits are the middle one of the day's, null on a day without any."""

    day: str
    labels: int
    minutes_to_label: float | None = Field(description="From the label request to the label.")
    hours_to_notice: float | None = Field(description="From Amazon's inspection to mcfd's reading of it.")
    processed: int = Field(description="Returns that ended because all came as it should.")
    reviewed: int = Field(description="Returns that ended after a person had looked.")
    shortened: int = Field(description="Returns that were processed without some of their items.")
    otherwise: int = Field(description="Returns that ended in another way: refused, cancelled, settled elsewhere.")


class Trends(Answer):
    """The last four weeks, day by day."""

    days: list[DayShown]


TRENDS = Verb(
    name="trends",
    help="Show day by day how the last four weeks went: labels, waits, and how returns ended.",
    examples=("mcfd trends",),
    need=STORE,
    arguments=Nothing,
    answer=Trends,
    run=lambda at, _: at.trends(),
    shown=(
        Table(
            "Days, in UTC",
            "days",
            (
                *("day", "labels", "minutes_to_label", "hours_to_notice"),
                *("processed", "reviewed", "shortened", "otherwise"),
            ),
        ),
    ),
    busy="reading …",
)

VERBS: tuple[Verb[Any, Any, Any], ...] = (TRENDS,)
