"""Labels that shoppers fetch from us: encrypted in the store, reached by a link that cannot be guessed."""

import base64
import hashlib
from collections.abc import Callable

from daemon.ports.host import Clock, SecretBox
from daemon.ports.store import SEALED, ReturnStore, UnitOfWork

LINK = "label link"
DOCUMENT = "hosted label"


class LabelHosting:
    """Publishes documents under links of ours. `new_token` gives 256 random bits as 43 characters."""

    def __init__(
        self,
        store: ReturnStore,
        box: SecretBox,
        clock: Clock,
        *,
        public_url: str,
        retention: float,
        new_token: Callable[[], str],
    ) -> None:
        self._store = store
        self._box = box
        self._clock = clock
        self._public_url = public_url
        self._retention = retention
        self._new_token = new_token

    def publish(self, document: bytes) -> tuple[str, Callable[[UnitOfWork], None]]:
        """A sealed link, and the work that stores its document; to be done in the transaction that saves the link."""
        token = self._new_token()
        sealed = self._box.seal(document, DOCUMENT)
        expires_at = self._clock.now() + self._retention
        link = self._box.seal(f"{self._public_url}/labels/{token}.pdf".encode(), LINK)
        return (
            SEALED + base64.b64encode(link).decode(),
            lambda uow: uow.keep_document(_name(token), sealed, expires_at),
        )

    def reveal(self, url: str) -> str:
        """The link as the portal and the shopper need it; one that is not ours is no secret."""
        if not url.startswith(SEALED):
            return url
        return self._box.unseal(base64.b64decode(url.removeprefix(SEALED)), LINK).decode()

    def withdraw(self, uow: UnitOfWork, url: str) -> None:
        """Nobody reads the document behind a link of ours any more: it is as if its retention were over."""
        if url.startswith(SEALED):
            token = self.reveal(url).rpartition("/")[2].removesuffix(".pdf")
            uow.keep_document(_name(token), b"", self._clock.now())

    async def open(self, token: str) -> bytes | None:
        """The document behind a link; empty when its retention is over, None when there never was one."""
        sealed = await self._store.read(lambda uow: uow.document(_name(token)))
        return self._box.unseal(sealed, DOCUMENT) if sealed else sealed


def _name(token: str) -> str:
    """Documents are found by the hash of their token: who reads the database cannot make a link of it."""
    return "hosted/" + hashlib.sha256(token.encode()).hexdigest()
