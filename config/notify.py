"""The section `notify`: who gets messages about what, and how."""

import re
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from config.fields import Contradiction, Section, parse_page_url

Kind = Literal["webhook", "slack", "ntfy", "smtp"]
When = Literal["stuck", "held", "review", "parked", "unsettled", "claims"]

_MAIL = re.compile(r"[^@\s,;<>]+@[^@\s,;<>]+", re.ASCII)
_MAIL_SCHEMES = frozenset({"smtp", "smtps"})


def _mail_address(value: str) -> str:
    if not _MAIL.fullmatch(value):
        raise ValueError("is not a mail address; write one like team@example.com")
    return value


def _name(value: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,31}", value, re.ASCII):
        raise ValueError("is not a name; write a-z, 0-9 and -, at most 32 characters, not starting with -")
    return value


def _receiver_url(value: str) -> str:
    """Read an http(s) URL, or `smtp://user@host:587`, or `smtps://user@host`."""
    if urlsplit(value).scheme in _MAIL_SCHEMES:
        parts = urlsplit(value)
        if not parts.hostname or parts.path.strip("/") or parts.query or parts.password:
            raise ValueError("is not smtp://user@host:port; the password belongs into the secret file notify_NAME")
        return value.rstrip("/")
    return parse_page_url(value)


class Notification(Section):
    """One receiver. A secret of it (Slack's address, a token, a password) is in the secret file notify_NAME."""

    kind: Kind
    """webhook | slack | ntfy | smtp. webhook posts JSON for a program; slack is what Slack's incoming webhooks take."""

    name: Annotated[str, AfterValidator(_name)] = "team"
    """Names the receiver in logs, and its secret file: notify_team. Default team; two receivers need two names."""

    url: Annotated[str, AfterValidator(_receiver_url)] | None = None
    """Where to. Slack's address is a secret: leave it out here and write it into notify_NAME.

    ntfy: https://ntfy.sh/TOPIC. smtp: smtp://user@mail.example.com:587 (STARTTLS) or smtps://user@mail.example.com.
    """

    to: tuple[Annotated[str, AfterValidator(_mail_address)], ...] = ()
    """Mail addresses, for smtp. Default none: the other kinds need none."""

    sender: Annotated[str, AfterValidator(_mail_address)] | None = None
    """The mail's From. Default: the first of `to`."""

    when: Annotated[tuple[When, ...], Field(min_length=1)] = ("stuck", "held", "parked", "unsettled")
    """stuck, held, review, parked, unsettled, claims. Default without review and claims: those are frequent."""

    shops: tuple[str, ...] = ()
    """Only these shops. Default: all."""

    @model_validator(mode="after")
    def _fits_its_kind(self) -> "Notification":
        mail = self.url is not None and urlsplit(self.url).scheme in _MAIL_SCHEMES
        if self.kind == "smtp" and (not mail or not self.to):
            raise Contradiction(("kind", "smtp needs url: smtp://user@mail.example.com:587, and to: [addresses]"))
        if self.kind != "smtp" and mail:
            raise Contradiction(("url", f"is a mail server's; kind {self.kind} needs an https address"))
        if self.kind in {"webhook", "ntfy"} and self.url is None:
            raise Contradiction(("url", "is missing; write where the messages go"))
        return self
