"""Seals everything again under the newest vault key, so that older keys can go; detects keys removed too soon."""

from collections.abc import Sequence
from typing import Protocol

import structlog

from daemon.errors import ConfigError, McfdError, OperatorError
from daemon.ports.host import SecretBox
from daemon.ports.names import BOUGHT_LABELS, LABEL_PROOFS
from daemon.ports.sealed import (
    BOUGHT_LABEL,
    HOSTED_LABEL,
    LABEL_LINK,
    OFFER,
    as_bytes,
    as_text,
    dead_letter,
    seal_text,
    unseal_text,
)
from daemon.ports.store import MaintainedStore, Maintenance, ReturnStore, SealedKind, SealedValue

log = structlog.get_logger(__name__)

AT_ONCE = 50
PROOF_MARK = "vault/proof"
KEY_GONE = (
    "secret vault_keys: lacks the key that the store was sealed under; put it back below the new one, run "
    "`mcfd purge --rekey`, then remove it. If it is lost, that command tells how much is lost with it, and mcfd starts"
)


class Keyring(SecretBox, Protocol):
    """A box with several keys."""

    @property
    def mark(self) -> str:
        """A fingerprint of the newest key, which reveals nothing about it."""

    def is_current(self, sealed: bytes) -> bool:
        """Whether it was sealed with the newest key."""


def purpose(value: SealedValue) -> str:
    """The purpose that a stored value was sealed for."""
    match value.shelf:
        case SealedKind.DOCUMENTS:
            return BOUGHT_LABEL if value.about.startswith(BOUGHT_LABELS) else HOSTED_LABEL
        case SealedKind.DEAD_LETTERS:
            return dead_letter(value.about)
        case SealedKind.OFFERS:
            return OFFER
        case SealedKind.LINKS:
            return LABEL_LINK
        case SealedKind.MARKS:
            return LABEL_LINK if value.about.startswith(LABEL_PROOFS) else value.about


async def prove_keys(store: ReturnStore, box: SecretBox) -> None:
    """Raise ConfigError if no key opens this store's values, rather than fail at every label."""
    if not await keys_fit(store, box):
        raise ConfigError([KEY_GONE])
    if await store.read(lambda uow: uow.mark(PROOF_MARK)) is None:
        await store.transact(lambda uow: uow.set_mark(PROOF_MARK, _proof(box)))


async def keys_fit(store: ReturnStore, box: SecretBox) -> bool:
    """Whether a key opens this store's values; before the first start any does."""
    sealed = await store.read(lambda uow: uow.mark(PROOF_MARK))
    if sealed is not None:
        try:
            unseal_text(box, sealed, PROOF_MARK)
        except McfdError:
            return False
    return True


def _proof(box: SecretBox) -> str:
    return seal_text(box, b"", PROOF_MARK)


class Rekeying:
    """Reseals all values, a few in each transaction; may be interrupted and repeated at any time."""

    def __init__(self, store: MaintainedStore, box: Keyring) -> None:
        self._store = store
        self._box = box

    def expect(self, newest: str) -> None:
        """Raise OperatorError if the newest key is another: the newly sealed values would still need the old one."""
        if newest != self._box.mark:
            raise OperatorError(
                "nothing is sealed anew: the daemon does not have the newest key of vault_keys yet; "
                "`systemctl restart mcfd`, then again"
            )

    async def run(self) -> dict[str, int]:
        """Seal everything again; returns how many values were resealed, and how many no key opens."""
        counts = {"resealed": 0, "unreadable": 0}
        for shelf in SealedKind:
            keys = await self._store.survey(lambda keep, shelf=shelf: keep.sealed_keys(shelf))  # type: ignore[misc]
            for start in range(0, len(keys), AT_ONCE):
                batch = keys[start : start + AT_ONCE]
                outcomes = await self._store.upkeep(lambda keep, s=shelf, b=batch: self._some(keep, s, b))  # type: ignore[misc]
                for outcome in outcomes:
                    counts[outcome] += 1
        await self._store.transact(lambda uow: uow.set_mark(PROOF_MARK, _proof(self._box)))
        log.info("store.rekeyed", **counts)
        return counts

    def _some(self, keep: Maintenance, shelf: SealedKind, keys: Sequence[tuple[int | str, ...]]) -> list[str]:
        values = (keep.sealed(shelf, key) for key in keys)
        return [outcome for value in values if value is not None and (outcome := self._one(keep, value))]

    def _one(self, keep: Maintenance, value: SealedValue) -> str:
        sealed = value.sealed
        old = as_bytes(sealed) if isinstance(sealed, str) else sealed
        if self._box.is_current(old):
            return ""
        what = purpose(value)
        try:
            new = self._box.seal(self._box.unseal(old, what), what)
        except McfdError:
            return "unreadable"
        keep.reseal(value, as_text(new) if isinstance(sealed, str) else new)
        return "resealed"
