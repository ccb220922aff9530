"""The `mcfd` command: one small function per verb.

Exit codes: 0 done · 1 failed · 2 wrong usage · 75 another daemon holds the state directory · 78 wrong configuration.
"""

import asyncio
import base64
import json
import os
import signal
import sys
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import click

from config.environment import user
from config.load import load
from config.logging.setup import configure
from daemon import __version__
from daemon.cli import daemon_client as commands
from daemon.cli import output as tables
from daemon.cli.options import (
    EX_CONFIG,
    EX_FAILED,
    answer,
    as_json,
    example,
    keep_streams,
    logged,
    plainly,
    quietly,
    run_loop,
    settings,
    show,
    speak,
)
from daemon.cli.sandbox import sandbox
from daemon.cli.upkeep import VERBS
from daemon.errors import ConfigError, McfdError


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(__version__, prog_name="mcfd")
def main() -> None:
    """Join Loop Returns and Amazon Multi-Channel Fulfillment.

    \b
    Exit codes: 0 done, 1 failed, 2 wrong usage, 75 another daemon holds the state directory, 78 wrong configuration.
    """
    keep_streams()
    speak()


for _verb in (*VERBS, sandbox):
    main.add_command(_verb)


@main.command(
    epilog=example("mcfd run --config /etc/mcfd/config.yaml --secrets /etc/mcfd/secrets", "mcfd run --shadow")
)
@click.option(
    "--shadow", is_flag=True, help="Work on a fresh copy of the store; read, tell, and write nothing outward."
)
@settings
@plainly
def run(shadow: bool, config: Path, secrets: Path | None) -> None:
    """Run the daemon in the foreground. SIGHUP reloads log, secrets and the shops' policies; SIGTERM stops it.

    A shadow runs beside the real daemon or in its place: the log says what it would do (`shadow.withheld`).
    """
    loaded = load(config, secrets)
    logged(loaded)
    with commands.shadow_of(loaded) if shadow else nullcontext(loaded) as cast:
        run_loop(commands.serve(cast, partial(load, config, secrets), shadow=shadow))


@main.command(epilog=example("mcfd check --config config.yaml --secrets secrets/"))
@settings
@as_json
@plainly
def check(config: Path, secrets: Path | None, as_json: bool) -> None:
    """Check the configuration and the secret files; contact nobody."""
    try:
        loaded = load(config, secrets)
    except ConfigError as error:
        if not as_json:
            raise
        click.echo(json.dumps({"ok": False, "problems": list(error.problems), "warnings": []}, indent=2))
        sys.exit(EX_CONFIG)
    if as_json:
        click.echo(json.dumps({"ok": True, "problems": [], "warnings": list(loaded.warnings)}, indent=2))
        return
    for warning in loaded.warnings:
        click.echo(f"warning: {warning}", err=True)
    click.echo(f"{config}: the configuration is good, {len(loaded.settings.shops)} shop(s)")


@main.command(epilog=example("mcfd status"))
@settings
@as_json
@plainly
def status(config: Path, secrets: Path | None, as_json: bool) -> None:
    """Show how many returns are in which state, and which ones need a person."""
    show(answer(quietly(config, secrets), "status", {}, offline=True), tables.status, as_json=as_json)


@main.command("show", epilog=example("mcfd show 58120031", "mcfd show acme/58120031 --json"))
@click.argument("return_", metavar="RETURN")
@settings
@as_json
@plainly
def show_return(return_: str, config: Path, secrets: Path | None, as_json: bool) -> None:
    """Show one return with its history. RETURN is Loop's return id, or shop/id."""
    answered = answer(quietly(config, secrets), "show", {"return": return_}, offline=True)
    show(answered, tables.show, as_json=as_json)


@main.command(epilog=example("mcfd match 58120031"))
@click.argument("return_", metavar="RETURN")
@settings
@as_json
@plainly
def match(return_: str, config: Path, secrets: Path | None, as_json: bool) -> None:
    """Try every fulfillment order id for a return and tell what Amazon says of each."""
    show(answer(quietly(config, secrets), "match", {"return": return_}), tables.match, as_json=as_json)


@main.command(epilog=example("mcfd link 58120031 '#1001' '#1001-B'"))
@click.argument("return_", metavar="RETURN")
@click.argument("orders", nargs=-1, required=True, metavar="ORDER...")
@settings
@as_json
@plainly
def link(return_: str, orders: tuple[str, ...], config: Path, secrets: Path | None, as_json: bool) -> None:
    """Say which fulfillment orders a return belongs to."""
    answered = answer(quietly(config, secrets), "link", {"return": return_, "orders": list(orders), "by": user()})
    show(answered, tables.plain, as_json=as_json)


@main.command(epilog=example("mcfd look '#1001'"))
@click.argument("orders", nargs=-1, required=True, metavar="ORDER...")
@settings
@as_json
@plainly
def look(orders: tuple[str, ...], config: Path, secrets: Path | None, as_json: bool) -> None:
    """Read fulfillment orders at Amazon now, because something there has changed.

    Says how many returns wait for each. Whatever hears Amazon's notifications can say so with it, or by a POST to
    /api/look of the ops listener.
    """
    answered = answer(quietly(config, secrets), "look", {"orders": list(orders)})
    show(answered, tables.looked, as_json=as_json)


def _for_each(verb: str, help_text: str) -> None:
    """A verb that changes returns, one after the other; one that cannot be changed does not stop the rest."""

    @click.argument("returns", nargs=-1, required=True, metavar="RETURN...")
    @settings
    @as_json
    @plainly
    def change(returns: tuple[str, ...], config: Path, secrets: Path | None, as_json: bool) -> None:
        loaded, changed = quietly(config, secrets), []
        for name in returns:
            try:
                changed.append(answer(loaded, verb, {"return": name, "by": user()}))
            except McfdError as error:
                click.echo(f"mcfd: {error}", err=True)
            else:
                if not as_json:
                    tables.plain(changed[-1])
        if as_json:
            click.echo(json.dumps(changed, indent=2, ensure_ascii=False))
        if len(changed) < len(returns):
            sys.exit(EX_FAILED)

    main.command(
        verb,
        help=f"{help_text} --json prints one list of those that were changed.",
        epilog=example(f"mcfd {verb} 58120031 acme/58120032"),
    )(change)


_for_each("retry", "Send stuck returns back to work. RETURN is Loop's return id, or shop/id.")
_for_each("resolve", "Close stuck returns that a person has dealt with. RETURN is Loop's return id, or shop/id.")
_for_each("cancel", "Treat returns as cancelled in Loop. RETURN is Loop's return id, or shop/id.")


@main.command(epilog=example("(umask 077; set -C; mcfd keygen > /etc/mcfd/secrets/vault_keys)"))
@as_json
@plainly
def keygen(as_json: bool) -> None:
    """Make a key for the secret file vault_keys. To change keys, put the new one on the first line."""
    key = base64.urlsafe_b64encode(os.urandom(32)).decode()
    click.echo(json.dumps({"key": key}) if as_json else key)


@main.command(epilog=example("mcfd demo", "mcfd demo --verbose"))
@click.option("--verbose", is_flag=True, help="Show the daemon's own log as well.")
@plainly
def demo(verbose: bool) -> None:
    """Watch returns go all the way, on the sandbox."""
    from daemon.demo import run as live  # noqa: PLC0415 - only the demo needs it

    configure("console", "info" if verbose else "error", under_systemd=False)
    try:
        sys.exit(run_loop(live.tell()))
    except asyncio.CancelledError:
        sys.exit(128 + signal.SIGTERM)
