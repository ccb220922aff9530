"""Part of the composition root: runs each verb on the node that works the accounts it concerns."""

import asyncio
import secrets
from collections.abc import Mapping
from functools import cache, partial
from typing import Any

from daemon.app.resources import Resources
from daemon.app.verbs import Accesses
from daemon.engine.leases import NodeLeases
from daemon.errors import LeaseLost, McfdError, OperatorError
from daemon.operations.errands import AnyVerb, Errands
from daemon.operations.sharing import Owners, added_up
from daemon.operations.verb import EXAMINATION, Page
from daemon.operations.verbs import VERBS
from daemon.ports.errands import ErrandBook


class Dispatch:
    """Answers verbs on one node among several; `errands` take them to the others."""

    def __init__(self, resources: Resources, book: ErrandBook, leases: NodeLeases, accesses: Accesses) -> None:
        settings = resources.current.settings
        self._holdings = leases
        self._owners = Owners(store=resources.store, accounts=list(resources.accounts), account_of=settings.account_of)
        self._whole, self._general, self._only = accesses.whole, accesses.general, cache(accesses.only)
        self.errands = Errands(
            book,
            resources.vault,
            resources.clock,
            leases,
            node=leases.node,
            new_name=partial(secrets.token_urlsafe, 16),
            verbs={verb.path: verb for verb in VERBS},
            run=self.here,
        )

    async def answer(self, verb: AnyVerb, given: Mapping[str, object]) -> dict[str, Any]:
        """Run the verb here, or where its accounts are worked. Raises OperatorError, McfdError."""
        concerns = verb.concerns(verb.read(given))
        if concerns is None:
            return await verb.call(self._whole[verb.need], given)
        accounts = await self._owners.of(concerns)
        if not accounts:
            return await verb.call(self._whole[verb.need], given)
        if issubclass(verb.answer, Page) and len(accounts) > 1:
            return await self._of_all(verb, accounts, given)
        if verb.without is None or (len(accounts) == 1 and verb.need is not EXAMINATION):
            return await self._of_one(verb, accounts[0], given)
        parts = await asyncio.gather(*(self._part(verb, account, given) for account in accounts))
        if verb.need is EXAMINATION:
            parts.insert(0, await verb.call(self._general, given))
        return added_up(parts)

    async def here(self, verb: AnyVerb, account: str, given: Mapping[str, object]) -> dict[str, Any]:
        """Run the verb for an account that this node works. Raises LeaseLost if it does not; as the verb does."""
        lease = self._holdings.of(account)
        if lease is None:
            raise LeaseLost(f"{verb.name}: another node works the account {account} by now; ask again")
        with lease.working() if verb.sends else lease.reading():
            return await verb.call(self._only(account)[verb.need], given)

    async def _of_one(self, verb: AnyVerb, account: str, given: Mapping[str, object]) -> dict[str, Any]:
        if self._holdings.of(account) is None:
            return await self.errands.ask(verb, account, given)
        return await self.here(verb, account, given)

    async def _part(self, verb: AnyVerb, account: str, given: Mapping[str, object]) -> dict[str, Any]:
        """The answer for one of several accounts; one that cannot be asked holds up no other."""
        try:
            return await self._of_one(verb, account, given)
        except McfdError as error:
            if verb.without is None:
                raise
            return verb.without(account, str(error))

    async def _of_all(self, verb: AnyVerb, accounts: list[str], given: Mapping[str, object]) -> dict[str, Any]:
        """An answer in pages about several accounts is given by a node that works all of them."""
        elsewhere = [account for account in accounts if self._holdings.of(account) is None]
        if elsewhere:
            which = ", ".join(elsewhere)
            raise OperatorError(f"{verb.name}: other nodes work {which}; ask with --shop for one shop at a time")
        return await verb.call(self._whole[verb.need], given)
