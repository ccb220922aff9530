"""Backup and restore of the database, by the calling user, with or without a running daemon."""

# ruff: noqa: PLC0415 - a command loads what it needs when it is called

import json
import re
import threading
from datetime import UTC, datetime
from pathlib import Path

import click

from daemon.cli.options import as_json, example, plainly, settings, working

STAMP = "%Y%m%d-%H%M%S"
OURS = re.compile(r"mcfd-\d{8}-\d{6}\.db")
"""The files that `backup --keep` makes and removes."""


@click.command(epilog=example("mcfd backup /var/backups/mcfd.db", "mcfd backup --keep 14 /var/backups/mcfd"))
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--keep",
    type=click.IntRange(min=1),
    metavar="N",
    help="FILE is a directory: write mcfd-DATE-TIME.db into it, and of those leave the newest N.",
)
@settings
@as_json
@plainly
def backup(file: Path, keep: int | None, config: Path, as_json: bool, **_secrets: object) -> None:
    """Write a copy of the database to FILE, also while the daemon runs; it is whole or not there at all.

    You write it, so it is yours, mode 0600. The vault keys are not in it, and without them labels and the authorization
    cannot be read. `mcfd restore` puts it back.
    """
    if file.is_dir() and not keep:
        raise click.UsageError(f"{file} is a directory; name a file in it, or how many to --keep there")
    from adapters.sqlite.backup import copy_database
    from config.load import settings_of
    from daemon.app.stores import file_of, look_for

    source = file_of(settings_of(config), "back it up with pg_dump, see docs/operating.md")
    look_for(source)
    target = file.absolute() / f"mcfd-{_now()}.db" if keep else file.absolute()
    with working("writing the backup …"):
        size = copy_database(source, target, threading.Event())
    answer: dict[str, object] = {"file": str(target), "bytes": size}
    if keep:
        answer["removed"] = [str(old) for old in _rotate(target.parent, keep)]
    _tell(answer, as_json=as_json)


@click.command(epilog=example("systemctl stop mcfd && mcfd restore /var/backups/mcfd.db && systemctl start mcfd"))
@click.argument("file", type=click.Path(path_type=Path))
@settings
@as_json
@plainly
def restore(file: Path, config: Path, as_json: bool, **_secrets: object) -> None:
    """Put a backup in the database's place, while the daemon is stopped; whole or not at all.

    The copy is checked first. The database that was there is kept beside it, with its log, and may be removed later.
    """
    from adapters.sqlite.lock import StateLock
    from adapters.sqlite.restore import restore_database
    from config.load import settings_of
    from daemon.app.stores import file_of

    path = file_of(settings_of(config), "restore a dump with pg_restore, see docs/operating.md")
    with StateLock(path.parent), working("checking and copying …"):
        aside = restore_database(file.absolute(), path, _now())
    kept = {"kept": str(aside)} if aside else {}
    _tell({"restored": str(path), **kept}, as_json=as_json)


def _now() -> str:
    from adapters.host.clock import SystemClock

    return datetime.fromtimestamp(SystemClock().now(), UTC).strftime(STAMP)


def _rotate(folder: Path, keep: int) -> list[Path]:
    """Remove all but the newest of these copies; other files in the directory stay."""
    copies = sorted(path for path in folder.iterdir() if OURS.fullmatch(path.name))
    for old in (gone := copies[:-keep]):
        old.unlink()
    return gone


def _tell(answer: dict[str, object], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(answer, indent=2, ensure_ascii=False))
        return
    for name, value in answer.items():
        for one in value if isinstance(value, list) else [value]:
            click.echo(f"{name:>8}  {one}")
