"""The requests to the vendors in order of arrival, and warnings about them."""

from dataclasses import dataclass, field

from daemon.ports.host import Clock


@dataclass
class Call:
    """One request; `status` is 0 while it runs, and when its connection was dropped."""

    vendor: str
    operation: str
    method: str
    path: str
    at: float
    status: int = 0
    fault: str | None = None


@dataclass
class Journal:
    """Records paths and statuses, never a header, a query or a body."""

    clock: Clock
    calls: list[Call] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def open(self, vendor: str, operation: str, method: str, path: str) -> Call:
        """Note the arrival of a request."""
        call = Call(vendor, operation, method, path, self.clock.now())
        self.calls.append(call)
        return call

    def warn(self, sentence: str) -> None:
        """Note something that works here but that a vendor's documentation forbids; each sentence once."""
        if sentence not in self.warnings:
            self.warnings.append(sentence)
