"""The base class of all configuration sections, and the types of their values.

Operators read the text of a validator's ValueError unchanged: "what is wrong; what to do".
"""

import ipaddress
import re
from dataclasses import dataclass
from typing import Annotated, Self
from urllib.parse import SplitResult, urlsplit, urlunsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    model_validator,
)

LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")

_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_HOST_NAME = re.compile(rf"(?=.{{1,253}}$){_LABEL}(?:\.{_LABEL})*", re.ASCII)
_ADDRESS = re.compile(r"(?:\[(?P<v6>[0-9a-fA-F:.]+)\]|(?P<host>[^:\s\[\]]+)):(?P<port>\d{1,5})", re.ASCII)


class Section(BaseModel):
    """A mapping in the configuration file. Frozen; unknown keys are errors; a missing section has all defaults."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _nothing_is_all_defaults(cls, value: object) -> object:
        return {} if value is None else value


class Contradiction(ValueError):
    """Values that are valid alone but not together: pairs of (key or path below the section, message)."""

    def __init__(self, *problems: tuple[str | tuple[str, ...], str]) -> None:
        self.problems = [((path,) if isinstance(path, str) else path, message) for path, message in problems]
        super().__init__("; ".join(f"{'.'.join(path)}: {message}" for path, message in self.problems))


@dataclass(frozen=True, slots=True)
class Address:
    """Where a listener binds. Port 0 lets the system choose."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """The URL for programs on this machine, also for a wildcard address."""
        host = ("::1" if ":" in self.host else "127.0.0.1") if self.is_wildcard else self.host
        return f"http://{Address(host, self.port)}"

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach it."""
        return self.host == "localhost" or (_is_ip(self.host) and ipaddress.ip_address(self.host).is_loopback)

    @property
    def is_wildcard(self) -> bool:
        """Whether it stands for every address of this machine."""
        return _is_ip(self.host) and ipaddress.ip_address(self.host).is_unspecified

    @classmethod
    def parse(cls, value: object) -> Self:
        """Read `host:port` or `[v6]:port`."""
        if isinstance(value, cls):
            return value
        found = _ADDRESS.fullmatch(value.strip()) if isinstance(value, str) else None
        v6, host, port = found.group("v6", "host", "port") if found else (None, None, "0")
        if int(port) > 65535 or not ((v6 and ":" in v6 and _is_ip(v6)) or (host and _is_host(host))):
            raise ValueError("is not host:port; write one like 127.0.0.1:9108 or [::1]:9108")
        return cls(v6 or host or "", int(port))


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _is_host(text: str) -> bool:
    """Whether it is an IP address, or a name that cannot be mistaken for one."""
    return _is_ip(text) if text.replace(".", "").isdigit() else bool(_HOST_NAME.fullmatch(text))


def parse_url(value: str) -> str:
    """Read an https base URL, without a trailing slash; http is allowed only for this machine."""
    return _checked_url(value, queries=False)


def parse_page_url(value: str) -> str:
    """Like `parse_url`, but the URL may have a query."""
    return _checked_url(value, queries=True)


def _checked_url(value: str, *, queries: bool) -> str:
    text = value.strip()
    parts = _split(text)
    if parts.username is not None or parts.password is not None:
        raise ValueError("holds a user name or password; leave them out")
    if parts.fragment or (parts.query and not queries):
        raise ValueError("goes on after the path; leave out ? and # and what follows")
    if parts.scheme == "http" and parts.hostname not in LOCAL_HOSTS:
        raise ValueError("is not encrypted; write https:// (http:// only for localhost)")
    plain = urlunsplit(parts._replace(netloc=_netloc(parts)))  # urlsplit has put the scheme in lower case
    return plain if parts.query else plain.rstrip("/")


def _netloc(parts: SplitResult) -> str:
    """Return host and non-default port in lower case, because URLs are compared as text."""
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    usual = {"https": 443, "http": 80}[parts.scheme]
    return host if parts.port in {None, usual} else f"{host}:{parts.port}"


def _split(text: str) -> SplitResult:
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        parts, host, port = urlsplit(""), "", None
    usable = _is_host(host) or (":" in host and _is_ip(host))
    if not usable or port == 0 or parts.scheme not in {"https", "http"} or not re.fullmatch(r"[!-~]+", text):
        raise ValueError("is not a URL; write one like https://returns.example.com")
    return parts


def check_printable(value: str, longest: int, *, blanks: bool = True) -> str:
    """Return the trimmed text; ValueError when empty, longer than `longest`, or not printable ASCII."""
    text = value.strip()
    if not text:
        raise ValueError("is empty; give it a value or remove the line")
    if len(text) > longest:
        raise ValueError(f"is {len(text)} characters long; write at most {longest}")
    if not re.fullmatch(r"[ -~]+" if blanks else r"[!-~]+", text):
        what = "something" if blanks else "a blank or something"
        raise ValueError(f"holds {what} that is not plain ASCII; remove it")
    return text


def printable(longest: int, *, blanks: bool = True) -> AfterValidator:
    """Return `check_printable` as a field validator."""
    return AfterValidator(lambda value: check_printable(value, longest, blanks=blanks))


def _loop_id(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return str(value)
    if isinstance(value, str) and re.fullmatch(r"[1-9]\d{0,18}", value.strip(), re.ASCII):
        return value.strip()
    raise ValueError("is not an id of Loop's; write its digits, like 58120031")


Url = Annotated[str, AfterValidator(parse_url)]
PageUrl = Annotated[str, AfterValidator(parse_page_url)]
ListenAddress = Annotated[Address, BeforeValidator(Address.parse)]
LoopId = Annotated[str, BeforeValidator(_loop_id)]
"""An id of Loop as text; numbers are accepted, too."""
Flag = StrictBool
Count = Annotated[StrictInt, Field(ge=1)]
Amount = Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)]
