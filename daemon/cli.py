"""The `mcfd` command: one small function per verb.

Exit codes: 0 done · 1 failed · 2 wrong usage · 75 another daemon holds the state directory · 78 wrong configuration.
"""

import asyncio
import base64
import json
import os
import sys
from collections.abc import Callable, Coroutine
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import click
import uvloop

from config.environment import user
from config.load import Loaded, load
from config.logs import configure, running_under_systemd
from daemon import __version__, commands, tables
from daemon.errors import AlreadyRunning, ConfigError, McfdError

P = ParamSpec("P")
T = TypeVar("T")

EX_FAILED = 1
EX_TEMPFAIL = 75
EX_CONFIG = 78


def _plainly(verb: Callable[P, None]) -> Callable[P, None]:
    """An operator's mistake is told in words, never as a traceback."""

    @wraps(verb)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            verb(*args, **kwargs)
        except ConfigError as error:
            for problem in error.problems:
                click.echo(problem, err=True)
            sys.exit(EX_CONFIG)
        except AlreadyRunning as error:
            click.echo(str(error), err=True)
            sys.exit(EX_TEMPFAIL)
        except (McfdError, OSError) as error:
            click.echo(f"mcfd: {error}", err=True)
            sys.exit(EX_FAILED)

    return run


def _settings(verb: Callable[P, None]) -> Callable[P, None]:
    """The two options that every verb with a configuration takes."""
    secrets = click.option(
        "--secrets",
        type=click.Path(path_type=Path),
        default=None,
        metavar="DIR",
        help="Directory of the secret files; under systemd it is $CREDENTIALS_DIRECTORY.",
    )
    config = click.option(
        "--config",
        type=click.Path(path_type=Path),
        default=Path("/etc/mcfd/config.yaml"),
        show_default=True,
        metavar="FILE",
    )
    return config(secrets(verb))


_as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="mcfd")
def main() -> None:
    """Join Loop Returns and Amazon Multi-Channel Fulfillment."""


def _run(work: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


def _logged(loaded: Loaded) -> None:
    log = loaded.settings.log
    redactor = configure(log.format, log.level, under_systemd=running_under_systemd())
    redactor.register(loaded.secrets.values())


@main.command()
@_settings
@_plainly
def run(config: Path, secrets: Path | None) -> None:
    """Run the daemon in the foreground."""
    loaded = load(config, secrets)
    _logged(loaded)
    _run(commands.serve(loaded))


@main.command()
@_settings
@_plainly
def check(config: Path, secrets: Path | None) -> None:
    """Check the configuration and the secret files; contact nobody."""
    loaded = load(config, secrets)
    for warning in loaded.warnings:
        click.echo(f"warning: {warning}", err=True)
    click.echo(f"{config}: the configuration is good, {len(loaded.settings.shops)} shop(s)")


@main.command()
@_settings
@_as_json
@_plainly
def status(config: Path, secrets: Path | None, as_json: bool) -> None:
    """Show how many returns are in which state, and which ones need a person."""
    _print(_run(commands.ask(load(config, secrets), "status", {}, offline=True)), tables.status, as_json=as_json)


@main.command()
@click.argument("return_", metavar="RETURN")
@_settings
@_as_json
@_plainly
def show(return_: str, config: Path, secrets: Path | None, as_json: bool) -> None:
    """Show one return with its history. RETURN is Loop's return id, or shop/id."""
    answer = _run(commands.ask(load(config, secrets), "show", {"return": return_}, offline=True))
    _print(answer, tables.show, as_json=as_json)


@main.command()
@click.argument("return_", metavar="RETURN")
@_settings
@_as_json
@_plainly
def match(return_: str, config: Path, secrets: Path | None, as_json: bool) -> None:
    """Try every fulfillment order id for a return and tell what Amazon says of each."""
    answer = _run(commands.ask(load(config, secrets), "match", {"return": return_}))
    _print(answer, tables.match, as_json=as_json)


@main.command()
@click.argument("return_", metavar="RETURN")
@click.argument("orders", nargs=-1, required=True, metavar="ORDER...")
@_settings
@_as_json
@_plainly
def link(return_: str, orders: tuple[str, ...], config: Path, secrets: Path | None, as_json: bool) -> None:
    """Say which fulfillment orders a return belongs to."""
    answer = _run(commands.ask(load(config, secrets), "link", {"return": return_, "orders": list(orders)}))
    _print(answer, tables.plain, as_json=as_json)


def _for_each(verb: str, help_text: str) -> None:
    """A verb that changes returns, one after the other."""

    @click.argument("returns", nargs=-1, required=True, metavar="RETURN...")
    @_settings
    @_as_json
    @_plainly
    def change(returns: tuple[str, ...], config: Path, secrets: Path | None, as_json: bool) -> None:
        loaded = load(config, secrets)
        for name in returns:
            answer = _run(commands.ask(loaded, verb, {"return": name, "by": user()}))
            _print(answer, tables.plain, as_json=as_json)

    main.command(verb, help=help_text)(change)


_for_each("retry", "Send stuck returns back to work.")
_for_each("resolve", "Close stuck returns that a person has dealt with.")
_for_each("cancel", "Treat returns as cancelled in Loop.")


@main.command()
@_plainly
def keygen() -> None:
    """Make a key for the secret file vault_keys."""
    click.echo(base64.urlsafe_b64encode(os.urandom(32)).decode())


@main.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=9500, show_default=True, help="The first of three ports: control, Amazon, Loop.")
@click.option(
    "--webhook-url", default=None, help="Where Loop delivers, such as http://127.0.0.1:8080/webhooks/loop/acme"
)
@_plainly
def sandbox(host: str, port: int, webhook_url: str | None) -> None:
    """Run stand-ins of Amazon and Loop on this machine."""
    configure("console", "warning", under_systemd=False)
    _run(commands.serve_sandbox(host, port, webhook_url))


@main.command()
@click.option("--verbose", is_flag=True, help="Show the daemon's own log as well.")
@_plainly
def demo(verbose: bool) -> None:
    """Watch returns go all the way, on the sandbox."""
    from daemon import demo as live  # noqa: PLC0415 - only the demo needs it

    configure("console", "info" if verbose else "error", under_systemd=False)
    sys.exit(_run(live.tell()))


def _print(answer: object, render: Callable[[Any], None], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(answer, indent=2, ensure_ascii=False))
    else:
        render(answer)
