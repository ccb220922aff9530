"""Where stories happen, and the words in which they are told."""

import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

from adapters.sandbox import ReturnLine, Sandbox
from adapters.sandbox.amazon.orders import Authorization, ReturnItem
from adapters.sandbox.loop.returns import LoopReturn
from tests.campaign.judge import ANOTHERS, Ending, items_of, parcels_of, shipments_of


class Place(Protocol):
    """Where stories happen. `hour` is the length of an hour in seconds, `dice` decides what stories leave open.

    `neighbour` is another shop of the same seller, if there is one.
    """

    sandbox: Sandbox
    neighbour: Sandbox | None
    dice: random.Random
    hour: float

    async def pause(self, seconds: float) -> None:
        """Let time pass."""

    async def until(self, what: str, seen: Callable[[], Any]) -> None:
        """Wait until it is seen; fail when it never is."""


class Scene:
    """One order and what is sent back of it, in the words of stories."""

    def __init__(self, place: Place, order: str, sandbox: Sandbox | None = None) -> None:
        self.place = place
        self.order = order
        self.sandbox = sandbox or place.sandbox
        self.dice = place.dice

    @property
    def neighbour(self) -> "Scene":
        """The order of the same name in the seller's other shop."""
        assert self.place.neighbour is not None, "this shop has no neighbour"
        return Scene(self.place, self.order, self.place.neighbour)

    @property
    def lists_orders(self) -> bool:
        """Whether Amazon's list of orders can be read to its end."""
        return self.sandbox.options.list_of_orders == "ends"

    # ---- shoppers and merchants

    def ordered(self, *skus: str, **options: Any) -> None:
        """Amazon has shipped an order of these units."""
        self.sandbox.create_order(self.order, {sku: skus.count(sku) for sku in skus} or None, **options)

    def anothers_item(self, sku: str) -> None:
        """Another tool has asked for a unit of the order, with an id and a shipment of its own invention."""
        order = self.sandbox.network.orders[self.order]
        item_id = next(line.item_id for line in order.lines if line.sku == sku)
        authorization = Authorization(f"RMA{self.order}", "RNO1", f"DxT{self.order[1:]}RRMA", 0.0)
        named = f"{ANOTHERS}{self.order}"
        order.items[named] = ReturnItem(
            named, item_id, "DUMMY-1", "CR-UNWANTED_ITEM", None, authorization, order.changed_at
        )

    def asks(self, *lines: str | ReturnLine, **options: Any) -> int:
        """A shopper submits a return."""
        wanted = [ReturnLine(sku=line) if isinstance(line, str) else line for line in lines]
        return self.sandbox.submit_return(self.order, wanted, **options)

    def sends(self, *skus: str, **options: Any) -> int:
        """An order, and a return of all of it."""
        self.ordered(*skus, **options)
        return self.asks(*skus)

    def loop(self, return_id: int) -> LoopReturn:
        """The return as Loop holds it."""
        return self.sandbox.shop.returns[return_id]

    async def hours(self, most: float, least: float = 0.0) -> None:
        """Let some hours pass."""
        await self.place.pause(self.place.hour * self.dice.uniform(least, most))

    async def until(self, what: str, seen: Callable[[], Any]) -> None:
        """Wait for something that the vendors can see."""
        await self.place.until(f"{self.order}: {what}", seen)

    async def labelled(self, return_id: int, labels: int = 1) -> None:
        """Wait for the label."""
        await self.until(f"label of {return_id}", lambda: len(self.loop(return_id).labels) >= labels)

    async def becomes(self, return_id: int, *states: str) -> None:
        """Wait until Loop shows the return in one of these states."""
        await self.until(f"{return_id} is {'/'.join(states)}", lambda: self.loop(return_id).state in states)

    async def says(self, return_id: int, words: str) -> None:
        """Wait for a note."""
        await self.until(f"note {words!r}", lambda: any(words in n["content"] for n in self.loop(return_id).notes))

    async def settled(self, return_id: int, how: str = "close") -> None:
        """Wait for the review, and let a person settle it."""
        await self.becomes(return_id, "review")
        await self.hours(6)
        self.sandbox.settle_review(return_id, how)

    # ---- parcels

    async def travels(self, return_id: int) -> None:
        """The carrier scans the parcels, if it is one that we hear of."""
        for status in ("InTransit", "OutForDelivery", "Delivered"):
            await self.hours(12)
            for shipment in shipments_of(self.sandbox, return_id):
                for parcel in shipment.parcels:
                    if not shipment.cancelled:
                        self.sandbox.scan(parcel.tracking_id, status)
            for sold in parcels_of(self.sandbox, return_id):
                if sold.sale and not sold.given_back:
                    self.sandbox.scan(sold.sale.tracker.code, status)

    async def inspected(self, return_id: int, *conditions: str | None) -> None:
        """The units are inspected one by one; the conditions are those of the first lines."""
        lines = [line.line_item_id for line in self.loop(return_id).lines]
        for line, condition in zip(lines, conditions, strict=False):
            await self.hours(4)
            self.sandbox.receive(return_id, line=line, condition=condition)

    async def inspected_if_asked(self, return_id: int) -> None:
        """All units that Amazon was asked to take back are found sellable."""
        for item in items_of(self.sandbox, return_id):
            await self.hours(4)
            self.sandbox.receive(return_id, seller_return_item_id=item.seller_id)

    async def comes_back(self, return_id: int, *conditions: str | None) -> None:
        """Label, journey, inspection."""
        await self.labelled(return_id)
        await self.travels(return_id)
        await self.inspected(return_id, *conditions)


GOOD = "Sellable"

ECHO = "Rowan Pike, 18 Larch Row, Boise ID 83702"
"""The shopper's own data, as vendors put them into the text of an error."""

PERSON = ("Rowan", "Larch", "Boise", "ID 83702", "rowan@")
"""What must not be found anywhere of it."""

ELSEWHERE = {"address1": "7 Pier Street", "city": "Portland", "state": "Maine", "region": "ME", "zip": "04101"}
"""Where a shopper of the neighbour's lives."""

Kind = Callable[[Scene], Awaitable[Sequence[Ending]]]


def ended(return_id: int, kind: str, **facts: Any) -> list[Ending]:
    """An ending without surprises: one label for one label request, and no error."""
    return [Ending(return_id=return_id, kind=kind, **{"labels": 1, "errors": 0, **facts})]
