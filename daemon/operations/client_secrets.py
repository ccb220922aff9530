"""Client secrets that Amazon sent: kept sealed, tried before the secret file's, and rotated in time if configured.

https://developer-docs.amazon/sp-api/docs/rotate-your-application-client-secret
"""

import hashlib
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import structlog

from daemon.domain.durations import DAY
from daemon.domain.returns import MAIN_ACCOUNT
from daemon.errors import McfdError, OperatorError, Unavailable
from daemon.operations.credential_ages import ENDS_MARK
from daemon.operations.verb import instant
from daemon.operations.verbs.notifications import RotationAsked, SecretsShown
from daemon.ports.host import Clock, SecretBox
from daemon.ports.names import at_account
from daemon.ports.sealed import seal_text, unseal_text
from daemon.ports.store import ReturnStore, UnitOfWork

log = structlog.get_logger(__name__)

SECRETS_MARK = "amazon/client-secrets"  # the name of the mark, and the purpose of its sealed value
RECEIVED_MARK = "amazon/client-secrets-received"
ASKED_MARK = "amazon/client-secret-asked-for"
MOST_KEPT = 3
ROTATE_WITHIN = 30.0
"""The remaining days at which the client secret is rotated."""

PATIENCE = 3600.0
"""Seconds to wait for Amazon's answer before another request is made."""


