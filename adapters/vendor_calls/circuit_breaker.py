"""Pauses calls with a credential that a vendor has refused."""

from dataclasses import dataclass

from daemon.errors import CredentialsRefused
from daemon.ports.host import Clock

SHORTEST = 0.1
"""Seconds: a pause that is too short to change a Unix time, which is a float, would be none at all."""


@dataclass(frozen=True, slots=True)
class _Refusal:
    words: str
    seconds: float
    until: float


class CircuitBreaker:
    """What a vendor refused, by scope. Calls are blocked for a while, then one tries, and so on until one succeeds.

    `age` grows with each new credential: an answer to an older one says nothing about the current one.
    """

    SECONDS = 300.0
    EVERYTHING = ""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._refused: dict[str, _Refusal] = {}
        self.age = 0

    def check(self, scope: str = EVERYTHING) -> None:
        """Raise CredentialsRefused while the scope is parked."""
        for refusal in self._concerning(scope).values():
            if (left := refusal.until - self._clock.monotonic()) > 0:
                raise CredentialsRefused(f"{refusal.words}; it will be tried again", retry_after=max(left, SHORTEST))

    def admit(self, scope: str = EVERYTHING) -> None:
        """Check again; if this call is the one that tries a parked scope, keep all others waiting for it."""
        self.check(scope)
        for name, refusal in self._concerning(scope).items():
            self.park(refusal.words, name, seconds=refusal.seconds)

    def park(self, words: str, scope: str = EVERYTHING, *, seconds: float = SECONDS) -> None:
        """Record that our credential was refused; one call tries again after `seconds`."""
        self._refused[scope] = _Refusal(words, seconds, self._clock.monotonic() + seconds)

    def lift(self, scope: str = EVERYTHING) -> None:
        """Record an answer that was not a refusal."""
        for name in self._concerning(scope):
            del self._refused[name]

    def forget(self) -> None:
        """Record a new credential, which nobody has refused yet."""
        self.age += 1
        self._refused.clear()

    @property
    def refused(self) -> dict[str, str]:
        """Why each scope is parked; "" stands for all scopes."""
        return {name: refusal.words for name, refusal in sorted(self._refused.items())}

    def _concerning(self, scope: str) -> dict[str, _Refusal]:
        return {name: self._refused[name] for name in (self.EVERYTHING, scope) if name in self._refused}
