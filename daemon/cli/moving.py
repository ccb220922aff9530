"""Moving the store from a file to a PostgreSQL database."""

# ruff: noqa: PLC0415 - a command loads what it needs when it is called

import json
from pathlib import Path

import click

from daemon.cli.options import as_json, example, plainly, settings, working


@click.group()
def store() -> None:
    """Move the store to another kind of database."""


@store.command(name="copy", epilog=example("systemctl stop mcfd && mcfd store copy /var/lib/mcfd/mcfd.db"))
@click.argument("file", type=click.Path(path_type=Path))
@settings
@as_json
@plainly
def copy(file: Path, config: Path, secrets: Path | None, as_json: bool) -> None:
    """Copy a SQLite FILE into the empty PostgreSQL database of store.url; whole or not at all.

    The daemon must be stopped. Afterwards the file is marked as moved, so that no daemon works on it any more.
    """
    from adapters.postgresql.moving import receive
    from adapters.sqlite.lock import StateLock
    from adapters.sqlite.moving import opened_to_move
    from config.load import load
    from daemon.app.live_config import Current
    from daemon.errors import OperatorError

    current = Current(load(config, secrets))
    wanted = current.settings.store
    if wanted.url is None:
        raise OperatorError("store.url names no PostgreSQL database; set it in the configuration first")
    path, place = file.absolute(), wanted.place
    with StateLock(path.parent), opened_to_move(path) as source, working("copying …"):
        counts = receive(place, wanted.url, current.store_password, source.tables(), lambda: source.mark_moved(place))
    if as_json:
        click.echo(json.dumps({"copied": place, "rows": dict(counts)}, indent=2))
        return
    click.echo(f"  copied  {place}")
    for name, count in counts.items():
        click.echo(f"{count:>8}  {name}")
