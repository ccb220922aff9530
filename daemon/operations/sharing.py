"""Which accounts a verb concerns, and what it answers where several nodes share them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from daemon.errors import OperatorError
from daemon.operations.verb import Concerns, OfAccount, OfReturns, OfShop
from daemon.ports.store import ReadableStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Owners:
    """Finds the accounts of shops and of returns; `account_of` has the configured shops."""

    store: ReadableStore
    accounts: Sequence[str]
    account_of: Mapping[str, str]

    async def of(self, concerns: Concerns) -> list[str]:
        """The accounts; none where the verb itself has to say what is wrong. Raises OperatorError, StoreUnavailable."""
        match concerns:
            case OfAccount(name):
                return self._named(name)
            case OfShop(None):
                return list(self.accounts)
            case OfShop(shop):
                return self._owning([shop or ""])
            case OfReturns(names):
                return self._owning([await self._shop_of(name) for name in names])

    def _named(self, account: str | None) -> list[str]:
        if account is None and len(self.accounts) > 1:
            raise OperatorError(f"there are several accounts; name one with --account: {', '.join(self.accounts)}")
        return [name for name in self.accounts if account in {None, name}]

    def _owning(self, shops: Iterable[str]) -> list[str]:
        return list(dict.fromkeys(self.account_of[shop] for shop in shops if shop in self.account_of))

    async def _shop_of(self, name: str) -> str:
        shop, _, return_id = name.rpartition("/")
        if shop:
            return shop
        found = {shop for shop, _ in await self.store.read(lambda uow: uow.find(return_id))}
        found = found or set(self.account_of)
        return next(iter(found)) if len(found) == 1 else ""


def added_up(answers: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """One answer from those of several accounts: lists go on, and what is true is true of all."""
    whole: dict[str, Any] = {}
    for answer in answers:
        for name, value in answer.items():
            if isinstance(value, list):
                whole[name] = [*whole.get(name, []), *value]
            else:
                whole[name] = whole.get(name, True) and value
    return whole
