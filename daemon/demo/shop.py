"""A shop full of returns, played through sandbox and daemon in the days before today, to click through."""

import asyncio
import random
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from adapters.host.clock import SystemClock
from adapters.sandbox import ParcelStatus, ReturnLine, Sandbox
from daemon.app.app import App
from daemon.demo.days import DaysClock
from daemon.domain.durations import DAY

DAYS = 21
A_DAY_HAS = 3
"""Leaps of a day."""
PATIENCE = 70.0
LOOK = 0.02

GOODS = (
    ("SOCK-2P-M", "12.00", (("Too small", "Fit"), ("Too big", "Fit"), ("Changed my mind", "Other"))),
    ("SHIRT-M", "39.00", (("Too small", "Fit"), ("Colour is different", "Style"))),
    ("MUG-BLUE", "18.00", (("Arrived damaged", "Quality"), ("Changed my mind", "Other"))),
    ("LAMP-OAK", "129.00", (("Defective", "Quality"), ("Not as described", "Style"))),
    ("BELT-L", "25.00", (("Too big", "Fit"),)),
    ("KETTLE", "64.00", (("Defective", "Quality"), ("Changed my mind", "Other"))),
    ("CHAIR-SWIVEL-GRAPHITE-WITH-ARMRESTS-2026", "219.00", (("Not comfortable", "Fit"), ("Missing parts", "Quality"))),
)
CONDITIONS = {"Sellable": 74, "CustomerDamaged": 12, "Defective": 7, "CarrierDamaged": 4, "FulfillerDamaged": 3}


@dataclass(slots=True)
class Shop:
    """Plays shoppers, carrier, Amazon and merchant; the same each time."""

    sandbox: Sandbox
    app: App
    clock: DaysClock
    tell: Callable[[str], None]
    chance: random.Random = field(default_factory=lambda: random.Random(22))  # noqa: S311 - no secret
    _plans: dict[int, list[Callable[[], None]]] = field(default_factory=lambda: defaultdict(list))
    _number: int = 1000

    async def fill(self) -> None:
        """Let the days go by until today."""
        for day in range(DAYS):
            for part in range(A_DAY_HAS):
                if part == 0:
                    self._shoppers_of(day)
                    self._troubles_of(day)
                for step in self._plans.pop(day * A_DAY_HAS + part, ()):
                    step()
                await self._settled()
                self.clock.leap(DAY / A_DAY_HAS)
            if day % 7 == 6:
                self.tell(f"{day + 1} days, {self._number - 1000} returns")
        self.clock.leap(DAY)
        await self._settled()
        self._today()
        await self._settled()

    # ---- who does what

    def _shoppers_of(self, day: int) -> None:
        for _ in range(self.chance.choice((1, 2, 2, 3, 4))):
            sku, price, reasons = self.chance.choice(GOODS)
            reason, parent = self.chance.choice(reasons)
            count = self.chance.choice((1, 1, 1, 2))
            lines = [ReturnLine(sku=sku, price=price, reason=reason, parent_reason=parent, quantity=count)]
            self._travels(self.submit(lines), day, sku, count)

    def _troubles_of(self, day: int) -> None:
        """Two orders that Amazon does not know, and two labels that nobody sells: people are needed."""
        if day == DAYS - 4:
            self.submit([ReturnLine(sku="MUG-BLUE", reason="Gift from a friend")], known=False)
            self.submit([ReturnLine(sku="SCARF-WOOL", reason="Too small")], known=False)
        offered = self.sandbox.shipping.offers
        if day == DAYS - 2:
            self.sandbox.offer_services([])
            self.submit([ReturnLine(sku="LAMP-OAK", price="129.00", reason="Defective", parent_reason="Quality")])
            self._plans[day * A_DAY_HAS + 1].append(lambda: self.sandbox.offer_services(offered))

    def submit(self, lines: list[ReturnLine], *, known: bool = True, **how: Any) -> int:  # noqa: ANN401 - the sandbox's own options
        """A shopper asks for a label; `known` says whether the order is at Amazon."""
        self._number += 1
        order = f"#{self._number}"
        if known:
            held = {line.sku: sum(one.quantity for one in lines if one.sku == line.sku) for line in lines}
            self.sandbox.create_order(order, held, displayable_order_id=order, age=10 * DAY)
        return_id: int = self.sandbox.submit_return(order, list(lines), **how)
        return return_id

    def _travels(self, return_id: int, day: int, sku: str, count: int) -> None:
        """Most parcels are sent, come, and are inspected; some are not."""
        begun = day * A_DAY_HAS
        if self.chance.random() < 0.07:
            return
        sent = begun + self.chance.randint(2, 8)
        came = sent + self.chance.randint(5, 14)
        found = came + self.chance.randint(2, 12)
        self._plans[sent].append(lambda: self._scan(return_id, "InTransit"))
        if self.chance.random() < 0.96:
            self._plans[came].append(lambda: self._scan(return_id, "Delivered"))
            for _ in range(count):
                self._plans[found].append(lambda: self._inspected(return_id, sku))
            self._plans[found + self.chance.randint(2, 9)].append(lambda: self._reviewed(return_id))

    def _scan(self, return_id: int, what: ParcelStatus) -> None:
        for label in self._portal(return_id)["delivered_labels"]:
            self.sandbox.scan(label["tracking_number"], what)

    def _inspected(self, return_id: int, sku: str) -> None:
        (condition,) = self.chance.choices(list(CONDITIONS), list(CONDITIONS.values()))
        self.sandbox.receive(return_id, sku=sku, condition=condition)

    def _reviewed(self, return_id: int) -> None:
        """The merchant looks at most reviews within days."""
        if self._portal(return_id)["state"] == "review" and self.chance.random() < 0.8:
            self.sandbox.settle_review(return_id, "close")

    def _today(self) -> None:
        """What has just come in, and what needs a person."""
        self.sandbox.refuse_sku("HAZMAT-1", code="InvalidValues", description="This item cannot be returned.")
        self.submit([ReturnLine(sku="HAZMAT-1", reason="Changed my mind")])
        everything = [ReturnLine(sku=sku, price=price, reason="Order arrived too late") for sku, price, _ in GOODS]
        self.submit([ReturnLine(sku="TILE-10X10", price="3.50", quantity=44, reason="Too many"), *everything[:6]])
        gone = self.submit([ReturnLine(sku="VASE", reason="Changed my mind")])
        self.sandbox.cancel_return(gone)

    def _portal(self, return_id: int) -> dict[str, Any]:
        held: dict[str, Any] = self.sandbox.snapshot()["loop"]["returns"][str(return_id)]
        return held

    async def _settled(self) -> None:
        """Wait until the daemon has nothing to do before the next leap."""
        real, never = SystemClock(), asyncio.Event()
        began = real.monotonic()
        quiet = 0
        while quiet < 3 and real.monotonic() - began < PATIENCE:
            due = await self.app.next_due()
            busy = due is not None and due <= self.clock.now() + 1.0
            quiet = 0 if busy or not await self.sandbox.idle(0.5) else quiet + 1
            await real.wait(never, LOOK)
