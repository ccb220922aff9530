"""The section `console`: who may use the web pages on the operators' listener."""

import ipaddress
import re
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator

from config.fields import Flag, Section

Role = Literal["read", "act", "admin"]


def _network(value: str) -> str:
    try:
        return str(ipaddress.ip_network(value.strip(), strict=False))
    except ValueError:
        raise ValueError("is not an address; write one like 127.0.0.1, ::1 or 10.0.0.0/24") from None


def _header(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9-]{0,63}", value, re.ASCII):
        raise ValueError("is not the name of a header; write one like X-Forwarded-User")
    return value


def _host(value: str) -> str:
    if not re.fullmatch(r"[a-z0-9.-]{1,253}|[0-9a-f:]{2,45}", value.strip().lower(), re.ASCII):
        raise ValueError("is not a host name; write one like mcfd.example.com, without https:// and port")
    return value.strip().lower()


class Console(Section):
    """The web pages at /console/ of listen.ops."""

    enabled: Flag = True
    """Whether there are web pages. Default true: who has no token sees a log-in, and nothing else."""

    user_header: Annotated[str, AfterValidator(_header)] | None = None
    """The header in which a single-sign-on proxy names the person, such as X-Forwarded-User. It is believed from
    trusted_proxies alone, and only beside the secret of the file console_proxy_secret in X-Console-Proxy-Secret,
    because every user of this machine reaches the port. Default null: people log in with the ops token."""

    trusted_proxies: tuple[Annotated[str, AfterValidator(_network)], ...] = ("127.0.0.1/32", "::1/128")
    """The proxies whose X-Forwarded-Proto and user_header are believed: addresses or networks. Default: this
    machine."""

    roles: Mapping[str, Role] = {}
    """What a person of user_header may do, by name: read | act (retry, cancel, link …) | admin (settings, too).
    Default act for everybody that the proxy lets in; who logs in with the ops token is admin, as the token is."""

    hosts: tuple[Annotated[str, AfterValidator(_host)], ...] = ()
    """The host names by which people open the pages: a request for another is refused, so that a page elsewhere cannot
    have a browser ask mcfd under a name of its own. Default: the host of listen.ops, and localhost."""
