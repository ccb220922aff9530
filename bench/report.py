"""A measurement's table, and the command line that every script has."""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from bench.machine import describe, noise


@dataclass
class Report:
    """Rows of (what, measured, reach, verdict), and remarks below."""

    title: str
    rows: list[tuple[str, str, str, str]] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def add(self, what: str, measured: str, reach: str = "", met: bool | None = None) -> None:
        """One row; `met` says whether the reach was reached."""
        self.rows.append((what, measured, reach, "" if met is None else "yes" if met else "NO"))

    def at_most(self, what: str, value: float, limit: float, unit: str, digits: int = 1) -> None:
        """One row whose reach is an upper bound."""
        self.add(what, f"{value:.{digits}f} {unit}", f"<= {limit:g} {unit}", value <= limit)

    def at_least(self, what: str, value: float, limit: float, unit: str = "", digits: int = 2) -> None:
        """One row whose reach is a lower bound."""
        self.add(what, f"{value:.{digits}f} {unit}".strip(), f">= {limit:g} {unit}".strip(), value >= limit)

    def remark(self, text: str) -> None:
        """A line below the table."""
        self.remarks.append(text)

    def lines(self) -> list[str]:
        """The table as Markdown that reads well in a terminal, too."""
        head = ("what", "measured", "reach", "met")
        rows = [head, *self.rows]
        widths = [max(len(row[column]) for row in rows) for column in range(4)]
        drawn = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows]
        drawn.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
        return [f"## {self.title}", "", *drawn, *(["", *(f"- {remark}" for remark in self.remarks)] if self.remarks else [])]


Measure = Callable[[bool], Report]


def carry_out(measure: Measure, *, full: bool) -> list[str]:
    """Measure, and return what is to be printed."""
    began = time.monotonic()
    with noise() as told:
        report = measure(full)
    return [*report.lines(), "", f"- {told[0]}; took {time.monotonic() - began:.0f} s", ""]


def asked_for_full(arguments: Sequence[str] | None = None) -> bool:
    """Read --quick (the default) or --full."""
    parser = argparse.ArgumentParser()
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="small numbers (the default)")
    size.add_argument("--full", action="store_true", help="the numbers that RESULTS.md shows")
    return bool(parser.parse_args(arguments).full)


def main(measure: Measure) -> None:
    """Run one script."""
    full = asked_for_full()
    print("\n".join(describe()), "\n", flush=True)
    print("\n".join(carry_out(measure, full=full)))
    sys.stdout.flush()
