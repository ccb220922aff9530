"""What a performer has at hand, and what it may answer."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from weakref import WeakValueDictionary

from daemon.domain.duties import Duty
from daemon.domain.events.returns import Event
from daemon.domain.policy import ShopPolicy
from daemon.domain.portal import ParcelSize
from daemon.domain.returns import Return
from daemon.domain.schedule import Timings
from daemon.domain.slips import SlipParcel
from daemon.engine.label_hosting import LabelHosting
from daemon.errors import ContractBroken, Refused, Transient
from daemon.ports.host import Clock, SecretBox, ShopMetrics
from daemon.ports.store import ReturnStore, UnitOfWork
from daemon.ports.vendors import FulfillmentNetwork, LabelSource, ReturnsPortal

DAY = 86400.0
SILENCE = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class NotYet:
    """Nothing to tell so far: look again after `delay` seconds. Waiting is no failure and costs no attempt."""

    delay: float
    verifications: int = 0


Decision = Callable[[UnitOfWork, Return], Event | NotYet]
"""An event that can only be chosen inside the transaction that saves it."""

Outcome = Event | NotYet | Decision


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
    """The return reasons that Amazon allows for each SKU, remembered for a day; no answer, for minutes."""

    def __init__(self, network: FulfillmentNetwork, clock: Clock) -> None:
        self._network = network
        self._clock = clock
        self._known: dict[str, tuple[float, Sequence[str]]] = {}

    async def allowed(self, sku: str) -> Sequence[str]:
        """The codes; empty when Amazon does not say. A reason never fails a return."""
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


@dataclass(slots=True, kw_only=True)
class ShopContext:
    """The ports and choices for one shop's returns."""

    portal: ReturnsPortal
    network: FulfillmentNetwork
    policy: ShopPolicy
    timings: Timings
    clock: Clock
    store: ReturnStore
    reasons: ReasonCatalogue
    locks: OrderLocks
    metrics: ShopMetrics
    refresh_index: Callable[[], Awaitable[None]]
    box: SecretBox
    hosting: LabelHosting
    print_labels: Callable[[Sequence[SlipParcel], str], Awaitable[bytes]]
    label_source: LabelSource | None = None
    label_retention: float = 30 * DAY
    default_size: ParcelSize = field(default_factory=ParcelSize)


Handler = Callable[[Return, Duty, ShopContext, bool], Awaitable[Outcome]]
"""(return, duty, desk, resumed): `resumed` says that this very call was begun before and its answer is unknown."""
