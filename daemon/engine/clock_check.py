"""Whether the machine's clock can be believed, by what the vendors' answers say and by the clock that never jumps.

A machine boots with a wrong clock, a virtual machine wakes up days later, somebody sets the date: whatever is decided
then by "so long ago" cannot be taken back, so it is not decided.
"""

from daemon.ports.host import Clock

TOLERANCE = 300.0
"""Seconds by which our clock and a vendor's may differ."""


class ClockCheck:
    """Remembers each vendor's time by the steady clock, so that a step of ours, forward or back, shows at once."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._began = clock.now() - clock.monotonic()
        self._vendors: dict[str, float] = {}

    def heard(self, vendor: str, at: float) -> None:
        """A vendor's answer bears that date (Unix seconds)."""
        self._vendors[vendor] = at - self._clock.monotonic()

    def ahead(self) -> dict[str, float]:
        """By how many seconds our clock is ahead of each vendor's."""
        ours = self._clock.now() - self._clock.monotonic()
        return {vendor: ours - theirs for vendor, theirs in self._vendors.items()}

    def vendor_now(self, vendor: str) -> float:
        """The hour as that vendor tells it; ours, while it has told none."""
        theirs = self._vendors.get(vendor)
        return self._clock.now() if theirs is None else theirs + self._clock.monotonic()

    def problem(self) -> str:
        """Why no clock may decide now; empty when one may."""
        ahead = self.ahead() or {"itself when mcfd started": self._clock.now() - self._clock.monotonic() - self._began}
        vendor, seconds = max(ahead.items(), key=lambda item: abs(item[1]))
        if abs(seconds) <= TOLERANCE:
            return ""
        how = "ahead of" if seconds > 0 else "behind"
        return f"this machine's clock is {abs(seconds) / 60:.0f} minutes {how} {vendor}: set it right (NTP)"

    @property
    def trusted(self) -> bool:
        """Whether the machine's clock may decide."""
        return not self.problem()