class ClientSecrets:
    """Secrets that Amazon sent and the file lacks. `use` puts them before the file's; `noted` is called on change."""

    def __init__(
        self,
        store: ReturnStore,
        box: SecretBox,
        *,
        from_file: Callable[[], Sequence[str]],
        use: Callable[[Sequence[str]], None],
        conceal: Callable[[list[str]], None],
        account: str = MAIN_ACCOUNT,
    ) -> None:
        self._store = store
        self._box = box
        self._from_file = from_file
        self._use = use
        self._conceal = conceal
        self.account = account
        self._secrets_mark = at_account(SECRETS_MARK, account)
        self.received_mark = at_account(RECEIVED_MARK, account)
        self._ends_mark = at_account(ENDS_MARK, account)
        self._kept: tuple[str, ...] = ()
        self.noted: Callable[[], Awaitable[None]] | None = None

    @property
    def only_here(self) -> bool:
        """Whether the only copy of a client secret is on this disk."""
        return any(secret not in self._from_file() for secret in self._kept)

    def for_the_file(self) -> list[str]:
        """The secrets that the secret file should contain, newest first."""
        return list(dict.fromkeys([*self._kept, *self._from_file()]))

    async def load(self, *, noting: bool = True) -> None:
        """Use the kept secrets, and drop those that the file now has. Raises McfdError for a lost key."""
        kept = await self._store.read(self._read)
        if noting and any(secret in self._from_file() for secret in kept):
            kept = await self._store.transact(self._forget_filed)
        self._take(kept)

    def write(self, uow: UnitOfWork, secret: str) -> None:
        """Keep a new client secret, in the given unit of work."""
        kept = self._readable(uow)
        if secret in kept or secret in self._from_file():
            return  # a repeated message
        self._seal(uow, [secret, *kept][:MOST_KEPT])
        received = json.loads(uow.mark(self.received_mark) or "[]")
        uow.set_mark(self.received_mark, json.dumps([_digest(secret), *received][:MOST_KEPT]))

    def note_end(self, uow: UnitOfWork, at: float) -> None:
        """Remember when the newest secret ends.

        If Amazon sent that secret, its end is known, and the warning is about an older one.
        """
        newest = next(iter([*self._readable(uow), *self._from_file()]), None)
        if newest is not None and _digest(newest) not in json.loads(uow.mark(self.received_mark) or "[]"):
            uow.set_mark(self._ends_mark, json.dumps({"digest": _digest(newest), "at": at}))

    async def changed(self) -> None:
        """Use the secrets that were written."""
        before = self._kept
        self._take(await self._store.read(self._readable))
        if self._kept != before:
            log.warning("amazon.client_secret_received", todo="mcfd client-secret, for the secret file")
        if self.noted is not None:
            await self.noted()

    def _take(self, kept: Sequence[str]) -> None:
        self._conceal(list(kept))
        self._kept = tuple(kept)
        self._use(self._kept)

    def _forget_filed(self, uow: UnitOfWork) -> list[str]:
        left = [secret for secret in self._read(uow) if secret not in self._from_file()]
        self._seal(uow, left)
        return left

    def _seal(self, uow: UnitOfWork, secrets: Sequence[str]) -> None:
        uow.set_mark(self._secrets_mark, seal_text(self._box, json.dumps(list(secrets)).encode(), self._secrets_mark))

    def _read(self, uow: UnitOfWork) -> list[str]:
        sealed = uow.mark(self._secrets_mark)
        if not sealed:
            return []
        plain = unseal_text(self._box, sealed, self._secrets_mark)
        return [str(secret) for secret in json.loads(plain)]

    def _readable(self, uow: UnitOfWork) -> list[str]:
        """The kept secrets; empty if their key is lost, so that a new secret can still be stored."""
        try:
            return self._read(uow)
        except McfdError as error:
            log.error("amazon.client_secrets_lost", reason=str(error))  # noqa: TRY400 - handled, and the text says all
            return []


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """Asks Amazon for a new client secret, which arrives in the queue. `rotate` makes the call."""

    store: ReturnStore
    clock: Clock
    secrets: ClientSecrets
    rotate: Callable[[], Awaitable[None]]
    days_left: Callable[[], float]
    has_queue: bool

    async def show(self) -> SecretsShown:
        """The secrets that the secret file should contain."""
        warning = "whoever reads this can act as the application: let it go into the secret file and nowhere else"
        return SecretsShown(secrets="\n".join(self.secrets.for_the_file()), warning=warning)

    async def ask(self, by: str) -> RotationAsked:
        """Ask for a new secret now. Raises OperatorError if it could not arrive, or if one is still on its way."""
        if not self.has_queue:
            raise OperatorError("amazon.notifications.queue_url is not set, and a new secret arrives in a queue only")
        now = self.clock.now()
        before = await self.store.transact(lambda uow: self._note_asked(uow, now))
        if before is not None:
            text = f"one was asked for at {instant(before)} and is still to arrive; look at `mcfd doctor`"
            raise OperatorError(f"{text}, or ask again an hour later")
        log.warning("amazon.client_secret_asked_for", by=by)
        try:
            await self.rotate()
        except McfdError as error:
            if not isinstance(error, Unavailable) or not error.unclear:
                await self.store.transact(lambda uow: uow.set_mark(self._asked_mark, "0 "))
            raise
        text = "the new client secret arrives in the queue, mostly within minutes"
        return RotationAsked(asked=instant(now) or "", text=text)

    async def in_time(self) -> None:
        """Ask for a new secret if the current one has few days left, at most once a day. Raises as the call does."""
        asked = await self.store.read(lambda uow: uow.mark(self._asked_mark))
        lately = asked is not None and self.clock.now() - float(asked.partition(" ")[0]) < DAY
        if self.days_left() < ROTATE_WITHIN and not lately:
            await self.ask("mcfd")

    def _note_asked(self, uow: UnitOfWork, now: float) -> float | None:
        """Note the request before it is made; returns the time of a recent, unanswered one."""
        asked = uow.mark(self._asked_mark)
        received = uow.mark(self.secrets.received_mark) or "[]"
        if asked is not None:
            at, _, known = asked.partition(" ")
            if known == _digest(received)[:16] and now - float(at) < PATIENCE:
                return float(at)
        uow.set_mark(self._asked_mark, f"{now!r} {_digest(received)[:16]}")
        return None

    @property
    def _asked_mark(self) -> str:
        return at_account(ASKED_MARK, self.secrets.account)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
