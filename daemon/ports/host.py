"""What the daemon needs from its machine: time, encryption at rest, counters."""

import asyncio
from typing import Protocol

from daemon.domain.returns import State


class Clock(Protocol):
    """The only way to read time or to wait."""

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
    """Counters for operators. Label values are bounded: never an id."""

    def webhook(self, shop: str, outcome: str, now: float) -> None:
        """A delivery was answered; `verified`, `duplicate`, `bad_signature`, ..."""

    def moved(self, shop: str, before: State | None, after: State) -> None:
        """A return changed its state; None for a new one."""

    def notification(self, outcome: str, now: float, account: str) -> None:
        """A message from Amazon came; `announced`, `unknown_order`, `foreign`, ...; "" if for no account we know."""

    def service_round(self, service: str, oldest_due_seconds: float) -> None:
        """A service finished a round; `oldest_due_seconds` is the wait of its longest due return, or 0."""

    def trouble(self, kind: str) -> None:
        """Something an operator should see: `bug`, `unsettled`, `processed_before_inspection`, ..."""


class ShopMetrics(Protocol):
    """Counters for one shop's returns."""

    def step(self, act: str, outcome: str) -> None:
        """A duty was performed, or not (`done`, `not_yet`, or the class of the error)."""

    def label_delivered(self, seconds: float) -> None:
        """Seconds from receiving the label request to the label in the portal."""

    def inspection_seen(self, seconds: float) -> None:
        """Seconds from Amazon's processing of a unit to our reading of it."""

    def adopted(self, before: State | None, after: State) -> None:
        """A return was taken over; `before` is None if it was unknown."""

    def trouble(self, kind: str) -> None:
        """As in Metrics."""
