"""Login with Amazon: one access token for all callers, renewed before it expires, parked when Amazon refuses us.

A refresh runs as one shared task that never raises. It stores either a token or a hold (the error, and when to try
again), and each waiting caller reads the result. So a cancelled caller disturbs no other, and no failure is lost.
"""

import asyncio
import contextlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeGuard
from urllib.parse import urlencode

from adapters.vendor_calls.transport import Reply, Transport
from daemon.errors import ContractBroken, CredentialsRefused, Refused, Transient, Unavailable
from daemon.ports.host import Clock

PROBE_EVERY = 300.0
FIRST_BACKOFF = 1.0
LONGEST_BACKOFF = 30.0
NOT_AUTHORIZED = (
    "there is no Amazon refresh token: run `mcfd authorize amazon`, or add the secret file amazon_refresh_token; "
    "or there is no client secret: add the secret file amazon_client_secret"
)
# https://developer.amazon.com/docs/login-with-amazon/authorization-code-grant.html: errors that an operator must fix.
REFUSALS = {
    "invalid_client": "check amazon.client_id and the secret file amazon_client_secret; a secret lives 180 days",
    "invalid_grant": "the authorization was withdrawn or has expired: run `mcfd authorize amazon`, or replace the "
    "secret file amazon_refresh_token",
    "invalid_request": "the refresh token or the client id is malformed",
    "invalid_scope": "the application may not ask for this",
    "unauthorized_client": "the application is not allowed this grant",
    "unsupported_grant_type": "the endpoint is not that of Login with Amazon",
}


