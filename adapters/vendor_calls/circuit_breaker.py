"""A credential that a vendor does not accept is not tried with every call."""

from dataclasses import dataclass

from daemon.errors import CredentialsRefused
from daemon.ports.host import Clock


@dataclass(frozen=True, slots=True)
class _Refusal:
    words: str
    seconds: float
    until: float


class CircuitBreaker:
    """What a vendor refused, by scope: no call for a while, then one that tries, and so on until one succeeds.

    `age` grows with each credential: an answer to an older one says nothing of the one in use.
    """

    SECONDS = 300.0
    EVERYTHING = ""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._refused: dict[str, _Refusal] = {}
        self.age = 0

    def check(self, scope: str = EVERYTHING) -> None:
        """Raise CredentialsRefused while calls that need the scope are parked."""
        for refusal in self._concerning(scope).values():
            if (left := refusal.until - self._clock.monotonic()) > 0:
                raise CredentialsRefused(f"{refusal.words}; it will be tried again", retry_after=left)

    def admit(self, scope: str = EVERYTHING) -> None:
        """Check once more, and make everybody else wait for the call that now tries what is parked."""
        self.check(scope)
        for name, refusal in self._concerning(scope).items():
            self.park(refusal.words, name, seconds=refusal.seconds)

    def park(self, words: str, scope: str = EVERYTHING, *, seconds: float = SECONDS) -> None:
        """Take note of a refusal that is about us; `seconds` later one call tries again."""
        self._refused[scope] = _Refusal(words, seconds, self._clock.monotonic() + seconds)

    def lift(self, scope: str = EVERYTHING) -> None:
        """Take note of an answer that is no refusal."""
        for name in self._concerning(scope):
            del self._refused[name]

    def forget(self) -> None:
        """Take note of a new credential: nothing is known against it."""
        self.age += 1
        self._refused.clear()

    @property
    def refused(self) -> dict[str, str]:
        """Why, by scope; "" stands for all of them."""
        return {name: refusal.words for name, refusal in sorted(self._refused.items())}

    def _concerning(self, scope: str) -> dict[str, _Refusal]:
        return {name: self._refused[name] for name in (self.EVERYTHING, scope) if name in self._refused}
