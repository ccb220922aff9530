"""Sealed values: the purpose of each kind, and their form in text columns."""

import base64

from daemon.ports.host import SecretBox

SEALED = "sealed:"
"""The prefix of encrypted texts, followed by base64."""

OFFER = "postage offer"
BOUGHT_LABEL = "label document"
HOSTED_LABEL = "hosted label"
LABEL_LINK = "label link"


def dead_letter(shop: str) -> str:
    """The purpose for which a dead letter's content is sealed."""
    return f"dead letter of {shop}"


def is_sealed(text: str) -> bool:
    """Whether a text is encrypted."""
    return text.startswith(SEALED)


def as_text(sealed: bytes) -> str:
    """A sealed value in the form of a text column."""
    return SEALED + base64.b64encode(sealed).decode()


def as_bytes(text: str) -> bytes:
    """A sealed value in the form that the box made."""
    return base64.b64decode(text.removeprefix(SEALED))


def seal_text(box: SecretBox, plain: bytes, purpose: str) -> str:
    """Encrypt for a text column."""
    return as_text(box.seal(plain, purpose))


def unseal_text(box: SecretBox, text: str, purpose: str) -> bytes:
    """Decrypt the result of `seal_text`. Raises as the box does."""
    return box.unseal(as_bytes(text), purpose)
