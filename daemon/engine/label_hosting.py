"""Labels that shoppers fetch from mcfd: encrypted in the store, behind links that cannot be guessed."""

import re
from collections.abc import Callable

from daemon.ports.host import Clock, SecretBox
from daemon.ports.names import hosted_label
from daemon.ports.sealed import HOSTED_LABEL, LABEL_LINK, is_sealed, seal_text, unseal_text
from daemon.ports.store import ReturnStore, UnitOfWork

_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}\.pdf")


class LabelHosting:
    """Publishes documents under mcfd's own links. `new_token` gives 256 random bits as 43 characters."""

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
        """Returns a sealed link, and the work that stores its document in the transaction that saves the link."""
        token = self._new_token()
        sealed = self._box.seal(document, HOSTED_LABEL)
        expires_at = self._clock.now() + self._retention
        link = seal_text(self._box, f"{self._public_url}/labels/{token}.pdf".encode(), LABEL_LINK)
        return link, lambda uow: uow.keep_document(hosted_label(token), sealed, expires_at)

    def is_ours(self, url: str) -> bool:
        """Whether the link leads to a label hosted here."""
        prefix = f"{self._public_url}/labels/"
        return url.startswith(prefix) and _TOKEN.fullmatch(url.removeprefix(prefix)) is not None

    def restore(self, url: str, document: bytes | None) -> tuple[str, Callable[[UnitOfWork], None]]:
        """Answer an earlier link again: with the document, or, without one, that it is not kept any more.

        Returns the sealed link, and the work that stores the document unless one is there.
        """
        name = hosted_label(url.rpartition("/")[2].removesuffix(".pdf"))
        sealed = self._box.seal(document, HOSTED_LABEL) if document else b""
        expires_at = self._clock.now() + (self._retention if document else 0.0)

        def keep(uow: UnitOfWork) -> None:
            if not uow.document(name):
                uow.keep_document(name, sealed, expires_at)

        return seal_text(self._box, url.encode(), LABEL_LINK), keep

    def reveal(self, url: str) -> str:
        """The link as the portal and the shopper need it; other links are not sealed and stay as they are."""
        return unseal_text(self._box, url, LABEL_LINK).decode() if is_sealed(url) else url

    def withdraw(self, uow: UnitOfWork, url: str) -> None:
        """Withdraw the document behind one of our links, as if its retention were over."""
        if is_sealed(url):
            token = self.reveal(url).rpartition("/")[2].removesuffix(".pdf")
            uow.keep_document(hosted_label(token), b"", self._clock.now())

    async def open(self, token: str) -> bytes | None:
        """The document behind a link; empty after its retention, None if there never was one."""
        sealed = await self._store.read(lambda uow: uow.document(hosted_label(token)))
        return self._box.unseal(sealed, HOSTED_LABEL) if sealed else sealed
