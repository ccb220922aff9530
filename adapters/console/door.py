"""The door of the pages: which host, who it is, whether a form is ours, and what a browser may do with an answer."""

import hashlib
import hmac
import ipaddress
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from adapters.console.people import Attempts, Person, Role, Session, Sessions
from daemon.ports.host import Clock

ROOT = "/console/"
COOKIE = "mcfd_console"
KNOWN = "mcfd_console_known"
"""The cookie of a browser in which somebody has logged in: its attempts are counted apart from a stranger's."""
FORM = "mcfd_console_form"
"""The cookie beside the log-in form, for which there is no session yet."""
PROXY_SECRET = "X-Console-Proxy-Secret"  # noqa: S105 - the header's name
A_YEAR = 365 * 86400
LONGEST_NAME = 60

HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=()",
    "X-Robots-Tag": "noindex",
    "Cache-Control": "no-store",
}

SESSION = web.RequestKey("console_session", Session)


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Who may come in: as in the section `console` of the configuration."""

    token: str = field(repr=False)
    hosts: frozenset[str]
    trusted_proxies: tuple[str, ...] = ()
    user_header: str | None = None
    proxy_secret: str | None = field(default=None, repr=False)
    roles: Mapping[str, str] = field(default_factory=dict)


class Door:
    """Checks each request before a page sees it."""

    def __init__(self, access: Access, clock: Clock) -> None:
        self._access = access
        self._networks = [ipaddress.ip_network(one) for one in access.trusted_proxies]
        self._key = hashlib.sha256(b"mcfd console, known browsers:" + access.token.encode()).digest()
        self.sessions = Sessions(clock)
        self.attempts = Attempts(clock)

    @property
    def middleware(self) -> Middleware:
        """The check, for aiohttp."""

        @web.middleware
        async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
            answer = await self._admit(request, handler)
            for name, value in HEADERS.items():
                answer.headers.setdefault(name, value)
            return answer

        return check

    async def _admit(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            if not self._our_host(request):
                return web.Response(
                    status=421, text="mcfd has no pages by this name; console.hosts says which it has.\n"
                )
            if request.method == "POST" and not self._from_here(request):
                return web.Response(status=403, text="This form comes from another page. Nothing was done.\n")
            return await handler(request)
        except web.HTTPException as error:
            return error if error.headers.get("Location") else web.Response(status=error.status, text=error.text)

    def _our_host(self, request: web.Request) -> bool:
        try:
            host = urlsplit(f"//{request.host}").hostname
        except ValueError:
            return False
        return host in self._access.hosts

    def _from_here(self, request: web.Request) -> bool:
        """Whether the browser says that the form is on a page of ours; what is no browser says nothing."""
        site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
        if site is not None and site not in {"same-origin", "none"}:
            return False
        if origin is None:
            return True
        parts = urlsplit(origin)  # a proxy may have put its own name for us into Host
        return parts.netloc == request.host or (self._trusted(request) and parts.hostname in self._access.hosts)

    # ---- who it is

    def session(self, request: web.Request) -> tuple[Session | None, str | None]:
        """The session of a request, and the key of a new one that the browser is to keep."""
        key = request.cookies.get(COOKIE, "")
        session, named = self.sessions.of(key), self._named_by_proxy(request)
        if named is None:
            return (session, None) if session is not None and not session.person.by_proxy else (None, None)
        if session is not None and session.person == named:
            return session, None
        key = self.sessions.open(named)
        return self.sessions.of(key), key

    def _named_by_proxy(self, request: web.Request) -> Person | None:
        """The person that a trusted proxy names; None without its secret."""
        access = self._access
        if access.user_header is None or not self._knows_secret(request):
            return None
        named = request.headers.getall(access.user_header, [])
        name = plain_name(named[0]) if len(named) == 1 else ""
        return Person(name, Role[access.roles.get(name, "act").upper()], by_proxy=True) if name else None

    def _knows_secret(self, request: web.Request) -> bool:
        secret, given = self._access.proxy_secret, request.headers.get(PROXY_SECRET, "")
        return secret is not None and self._trusted(request) and same(given, secret)

    def _trusted(self, request: web.Request) -> bool:
        try:
            peer = ipaddress.ip_address((request.remote or "").partition("%")[0])
        except ValueError:
            return False
        return any(peer in network for network in self._networks)

    def is_secure(self, request: web.Request) -> bool:
        """Whether the browser came by TLS, as a trusted proxy says."""
        return self._trusted(request) and request.headers.get("X-Forwarded-Proto", "").lower() == "https"

    # ---- logging in

    def seconds_to_wait(self, request: web.Request) -> float:
        """0, or how long this browser, or this address, has to wait before it may try again."""
        return self.attempts.wait(self._source(request))

    def log_in(self, request: web.Request, token: str, name: str) -> str | None:
        """The key of a new session; None if the token is wrong."""
        if not same(token.strip(), self._access.token):
            return None
        self.attempts.forgive(self._source(request))
        return self.sessions.open(Person(plain_name(name) or "console", Role.ADMIN))

    def _source(self, request: web.Request) -> str:
        known = request.cookies.get(KNOWN, "")
        if self._is_known(known):
            return f"browser {known}"
        forwarded = request.headers.get("X-Forwarded-For", "").rpartition(",")[2].strip()
        return f"address {(self._knows_secret(request) and forwarded) or request.remote}"

    def _is_known(self, mark: str) -> bool:
        number, _, proof = mark.partition(".")
        return same(proof, self._proof(number))

    def _proof(self, number: str) -> str:
        return hmac.new(self._key, number.encode("utf-8", "surrogateescape"), hashlib.sha256).hexdigest()

    # ---- cookies

    def keep(self, request: web.Request, answer: web.StreamResponse, key: str) -> None:
        """Give the browser its session."""
        self._cookie(request, answer, COOKIE, key, 12 * 3600)

    def remember(self, request: web.Request, answer: web.StreamResponse) -> None:
        """Know this browser again when it logs in the next time."""
        number = secrets.token_urlsafe(16)
        self._cookie(request, answer, KNOWN, f"{number}.{self._proof(number)}", A_YEAR)
        answer.del_cookie(FORM, path=ROOT)

    def offer_form(self, request: web.Request, answer: web.StreamResponse, value: str) -> None:
        """Give the browser what the log-in form has to bring back."""
        self._cookie(request, answer, FORM, value, 3600)

    def log_out(self, request: web.Request, answer: web.StreamResponse) -> None:
        """End the session."""
        self.sessions.close(request.cookies.get(COOKIE, ""))
        answer.del_cookie(COOKIE, path=ROOT)

    def _cookie(self, request: web.Request, answer: web.StreamResponse, name: str, value: str, seconds: int) -> None:
        answer.set_cookie(
            name, value, max_age=seconds, path=ROOT, httponly=True, samesite="Strict", secure=self.is_secure(request)
        )


def plain_name(name: str) -> str:
    """A person's name as histories take it: printable, on one line, not too long."""
    return " ".join("".join(char if char.isprintable() else " " for char in name).split())[:LONGEST_NAME]


def same(given: str, expected: str) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), expected.encode())
