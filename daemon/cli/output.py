"""What people see on a terminal."""

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.markup import escape
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
    columns = [column for column in columns if any(column in row for row in rows)]
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(escape(_cell(row.get(column))) for column in columns))
    _console().print(table)


def _cell(value: object) -> str:
    """A value as people write it."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case list() | tuple():
            return ", ".join(map(str, value))
        case _:
            return str(value)


def status(answer: Mapping[str, object]) -> None:
    """States with their counts, then the returns that need a person."""
    counts = answer["returns"]
    assert isinstance(counts, Mapping)  # noqa: S101 - the operator's own shape
    _table("Returns", [{"state": state, "returns": count} for state, count in counts.items()], ["state", "returns"])
    shops = _rows(answer, "shops")
    if len(shops) > 1 or not all(row["configured"] for row in shops):
        told = [{**row, "configured": "yes" if row["configured"] else "no: nobody follows them"} for row in shops]
        _table("Shops", told, ["shop", "open", "configured"])
    stuck = _rows(answer, "stuck")
    _table("Stuck", stuck, ["return", "since", "problem"])
    _table("Held, for lack of an order", _rows(answer, "held"), ["return", "since", "problem"])
    if not stuck:
        _console().print("No return is stuck.")


def show(answer: Mapping[str, object]) -> None:
    """One return: what it waits for, its parts, its history."""
    plain({k: answer[k] for k in ("return", "state", "problem", "owes", "due", "deadline", "order")})
    for part, columns in _PARTS.items():
        _table(part.capitalize(), _rows(answer, part), columns)
    console = _console()
    console.print("[bold]History, in UTC[/]")
    for row in _rows(answer, "history"):
        console.print(escape(_told(row)), soft_wrap=True)


def _told(row: Row) -> str:
    """A line that a narrow terminal may wrap: columns would cut the names of events."""
    at = str(row["at"]).replace("T", " ").removesuffix("+00:00")
    moved = row["after"] if row["before"] in {None, row["after"]} else f"{row['before']} → {row['after']}"
    return "  ".join(str(part) for part in (at, row["event"], moved, row["detail"]) if part not in {"", "{}"})


_PARTS = {
    "requests": ["request", "asked", "label_id", "carrier", "tracking", "transit"],
    "units": ["line", "sku", "standing", "condition", "order", "return_item", "reason", "problem"],
    "authorizations": ["authorization", "rma", "center"],
    "notes": ["written", "text"],
}


def match(answer: Mapping[str, object]) -> None:
    """Every id that was tried, and what came back."""
    _table(f"Tried for {answer['return']}", _rows(answer, "tried"), ["order", "answer", "skus"])


def looked(answer: Mapping[str, object]) -> None:
    """How many returns each order is read for."""
    _table("Read now", _rows(answer, "orders"), ["order", "returns"])


def plain(answer: Mapping[str, object]) -> None:
    """Names and values."""
    console, width = _console(), max(map(len, answer), default=0)
    for name, value in answer.items():
        if text := _cell(value):
            console.print(f"[bold]{name:>{width}}[/]  {escape(text)}")


def purged(answer: Mapping[str, object]) -> None:
    """What was forgotten, and how much room it left."""
    plain({"bytes freed" if name == "bytes" else name: value for name, value in answer.items()})


def places(title: str, rows: Mapping[str, str]) -> None:
    """Where things are to be found."""
    _table(title, [{"what": what, "where": where} for what, where in rows.items()], ["what", "where"])


_COLOURS = {"ok": "green", "warn": "yellow", "fail": "bold red"}


def doctor(answer: Mapping[str, object]) -> None:
    """Line by line how it stands, and under each that is not well what to do."""
    console = _console()
    for line in _rows(answer, "lines"):
        verdict = str(line["verdict"])
        head = f"[{_COLOURS[verdict]}]{verdict:<4}[/]  {line['area']}: {line['what']}"
        console.print(f"{head} - {escape(str(line['text']))}", soft_wrap=True)
        if todo := line.get("todo"):
            console.print(f"      [italic]{escape(str(todo))}[/]", soft_wrap=True)


def webhooks(answer: Mapping[str, object]) -> None:
    """Each trigger, then what else is subscribed."""
    _table("Webhooks", _rows(answer, "webhooks"), ["shop", "trigger", "state", "done", "url"])
    _table("Other subscriptions, left alone", _rows(answer, "others"), ["shop", "trigger", "active", "url"])


def reasons(answer: Mapping[str, object]) -> None:
    """Each reason with its code."""
    rows = [{**row, "code": row["code"] or "the shop is not configured"} for row in _rows(answer, "reasons")]
    _table("Reasons", rows, ["shop", "parent", "reason", "units", "code", "allowed"])
    if not answer["reasons"]:
        _console().print("No unit is stored yet.")
    if "allowed" in answer:
        _table(f"Amazon allows for {answer['sku']}", [{"code": code} for code in _list(answer["allowed"])], ["code"])


def dead_letters(answer: Mapping[str, object]) -> None:
    """Each letter's number and why it could not be read."""
    _table("Dead letters", _rows(answer, "dead_letters"), ["delivery", "shop", "received", "reason"])
    if not answer["dead_letters"]:
        _console().print("There are no dead letters.")


def replayed(answer: Mapping[str, object]) -> None:
    """What became of each."""
    _table("Replayed", _rows(answer, "replayed"), ["delivery", "outcome", "reason"])
    if not answer["replayed"]:
        _console().print("There are no dead letters.")


def export(rows: Sequence[Row]) -> None:
    """The columns that fit a terminal; --csv and --json have them all."""
    _table("Units", rows, ["shop", "return", "order", "state", "sku", "price", "condition", "inspected", "settlement"])
    _console().print(f"{len(rows)} units; --csv and --json show all columns.")


def invitation(answer: Mapping[str, object]) -> None:
    """The link alone on standard output, so that it can be piped into a browser."""
    print(answer["url"])  # noqa: T201 - rich would fold or colour it
    if answer["warning"]:
        Console(stderr=True).print(f"warning: {answer['warning']}", soft_wrap=True, highlight=False)


def _rows(answer: Mapping[str, object], name: str) -> Sequence[Row]:
    return [row for row in _list(answer.get(name, ())) if isinstance(row, Mapping)]


def _list(value: object) -> Sequence[object]:
    return value if isinstance(value, Sequence) else ()
