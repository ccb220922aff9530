"""What the daemon needs of the machine it runs on: time, encryption at rest, counters."""

import asyncio
from typing import Protocol

from daemon.domain.returns import State


class Clock(Protocol):
    """Time, as the only way to read it or to let it pass."""

    def now(self) -> float:
        """Wall clock, in Unix seconds (UTC)."""

    def monotonic(self) -> float:
        """A clock that never jumps, in seconds from an arbitrary origin."""

    async def wait(self, event: asyncio.Event, seconds: float | None) -> bool:
        """Wait until `event` is set or `seconds` have passed (None: for ever); True when the event is set."""


class SecretBox(Protocol):
    """Encryption at rest."""

    def seal(self, plain: bytes, purpose: str) -> bytes:
        """Encrypt; `purpose` is authenticated, so that a sealed value cannot be used in another place."""

    def unseal(self, sealed: bytes, purpose: str) -> bytes:
        """Decrypt; raises McfdError when no key fits or the value was tampered with."""


class Metrics(Protocol):
    """What operators count. Label values are bounded: never an id."""

    def webhook(self, shop: str, outcome: str, now: float) -> None:
        """A delivery was answered; `verified`, `duplicate`, `bad_signature`, ..."""

    def moved(self, shop: str, before: State | None, after: State) -> None:
        """A return changed its state; None for a new one."""

    def notification(self, outcome: str, now: float) -> None:
        """A message of Amazon's was heard; `announced`, `unknown_order`, `foreign`, ..."""

    def service_round(self, service: str, oldest_due_seconds: float) -> None:
        """A service went round; how long its longest due return has waited, 0 when none is due."""

    def trouble(self, kind: str) -> None:
        """Something an operator should see: `bug`, `unsettled`, `processed_before_inspection`, ..."""


class ShopMetrics(Protocol):
    """What is counted of one shop's returns."""

    def step(self, act: str, outcome: str) -> None:
        """A duty was performed, or not (`done`, `not_yet`, or the class of the error)."""

    def label_delivered(self, seconds: float) -> None:
        """From hearing of the label request to the label in the portal."""

    def inspection_seen(self, seconds: float) -> None:
        """From Amazon's processing of a unit to our reading of it."""

    def trouble(self, kind: str) -> None:
        """As in Metrics."""
