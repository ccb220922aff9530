"""One vendor answers nobody for a long time: what is under way waits, what is asked for meanwhile waits, too."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from adapters.sandbox import Fault, Sandbox
from tests.campaign.judge import Ending
from tests.campaign.scene import GOOD, Kind, Scene, ended
from tests.campaign.simulated import Plan
from tests.support.simulation.world import HOUR, World

VENDORS = {"amazon": ("amazon", "shipping"), "loop": ("loop",)}


@dataclass
class Outage:
    """`vendor` is down for so many hours of the stories.

    Those `under_way` have their label before; their parcels arrive while the vendor is down. Labels are `asked` for
    while it is down, at any moment of it.
    """

    vendor: str
    hours: float
    under_way: int
    asked: int
    hour: float = HOUR
    over_at: float = 0.0
    sandbox: Sandbox | None = None
    _labelled: int = 0
    _began: asyncio.Event = field(default_factory=asyncio.Event)

    def plan(self, **changes: Any) -> Plan:
        """The world in which it happens."""
        kinds: Sequence[Kind] = [*[self._travels] * self.under_way, *[self._asks] * self.asked]
        return Plan(kinds=kinds, hour=self.hour, trouble=self._happens, **changes)

    async def _travels(self, scene: Scene) -> Sequence[Ending]:
        return_id = scene.sends("SOCK")
        await scene.labelled(return_id)
        self._labelled += 1
        await self._began.wait()
        return await self._comes(scene, return_id, "under way")

    async def _asks(self, scene: Scene) -> Sequence[Ending]:
        await self._began.wait()
        await scene.hours(self.hours)
        return_id = scene.sends("CAP")
        await scene.labelled(return_id)
        return await self._comes(scene, return_id, "asked")

    async def _comes(self, scene: Scene, return_id: int, kind: str) -> Sequence[Ending]:
        await scene.hours(self.hours / 2)
        await scene.inspected(return_id, GOOD)
        await scene.becomes(return_id, "closed")
        return ended(return_id, kind, items=1, settled=(1, 0, 0))

    async def _happens(self, world: World, _: random.Random) -> None:
        self.sandbox = world.vendors
        await world.until("all have their label", lambda: self._labelled == self.under_way)
        world.vendors.set_faults([Fault(vendor=name, kind="status", status=503) for name in VENDORS[self.vendor]])
        self._began.set()
        await world.pass_time(self.hours * self.hour)
        self.over_at = world.clock.now()
        world.vendors.set_faults()

    # ---- how it went

    def drained(self) -> tuple[float, int]:
        """Seconds until the last of those who waited for a label had it; how many of the others were settled by then."""
        assert self.sandbox is not None
        calls = [c for c in self.sandbox.calls() if c["at"] >= self.over_at and c["fault"] is None]
        labels = [c["at"] for c in calls if c["operation"] == "createLabel"]
        last = max(labels)
        settled = [c for c in calls if c["operation"] == "processReturn" and c["at"] < last]
        return last - self.over_at, len(settled)

    def calls_while_down(self) -> int:
        """How often the vendor was asked in vain."""
        assert self.sandbox is not None
        return sum(c["fault"] is not None for c in self.sandbox.calls())
