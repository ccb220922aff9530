"""Which plots the pages have, from what verbs tell."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from adapters.console import words
from adapters.console.plots import Plot, Series, bars, columns, heat, line

Answer = Mapping[str, Any]
MOST_BARS = 12


def of_trends(told: Answer) -> Sequence[Plot]:
    """How the last weeks went; none if nothing happened."""
    days = told["days"]
    labels = [date.fromisoformat(day["day"]).strftime("%-d %b") for day in days]

    def values(name: str) -> list[float | None]:
        return [day[name] for day in days]

    ends = [
        Series("processed", "s2", values("processed")),
        Series("decided by a person", "s3", values("reviewed")),
        Series("processed in part", "s1", values("shortened")),
        Series("otherwise", "s6", values("otherwise")),
    ]
    made = [
        columns("Outcomes", "How many returns ended, and how.", labels, ends, "Day"),
        columns("Labels", "How many shoppers got a label.", labels, [Series("labels", "s1", values("labels"))], "Day"),
        line(
            "Time to label",
            "Minutes from the label request to the label; the middle one of each day.",
            labels,
            Series("minutes", "s1", values("minutes_to_label")),
            "Day",
        ),
        line(
            "Inspection lag",
            "Hours from Amazon's inspection to mcfd's reading of it; the middle one of each day.",
            labels,
            Series("hours", "s2", values("hours_to_notice")),
            "Day",
        ),
    ]
    return made if any(day["labels"] or day["processed"] or day["otherwise"] for day in days) else ()


def of_insights(told: Answer) -> Sequence[Plot]:
    """What many returns show together; none if nothing was inspected."""
    if not told["units"] and not told["labels"]:
        return ()
    worst = [row for row in told["skus"] if row["unsellable"]][:MOST_BARS]
    cells: defaultdict[tuple[str, str], int] = defaultdict(int)
    for row in told["reasons"]:
        cells[row["reason"] or "none given", words.condition(row["condition"])] += row["units"]
    waits = told["waits"]
    spend = sorted(told["spend"], key=lambda row: -float(row["cost"]))[:MOST_BARS]
    return [
        bars(
            "Unsellable units by SKU",
            "The share of the units that came.",
            [(row["sku"], row["share"], f"{row['unsellable']} of {row['units'] - row['missing']}") for row in worst],
            ("SKU", "Unsellable"),
            "s4",
        ),
        heat("Stated reason and condition", "What shoppers said, against what Amazon found.", cells, ("Reason", "")),
        columns(
            "Days from label to inspection",
            "How many units were inspected so many days after the label.",
            [str(row["days"]) for row in waits],
            [Series("units", "s1", [row["units"] for row in waits])],
            "Days",
        ),
        bars(
            "Label spend",
            f"{told['spent']} for {told['labels']} labels.",
            [(f"{words.plain(row['source'])}, {row['carrier']}", float(row["cost"]), row["cost"]) for row in spend],
            ("Bought from", "Cost"),
            "s5",
        ),
    ]
