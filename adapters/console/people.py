"""Who uses the pages: their sessions, which live in memory alone, and how often somebody may try to log in."""

import secrets
from collections import OrderedDict
from dataclasses import dataclass, field
from enum import IntEnum

from daemon.ports.host import Clock

SESSION = 12 * 3600.0
"""Seconds."""
MOST_SESSIONS = 1000
MOST_OF_ONE = 20
BURST = 5
REFILL = 10.0
"""Seconds until one more attempt may be made."""
MOST_REMEMBERED = 10_000


class Role(IntEnum):
    """What a person may do; a higher role may do everything that a lower one may."""

    READ = 0
    ACT = 1
    ADMIN = 2


@dataclass(frozen=True, slots=True)
class Person:
    """A person, by the name that histories get, and how they came in: by the token, or by a proxy's word."""

    name: str
    role: Role
    by_proxy: bool = False

    def may(self, role: Role) -> bool:
        """Whether the person has at least that role."""
        return self.role >= role


@dataclass(slots=True)
class Session:
    """One person's visit. `notice` is shown once, on the next page; `csrf` is in each form of ours."""

    person: Person
    ends_at: float
    csrf: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)
    notice: str = ""
    failed: bool = False

    def say(self, notice: str, *, failed: bool = False) -> None:
        """Show this on the next page."""
        self.notice, self.failed = notice, failed

    def said(self) -> tuple[str, bool]:
        """What there is to show, which is then forgotten."""
        said = self.notice, self.failed
        self.notice, self.failed = "", False
        return said


class Sessions:
    """The sessions by key. They end by a log-out, after their time, and when there are too many: the oldest first."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._held: OrderedDict[str, Session] = OrderedDict()

    def open(self, person: Person) -> str:
        """Begin a session; returns the key that the browser keeps."""
        self._clear(person)
        key = secrets.token_urlsafe(32)
        self._held[key] = Session(person, self._clock.monotonic() + SESSION)
        return key

    def of(self, key: str) -> Session | None:
        """The session of a key, if it has not ended."""
        session = self._held.get(key)
        return session if session is not None and session.ends_at > self._clock.monotonic() else None

    def close(self, key: str) -> None:
        """End a session; harmless when repeated."""
        self._held.pop(key, None)

    def _clear(self, person: Person) -> None:
        """Make room for one more."""
        now = self._clock.monotonic()
        for key in [key for key, session in self._held.items() if session.ends_at <= now]:
            del self._held[key]
        own = [key for key, session in self._held.items() if session.person.name == person.name]
        for key in own[: max(0, len(own) - MOST_OF_ONE + 1)]:
            del self._held[key]
        while len(self._held) >= MOST_SESSIONS:
            self._held.popitem(last=False)


class Attempts:
    """Few attempts at once, then one every few seconds, for each source of them: nobody uses up another's.

    A source is an address, or a browser in which somebody has logged in before.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._spent: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, source: str) -> float:
        """Take an attempt, and return 0; or the seconds to wait until there is one."""
        now = self._clock.monotonic()
        left, at = self._spent.pop(source, (float(BURST), now))
        left = min(float(BURST), left + (now - at) / REFILL)
        allowed = left >= 1.0
        self._spent[source] = (left - 1.0 if allowed else left, now)
        while len(self._spent) > MOST_REMEMBERED:
            self._spent.popitem(last=False)
        return 0.0 if allowed else (1.0 - left) * REFILL

    def forgive(self, source: str) -> None:
        """Forget the attempts of somebody who has shown who they are."""
        self._spent.pop(source, None)
