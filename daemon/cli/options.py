"""Shared by all commands: options, exit codes, printing and errors.

Slow imports happen on first use: systemd runs `mcfd check` before every start and reload, and shell completion must be
fast.
"""

# ruff: noqa: PLC0415 - see above

import io
import os
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import click

from daemon.errors import AlreadyRunning, ConfigError, McfdError

if TYPE_CHECKING:
    from config.load import Loaded

P = ParamSpec("P")
T = TypeVar("T")

OURS = click.Path(path_type=Path, readable=False)
"""click would report an unreadable file as wrong usage (2), and systemd would restart the daemon endlessly."""

EX_FAILED = 1
EX_TEMPFAIL = 75
EX_CONFIG = 78


def plainly(verb: Callable[P, None]) -> Callable[P, None]:
    """Report an operator's mistake in words, never as a traceback."""

    @wraps(verb)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            verb(*args, **kwargs)
        except ConfigError as error:
            for problem in error.problems:
                _complain(problem)
            sys.exit(EX_CONFIG)
        except AlreadyRunning as error:
            _complain(str(error))
            sys.exit(EX_TEMPFAIL)
        except BrokenPipeError:
            raise  # `mcfd export | head`: click ends quietly
        except McfdError as error:
            _complain(f"mcfd: {error}")
            sys.exit(EX_FAILED)
        except OSError as error:
            _complain(f"mcfd: {_words(error)}")
            sys.exit(EX_FAILED)

    return run


def _complain(text: str) -> None:
    from config.logging.journal import graded

    click.echo(graded(text, "error"), err=True)


def _words(error: OSError) -> str:
    """The system's error message without its number, after the path if there is one."""
    said = error.strerror or str(error)
    return f"{error.filename}: {said}" if error.filename else said


def settings(verb: Callable[P, None]) -> Callable[P, None]:
    """The two options that every verb with a configuration takes."""
    secrets = click.option(
        "--secrets",
        type=OURS,
        default=None,
        metavar="DIR",
        help="Directory of the secret files. Default: $CREDENTIALS_DIRECTORY, else `secrets` beside FILE.",
    )
    config = click.option(
        "--config",
        type=OURS,
        default=Path("/etc/mcfd/config.yaml"),
        show_default=True,
        metavar="FILE",
    )
    return config(secrets(verb))


as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")


def example(*lines: str) -> str:
    """The epilog of a verb's help."""
    return "\b\n" + "\n".join(["Example:", *(f"  {line}" for line in lines)])


def keep_streams() -> None:
    """Reopen standard streams that the caller has closed: the event loop would take their numbers and abort."""
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # open() takes the lowest free number
            setattr(sys, name, os.fdopen(number, mode))


def speak(encoding: str | None = None) -> None:
    """Never fail on characters that a terminal cannot show; `encoding` is for output that a program reads."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding=encoding, errors="strict" if encoding else "replace")


def run_loop(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on a new event loop."""
    import asyncio

    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


def logged(loaded: "Loaded") -> None:
    """Set up logging as configured; secrets are never logged."""
    from config.logging.journal import running_under_systemd
    from config.logging.setup import configure

    log = loaded.settings.log
    redactor = configure(log.format, log.level, under_systemd=running_under_systemd())
    redactor.register(loaded.secrets.values())


@contextmanager
def working(text: str) -> Iterator[Callable[[str], None]]:
    """Show a message on a terminal while something is being done; the value adds how far it is."""
    if text and sys.stderr.isatty():
        from rich.console import Console

        with Console(stderr=True).status(text) as status:
            yield lambda progress: status.update(f"{text} {progress}")
    else:
        yield lambda _progress: None
