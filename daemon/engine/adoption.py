"""Takes over returns whose past the store does not know: after a lost disk, or from another integration."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import structlog

from daemon.domain.returns import State
from daemon.engine.handlers.adoption import Kind, take_over, unknown
from daemon.engine.handlers.context import ShopContext
from daemon.errors import StaleReturn

__all__ = ["Adoption", "AdoptionResult", "Kind"]

log = structlog.get_logger(__name__)

T = TypeVar("T")

MOST_STARTS = 5
"""How often a return is read again because it has changed while it was read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AdoptionResult:
    """What became of one return: `state` if it was adopted or is known, `why` if it was not adopted."""

    shop: str
    return_id: str
    kind: Kind
    state: State | None = None
    why: str = ""


class Adoption:
    """Takes over one return at a time. `wake` is called when one has been taken over."""

    def __init__(self, contexts: Mapping[str, ShopContext], wake: Callable[[], None] = lambda: None) -> None:
        self._contexts = contexts
        self._wake = wake

    async def adopt(
        self, shop: str, return_id: str, *, dry_run: bool = False, by: str = "", again: bool = False
    ) -> AdoptionResult:
        """Read the return at the vendors, and take it over if the store does not know its past.

        `again` also takes over a return that is known, as the vendors show it. Raises as the vendors' ports do,
        StoreUnavailable, and StaleReturn if the return keeps changing meanwhile.
        """
        context = self._contexts[shop]
        blank = unknown(shop, return_id, context)
        found, state = await _until_still(partial(take_over, blank, context, by=by, dry=dry_run, again=again))
        if found.kind is Kind.ADOPTED and not dry_run:
            log.info("return.adopted", ref=f"{shop}/{return_id}", after=state, by=by)
            self._wake()
        return AdoptionResult(shop=shop, return_id=return_id, kind=found.kind, state=state, why=found.why)


async def _until_still(look: Callable[[], Awaitable[T]]) -> T:
    """Look again while the return changes meanwhile, a few times."""
    for _ in range(MOST_STARTS - 1):
        with suppress(StaleReturn):
            return await look()
    return await look()
