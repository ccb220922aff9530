"""Finds the fulfillment orders of a return's units, and explains the result for each order tried."""

from collections.abc import Sequence
from dataclasses import dataclass

from daemon.domain.candidates import (
    Candidate,
    OrderFacts,
    Origin,
    confirmed,
    doubt_words,
    named_candidates,
    one_order,
    unfit,
)
from daemon.domain.orders import FulfillmentOrder
from daemon.domain.returns import Return, ReturnUnit
from daemon.engine.handlers.context import ShopContext
from daemon.engine.handlers.placement import place
from daemon.errors import Refused
from daemon.ports.names import link_mark
from daemon.ports.vendors import Lane

MOST_INDEXED = 20
"""The most orders read for one name; a name shared by more orders says nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """One order id, and the result."""

    order_id: str
    why_not: str
    order: FulfillmentOrder | None = None

    @property
    def answer(self) -> str:
        """The result in words."""
        return self.why_not or "fits"


class OrderSearch:
    """One search. It continues while units have no place, and ends with the index of all orders."""

    def __init__(self, ret: Return, units: Sequence[ReturnUnit], context: ShopContext, lane: Lane) -> None:
        self.tried: list[Tried] = []
        self.orders: list[FulfillmentOrder] = []
        self.doubtful: list[FulfillmentOrder] = []
        self.homed = False
        self._ret = ret
        self._units = units
        self._context = context
        self._lane = lane
        self._postal_code: str | None = None
        self.facts = OrderFacts(
            provider_order_id=ret.provider_order_id,
            order_name=ret.order_name,
            order_number=ret.order_number,
            prefix=context.policy.order_id_prefix,
            submitted_at=ret.submitted_at,
        )

    async def run(self, *, everything: bool = False) -> None:
        """Read candidates until all units have a place; `everything` reads them all."""
        for candidate in await self._named():
            await self._try([candidate])
            if self.homed and not everything:
                return
        index = self._context.account.order_index
        found = await index.find(self._ret, self._names())
        known = {tried.order_id for tried in self.tried}
        fresh = [head.order_id for head in found if head.order_id not in known][:MOST_INDEXED]
        await self._try([Candidate(order_id=order_id, origin=Origin.INDEXED) for order_id in dict.fromkeys(fresh)])
        if self.homed:
            index.leave(self._ret)

    @property
    def why_not(self) -> str:
        """The explanation of a search that found nothing."""
        tried = ", ".join(tried.order_id for tried in self.tried) or "nothing"
        words = f"no fulfillment order holds the units; tried {tried}"
        return f"{words}; {doubt_words(order.order_id for order in self.doubtful)}" if self.doubtful else words

    async def _named(self) -> tuple[Candidate, ...]:
        """Candidates linked by an operator, found earlier for the return, or made by the shop's templates."""
        ret, policy = self._ret, self._context.policy
        linked = await self._context.store.read(lambda uow: uow.mark(link_mark(ret.shop, ret.return_id)))
        known = dict.fromkeys(i for i in ((linked or "").split("\n") + list(ret.order_ids())) if i)
        made = named_candidates(policy.order_id_templates, self.facts, policy.shared_templates)
        return (
            *(Candidate(order_id=order_id, origin=Origin.KNOWN) for order_id in known),
            *(candidate for candidate in made if candidate.order_id not in known),
        )

    def _names(self) -> tuple[str, ...]:
        """The names that the order or its parts may have in Amazon's list."""
        return tuple(dict.fromkeys((*self.facts.names, *(tried.order_id for tried in self.tried))))

    async def _try(self, candidates: Sequence[Candidate]) -> None:
        """Read orders that are judged together, and keep those that are the shopper's."""
        read = [(candidate, await self._read(candidate)) for candidate in candidates]
        fitting = [(candidate, order) for candidate, order in read if order is not None]
        several = not one_order([order for _, order in fitting])
        for candidate, order in fitting:
            if await self._is_ours(candidate, order, several=several):
                self.orders.append(order)
            else:
                self.doubtful.append(order)
        if any(order is not None for _, order in read):
            self.homed = await self._all_placed()

    async def _read(self, candidate: Candidate) -> FulfillmentOrder | None:
        """Read one order; None if it does not fit. A refused id does not end the search."""
        try:
            order = await self._context.account.network.order(candidate.order_id, self._lane)
        except Refused as error:
            why_not, order = f"refused: {error}", None
        else:
            why_not = self._judge(candidate, order)
        self.tried.append(Tried(order_id=candidate.order_id, why_not=why_not, order=order))
        return None if why_not else order

    def _judge(self, candidate: Candidate, order: FulfillmentOrder | None) -> str:
        if order is None:
            return "Amazon knows no such order"
        if not named_as_asked(order, candidate.order_id):
            return f"Amazon answers with another order, {order.order_id}"
        why_not = unfit(order, candidate.origin, self.facts, self._units)
        if why_not or candidate.origin is Origin.KNOWN or one_order([order, *self.orders]):
            return why_not
        return "was sent to another address than the rest of the order"

    async def _is_ours(self, candidate: Candidate, order: FulfillmentOrder, *, several: bool) -> bool:
        """A name that may belong to another shop's order, or to several orders, needs confirmation."""
        policy = self._context.policy
        ambiguous = several or not policy.sole_shop
        if candidate.origin in {Origin.KNOWN, Origin.NAMED} or (candidate.origin is Origin.INDEXED and not ambiguous):
            return True
        if confirmed(order, self.facts, "", prefixes=policy.own_prefixes):
            return True
        return confirmed(order, self.facts, await self._shoppers_postal_code())

    async def _shoppers_postal_code(self) -> str:
        """The shopper's postal code, read from the label request when needed, and never stored."""
        if self._postal_code is None:
            request_id = next((u.request_id for u in self._units if u.request_id), "")
            request = await self._context.portal.label_request(request_id, self._lane) if request_id else None
            self._postal_code = request.origin.postal_code if request is not None and request.origin else ""
        return self._postal_code

    async def _all_placed(self) -> bool:
        if not self.orders:
            return False
        placement = await self._context.store.read(lambda uow: place(uow, self._ret, self._units, self.orders))
        return not placement.homeless


def named_as_asked(order: FulfillmentOrder, order_id: str) -> bool:
    """Whether the answer is the order that was asked for: Amazon reads `+` in a path as a blank.

    https://github.com/amzn/selling-partner-api-models/issues/5374
    """
    return order.order_id.casefold() == order_id.casefold()
