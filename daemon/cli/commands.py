"""Turns the table of verbs into commands: options and arguments, the call, the output, the exit code."""

import csv
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from enum import Enum, auto
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import click
from pydantic.fields import FieldInfo

from config.environment import user
from daemon.cli.options import EX_FAILED, as_json, example, plainly, settings, speak, working
from daemon.errors import McfdError, OperatorError
from daemon.operations.verb import Keyed, Page, Paged, Previewed, Row, Signed, Typed, Verb
from daemon.operations.verbs import GROUPS, VERBS

AnyVerb = Verb[Any, Any, Any]
Ask = Callable[[Mapping[str, object]], Any]
Arguments = Mapping[str, Any]
Decorator = Callable[[Callable[..., None]], Callable[..., None]]

OURS = Previewed.model_fields.keys() | Paged.model_fields.keys() | Keyed.model_fields.keys() | {"value"}
"""Arguments that the command line fills in by itself."""

_FORMULA = re.compile(r"(?:^|(?<=;))(?=\s*[=+@-]|[\t\r])")
_AMOUNT = re.compile(r"-?[0-9]+(\.[0-9]+)?")

unasked = click.option("--yes", is_flag=True, help="Do it without asking.")
as_csv = click.option("--csv", "as_csv", is_flag=True, help="Print CSV instead of a table.")


def commands() -> Iterator[click.Command]:
    """Each verb as a command; verbs of two words are in groups."""
    groups = {name: click.Group(name, help=text) for name, text in GROUPS.items()}
    for verb in VERBS:
        first, _, second = verb.name.partition(" ")
        if second:
            groups[first].add_command(_command(verb, second))
        else:
            yield _command(verb, first)
    yield from groups.values()


def _command(verb: AnyVerb, name: str) -> click.Command:
    @plainly
    def perform(*, config: Path, secrets: Path | None, **given: Any) -> None:  # noqa: ANN401 - as the verb says
        _perform(verb, config, secrets, **given)

    decorators = [_parameter(verb, name, field) for name, field in verb.arguments.model_fields.items()]
    decorators += [as_csv] if _is_paged(verb) else []
    decorators += [unasked] if verb.asks else []
    decorated: Callable[..., None] = settings(as_json(perform))
    for decorate in reversed([one for one in decorators if one]):
        decorated = decorate(decorated)
    text = f"{verb.help} --json prints one list of those that were changed." if verb.each else verb.help
    return click.command(name, help=text, epilog=example(*verb.examples))(decorated)


def _parameter(verb: AnyVerb, name: str, field: FieldInfo) -> Decorator | None:
    """A required argument, a list, or one with a title, is positional; another is an option."""
    if name in OURS:
        return None
    outside = name.removesuffix("_")
    kind = _kind(field)
    listed = get_origin(field.annotation) is list
    if field.is_required() or listed or field.title:
        many = listed or name == verb.each
        required = field.is_required()
        metavar = (field.title or outside).upper() + ("..." if many else "")
        shown_as = metavar if required else f"[{metavar}]"
        return click.argument(name, nargs=-1 if many else 1, required=required, metavar=shown_as, type=kind)
    outside = outside.replace("_", "-")
    if field.annotation is bool:
        return click.option(f"--{outside}", name, is_flag=True, help=field.description)
    shown = field.default is not None
    return click.option(
        f"--{outside}", name, type=kind, default=field.default, show_default=shown, help=field.description
    )


def _kind(field: FieldInfo) -> click.ParamType[Any] | None:
    named = {field.annotation, *get_args(field.annotation)}
    if get_origin(field.annotation) is Literal:
        return click.Choice(list(get_args(field.annotation)))
    if Path in named:
        return click.Path(path_type=Path, dir_okay=False)
    if datetime in named or any(datetime in get_args(one) for one in named):
        return click.DateTime(["%Y-%m-%d"])
    return None


def _is_paged(verb: AnyVerb) -> bool:
    return issubclass(verb.answer, Page)


def _perform(
    verb: AnyVerb,
    config: Path,
    secrets: Path | None,
    *,
    as_json: bool,
    as_csv: bool = False,
    yes: bool = False,
    **given: object,
) -> None:
    from config.load import load  # noqa: PLC0415 - who asks for help or completes a word need not wait for these
    from daemon.cli.asking import asking  # noqa: PLC0415

    if as_csv and as_json:
        raise click.UsageError("--csv and --json exclude each other")
    arguments: dict[str, object] = {
        name.removesuffix("_"): _plain(value) for name, value in given.items() if value is not None
    }
    if issubclass(verb.arguments, Signed):
        arguments["by"] = user()
    if issubclass(verb.arguments, Typed):
        arguments["value"] = _typed()
    do = _each if verb.each else _all_pages if _is_paged(verb) else _one
    loaded = load(config, secrets, unfinished=verb.need.unhindered)
    if issubclass(verb.arguments, Keyed):
        from adapters.host.vault import Vault  # noqa: PLC0415

        arguments["newest_key"] = Vault(loaded.secrets.vault_key_bytes).mark
    with asking(loaded, verb) as ask:
        agreed = _with_consent(verb, ask) if verb.asks and not yes else ask
        failed = do(verb, agreed, arguments, _Style.JSON if as_json else _Style.CSV if as_csv else _Style.TABLE)
    if verb.hint:
        click.echo(verb.hint, err=True)
    if failed:
        sys.exit(EX_FAILED)


