"""Writes mcfd(1) from the help of its verbs, in the language of troff."""

import sys
from collections.abc import Iterator

import click

from daemon import __version__
from daemon.cli.main import main

COMMON = {"--config", "--secrets", "--json", "--help"}
"""Told once."""


def escaped(text: str) -> str:
    """A text that troff takes as it is."""
    lines = text.replace("\\", "\\e").replace("-", "\\-").splitlines()
    return "\n".join(f"\\&{line}" if line.startswith((".", "'")) else line for line in lines)


def paragraphs(text: str | None) -> Iterator[str]:
    """Each paragraph of a help text; one that click leaves alone keeps its lines."""
    for paragraph in (text or "").split("\n\n"):
        if paragraph.lstrip().startswith("\b"):
            yield f".nf\n{escaped(paragraph.replace(chr(8), '').strip(chr(10)))}\n.fi"
        elif paragraph.strip():
            yield escaped(" ".join(paragraph.split()))


def verbs(group: click.Group, path: str) -> Iterator[tuple[str, click.Command]]:
    """Every verb with its whole name, those of groups in the group's place."""
    for name, command in sorted(group.commands.items()):
        if isinstance(command, click.Group):
            yield from verbs(command, f"{path} {name}")
        else:
            yield f"{path} {name}", command


def options(command: click.Command) -> Iterator[str]:
    """The options that nearly every verb has."""
    context = click.Context(command)
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record and COMMON.intersection(parameter.opts):
            yield f".TP\n.B {escaped(record[0])}\n{escaped(record[1])}"


def told(name: str, command: click.Command) -> Iterator[str]:
    """The section of one verb."""
    context = click.Context(command, info_name=name)
    yield f'.SS "{escaped(" ".join([name, *command.collect_usage_pieces(context)]))}"'
    yield "\n.PP\n".join(paragraphs(command.help))
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record and record[1] and not COMMON.intersection(parameter.opts):
            yield f".TP\n.B {escaped(record[0])}\n{escaped(record[1])}"
    yield "\n.PP\n".join([".PP", *paragraphs(command.epilog)])


def page() -> str:
    """The whole page."""
    summary, _, rest = (main.help or "").partition("\n")
    lines = [
        f'.TH MCFD 1 "" "mcfd {__version__}"',
        f".SH NAME\nmcfd \\- {escaped(summary.strip().rstrip('.'))}",
        ".SH SYNOPSIS\n.B mcfd\n.I VERB\n[\\fIOPTION\\fR...] [\\fIARGUMENT\\fR...]",
        ".SH DESCRIPTION",
        "\n.PP\n".join(paragraphs(rest.strip("\n"))),
        ".SH COMMON OPTIONS",
        *options(main.commands["status"]),
        ".SH VERBS",
        *(line for name, command in verbs(main, "mcfd") for line in told(name, command)),
        ".SH FILES\n.TP\n.I /etc/mcfd/config.yaml\nthe configuration",
        ".TP\n.I /etc/mcfd/secrets/\nthe secrets, one in each file",
        ".TP\n.I /var/lib/mcfd/mcfd.db\nthe database",
        ".SH SEE ALSO\n.I /usr/share/doc/mcfd/operating.md",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(page())
