"""The verbs that keep the daemon and its store: looking after connections, deliveries, data."""

import csv
import json
import re
import sys
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from config.environment import user
from daemon.cli import daemon_client as commands
from daemon.cli import output as tables
from daemon.cli.options import (
    EX_FAILED,
    answer,
    as_json,
    example,
    plainly,
    quietly,
    run_loop,
    settings,
    show,
    speak,
    working,
)
from daemon.operations.exports import COLUMNS, REPORTS

_FORMULA = re.compile(r"(?:^|(?<=;))(?=\s*[=+@-]|[\t\r])")
_AMOUNT = re.compile(r"-?[0-9]+(\.[0-9]+)?")

WHERE_IT_IS_SHOWN = (
    "Loop shows the secret of its webhooks in its admin only, under Developer tools. Write it into the secret file "
    "loop_webhook_secrets.SHOP, then `systemctl restart mcfd`."
)


@click.command(epilog=example("mcfd doctor", "mcfd doctor --json"))
@settings
@as_json
@plainly
def doctor(config: Path, secrets: Path | None, as_json: bool) -> None:
    """Look at everything that mcfd depends on, change nothing, and say what works.

    Asks both vendors, with and without the daemon running. Exits 0 only when nothing fails; warnings do not count.
    """
    with working("asking both vendors …"):
        answered: Any = run_loop(commands.doctor(quietly(config, secrets)))
    show(answered, tables.doctor, as_json=as_json)
    if not answered["ok"]:
        sys.exit(EX_FAILED)


@click.group()
def webhooks() -> None:
    """Look at Loop's webhook subscriptions, and put them right."""


_shop = click.option("--shop", default=None, help="One shop only; without it all.")


@webhooks.command("list", epilog=example("mcfd webhooks list --shop acme"))
@_shop
@settings
@as_json
@plainly
def list_webhooks(shop: str | None, config: Path, secrets: Path | None, as_json: bool) -> None:
    """Show which of the triggers that mcfd listens to are subscribed, and what else is."""
    answered = answer(quietly(config, secrets), "webhooks", {"shop": shop}, offline=True, busy="asking Loop …")
    show(answered, tables.webhooks, as_json=as_json)


@webhooks.command(epilog=example("mcfd webhooks sync"))
@_shop
@settings
@as_json
@plainly
def sync(shop: str | None, config: Path, secrets: Path | None, as_json: bool) -> None:
    """Create missing subscriptions and activate inactive ones; never makes a second one.

    It lists first, so it can be repeated at any time. Subscriptions to other URLs are left alone.
    """
    answered = answer(quietly(config, secrets), "webhooks_sync", {"shop": shop}, offline=True, busy="asking Loop …")
    show(answered, tables.webhooks, as_json=as_json)
    click.echo(WHERE_IT_IS_SHOWN, err=True)


@click.command(epilog=example("mcfd reasons", "mcfd reasons --sku SOCK-2P-M"))
@click.option("--sku", default=None, help="Ask Amazon which codes it allows for this SKU.")
@settings
@as_json
@plainly
def reasons(sku: str | None, config: Path, secrets: Path | None, as_json: bool) -> None:
    """Show the reasons that shoppers gave, and the code that each maps to."""
    answered = answer(quietly(config, secrets), "reasons", {"sku": sku}, offline=True)
    show(answered, tables.reasons, as_json=as_json)


@click.command("dead-letters", epilog=example("mcfd dead-letters"))
@settings
@as_json
@plainly
def dead_letters(config: Path, secrets: Path | None, as_json: bool) -> None:
    """List deliveries that Loop signed and mcfd could not read."""
    show(answer(quietly(config, secrets), "dead_letters", {}, offline=True), tables.dead_letters, as_json=as_json)


@click.command(epilog=example("mcfd replay 3 4", "mcfd replay all"))
@click.argument("deliveries", nargs=-1, required=True, metavar="DELIVERY...")
@settings
@as_json
@plainly
def replay(deliveries: tuple[str, ...], config: Path, secrets: Path | None, as_json: bool) -> None:
    """Offer dead letters to the running daemon again, after a fix.

    DELIVERY is a number that `mcfd dead-letters` shows, or `all`. Exits 1 when one still cannot be read; it is kept.
    """
    answered = answer(
        quietly(config, secrets), "replay", {"deliveries": list(deliveries), "by": user()}, busy="replaying …"
    )
    show(answered, tables.replayed, as_json=as_json)
    if any(row["outcome"] in {"kept", "unknown"} for row in answered["replayed"]):
        sys.exit(EX_FAILED)


