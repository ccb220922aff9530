"""The input of a handler, and its possible answers."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from daemon.domain.acts import Duty
from daemon.domain.durations import DAY
from daemon.domain.events.returns import Event
from daemon.domain.policy import ShopPolicy
from daemon.domain.portal import ParcelSize, PortalLabelRequest, PortalReturn
from daemon.domain.returns import Return
from daemon.domain.schedule import Timings
from daemon.domain.slips import SlipParcel
from daemon.engine.account import Account
from daemon.engine.clock_check import ClockCheck
from daemon.engine.label_hosting import LabelHosting
from daemon.engine.overheard import Overheard
from daemon.ports.host import Clock, SecretBox, ShopMetrics
from daemon.ports.store import ReturnStore, UnitOfWork
from daemon.ports.vendors import ReturnsPortal

SILENCE = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class NotYet:
    """No result yet: look again after `delay` seconds. Waiting is no failure and costs no attempt."""

    delay: float
    verifications: int = 0
    asked: bool = True
    """Whether a vendor was asked, and so has answered."""


Decision = Callable[[UnitOfWork, Return], Event | NotYet]
"""Chooses an event inside the transaction that saves it."""

Outcome = Event | NotYet | Decision


@dataclass(slots=True)
class Readings:
    """What one walk of a return has just read in the portal, each with the time of asking in monotonic seconds.

    It is never kept beyond the walk, so no reading outlives a restart.
    """

    request: tuple[float, PortalLabelRequest] | None = None
    details: tuple[float, PortalReturn] | None = None
    no_label_at: float | None = None
    """When Amazon last showed no authorization."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One duty of one return. `resumed`: the same call was begun before, and its answer is unknown."""

    ret: Return
    duty: Duty
    resumed: bool = False
    readings: Readings = field(default_factory=Readings)


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelPress:
    """Makes labels that shoppers fetch from mcfd. `keep_for`: seconds for which a bought document is kept."""

    hosting: LabelHosting
    box: SecretBox
    print_labels: Callable[[Sequence[SlipParcel], str], Awaitable[bytes]]
    read_text: Callable[[bytes], Awaitable[str]]
    keep_for: float = 30 * DAY
    default_size: ParcelSize = field(default_factory=ParcelSize)


@dataclass(slots=True, kw_only=True)
class ShopContext:
    """Everything that a handler needs for the returns of one shop."""

    account: Account
    portal: ReturnsPortal
    policy: ShopPolicy
    labels: LabelPress
    timings: Timings
    clock: Clock
    clock_check: ClockCheck
    store: ReturnStore
    metrics: ShopMetrics
    paused: Callable[[], bool] = lambda: False
    overheard: Overheard = field(default_factory=Overheard)


Handler = Callable[[Step, ShopContext], Awaitable[Outcome]]
"""Performs one duty and returns the outcome."""
