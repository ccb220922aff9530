"""Authorization by the seller: Amazon's website workflow, and the refresh token in use.

https://developer-docs.amazon/sp-api/docs/website-authorization-workflow
"""

import hashlib
import hmac
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import structlog

from daemon.errors import CredentialsRefused, OperatorError, Refused, Transient
from daemon.operations.verbs.connections import Invitation
from daemon.ports.host import Clock, SecretBox
from daemon.ports.sealed import seal_text, unseal_text
from daemon.ports.store import ReturnStore, UnitOfWork

log = structlog.get_logger(__name__)

TOKEN_MARK = "amazon/refresh-token"  # noqa: S105 - the name of a mark, and what its value is sealed for
AUTHORIZED_MARK = "amazon/authorized"
LIFE = 600.0
"""Seconds that an invitation waits for its browser, and a browser for the seller's consent."""

MOST_INVITATIONS = 20
MOST_BROWSERS = 100
CALLBACK = "/oauth/amazon/callback"
START = "/oauth/amazon/start"


class Trader(Protocol):
    """Trades codes for refresh tokens."""

    async def trade_code(self, code: str, redirect_uri: str) -> str:
        """Trade a code, once. Raises Refused, CredentialsRefused or Transient."""


class Ending(StrEnum):
    """How an authorization ended."""

    DONE = "done"
    STALE = "stale"  # wrong, reused or expired, or from another browser
    REFUSED = "refused"
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True, slots=True)
class Begun:
    """Where to send the browser, and the cookie that identifies it."""

    consent_url: str = field(repr=False)
    cookie: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Pending:
    invitation: str = field(repr=False)
    cookie: str = field(repr=False)
    until: float


class RefreshTokens:
    """The refresh token in use: from the secret file if there is one, otherwise the encrypted one kept here."""

    def __init__(
        self,
        store: ReturnStore,
        box: SecretBox,
        from_file: Callable[[], str | None],
        conceal: Callable[[list[str]], None],
    ) -> None:
        self._store = store
        self._box = box
        self._from_file = from_file
        self._conceal = conceal
        self._kept: str | None = None

    @property
    def from_file(self) -> bool:
        """Whether the secret file is in use."""
        return self._from_file() is not None

    def current(self) -> str | None:
        """The token in use; None before the first authorization."""
        return self._from_file() or self._kept

    async def load(self) -> None:
        """Load the token kept by an earlier process. Raises McfdError if no vault key opens it."""
        sealed = await self._store.read(lambda uow: uow.mark(TOKEN_MARK))
        if sealed:
            self._take(unseal_text(self._box, sealed, TOKEN_MARK).decode())

    async def keep(self, token: str, seller: str, at: float) -> None:
        """Keep a new token, and a hash of the seller who gave it; returns after the commit."""
        sealed = seal_text(self._box, token.encode(), TOKEN_MARK)
        about = {"at": at, "seller": hashlib.sha256(seller.encode()).hexdigest()}

        def work(uow: UnitOfWork) -> str | None:
            before = uow.mark(AUTHORIZED_MARK)
            uow.set_mark(TOKEN_MARK, sealed)
            uow.set_mark(AUTHORIZED_MARK, json.dumps(about))
            return before

        before = await self._store.transact(work)
        if before is not None and json.loads(before)["seller"] != about["seller"]:
            log.warning(
                "amazon.seller_changed", text="this authorization is another seller account's than the one before"
            )
        self._take(token)

    def _take(self, token: str) -> None:
        self._conceal([token])
        self._kept = token


class Authorization:
    """The website workflow. Invitations and states live in memory, each for one use; a restart forgets them."""

    def __init__(
        self,
        tokens: RefreshTokens,
        trader: Trader,
        clock: Clock,
        *,
        public_url: str,
        consent_page: str,
        application_id: str | None,
        new_token: Callable[[], str],
        authorized: Callable[[], Awaitable[None]],
    ) -> None:
        self._tokens = tokens
        self._trader = trader
        self._clock = clock
        self._public_url = public_url
        self._consent_page = consent_page
        self._application_id = application_id
        self._new_token = new_token
        self._authorized = authorized
        self._invitations: dict[str, float] = {}
        self._pending: dict[str, _Pending] = {}

    def invite(self) -> Invitation:
        """Make a link that works until one browser has come back with the seller's consent. Raises OperatorError."""
        if self._application_id is None:
            todo = "set it (amzn1.sp.solution.…) and restart; a private application does not need this"
            raise OperatorError(f"amazon.application_id is not set: {todo}")
        self._forget()
        while len(self._invitations) >= MOST_INVITATIONS:
            del self._invitations[next(iter(self._invitations))]
        token = self._new_token()
        self._invitations[token] = self._clock.monotonic() + LIFE
        warning = "the secret file amazon_refresh_token wins: remove it and reload, or the new token stays unused"
        return Invitation(
            url=f"{self._public_url}{START}?{urlencode({'t': token})}",
            expires_in=int(LIFE),
            warning=warning if self._tokens.from_file else "",
        )

    def begin(self, token: str) -> Begun | None:
        """Send a browser to the consent page; None if the invitation is not valid, or no longer.

        Opening the link does not use it up: a chat's link preview opens it before its reader does.
        """
        self._forget()
        if self._application_id is None or token not in self._invitations:
            return None
        while len(self._pending) >= MOST_BROWSERS:
            del self._pending[next(iter(self._pending))]
        state, cookie = self._new_token(), self._new_token()
        self._pending[state] = _Pending(token, cookie, self._clock.monotonic() + LIFE)
        return Begun(self._consent_url(self._application_id, state), cookie)

    async def finish(self, *, cookie: str, state: str, code: str, seller: str) -> Ending:
        """Trade the code that the consent page sent. The state is used up, however this ends."""
        self._forget()
        pending = self._pending.pop(state, None)
        if (
            pending is None
            or not hmac.compare_digest(pending.cookie.encode(), cookie.encode("utf-8", "replace"))
            or not code
        ):
            return Ending.STALE
        if self._invitations.pop(pending.invitation, None) is None:  # another browser was faster
            return Ending.STALE
        try:
            token = await self._trader.trade_code(code, self._redirect_uri)
        except (Refused, CredentialsRefused) as error:
            log.warning("amazon.code_refused", reason=str(error))
            return Ending.REFUSED
        except Transient as error:
            log.warning("amazon.code_not_traded", reason=str(error))
            return Ending.UNAVAILABLE
        await self._tokens.keep(token, seller, self._clock.now())
        log.info("amazon.authorized", in_use=not self._tokens.from_file)
        await self._authorized()
        return Ending.DONE

    @property
    def _redirect_uri(self) -> str:
        return self._public_url + CALLBACK

    def _consent_url(self, application_id: str, state: str) -> str:
        """The consent page's URL with our parameters; its own query (version=beta) stays."""
        page = urlsplit(self._consent_page)
        asked = {"application_id": application_id, "state": state, "redirect_uri": self._redirect_uri}
        return urlunsplit(page._replace(query=urlencode({**dict(parse_qsl(page.query)), **asked})))

    def _forget(self) -> None:
        now = self._clock.monotonic()
        self._invitations = {token: until for token, until in self._invitations.items() if until > now}
        self._pending = {state: pending for state, pending in self._pending.items() if pending.until > now}
