"""What keeping the store needs of it, beside the returns' own port."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeVar

from daemon.domain.records import LetterRow, ReasonSeen, SealedValue, Shelf, StoreSize
from daemon.domain.returns import State
from daemon.ports import ReturnStore

T = TypeVar("T")

AT_REST = frozenset({State.CLOSED, State.CANCELLED})
"""What is not open any more."""


class Upkeep(Protocol):
    """What may be done for the store's own sake inside one transaction. `before` is in Unix seconds."""

    def letters(self) -> Sequence[LetterRow]:
        """Every dead letter, oldest first."""

    def letter(self, letter_id: int) -> tuple[LetterRow, bytes] | None:
        """A dead letter and its sealed content."""

    def drop_letter(self, letter_id: int) -> bool:
        """Forget a dead letter; False when there was none."""

    def drop_letters(self, before: float) -> int:
        """Forget the dead letters received before; how many."""

    def drop_deliveries(self, before: float, limit: int) -> int:
        """Forget deliveries received before; how many, at most `limit`."""

    def drop_empty_documents(self, before: float) -> int:
        """Forget that documents existed whose retention ended before; how many."""

    def drop_documents_named(self, prefix: str) -> None:
        """Forget the documents whose names begin so."""

    def ended(self, before: float, limit: int) -> Sequence[tuple[str, str, State]]:
        """(shop, return id, state) of returns that ended before and that nothing is due for."""

    def drop_return(self, shop: str, return_id: str) -> None:
        """Forget a return with its parts and its history."""

    def drop_mark(self, name: str) -> None:
        """Forget a remembered value."""

    def sealed_keys(self, shelf: Shelf) -> Sequence[tuple[int | str, ...]]:
        """The keys of every sealed value of a shelf."""

    def sealed(self, shelf: Shelf, key: tuple[int | str, ...]) -> SealedValue | None:
        """A sealed value; None when it has gone meanwhile."""

    def reseal(self, value: SealedValue, sealed: bytes | str) -> None:
        """Put another sealed value in its place; whoever holds its return meanwhile must read it again."""

    def changed_since(self, since: float, after: int, limit: int) -> Sequence[tuple[int, str, str]]:
        """(place, shop, return id) of returns that changed since, behind the place `after`, in order."""

    def reasons(self) -> Sequence[ReasonSeen]:
        """The reasons of all stored units, the most frequent first."""

    def held(self, limit: int) -> Sequence[tuple[str, str, str, float]]:
        """(shop, return id, problem, Unix seconds since when) of returns that wait for an order, the oldest first."""

    def held_counts(self) -> Mapping[str, int]:
        """How many there are, by shop."""

    def some_sku(self) -> str | None:
        """Amazon's SKU of the newest unit."""

    def last_label(self, shop: str) -> float | None:
        """When the newest return of a shop that has a label got it."""


class UpkeepStore(ReturnStore, Protocol):
    """The whole store. Every method raises StoreUnavailable."""

    async def upkeep(self, work: Callable[[Upkeep], T]) -> T:
        """Run `work` in a transaction of its own; resolves only after the commit."""

    async def survey(self, work: Callable[[Upkeep], T]) -> T:
        """Run `work`, which only reads."""

    async def shrink(self) -> int:
        """Give unused pages back to the disk and empty the log; how many bytes the file lost."""

    async def sizes(self) -> StoreSize:
        """How large the database is, and whether it is sound."""
