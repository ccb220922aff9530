"""Generates config.example.yaml: every key with its default, below its field's docstring. `make example` runs it."""

import textwrap
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any, get_args, get_origin

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from config.durations import format_duration, parse_duration
from config.fields import Address
from config.model import SellerAccount, Settings

WIDTH = 120
FILE = Path(__file__).parents[1] / "config.example.yaml"

HEAD = """\
# The configuration of mcfd. Put it at /etc/mcfd/config.yaml, or name it with --config FILE; `mcfd check` tells what is
# wrong with it, all at once, each with its line.
#
# Every key is here with its default. A key that is left out has that default; only public_url, amazon.client_id and one
# shop under shops have none. A key that mcfd does not know is an error: a slip of the pen never passes unseen.
# Durations carry their unit: 500ms, 2s, 5m, 12h, 7d, and combined, the longest first: 1h30m.
# URLs are https://; http:// is accepted for localhost, 127.0.0.1 and [::1] alone.
"""

LONG_FORM = """\
# accounts:
#   acme: {amazon: {…}, easypost: {…}, shops: {…}}
"""

TAIL = """\
# ---------------------------------------------------------------------------------------------------------------------
# Secrets are files, never keys of this file: one file per secret, in the directory that --secrets DIR names, or that
# systemd's LoadCredential makes ($CREDENTIALS_DIRECTORY), or else in `secrets` beside this file.
# LoadCredential=mcfd:/etc/mcfd/secrets puts mcfd_ before each name, which is accepted. Blank lines and blanks around a
# line do not count. Nobody else should read them: chmod o= FILE.
#
#   amazon_client_secret        LWA client secret, one per line, the newest first (during a rotation both)      required
#   amazon_refresh_token        of a private application; leave it out and run `mcfd authorize amazon` for others
#   amazon_return_service_id    the Return Service ID, when it is not a key above
#   loop_api_key.acme           API key of the shop acme                                                        required
#   loop_webhook_secrets.acme   one per line, the newest first; without it the shop is only polled
#   easypost_api_key            EasyPost's key, EZAK…; labels of a test key, EZTK…, are held       with EasyPost labels
#   easypost_webhook_secret     one per line, the newest first; without it parcels are only polled
#   vault_keys                  one per line, the newest first, each as `mcfd keygen` prints it                 required
#   ops_token                   bearer token of the operator API, such as `openssl rand -hex 32` prints         required
#   console_proxy_secret        what a single-sign-on proxy sends in X-Console-Proxy-Secret    with console.user_header
#   aws_access_key_id           of the AWS user that reads amazon.notifications.queue_url; leave both out where the
#   aws_secret_access_key       machine has a role at AWS
#   notify_team                 of the receiver `team`: Slack's address, the token of a webhook or of ntfy, or the
#                               password of a mail server
#
# With accounts, each has its own of Amazon's and EasyPost's, and their names end with its name: easypost_api_key.acme.
# aws_access_key_id and aws_secret_access_key serve the queues of all accounts, or of one when they end with its name.
"""


def example() -> str:
    """Return the whole file."""
    keys = "\n\n".join("\n".join(lines) for lines in _top())
    return f"{HEAD}\n{keys}\n\n{TAIL}"


def _top() -> Iterator[Iterator[str]]:
    """The keys at the top, in the form for one account; the other form is a comment."""
    for name, field in Settings.model_fields.items():
        if name != "accounts":
            yield _key(name, field, 0)
            continue
        yield from (_key(own, own_field, 0) for own, own_field in SellerAccount.model_fields.items())
        yield chain(_comment(field.description or "", 0), LONG_FORM.splitlines())


def _key(name: str, field: FieldInfo, indent: int) -> Iterator[str]:
    yield from _comment(field.description or "", indent)
    space, below = " " * indent, _section(field.annotation)
    shape = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    if below is not None and not shape.get("on_one_line"):
        named = field.examples[0] if get_origin(field.annotation) is Mapping and field.examples else None
        yield f"{space}{name}:"
        if named:
            yield f"{space}  {named}:"
        for inner, inner_field in below.model_fields.items():
            yield from _key(inner, inner_field, indent + (4 if named else 2))
        return
    value = (
        field.examples[0] if field.is_required() and field.examples else field.get_default(call_default_factory=True)
    )
    if isinstance(value, Mapping) and any(isinstance(one, BaseModel) for one in value.values()):
        yield f"{space}{name}:"
        yield from (f"{space}  {key}: {_dump(one)}" for key, one in value.items())
    elif any(getattr(one, "func", None) is parse_duration for one in field.metadata):
        yield f"{space}{name}: {format_duration(value)}"
    else:
        yield f"{space}{name}: {_dump(value)}"


def _section(annotation: Any) -> type[BaseModel] | None:  # noqa: ANN401 - any type expression
    """Return the section to write below a key: its own, or the section of its named example."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) is Mapping and annotation == SellerAccount.model_fields["shops"].annotation:
        return _section(get_args(annotation)[1])
    return None


def _comment(text: str, indent: int) -> Iterator[str]:
    """Wrap sentences; keep indented lines as they are."""
    mark, filled = " " * indent + "# ", list[str]()
    for line in [*text.splitlines(), ""]:
        if line.strip() and not line.startswith("  "):
            filled.append(line)
            continue
        yield from textwrap.wrap(" ".join(filled), WIDTH, initial_indent=mark, subsequent_indent=mark)
        filled.clear()
        if line.strip():
            yield mark + line


def _dump(value: object) -> str:
    """Write a value on one line."""
    text = yaml.safe_dump(_plain(value), default_flow_style=True, sort_keys=False, allow_unicode=True, width=10_000)
    text = text.removesuffix("...\n").strip()
    return text if '"' in text else text.replace("'", '"')


def _plain(value: object) -> object:
    match value:
        case BaseModel():
            return {name: _plain(getattr(value, name)) for name in type(value).model_fields}
        case Mapping():
            return {key: _plain(one) for key, one in value.items()}
        case tuple():
            return [_plain(one) for one in value]
        case Address() | Path():
            return str(value)
        case float() if value.is_integer():
            return int(value)
        case _:
            return value


if __name__ == "__main__":
    FILE.write_text(example())
