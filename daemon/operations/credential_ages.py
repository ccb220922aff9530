"""How old credentials are: Amazon's client secret lives 180 days, an authorization 365.

https://developer-docs.amazon/sp-api/docs/rotating-your-apps-lwa-credentials,
https://developer-docs.amazon/sp-api/docs/renew-authorizations
"""

import hashlib
import json
import math
from collections.abc import Sequence

from daemon.domain.durations import DAY
from daemon.operations.authorization import RefreshTokens
from daemon.ports.host import Clock
from daemon.ports.names import at_account
from daemon.ports.store import ReturnStore, UnitOfWork

SECRET_LIVES = 180.0
AUTHORIZATION_LIVES = 365.0
"""Days."""

ENDS_MARK = "amazon/client-secret-ends"
"""The mark for a client secret's end as announced by Amazon, with the secret's hash."""


class Ages:
    """Measures ages. Until Amazon says when a secret ends, its age counts from the day its hash first appeared here."""

    def __init__(self, store: ReturnStore, clock: Clock, tokens: RefreshTokens) -> None:
        self._store = store
        self._clock = clock
        self._tokens = tokens
        self._account = tokens.account
        self._secret_since: float | None = None
        self._authorized_since: float | None = None

    async def look(self, client_secrets: Sequence[str], *, noting: bool = True) -> None:
        """Note the credentials in use, the newest client secret first. Without `noting`, only read."""
        token = self._tokens.current()
        self._secret_since = await self._first_seen("amazon_client_secret", client_secrets, noting=noting)
        ends_mark = at_account(ENDS_MARK, self._account)
        about_end = await self._store.read(lambda uow: uow.mark(ends_mark))
        told = json.loads(about_end or "{}")
        if client_secrets and told.get("digest") == _digest(client_secrets[0]):
            self._secret_since = told["at"] - SECRET_LIVES * DAY
        if token is None or self._tokens.from_file:
            tokens = [token] if token else []
            self._authorized_since = await self._first_seen("amazon_refresh_token", tokens, noting=noting)
        else:
            self._authorized_since = await self._tokens.authorized_at()

    def secret_days(self) -> float:
        """Days since the newest client secret was first seen; NaN before it was."""
        return self._days(self._secret_since)

    def authorization_days(self) -> float:
        """Days since the authorization in use was given, or its token first seen; NaN without one."""
        return self._days(self._authorized_since)

    def _days(self, since: float | None) -> float:
        return math.nan if since is None else (self._clock.now() - since) / DAY

    async def _first_seen(self, name: str, secrets: Sequence[str], *, noting: bool) -> float | None:
        now, mark = self._clock.now(), at_account(f"first-seen/{name}", self._account)
        digests = [_digest(secret) for secret in secrets]

        def read(uow: UnitOfWork) -> dict[str, float]:
            known = json.loads(uow.mark(mark) or "{}")
            return {digest: known.get(digest, now) for digest in digests}

        def note(uow: UnitOfWork) -> dict[str, float]:
            seen = read(uow)
            uow.set_mark(mark, json.dumps(seen))
            return seen

        seen = await (self._store.transact(note) if noting else self._store.read(read))
        return seen[digests[0]] if digests else None


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
