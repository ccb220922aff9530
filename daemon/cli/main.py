"""The `mcfd` command: the table of verbs, and a small function for each other command.

Exit codes: 0 done · 1 failed · 2 wrong usage · 75 another daemon holds the state directory · 78 wrong configuration.
"""

# ruff: noqa: PLC0415 - a command loads what it needs when it is called

import json
import sys
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import click

from daemon.cli.commands import commands
from daemon.cli.copies import backup, restore
from daemon.cli.moving import store
from daemon.cli.options import (
    EX_CONFIG,
    EX_FAILED,
    as_json,
    example,
    keep_streams,
    logged,
    plainly,
    run_loop,
    settings,
    speak,
)
from daemon.cli.sandbox import sandbox
from daemon.errors import ConfigError

READY_WITHIN = 5.0
"""Seconds."""


def _tell_version(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        from daemon import __version__

        click.echo(f"mcfd, version {__version__}")
        context.exit()


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_tell_version,
    help="Show the version and exit.",
)
def main() -> None:
    """Join Loop Returns and Amazon Multi-Channel Fulfillment.

    \b
    Exit codes: 0 done, 1 failed, 2 wrong usage, 75 another daemon holds the state directory, 78 wrong configuration.
    """
    keep_streams()
    speak()


for _verb in (*commands(), backup, restore, store, sandbox):
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
    from config.load import load
    from daemon.cli import serving

    loaded = load(config, secrets)
    logged(loaded)
    with serving.shadow_of(loaded) if shadow else nullcontext(loaded) as cast:
        run_loop(serving.serve(cast, partial(load, config, secrets), shadow=shadow))


@main.command(epilog=example("mcfd check --config config.yaml --secrets secrets/"))
@settings
@as_json
@plainly
def check(config: Path, secrets: Path | None, as_json: bool) -> None:
    """Check the configuration and the secret files; contact nobody."""
    from config.load import load
    from daemon.app.known_names import rename_warnings

    try:
        loaded = load(config, secrets)
    except ConfigError as error:
        if not as_json:
            raise
        click.echo(json.dumps({"ok": False, "problems": list(error.problems), "warnings": []}, indent=2))
        sys.exit(EX_CONFIG)
    warnings = [*loaded.warnings, *rename_warnings(loaded.settings)]
    if as_json:
        click.echo(json.dumps({"ok": True, "problems": [], "warnings": warnings}, indent=2))
        return
    for warning in warnings:
        click.echo(f"warning: {warning}", err=True)
    click.echo(f"{config}: the configuration is good, {len(loaded.settings.shops)} shop(s)")


@main.command(epilog=example("mcfd ready", "mcfd ready --json"))
@settings
@as_json
@plainly
def ready(config: Path, secrets: Path | None, as_json: bool) -> None:
    """Ask the running daemon whether requests may be sent to it, as /readyz says; exits 0 only then.

    For probes that run a command, because they cannot reach listen.ops.
    """
    from adapters.http.ops_client import ready
    from config.load import load

    found = ready(load(config, secrets, unfinished=True).settings.listen.ops.url, timeout=READY_WITHIN)
    if as_json:
        click.echo(json.dumps(found, indent=2))
    else:
        click.echo("it is ready" if found["ok"] else "it is not ready")
        for name, problem in {**found["problems"], **found.get("parked", {})}.items():
            click.echo(f"{name}: {problem}")
        if "accounts" in found:
            click.echo(f"works: {', '.join(found['accounts']) or 'nobody now'}")
    if not found["ok"]:
        sys.exit(EX_FAILED)


@main.command(epilog=example("(umask 077; set -C; mcfd keygen > /etc/mcfd/secrets/vault_keys)"))
@as_json
@plainly
def keygen(as_json: bool) -> None:
    """Make a key for the secret file vault_keys. To change keys, put the new one on the first line."""
    import base64
    import os

    key = base64.urlsafe_b64encode(os.urandom(32)).decode()
    click.echo(json.dumps({"key": key}) if as_json else key)


@main.command(epilog=example("mcfd demo", "mcfd demo --console"))
@click.option("--verbose", is_flag=True, help="Show the daemon's own log as well.")
@click.option("--console", is_flag=True, help="Fill a shop with returns, and leave the web pages running.")
@plainly
def demo(verbose: bool, console: bool) -> None:
    """Watch returns go all the way, on the sandbox."""
    import asyncio
    import signal

    from config.logging.setup import configure
    from daemon.demo import run as live

    configure("console", "info" if verbose else "error", under_systemd=False)
    try:
        sys.exit(run_loop(live.keep_open() if console else live.tell()))
    except asyncio.CancelledError:
        sys.exit(128 + signal.SIGTERM)
