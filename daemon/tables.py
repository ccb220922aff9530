"""What people see on a terminal."""

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table

Row = Mapping[str, object]
PIPED = 10_000
"""Columns when nobody looks at a terminal: a value that is folded cannot be searched for."""


def _console() -> Console:
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=PIPED)


def _table(title: str, rows: Sequence[Row], columns: Sequence[str]) -> None:
    if not rows:
        return
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*("" if row.get(column) is None else str(row[column]) for column in columns))
    _console().print(table)


def status(answer: Mapping[str, object]) -> None:
    """States with their counts, then the returns that need a person."""
    counts = answer["returns"]
    assert isinstance(counts, Mapping)  # noqa: S101 - the operator's own shape
    _table("Returns", [{"state": state, "returns": count} for state, count in counts.items()], ["state", "returns"])
    stuck = answer["stuck"]
    assert isinstance(stuck, Sequence)  # noqa: S101 - the operator's own shape
    _table("Stuck", stuck, ["return", "since", "problem"])
    if not stuck:
        _console().print("No return is stuck.")


def show(answer: Mapping[str, object]) -> None:
    """One return: what it waits for, its parts, its history."""
    plain({k: answer[k] for k in ("return", "state", "problem", "owes", "due", "deadline", "order")})
    for part, columns in _PARTS.items():
        rows = answer[part]
        assert isinstance(rows, Sequence)  # noqa: S101 - the operator's own shape
        _table(part.capitalize(), rows, columns)


_PARTS = {
    "requests": ["request", "asked", "label_id", "carrier", "tracking", "transit"],
    "units": ["line", "sku", "standing", "condition", "order", "return_item", "reason", "problem"],
    "authorizations": ["authorization", "rma", "center"],
    "notes": ["written", "text"],
    "history": ["at", "event", "before", "after", "detail"],
}


def match(answer: Mapping[str, object]) -> None:
    """Every id that was tried, and what came back."""
    tried = answer["tried"]
    assert isinstance(tried, Sequence)  # noqa: S101 - the operator's own shape
    _table(f"Tried for {answer['return']}", tried, ["order", "answer", "skus"])


def plain(answer: Mapping[str, object]) -> None:
    """Names and values."""
    console = _console()
    for name, value in answer.items():
        if value not in {None, ""} if isinstance(value, str | None) else True:
            console.print(f"[bold]{name:>9}[/]  {value}")


def places(title: str, rows: Mapping[str, str]) -> None:
    """Where things are to be found."""
    _table(title, [{"what": what, "where": where} for what, where in rows.items()], ["what", "where"])
