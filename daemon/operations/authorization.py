"""Authorization by the seller: Amazon's website workflow, and the refresh token in use.

https://developer-docs.amazon/sp-api/docs/website-authorization-workflow
"""

import hashlib
import hmac
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, field
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

CONSENTS_MARK = "consents"
"""The mark for the links and browsers that are still to come back, by the hashes of their secrets."""

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
class _Sent:
    """A browser at the consent page; its invitation and its cookie by their hashes."""

    account: str
    invitation: str
    cookie: str
    until: float


@dataclass(frozen=True, slots=True)
class _Consents:
    """What is still to come back, by the hashes of links' tokens and of states, the oldest first."""

    invitations: dict[str, _Invited]
    browsers: dict[str, _Sent]

    @classmethod
    def of(cls, uow: UnitOfWork, now: float) -> "_Consents":
        """Those in the store whose time is not over."""
        kept = json.loads(uow.mark(CONSENTS_MARK) or "{}")
        invitations = {name: _Invited(**one) for name, one in kept.get("invitations", {}).items()}
        browsers = {name: _Sent(**one) for name, one in kept.get("browsers", {}).items()}
        return cls(
            {name: one for name, one in invitations.items() if one.until > now},
            {name: one for name, one in browsers.items() if one.until > now},
        )

    def keep(self, uow: UnitOfWork) -> None:
        """Write them down, the newest of too many."""
        invitations = list(self.invitations.items())[-MOST_INVITATIONS:]
        browsers = list(self.browsers.items())[-MOST_BROWSERS:]
        kept = {
            "invitations": {name: asdict(one) for name, one in invitations},
            "browsers": {name: asdict(one) for name, one in browsers},
        }
        uow.set_mark(CONSENTS_MARK, json.dumps(kept))


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

    The store has what is still to come back, so that a browser may do so after a restart, and to another node. Each is
    for one account and one use. Only hashes are kept: who reads the store can use no link, and pass for no browser.
    """

    def __init__(
        self,
        sellers: Mapping[str, Seller],
        store: ReturnStore,
        clock: Clock,
        *,
        public_url: str,
        new_token: Callable[[], str],
    ) -> None:
        self._sellers = sellers
        self._store = store
        self._clock = clock
        self._public_url = public_url
        self._new_token = new_token

    async def invite(self, account: str = MAIN_ACCOUNT) -> Invitation:
        """Make a link that works until one browser has come back with the seller's consent.

        Raises OperatorError, StoreUnavailable.
        """
        seller = self._sellers[account]
        if seller.application_id is None:
            todo = "set it (amzn1.sp.solution.…) and restart; a private application does not need this"
            raise OperatorError(f"amazon.application_id is not set: {todo}")
        token, now = self._new_token(), self._clock.now()

        def work(uow: UnitOfWork) -> None:
            consents = _Consents.of(uow, now)
            consents.invitations[_hash(token)] = _Invited(account, now + LIFE)
            consents.keep(uow)

        await self._store.transact(work)
        warning = "the secret file amazon_refresh_token wins: remove it and reload, or the new token stays unused"
        return Invitation(
            url=f"{self._public_url}{START}?{urlencode({'t': token})}",
            expires_in=int(LIFE),
            warning=warning if seller.tokens.from_file else "",
        )

    async def begin(self, token: str) -> Begun | None:
        """Send a browser to the consent page; None if the invitation is not valid, or no longer.

        Opening the link does not use it up: a chat's link preview opens it before its reader does.
        Raises StoreUnavailable.
        """
        invitation, now = _hash(token), self._clock.now()
        invited = await self._store.read(lambda uow: _Consents.of(uow, now).invitations.get(invitation))
        seller = self._sellers.get(invited.account) if invited else None
        if invited is None or seller is None or seller.application_id is None:
            return None
        state, cookie = self._new_token(), self._new_token()
        sent = _Sent(invited.account, invitation, _hash(cookie), now + LIFE)

        def work(uow: UnitOfWork) -> None:
            consents = _Consents.of(uow, now)
            consents.browsers[_hash(state)] = sent
            consents.keep(uow)

        await self._store.transact(work)
        return Begun(self._consent_url(seller.consent_page, seller.application_id, state), cookie)

    async def finish(self, *, cookie: str, state: str, code: str, seller: str) -> Ending:
        """Trade the code that the consent page sent, for the account that the state was made for.

        The state is used up, however this ends. Raises StoreUnavailable.
        """
        now = self._clock.now()
        if not await self._store.read(lambda uow: _hash(state) in _Consents.of(uow, now).browsers):
            return Ending.STALE  # a guess, which must not cost a commit
        account = await self._store.transact(lambda uow: _used_up(uow, now, state, cookie, code))
        if account is None or account not in self._sellers:
            return Ending.STALE
        return await self._trade(account, code, seller)

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


def _used_up(uow: UnitOfWork, now: float, state: str, cookie: str, code: str) -> str | None:
    """Use up a state, and its invitation; returns the account, or None unless all is as it should be."""
    consents = _Consents.of(uow, now)
    sent = consents.browsers.pop(_hash(state), None)
    right = sent is not None and hmac.compare_digest(sent.cookie, _hash(cookie)) and bool(code)
    invited = consents.invitations.pop(sent.invitation, None) if sent is not None and right else None
    consents.keep(uow)
    return invited.account if invited is not None else None  # None as well if another browser was faster


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
