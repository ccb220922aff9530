"""The vendors' rate limits on the server's side, which refuse instead of waiting."""

from collections import deque
from dataclasses import dataclass, field


@dataclass
class TokenBucket:
    """Amazon's limit: `rate` tokens a second, `burst` at most, full at the start."""

    rate: float
    burst: int
    _tokens: float = field(init=False)
    _at: float | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self._tokens = float(self.burst)

    def take(self, now: float) -> bool:
        """Spend a token if there is one."""
        elapsed = 0.0 if self._at is None else now - self._at
        self._at = now
        self._tokens = min(float(self.burst), self._tokens + elapsed * self.rate)
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


@dataclass
class SlidingWindow:
    """Loop's limit: at most `limit` requests in any `seconds`."""

    limit: int
    seconds: float
    _taken: deque[float] = field(default_factory=deque)

    def take(self, now: float) -> bool:
        """Count a request unless the window is full."""
        self._forget(now)
        if len(self._taken) >= self.limit:
            return False
        self._taken.append(now)
        return True

    def remaining(self, now: float) -> int:
        """Return how many requests the window still admits."""
        self._forget(now)
        return self.limit - len(self._taken)

    def _forget(self, now: float) -> None:
        while self._taken and self._taken[0] <= now - self.seconds:
            self._taken.popleft()