@click.command(epilog=example("mcfd backup /var/lib/mcfd/backup.db"))
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@settings
@as_json
@plainly
def backup(file: Path, config: Path, secrets: Path | None, as_json: bool) -> None:
    """Write a copy of the database to FILE while the daemon runs; it is whole or not there at all.

    The running daemon writes it, as its own user. To restore, stop mcfd and put the copy in the database's place. The
    vault keys are not in it, and without them labels and the authorization cannot be read.
    """
    answered = answer(
        quietly(config, secrets), "backup", {"file": str(file.absolute())}, offline=True, busy="writing the backup …"
    )
    show(answered, tables.plain, as_json=as_json)


@click.command(epilog=example("mcfd export --csv --since 2026-10-01 > units.csv", "mcfd export --report unsellable"))
@click.option(
    "--report",
    type=click.Choice(list(REPORTS)),
    default="units",
    show_default=True,
    help="Every unit; units that Amazon keeps as unsellable stock; units that never came.",
)
@click.option(
    "--since", type=click.DateTime(["%Y-%m-%d"]), help="Returns that anything was heard of since that day (UTC)."
)
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV instead of a table.")
@settings
@as_json
@plainly
def export(
    *, report: str, since: datetime | None, as_csv: bool, config: Path, secrets: Path | None, as_json: bool
) -> None:
    """Print returns unit by unit: conditions, dates, settlement, what labels cost."""
    if as_csv and as_json:
        raise click.UsageError("--csv and --json exclude each other")
    start = since.replace(tzinfo=UTC).timestamp() if since else 0.0
    rows: list[dict[str, Any]] = []
    take = _csv_writer() if as_csv else rows.extend
    with working("reading …"):
        run_loop(commands.export(quietly(config, secrets), report, start, take))
    if as_json:
        click.echo(json.dumps(rows, indent=2, ensure_ascii=False))
    elif not as_csv:
        tables.export(rows)


def _csv_writer() -> Callable[[Iterable[dict[str, Any]]], None]:
    """Rows go out as they come, in UTF-8. What a spreadsheet would take for a formula is quoted."""
    speak("utf-8")
    writer = csv.DictWriter(sys.stdout, COLUMNS, lineterminator="\n")
    writer.writeheader()

    def write(rows: Iterable[dict[str, Any]]) -> None:
        writer.writerows({name: _harmless(value) for name, value in row.items()} for row in rows)

    return write


def _harmless(value: object) -> object:
    """Spreadsheets of half of Europe divide at semicolons, too; an amount below zero is no formula."""
    if not isinstance(value, str) or _AMOUNT.fullmatch(value):
        return value
    return _FORMULA.sub("'", value)


@click.command(epilog=example("mcfd purge", "mcfd purge --rekey"))
@click.option("--rekey", is_flag=True, help="Also seal everything anew under the newest key of vault_keys.")
@settings
@as_json
@plainly
def purge(rekey: bool, config: Path, secrets: Path | None, as_json: bool) -> None:
    """Forget now what has had its time, as every night, and give the room back to the disk.

    With --rekey older vault keys can be removed afterwards. Exits 1 when a value fits none of the keys.
    """
    answered = answer(quietly(config, secrets), "purge", {"rekey": rekey}, offline=True, busy="clearing …")
    show(answered, tables.purged, as_json=as_json)
    if answered.get("unreadable"):
        sys.exit(EX_FAILED)


@click.group()
def authorize() -> None:
    """Let mcfd into a vendor's account."""


@authorize.command(epilog=example("mcfd authorize amazon"))
@settings
@as_json
@plainly
def amazon(config: Path, secrets: Path | None, as_json: bool) -> None:
    """Print a link that leads to Amazon's consent page; it is good once, for ten minutes.

    Open it in a browser where you are signed in to Seller Central. The running daemon keeps the authorization,
    encrypted. A private application does not need this: write its refresh token into the secret file.
    """
    show(answer(quietly(config, secrets), "authorize", {}), tables.invitation, as_json=as_json)


VERBS: tuple[click.Command, ...] = (
    doctor,
    webhooks,
    reasons,
    dead_letters,
    replay,
    backup,
    export,
    purge,
    authorize,
)
