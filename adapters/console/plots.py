"""Plots as SVG, drawn here: no script, colours from the pages' style, and the numbers beside them as tables."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from markupsafe import Markup, escape

WIDTH, HEIGHT = 560, 190
LEFT, RIGHT, TOP, BOTTOM = 44, 8, 14, 26


@dataclass(frozen=True, slots=True)
class Series:
    """One row of numbers with a name and the class of its colour; None is a gap."""

    name: str
    colour: str
    values: Sequence[float | None]


@dataclass(frozen=True, slots=True)
class Plot:
    """A drawn plot, and the table of what it shows."""

    title: str
    about: str
    svg: Markup
    columns: Sequence[str]
    rows: Sequence[Sequence[object]]
    key: Sequence[tuple[str, str]] = ()
    numbers: Mapping[str, str] = field(default_factory=dict)


def columns(title: str, about: str, labels: Sequence[str], series: Sequence[Series], first: str) -> Plot:
    """Stacked columns, one for each label."""
    totals = [sum(one.values[at] or 0 for one in series) for at in range(len(labels))]
    frame = _Frame(labels, max(totals, default=0))
    drawn = [frame.grid()]
    for at in range(len(labels)):
        below = 0.0
        for one in series:
            value = one.values[at] or 0
            if value:
                drawn.append(frame.column(at, below, value, one.colour, f"{labels[at]}, {one.name}: {_short(value)}"))
            below += value
    return Plot(
        title,
        about,
        frame.svg(title, drawn),
        (first, *(one.name for one in series)),
        [(label, *(_short(one.values[at]) for one in series)) for at, label in enumerate(labels)],
        [(one.name, one.colour) for one in series] if len(series) > 1 else (),
    )


def line(title: str, about: str, labels: Sequence[str], series: Series, first: str) -> Plot:
    """A line with dots; gaps stay gaps."""
    known = [value for value in series.values if value is not None]
    frame = _Frame(labels, max(known, default=0))
    points = [None if value is None else frame.point(at, value) for at, value in enumerate(series.values)]
    drawn = [frame.grid()]
    for one, other in pairwise(points):
        if one and other:
            d = f"M{one[0]:.1f} {one[1]:.1f}L{other[0]:.1f} {other[1]:.1f}"
            drawn.append(Markup('<path class="l{}" d="{}"/>').format(series.colour[1:], d))
    for at, point in enumerate(points):
        if point:
            told = f"{labels[at]}: {_short(series.values[at])}"
            dot = Markup('<circle class="{}" cx="{:.1f}" cy="{:.1f}" r="3"><title>{}</title></circle>')
            drawn.append(dot.format(series.colour, *point, told))
    rows = [(label, _short(series.values[at])) for at, label in enumerate(labels)]
    return Plot(title, about, frame.svg(title, drawn), (first, series.name), rows)


def bars(title: str, about: str, rows: Sequence[tuple[str, float, str]], names: tuple[str, str], colour: str) -> Plot:
    """Lying bars: a label, a number, and how the number is written."""
    most = max((value for _, value, _ in rows), default=0) or 1
    height, drawn = 26 * len(rows) + 4, []
    for at, (label, value, told) in enumerate(rows):
        y, wide = 26 * at + 4, value / most * 300
        drawn.append(Markup('<text x="0" y="{}">{}<title>{}</title></text>').format(y + 13, _cut(label, 24), label))
        drawn.append(
            Markup('<rect class="{}" x="176" y="{}" width="{:.1f}" height="18" rx="3"/>').format(
                colour, y, max(wide, 1)
            )
        )
        drawn.append(Markup('<text x="{:.1f}" y="{}">{}</text>').format(182 + wide, y + 13, told))
    svg = _svg(title, WIDTH, height, drawn)
    return Plot(title, about, svg, names, [(label, told) for label, _, told in rows])


def heat(title: str, about: str, cells: Mapping[tuple[str, str], int], names: tuple[str, str]) -> Plot:
    """A heat map: rows and columns by their sums, the most first."""
    down, across = _by_sum(cells, 0)[:12], _by_sum(cells, 1)[:8]
    most = max(cells.values(), default=0) or 1
    wide = (WIDTH - 176) / max(len(across), 1)
    drawn = []
    for column, name in enumerate(across):
        x = 176 + column * wide + wide / 2
        drawn.append(
            Markup('<text x="{:.1f}" y="12" text-anchor="middle">{}<title>{}</title></text>').format(
                x, _cut(name, int(wide / 6.4)), name
            )
        )
    for row, reason in enumerate(down):
        y = 20 + row * 28
        drawn.append(Markup('<text x="0" y="{}">{}<title>{}</title></text>').format(y + 17, _cut(reason, 24), reason))
        for column, condition in enumerate(across):
            count = cells.get((reason, condition), 0)
            drawn.append(
                _cell(176 + column * wide, y, wide, count=count, most=most, told=f"{reason}, {condition}: {count}")
            )
    svg = _svg(title, WIDTH, 24 + 28 * len(down), drawn)
    table = [(reason, *(cells.get((reason, condition), 0) for condition in across)) for reason in down]
    return Plot(title, about, svg, (names[0], *across), table)


def _cell(x: float, y: float, wide: float, *, count: int, most: int, told: str) -> Markup:
    """One square, the fuller the more; its number in a colour that can be read on it."""
    share = count / most
    step = 0 if not count else 1 + min(4, int(share * 5))
    square = Markup(
        '<g><title>{}</title><rect class="h{}" x="{:.1f}" y="{}" width="{:.1f}" height="26" rx="3"/>'
    ).format(told, step, x + 1, y, wide - 2)
    number = Markup('<text class="t{}" x="{:.1f}" y="{}" text-anchor="middle">{}</text></g>')
    return square + number.format(step, x + wide / 2, y + 17, count or "")


def _by_sum(cells: Mapping[tuple[str, str], int], axis: int) -> list[str]:
    sums: dict[str, int] = {}
    for key, count in cells.items():
        sums[key[axis]] = sums.get(key[axis], 0) + count
    return sorted(sums, key=lambda name: (-sums[name], name))


class _Frame:
    """The axes: room for so many labels, and a scale up to a round number."""

    def __init__(self, labels: Sequence[str], most: float) -> None:
        self._labels = labels
        self._top = _round_up(most)
        self._wide = (WIDTH - LEFT - RIGHT) / max(len(labels), 1)

    def _y(self, value: float) -> float:
        return HEIGHT - BOTTOM - value / self._top * (HEIGHT - TOP - BOTTOM)

    def point(self, at: int, value: float) -> tuple[float, float]:
        """Where a value is."""
        return LEFT + (at + 0.5) * self._wide, self._y(value)

    def column(self, at: int, below: float, value: float, colour: str, told: str) -> Markup:
        """A part of a column."""
        wide = max(2.0, self._wide * 0.72)
        x, y = LEFT + (at + 0.5) * self._wide - wide / 2, self._y(below + value)
        high = self._y(below) - y
        rect = Markup(
            '<rect class="{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" rx="1.5"><title>{}</title></rect>'
        )
        return rect.format(colour, x, y, wide, high, told)

    def grid(self) -> Markup:
        """Lines, numbers and some of the labels."""
        parts = []
        for step in range(3):
            value = self._top * step / 2
            y = self._y(value)
            mark = Markup(
                '<line class="{}" x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"/>'
                '<text x="{}" y="{:.1f}" text-anchor="end">{}</text>'
            )
            parts.append(
                mark.format("grid" if step else "axis", LEFT, WIDTH - RIGHT, y, y, LEFT - 6, y + 4, _short(value))
            )
        every = max(1, math.ceil(len(self._labels) / 5))
        for at, label in list(enumerate(self._labels))[::every]:
            x = LEFT + (at + 0.5) * self._wide
            parts.append(Markup('<text x="{:.1f}" y="{}" text-anchor="middle">{}</text>').format(x, HEIGHT - 6, label))
        return Markup("").join(parts)

    def svg(self, title: str, drawn: Sequence[Markup]) -> Markup:
        """The whole picture."""
        return _svg(title, WIDTH, HEIGHT, drawn, kind="plot frame")


def _svg(title: str, width: int, height: int, drawn: Sequence[Markup], *, kind: str = "plot") -> Markup:
    head = Markup('<svg class="{}" viewBox="0 0 {} {}" role="img" aria-label="{}">').format(kind, width, height, title)
    return head + Markup("").join(drawn) + Markup("</svg>")


def _round_up(most: float) -> float:
    """The next 2, 4, 6 or 10 with zeros, so that the scale and its half are easily read."""
    if most <= 0:
        return 2.0
    size = 10.0 ** math.floor(math.log10(most))
    return next(step * size for step in (1, 2, 4, 6, 10) if step * size >= most and step * size != 1)


def _short(value: float | None) -> str:
    if value is None:
        return "\N{EN DASH}"
    return f"{value:,.0f}" if value == int(value) else f"{value:,.2f}".rstrip("0")


def _cut(text: str, longest: int) -> Markup:
    return escape(text if len(text) <= longest else f"{text[: max(longest - 1, 1)]}…")