class TokenState(StrEnum):
    """Whether calls to Amazon can be authorized, for readiness and metrics."""

    OK = "ok"
    NO_TOKEN = "no_token"  # noqa: S105 - a state's name
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class _Credentials:
    refresh_token: str = field(repr=False)
    client_secrets: tuple[str, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class _AccessToken:
    of: _Credentials
    value: str = field(repr=False)
    renew_at: float
    expires_at: float


@dataclass(frozen=True, slots=True)
class _Hold:
    """A failed refresh: Amazon is not asked again with these credentials before `until` (monotonic)."""

    of: _Credentials
    until: float
    reason: str
    refused: bool
    backoff: float = 0.0


class _GrantRefused(Exception):
    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code

    def __str__(self) -> str:
        return f"Login with Amazon answered {self.code}: {REFUSALS[self.code]}"


class GrantlessTokens:
    """Implements Tokens for operations that belong to the application, not to a seller."""

    def __init__(self, tokens: "AccessTokens", scope: str, clock: Clock) -> None:
        self._tokens = tokens
        self._scope = scope
        self._clock = clock
        self._lock = asyncio.Lock()
        self._token = ""
        self._renew_at = 0.0

    async def token(self) -> str:
        """Return a token for the next call. Raises CredentialsRefused or Unavailable."""
        async with self._lock:
            if not self._token or self._clock.monotonic() >= self._renew_at:
                self._token, life = await self._tokens.grantless(self._scope)
                self._renew_at = self._clock.monotonic() + 0.8 * life
            return self._token

    def drop(self, token: str) -> None:
        """Forget this token if it is still the current one."""
        if self._token == token:
            self._token = ""


class AccessTokens:
    """The seller's access token, for every caller of the SP-API.

    `client_secrets` (newest first) and `refresh_token()` are read for every refresh, so that a change is tried at once.
    `on_state` is called at each change of state.
    """

    def __init__(
        self,
        transport: Transport,
        clock: Clock,
        *,
        endpoint: str,
        client_id: str,
        client_secrets: Sequence[str],
        refresh_token: Callable[[], str | None],
        on_state: Callable[[str], None],
    ) -> None:
        self._transport = transport
        self._clock = clock
        self._endpoint = endpoint
        self._client_id = client_id
        self._client_secrets = client_secrets
        self._refresh_token = refresh_token
        self._on_state = on_state
        self._announced: TokenState | None = None
        self._good: tuple[tuple[str, ...], str] | None = None
        self._token: _AccessToken | None = None
        self._hold: _Hold | None = None
        self._refreshing: asyncio.Task[None] | None = None

    async def token(self) -> str:
        """Return a token for the next call.

        Raises CredentialsRefused, with the seconds until the next probe, or Unavailable. The error is never unclear and
        never RateLimited, because the call that needs the token has not been made.
        """
        while True:
            credentials = self._credentials()
            if credentials is None:
                self._announce()
                raise CredentialsRefused(NOT_AUTHORIZED, retry_after=PROBE_EVERY)
            now = self._clock.monotonic()
            hold = self._hold if self._hold and self._hold.of == credentials and now < self._hold.until else None
            token = self._token
            if token and token.of.refresh_token == credentials.refresh_token and now < token.expires_at:
                if now >= token.renew_at and not hold:
                    self._refresh(credentials)
                return token.value
            if hold and hold.refused:
                raise CredentialsRefused(hold.reason, retry_after=hold.until - now)
            if hold:
                raise Unavailable(hold.reason, unclear=False, retry_after=hold.until - now)
            await asyncio.shield(self._refresh(credentials))

    def drop(self, token: str) -> None:
        """Forget this token if it is still the current one, because Amazon has just rejected it."""
        if self._token and self._token.value == token:
            self._token = None

    async def grantless(self, scope: str) -> tuple[str, int]:
        """Ask for a token of one scope, which needs no seller. Return the token and its lifetime in seconds.

        Raises CredentialsRefused or Unavailable.
        """
        form = {"grant_type": "client_credentials", "scope": scope}
        try:
            grant = await self._ask(form, tuple(self._client_secrets))
        except _GrantRefused as refused:
            raise CredentialsRefused(str(refused), retry_after=PROBE_EVERY) from None
        value, life = grant.get("access_token"), _seconds(grant.get("expires_in"))
        if not _is_token(value) or life is None:
            raise Unavailable("Login with Amazon sent no readable access token")
        return value, life

    async def trade_code(self, code: str, redirect_uri: str) -> str:
        """Trade the consent page's code for a refresh token. The code works once, and for five minutes.

        Raises Refused when Amazon rejects the code, CredentialsRefused when it rejects our credentials, or Unavailable.
        """
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect_uri}
        try:
            grant = await self._ask(form, tuple(self._client_secrets))
        except _GrantRefused as refused:
            if refused.code == "invalid_client":
                raise CredentialsRefused(str(refused), retry_after=PROBE_EVERY) from None
            raise Refused(refused.code, "Login with Amazon did not accept the authorization code") from None
        refresh_token = grant.get("refresh_token")
        if not _is_token(refresh_token):
            raise Unavailable("Login with Amazon sent no refresh token")
        return refresh_token

    @property
    def state(self) -> TokenState:
        """Say whether calls can be authorized, as far as is known."""
        credentials = self._credentials()
        if credentials is None:
            return TokenState.NO_TOKEN
        refused = self._hold and self._hold.refused and self._hold.of == credentials
        return TokenState.REFUSED if refused else TokenState.OK

    async def close(self) -> None:
        """Cancel a running refresh; call this before closing the session."""
        if self._refreshing:
            self._refreshing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._refreshing

    def _credentials(self) -> _Credentials | None:
        refresh_token = self._refresh_token()
        secrets = tuple(self._client_secrets)
        return _Credentials(refresh_token, secrets) if refresh_token and secrets else None

    def _refresh(self, credentials: _Credentials) -> asyncio.Task[None]:
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = asyncio.create_task(self._refresh_once(credentials))
        return self._refreshing

    async def _refresh_once(self, credentials: _Credentials) -> None:
        form = {"grant_type": "refresh_token", "refresh_token": credentials.refresh_token}
        try:
            grant = await self._ask(form, credentials.client_secrets)
            self._token = self._read_token(credentials, grant)
            self._hold = None
        except _GrantRefused as refused:
            until = self._clock.monotonic() + PROBE_EVERY
            self._hold = _Hold(credentials, until, str(refused), refused=True)
        except Unavailable as failure:
            self._hold = self._hold_after(credentials, failure)
        self._announce()

    def _hold_after(self, credentials: _Credentials, failure: Unavailable) -> _Hold:
        now, last = self._clock.monotonic(), self._hold
        if last is None or last.of != credentials:
            last = _Hold(credentials, now, "", refused=False)
        if last.refused:  # nothing has changed: they stay parked
            return _Hold(credentials, now + PROBE_EVERY, last.reason, refused=True)
        backoff = min(LONGEST_BACKOFF, max(FIRST_BACKOFF, 2 * last.backoff))
        until = now + max(backoff, min(failure.retry_after or 0.0, PROBE_EVERY))
        return _Hold(credentials, until, str(failure), refused=False, backoff=backoff)

    async def _ask(self, form: Mapping[str, str], client_secrets: tuple[str, ...]) -> Mapping[str, object]:
        """Ask for a grant with each client secret in turn: first the one that worked last, unless one is new."""
        good = self._good[1] if self._good and self._good[0] == client_secrets else None
        for secret in sorted(client_secrets, key=lambda secret: good is not None and secret != good):
            try:
                grant = _read_grant(await self._post({**form, "client_id": self._client_id, "client_secret": secret}))
            except _GrantRefused as refused:
                if refused.code != "invalid_client":
                    raise
            else:
                self._good = client_secrets, secret
                return grant
        raise _GrantRefused("invalid_client")

    async def _post(self, form: Mapping[str, str]) -> Reply:
        headers = {"Content-Type": "application/x-www-form-urlencoded;charset=UTF-8", "Accept": "application/json"}
        body = urlencode(form).encode()
        try:
            return await self._transport.send("POST", self._endpoint, operation="token", headers=headers, body=body)
        except Transient as failure:
            raise Unavailable(str(failure), retry_after=failure.retry_after) from None
        except ContractBroken as failure:
            raise Unavailable(str(failure)) from None

    def _read_token(self, credentials: _Credentials, grant: Mapping[str, object]) -> _AccessToken:
        value, life = grant.get("access_token"), _seconds(grant.get("expires_in"))
        if not _is_token(value) or life is None:
            raise Unavailable("Login with Amazon sent no readable access token")
        now = self._clock.monotonic()
        margin = min(60.0, life / 20)  # the token must still be valid when a call that starts now arrives
        return _AccessToken(credentials, value, renew_at=now + 0.8 * life, expires_at=now + life - margin)

    def _announce(self) -> None:
        state = self.state
        if state is not self._announced:
            self._announced = state
            self._on_state(state)


def _read_grant(reply: Reply) -> Mapping[str, object]:
    """Accept status 200 with a JSON object without an error; a known error is a refusal, anything else no answer."""
    try:
        document = json.loads(reply.body)
    except (ValueError, RecursionError):
        document = None
    if isinstance(document, dict):
        code = document.get("error")
        if isinstance(code, str) and code in REFUSALS:
            raise _GrantRefused(code)
        if reply.status == 200 and code is None:
            return document
    raise Unavailable(f"Login with Amazon gave no usable answer (status {reply.status})")


def _is_token(value: object) -> TypeGuard[str]:
    """Say whether this can be sent in a header."""
    return isinstance(value, str) and value != "" and value.isascii() and value.isprintable()


def _seconds(value: object) -> int | None:
    """Read a positive whole number, which may be written as text."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 9:
        value = int(value)
    return value if type(value) is int and value > 0 else None
