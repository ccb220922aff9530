"""Errands: what an operator has asked of one node, and another has to do, because it works the account."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand:
    """A verb, by its path, for an account; what was asked is sealed."""

    name: str
    account: str
    verb: str
    asked: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far an errand is: the node that has begun it, whether that node is gone, and the sealed answer."""

    node: str | None = None
    gone: bool = False
    answer: bytes | None = field(default=None, repr=False)


class ErrandBook(Protocol):
    """The errands in the database, whose clock counts. Every method raises StoreUnavailable."""

    async def ask(self, errand: Errand, seconds: float) -> None:
        """Keep an errand for so many seconds, and tell the other nodes."""

    async def keep(self, name: str, seconds: float) -> None:
        """Keep it longer: somebody still waits for it."""

    async def look(self, name: str) -> Progress | None:
        """How far it is; None if it is not kept any more."""

    async def withdraw(self, name: str) -> bool:
        """Drop it; True if nobody had begun it."""

    async def waiting(self) -> Sequence[Errand]:
        """Those that nobody has begun; drops what nobody waits for."""

    async def begin(self, name: str, node: str) -> bool:
        """Begin it under the current lease; False if it is too late, or somebody was faster. Raises LeaseLost."""

    async def answer(self, name: str, answer: bytes) -> None:
        """Keep the answer, if somebody still waits for it."""
