"""Sealed values: what each kind is sealed for, and how one stands in a column of texts."""

import base64

from daemon.ports.host import SecretBox

SEALED = "sealed:"
"""How a text begins that is stored encrypted, in base64."""

OFFER = "postage offer"
BOUGHT_LABEL = "label document"
HOSTED_LABEL = "hosted label"
LABEL_LINK = "label link"


def dead_letter(shop: str) -> str:
    """What the content of a dead letter is sealed for."""
    return f"dead letter of {shop}"


def is_sealed(text: str) -> bool:
    """Whether a text is stored encrypted."""
    return text.startswith(SEALED)


def as_text(sealed: bytes) -> str:
    """A sealed value as a column of texts holds it."""
    return SEALED + base64.b64encode(sealed).decode()


def as_bytes(text: str) -> bytes:
    """A sealed value as the box made it."""
    return base64.b64decode(text.removeprefix(SEALED))


def seal_text(box: SecretBox, plain: bytes, purpose: str) -> str:
    """Encrypt for a column of texts."""
    return as_text(box.seal(plain, purpose))


def unseal_text(box: SecretBox, text: str, purpose: str) -> bytes:
    """Open what `seal_text` made. Raises what the box raises."""
    return box.unseal(as_bytes(text), purpose)
