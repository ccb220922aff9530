"""One seller at Amazon: what the shops of an account share."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from weakref import WeakValueDictionary

from daemon.domain.durations import DAY
from daemon.domain.label_times import LabelTimes, nothing_learnt
from daemon.domain.returns import LabelSourceName
from daemon.engine.order_index import OrderIndex
from daemon.engine.push import Push
from daemon.errors import ContractBroken, Refused, Transient
from daemon.ports.host import Clock
from daemon.ports.vendors import FulfillmentNetwork, LabelSource

SILENCE = 300.0


class OrderLocks:
    """One lock per fulfillment order: calls that change an order are serial."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def of(self, order_id: str) -> asyncio.Lock:
        """The lock of that order."""
        lock = self._locks.get(order_id)
        if lock is None:
            lock = self._locks[order_id] = asyncio.Lock()
        return lock


class ReasonCatalogue:
    """The return reasons that Amazon allows for each SKU, remembered for a day; a failure, for minutes."""

    def __init__(self, network: FulfillmentNetwork, clock: Clock) -> None:
        self._network = network
        self._clock = clock
        self._known: dict[str, tuple[float, Sequence[str]]] = {}

    async def allowed(self, sku: str) -> Sequence[str]:
        """The allowed codes; empty if Amazon does not tell, because a reason must never fail a return."""
        good_until, codes = self._known.get(sku, (float("-inf"), ()))
        if self._clock.monotonic() < good_until:
            return codes
        good_for = DAY
        try:
            codes = await self._network.reason_codes(sku)
        except (Refused, ContractBroken):
            codes = ()
        except Transient:
            good_for = SILENCE
        self._known[sku] = (self._clock.monotonic() + good_for, codes)
        return codes


@dataclass(slots=True)
class Learned:
    """What Amazon's answers to this account have taught since the start; it is learnt anew after each."""

    label_times: LabelTimes = field(default_factory=nothing_learnt)


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One seller's connections and what was learnt through them; nothing here belongs to a single shop."""

    name: str
    network: FulfillmentNetwork
    order_index: OrderIndex
    reasons: ReasonCatalogue
    order_locks: OrderLocks = field(default_factory=OrderLocks)
    learned: Learned = field(default_factory=Learned)
    label_sources: Mapping[LabelSourceName, LabelSource] = field(default_factory=dict)
    push: Push | None = None
    """None while no queue is configured."""
