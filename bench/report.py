"""The table of a measurement, and the command line of every script."""

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.machine import describe, noise

RESULTS = Path(__file__).parent / "RESULTS.md"
HEAD = """# Results

Each section is made by `.venv/bin/python -m bench.NAME --full`, and all of them by `.venv/bin/python -m bench --full`.
Ratios compare what was measured within one run; the absolute figures are this machine's, whose cores the load generator,
and sometimes others (see the noise below each table), share with the daemon.
"""


@dataclass
class Report:
    """Rows of (what, measured, target, verdict), and remarks below."""

    title: str
    rows: list[tuple[str, str, str, str]] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def add(self, what: str, measured: str, reach: str = "", met: bool | None = None) -> None:
        """Add a row; `met` says whether the target was met."""
        self.rows.append((what, measured, reach, "" if met is None else "yes" if met else "NO"))

    def at_most(self, what: str, value: float, limit: float, unit: str, digits: int = 1) -> None:
        """Add a row whose target is an upper bound."""
        self.add(what, f"{value:.{digits}f} {unit}", f"<= {limit:g} {unit}", value <= limit)

    def at_least(self, what: str, value: float, limit: float, unit: str = "", digits: int = 2) -> None:
        """Add a row whose target is a lower bound."""
        self.add(what, f"{value:.{digits}f} {unit}".strip(), f">= {limit:g} {unit}".strip(), value >= limit)

    def remark(self, text: str) -> None:
        """Add a line below the table."""
        self.remarks.append(text)

    def lines(self) -> list[str]:
        """Return the table as Markdown that is readable in a terminal."""
        head = ("what", "measured", "reach", "met")
        rows = [head, *self.rows]
        widths = [max(len(row[column]) for row in rows) for column in range(4)]
        drawn = [
            "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
        ]
        drawn.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
        return [
            f"## {self.title}",
            "",
            *drawn,
            *(["", *(f"- {remark}" for remark in self.remarks)] if self.remarks else []),
        ]


Measure = Callable[[bool], Report]


def carry_out(measure: Measure, *, full: bool) -> list[str]:
    """Measure, and return the lines to print."""
    began = time.monotonic()
    with noise() as told:
        report = measure(full)
    return [*report.lines(), "", f"- {told[0]}; took {time.monotonic() - began:.0f} s", ""]


def keep(section: Sequence[str]) -> None:
    """Write a section of a full run into RESULTS.md, replacing the old one."""
    held = RESULTS.read_text() if RESULTS.exists() else ""
    sections = {part.partition("\n")[0]: part for part in ("\n" + held).split("\n## ")[1:]}
    text = "\n".join(section).removeprefix("## ")
    sections[section[0].removeprefix("## ")] = text
    said = [HEAD, *(f"- {line}" for line in describe()), "", *(f"## {part.strip()}\n" for part in sections.values())]
    RESULTS.write_text("\n".join(said))


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
    lines = carry_out(measure, full=full)
    print("\n".join(lines), flush=True)
    if full:
        keep(lines)
