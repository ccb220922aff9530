"""Where stories happen, and the words in which they are told."""

import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

from adapters.sandbox import ReturnLine, Sandbox
from adapters.sandbox.loop.returns import LoopReturn
from tests.campaign.judge import Ending, parcels_of, shipments_of


class Place(Protocol):
    """Where stories happen. `hour` is the length of an hour in seconds, `dice` decides what stories leave open."""

    sandbox: Sandbox
    dice: random.Random
    hour: float

    async def pause(self, seconds: float) -> None:
        """Let time pass."""

    async def until(self, what: str, seen: Callable[[], Any]) -> None:
        """Wait until it is seen; fail when it never is."""


class Scene:
    """One order and what is sent back of it, in the words of stories."""

    def __init__(self, place: Place, order: str) -> None:
        self.place = place
        self.order = order
        self.sandbox = place.sandbox
        self.dice = place.dice

    # ---- shoppers and merchants

    def ordered(self, *skus: str, **options: Any) -> None:
        """Amazon has shipped an order of these units."""
        self.sandbox.create_order(self.order, {sku: skus.count(sku) for sku in skus}, **options)

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

    async def comes_back(self, return_id: int, *conditions: str | None) -> None:
        """Label, journey, inspection."""
        await self.labelled(return_id)
        await self.travels(return_id)
        await self.inspected(return_id, *conditions)


GOOD = "Sellable"

Kind = Callable[[Scene], Awaitable[Sequence[Ending]]]


def ended(return_id: int, kind: str, **facts: Any) -> list[Ending]:
    """An ending without surprises: one label for one label request, and no error."""
    return [Ending(return_id=return_id, kind=kind, **{"labels": 1, "errors": 0, **facts})]
