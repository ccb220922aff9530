"""Prints answers on a terminal."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table as Grid

from daemon.operations.verb import Bare, Facts, Findings, Row, Table, Timeline, Verb

PIPED = 10_000
"""Width without a terminal: folded values could not be searched for."""


def _console() -> Console:
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=PIPED)


def _table(title: str, rows: Sequence[Row], columns: Sequence[str]) -> None:
    if not rows:
        return
    columns = [column for column in columns if any(column in row for row in rows)]
    table = Grid(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(escape(_cell(row.get(column))) for column in columns))
    console = _console()
    if console.measure(table).minimum > console.width or _needs(rows, columns) > console.width:
        _cards(console, title, rows, columns)
    else:
        console.print(table)


def _needs(rows: Sequence[Row], columns: Sequence[str]) -> int:
    """The width at which no word of a table is broken."""
    longest = [max([len(column), *(len(_cell(row.get(column))) for row in rows)]) for column in columns[:-1]]
    words = [len(word) for row in rows for word in _cell(row.get(columns[-1])).split()]
    return sum(longest) + 2 * len(longest) + max([len(columns[-1]), *words])


def _cards(console: Console, title: str, rows: Sequence[Row], columns: Sequence[str]) -> None:
    """Each row as names and values below each other, for narrow terminals."""
    console.print(f"[bold]{title}[/]")
    width = max(map(len, columns))
    for row in rows:
        for column in columns:
            if text := _cell(row.get(column)):
                console.print(f"{column:>{width}}  {escape(text)}", soft_wrap=True)
        console.print()


def _cell(value: object) -> str:
    """A value in readable form."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case list() | tuple():
            return ", ".join(map(str, value))
        case _:
            return str(value)


def show(verb: Verb[Any, Any, Any], answer: Row) -> None:
    """Print an answer as its verb declares."""
    for part in verb.shown:
        match part:
            case Facts():
                _facts(part, answer)
            case Table():
                _listed(part, answer)
            case Timeline():
                _timeline(part, answer)
            case Findings():
                _findings(part, answer)
            case Bare():
                _bare(part, answer)


def _facts(part: Facts, answer: Row) -> None:
    """Names and values, without empty ones."""
    told = {part.renamed.get(name, name): answer[name] for name in part.names or answer if name in answer}
    console, width = _console(), max(map(len, told), default=0)
    for name, value in told.items():
        if text := _cell(value):
            console.print(f"[bold]{name:>{width}}[/]  {escape(text)}")


def _listed(part: Table, answer: Row) -> None:
    if part.part not in answer:
        return
    kept = [row for row in _rows(part, answer) if part.but is None or row[part.but[0]] != part.but[1]]
    rows = [_worded(part, row) for row in kept]
    if part.when(_rows(part, answer)):
        _table(part.title.format(**answer), rows, part.columns)
    if part.none and not rows:
        _console().print(part.none)
    if part.total:
        _console().print(part.total.format(len(rows)))


def _rows(part: Table, answer: Row) -> list[Row]:
    """The rows of a table: one for each key of a mapping, or for each value of a list."""
    content = answer[part.part]
    if isinstance(content, Mapping):
        return [dict(zip(part.columns, pair, strict=True)) for pair in content.items()]
    return [one if isinstance(one, Mapping) else {part.columns[0]: one} for one in content]


def _worded(part: Table, row: Row) -> Row:
    said = {column: words[row[column]] for column, words in part.words.items() if row[column] in words}
    return {**row, **said}


def _timeline(part: Timeline, answer: Row) -> None:
    console = _console()
    console.print(f"[bold]{part.title}[/]")
    for row in answer[part.part]:
        console.print(escape(_told(row)), soft_wrap=True)


def _told(row: Row) -> str:
    """One line per event, which a narrow terminal may wrap: columns would cut the names of events."""
    at = str(row["at"]).replace("T", " ").removesuffix("+00:00")
    moved = f"({row['after']})" if row["before"] in {None, row["after"]} else f"({row['before']} → {row['after']})"
    told = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", row["event"]).lower()
    return "  ".join(part for part in (at, told, moved, _details(row["detail"])) if part)


def _details(value: object) -> str:
    """An event's values without JSON's punctuation; empty ones are left out."""
    match value:
        case Mapping():
            return ", ".join(f"{name} {text}" for name, inner in value.items() if (text := _details(inner)))
        case list():
            return ", ".join(text for inner in value if (text := _details(inner)))
        case _:
            return _cell(value)


_COLOURS = {"ok": "green", "warn": "yellow", "fail": "bold red"}


def _findings(part: Findings, answer: Row) -> None:
    """One line per check, followed by the advice if it is not ok."""
    console = _console()
    for line in answer[part.part]:
        verdict = str(line["verdict"])
        head = f"[{_COLOURS[verdict]}]{verdict:<4}[/]  {line['area']}: {line['what']}"
        console.print(f"{head} - {escape(str(line['text']))}", soft_wrap=True)
        if todo := line.get("todo"):
            console.print(f"      [italic]{escape(str(todo))}[/]", soft_wrap=True)


def _bare(part: Bare, answer: Row) -> None:
    """The value alone on standard output."""
    if part.name in answer:
        print(answer[part.name])  # noqa: T201 - rich would fold or colour it
    if warning := answer.get(part.warning):
        Console(stderr=True).print(f"warning: {warning}", soft_wrap=True, highlight=False)


def places(title: str, rows: Mapping[str, str]) -> None:
    """Print where things are found."""
    _table(title, [{"what": what, "where": where} for what, where in rows.items()], ["what", "where"])