class _Style(Enum):
    TABLE = auto()
    JSON = auto()
    CSV = auto()


def _typed() -> str:
    """A secret: asked for without an echo on a terminal, else what standard input holds."""
    if sys.stdin.isatty():
        return str(click.prompt("Value", hide_input=True, err=True))
    return sys.stdin.read()


def _with_consent(verb: AnyVerb, ask: Ask) -> Ask:
    """Show what each call will do and ask for consent. Without a terminal nobody can be asked."""

    def asked(arguments: Arguments) -> Any:  # noqa: ANN401 - what the verb answers
        preview = ask({**arguments, "preview": True})
        click.echo(f"{preview['return']}: {preview['note']}", err=True)
        if not sys.stdin.isatty():
            raise OperatorError(f"nothing was done; add --yes to {verb.name} without being asked")
        if not click.confirm("Go on?", err=True):
            raise OperatorError(f"{preview['return']}: nothing was done")
        return ask(arguments)

    return asked


def _one(verb: AnyVerb, ask: Ask, arguments: Arguments, style: _Style) -> bool:
    """Call once and print the answer; True if it means failure."""
    with working(verb.busy):
        answered = ask(arguments)
    _print(verb, answered, answered, style)
    return verb.failed(answered)


def _each(verb: AnyVerb, ask: Ask, arguments: Arguments, style: _Style) -> bool:
    """Call for one after the other; True if any failed, which does not stop the rest."""
    name, changed = verb.each.removesuffix("_"), []
    for one in arguments[name]:
        try:
            changed.append(ask({**arguments, name: one}))
        except McfdError as error:
            click.echo(f"mcfd: {error}", err=True)
        else:
            if style is _Style.TABLE:
                _print(verb, changed[-1], None, style)
    if style is _Style.JSON:
        _print(verb, {}, changed, style)
    return len(changed) < len(arguments[name])


def _all_pages(verb: AnyVerb, ask: Ask, arguments: Arguments, style: _Style) -> bool:
    """Call page by page; CSV is written as it comes. True if the whole means failure."""
    rows: list[Row] = []
    write = _csv_writer(verb) if style is _Style.CSV else None
    after: int | None = 0
    page: Row = {}
    with working(verb.busy) as tell:
        while after is not None:
            page = ask({**arguments, "after": after})
            rows += [] if write else page["rows"]
            if write:
                write(page)
            after = page["next"]
            tell(page.get("progress", ""))
    whole = {name: value for name, value in page.items() if name not in {"next", "progress", "columns"}} | {
        "rows": rows
    }
    if style is not _Style.CSV:
        _print(verb, whole, rows if len(whole) == 1 else whole, style)
    return verb.failed(whole)


def _print(verb: AnyVerb, for_people: Row, for_programs: object, style: _Style) -> None:
    if style is _Style.JSON:
        click.echo(json.dumps(for_programs, indent=2, ensure_ascii=False))
        return
    from daemon.cli import output  # noqa: PLC0415 - tables take long to load

    output.show(verb, for_people)


def _csv_writer(verb: AnyVerb) -> Callable[[Row], None]:
    """Write pages as they come, in UTF-8. Values that a spreadsheet would take for a formula are quoted."""
    speak("utf-8")
    (row,) = get_args(verb.answer.model_fields["rows"].annotation)
    kind: Any = row if isinstance(row, type) else get_args(row)[0]
    usual = [name.removesuffix("_") for name in kind.model_fields]
    writers: list[csv.DictWriter[str]] = []

    def write(page: Row) -> None:
        if not writers:
            writers.append(csv.DictWriter(sys.stdout, page.get("columns") or usual, lineterminator="\n"))
            writers[0].writeheader()
        writers[0].writerows({name: _harmless(value) for name, value in row.items()} for row in page["rows"])

    return write


def _harmless(value: object) -> object:
    """Quote possible formulas. Many European spreadsheets also split at semicolons; a negative amount is no formula."""
    if not isinstance(value, str) or _AMOUNT.fullmatch(value):
        return value
    return _FORMULA.sub("'", value)


def _plain(value: object) -> object:
    """A value as JSON carries it."""
    match value:
        case Path():
            return str(value.absolute())
        case datetime():
            return value.replace(tzinfo=UTC).isoformat()
        case tuple():
            return list(value)
        case _:
            return value
