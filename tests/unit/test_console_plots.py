"""Plots: well-formed SVG within its frame, with a table of the same numbers, from any data."""

import re
import xml.etree.ElementTree as ET

import pytest

from adapters.console.drawings import of_insights, of_trends
from adapters.console.plots import HEIGHT, WIDTH, Series, bars, columns, heat, line

LABELS = [f"{number} Nov" for number in range(1, 29)]
HOSTILE = "<script>\"&'x"


def day(number: int, **values) -> dict:
    empty = {"labels": 0, "minutes_to_label": None, "hours_to_notice": None}
    ends = dict.fromkeys(("processed", "reviewed", "shortened", "otherwise"), 0)
    return {"day": f"2026-11-{number:02}", **empty, **ends, **values}


def within(plot) -> None:
    """Every shape lies in the picture, and is a number."""
    root = ET.fromstring(str(plot.svg))
    _, _, wide, high = map(float, root.get("viewBox").split())
    for shape in root.iter():
        for name, most in (("x", wide), ("cx", wide), ("y", high), ("cy", high)):
            if (at := shape.get(name)) is not None:
                assert -0.1 <= float(at) <= most + 0.1, ET.tostring(shape)
        for name in ("width", "height"):
            if shape.get(name) is not None:
                assert 0 <= float(shape.get(name)) <= max(wide, high)
    assert "nan" not in str(plot.svg)


@pytest.mark.parametrize("values", [[0] * 28, [1] * 28, [None] * 28, [10**6] + [0] * 27, [0.1] * 28, [3, None] * 14])
def test_columns_and_lines_fit(values):
    """Whatever the numbers are, nothing leaves the frame, and the table has a row for each."""
    for plot in (
        columns("T", "a", LABELS, [Series("a", "s1", values), Series("b", "s2", values)], "Day"),
        line("T", "a", LABELS, Series("a", "s1", values), "Day"),
    ):
        within(plot)
        assert len(plot.rows) == 28
        assert f'viewBox="0 0 {WIDTH} {HEIGHT}"' in plot.svg


def test_a_gap_is_a_gap():
    """A day without a value has neither dot nor line, and a dash in the table."""
    plot = line("T", "a", LABELS[:4], Series("a", "s1", [1, None, 2, 3]), "Day")
    assert plot.svg.count("<circle") == 3
    assert plot.svg.count("<path") == 1
    assert plot.rows[1][1] == "\N{EN DASH}"


def test_what_people_wrote_is_text():
    """Reasons and SKUs are escaped, cut where there is no room, and whole in the table."""
    long = HOSTILE + "x" * 90
    for plot in (
        bars(HOSTILE, HOSTILE, [(long, 1.0, HOSTILE)], ("SKU", "n"), "s1"),
        heat(HOSTILE, HOSTILE, {(long, HOSTILE): 3, ("b", "c"): 1}, ("Reason", "")),
        columns(HOSTILE, HOSTILE, [HOSTILE], [Series(HOSTILE, "s1", [1])], HOSTILE),
    ):
        within(plot)
        assert "<script" not in plot.svg
    assert heat("T", "a", {(long, "c"): 3}, ("Reason", "")).rows == [(long, 3)]


def test_no_colour_is_written_into_a_plot():
    """Colours come from the page's style, light and dark; the policy of the pages forbids styles of their own."""
    plots = of_trends({"days": [day(number, labels=3, minutes_to_label=2.0) for number in range(1, 29)]})
    assert len(plots) == 4
    for plot in plots:
        assert not re.search(r"style=|fill=|stroke=|#[0-9a-f]{3}", plot.svg)


def test_nothing_is_drawn_of_nothing():
    """A new shop has no empty plots."""
    assert of_trends({"days": [day(number) for number in range(1, 29)]}) == ()
    assert of_insights({"units": 0, "labels": 0}) == ()


def test_the_insights_are_drawn():
    """Unsellable units by SKU, reasons against conditions, waits and spend, each from what the verb tells."""
    told = {
        "units": 9,
        "labels": 4,
        "spent": "26.00",
        "skus": [
            {"sku": "SOCK", "units": 5, "unsellable": 2, "missing": 1, "share": 0.5},
            {"sku": "CAP", "units": 4, "unsellable": 0, "missing": 0, "share": 0.0},
        ],
        "reasons": [
            {"reason": "Too small", "condition": "Sellable", "units": 3},
            {"reason": "", "condition": "CustomerDamaged", "units": 1},
        ],
        "waits": [{"days": 3, "units": 2}, {"days": 30, "units": 1}],
        "spend": [{"source": "easypost", "carrier": "USPS", "cost": "26.00", "labels": 4}],
    }
    skus, reasons, waits, spend = of_insights(told)
    assert skus.rows == [("SOCK", "2 of 4")]
    assert reasons.rows == [("Too small", 3, 0), ("none given", 0, 1)]
    assert waits.rows == [("3", "2"), ("30", "1")]
    assert spend.rows == [("EasyPost, USPS", "26.00")]
    for plot in (skus, reasons, waits, spend):
        within(plot)
