"""Which addresses a label may be fetched from, and what kind of file came. PURE."""

import ipaddress
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from daemon.errors import ContractBroken

FETCH = "fetch_label"
PDF, PNG = b"%PDF-", b"\x89PNG\r\n\x1a\n"
LONGEST = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class AllowedHosts:
    """Hosts for https; and, for an API on this machine, its own origin for plain http ("" otherwise)."""

    names: frozenset[str]
    local_origin: str = ""


def allowed_hosts(names: tuple[str, ...], api_url: str) -> AllowedHosts:
    """Return the hosts of the configuration; an API on this machine hands out its labels itself."""
    parts = urlsplit(api_url)
    origin = f"{parts.scheme}://{parts.netloc}" if is_local(api_url) else ""
    return AllowedHosts(names=frozenset(name.casefold().rstrip(".") for name in names), local_origin=origin)


def is_local(url: str) -> bool:
    """Whether a URL is on this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def check_label_url(url: str, allowed: AllowedHosts) -> bool:
    """Say whether a label may be fetched there as from this machine (True), or from the internet (False).

    Raises ContractBroken, without the URL, which is as good as the label, for every other address.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ContractBroken("the label's address is no URL") from None
    if len(url) > LONGEST or not (url.isascii() and url.isprintable()) or " " in url or parts.username is not None:
        raise ContractBroken("the label's address is no plain URL")
    if allowed.local_origin and f"{parts.scheme}://{parts.netloc}" == allowed.local_origin:
        return True
    if parts.scheme != "https" or port not in {None, 443} or not _named(parts, allowed):
        raise ContractBroken("the label is not at one of easypost.label_hosts, by https")
    return False


def _named(parts: SplitResult, allowed: AllowedHosts) -> bool:
    return (parts.hostname or "").casefold().rstrip(".") in allowed.names


def printable_file(content: bytes) -> bytes:
    """Return a PDF or a PNG as it came; what it claims to be does not count. Raises ContractBroken."""
    if not content.startswith((PDF, PNG)):
        raise ContractBroken("the label is neither a PDF nor a PNG")
    return content
