"""Encryption at rest: AES-256-GCM with the operator's newest key; older keys still open what they sealed."""

import hashlib
import os
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from daemon.errors import McfdError

KEY_MARK = 4
NONCE = 12


class SealBroken(McfdError):
    """A sealed value cannot be opened: no configured key fits, or the value was changed."""


class Vault:
    """Implements the SecretBox port. A sealed value consists of the key's mark, the nonce and the ciphertext."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        """Take the 32-byte keys, newest first."""
        self._keys = {_mark(key): AESGCM(key) for key in keys}
        self._newest = _mark(keys[0])

    def seal(self, plain: bytes, purpose: str) -> bytes:
        """Encrypt with the newest key; the value opens only for the same purpose."""
        nonce = os.urandom(NONCE)
        return self._newest + nonce + self._keys[self._newest].encrypt(nonce, plain, purpose.encode())

    def unseal(self, sealed: bytes, purpose: str) -> bytes:
        """Decrypt with the key that sealed the value. Raises SealBroken."""
        mark, nonce, text = sealed[:KEY_MARK], sealed[KEY_MARK : KEY_MARK + NONCE], sealed[KEY_MARK + NONCE :]
        key = self._keys.get(mark)
        if key is None:
            raise SealBroken("no key in vault_keys fits a sealed value; put back the key that was removed")
        try:
            return key.decrypt(nonce, text, purpose.encode())
        except (InvalidTag, ValueError) as error:  # ValueError: too short to be a sealed value
            raise SealBroken("a sealed value was changed or belongs to another place") from error

    @property
    def mark(self) -> str:
        """Identifies the newest key without revealing anything about it."""
        return self._newest.hex()

    def is_current(self, sealed: bytes) -> bool:
        """Whether the newest key sealed this value."""
        return sealed[:KEY_MARK] == self._newest


def _mark(key: bytes) -> bytes:
    return hashlib.sha256(b"mcfd vault key" + key).digest()[:KEY_MARK]
