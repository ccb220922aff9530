"""Authorization by the seller: Amazon's website workflow, and the refresh token in use.

https://developer-docs.amazon/sp-api/docs/website-authorization-workflow
"""

import hashlib
import hmac
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import structlog

from daemon.domain.returns import MAIN_ACCOUNT
from daemon.errors import CredentialsRefused, OperatorError, Refused, Transient
from daemon.operations.verbs.connections import Invitation
from daemon.ports.host import Clock, SecretBox
from daemon.ports.names import at_account
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
class _Invited:
    account: str
    until: float


@dataclass(frozen=True, slots=True)
class _Pending:
    account: str
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
        *,
        account: str = MAIN_ACCOUNT,
    ) -> None:
        self._store = store
        self.account = account
        self._token_mark = at_account(TOKEN_MARK, account)
        self._authorized_mark = at_account(AUTHORIZED_MARK, account)
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

    async def authorized_at(self) -> float | None:
        """When the token kept here was given; None before the first authorization."""
        about = await self._store.read(lambda uow: uow.mark(self._authorized_mark))
        return float(json.loads(about)["at"]) if about else None

    async def load(self) -> None:
        """Load the token kept by an earlier process. Raises McfdError if no vault key opens it."""
        sealed = await self._store.read(lambda uow: uow.mark(self._token_mark))
        if sealed:
            self._take(unseal_text(self._box, sealed, self._token_mark).decode())

    async def keep(self, token: str, seller: str, at: float) -> None:
        """Keep a new token, and a hash of the seller who gave it; returns after the commit."""
        sealed = seal_text(self._box, token.encode(), self._token_mark)
        about = {"at": at, "seller": hashlib.sha256(seller.encode()).hexdigest()}

        def work(uow: UnitOfWork) -> str | None:
            before = uow.mark(self._authorized_mark)
            uow.set_mark(self._token_mark, sealed)
            uow.set_mark(self._authorized_mark, json.dumps(about))
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Seller:
    """One account in the workflow. `authorized` is called once a new token is in use."""

    tokens: RefreshTokens
    trader: Trader
    consent_page: str
    application_id: str | None
    authorized: Callable[[], Awaitable[None]]


class Authorization:
    """The website workflow for every account.

    Invitations and states live in memory, each for one account and one use; a restart forgets them.
    """

    def __init__(
        self, sellers: Mapping[str, Seller], clock: Clock, *, public_url: str, new_token: Callable[[], str]
    ) -> None:
        self._sellers = sellers
        self._clock = clock
        self._public_url = public_url
        self._new_token = new_token
        self._invitations: dict[str, _Invited] = {}
        self._pending: dict[str, _Pending] = {}

    def invite(self, account: str = MAIN_ACCOUNT) -> Invitation:
        """Make a link that works until one browser has come back with the seller's consent. Raises OperatorError."""
        seller = self._sellers[account]
        if seller.application_id is None:
            todo = "set it (amzn1.sp.solution.…) and restart; a private application does not need this"
            raise OperatorError(f"amazon.application_id is not set: {todo}")
        self._forget()
        while len(self._invitations) >= MOST_INVITATIONS:
            del self._invitations[next(iter(self._invitations))]
        token = self._new_token()
        self._invitations[token] = _Invited(account, self._clock.monotonic() + LIFE)
        warning = "the secret file amazon_refresh_token wins: remove it and reload, or the new token stays unused"
        return Invitation(
            url=f"{self._public_url}{START}?{urlencode({'t': token})}",
            expires_in=int(LIFE),
            warning=warning if seller.tokens.from_file else "",
        )

    def begin(self, token: str) -> Begun | None:
        """Send a browser to the consent page; None if the invitation is not valid, or no longer.

        Opening the link does not use it up: a chat's link preview opens it before its reader does.
        """
        self._forget()
        invited = self._invitations.get(token)
        seller = self._sellers[invited.account] if invited else None
        if invited is None or seller is None or seller.application_id is None:
            return None
        while len(self._pending) >= MOST_BROWSERS:
            del self._pending[next(iter(self._pending))]
        state, cookie = self._new_token(), self._new_token()
        self._pending[state] = _Pending(invited.account, token, cookie, self._clock.monotonic() + LIFE)
        return Begun(self._consent_url(seller.consent_page, seller.application_id, state), cookie)

    async def finish(self, *, cookie: str, state: str, code: str, seller: str) -> Ending:
        """Trade the code that the consent page sent, for the account that the state was made for.

        The state is used up, however this ends.
        """
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
        return await self._trade(pending.account, code, seller)

    async def _trade(self, account: str, code: str, seller: str) -> Ending:
        one = self._sellers[account]
        try:
            token = await one.trader.trade_code(code, self._redirect_uri)
        except (Refused, CredentialsRefused) as error:
            log.warning("amazon.code_refused", account=account, reason=str(error))
            return Ending.REFUSED
        except Transient as error:
            log.warning("amazon.code_not_traded", account=account, reason=str(error))
            return Ending.UNAVAILABLE
        await one.tokens.keep(token, seller, self._clock.now())
        log.info("amazon.authorized", account=account, in_use=not one.tokens.from_file)
        await one.authorized()
        return Ending.DONE

    @property
    def _redirect_uri(self) -> str:
        return self._public_url + CALLBACK

    def _consent_url(self, consent_page: str, application_id: str, state: str) -> str:
        """The consent page's URL with our parameters; its own query (version=beta) stays."""
        page = urlsplit(consent_page)
        asked = {"application_id": application_id, "state": state, "redirect_uri": self._redirect_uri}
        return urlunsplit(page._replace(query=urlencode({**dict(parse_qsl(page.query)), **asked})))

    def _forget(self) -> None:
        now = self._clock.monotonic()
        self._invitations = {token: one for token, one in self._invitations.items() if one.until > now}
        self._pending = {state: pending for state, pending in self._pending.items() if pending.until > now}
