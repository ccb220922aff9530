"""Actions of operators, recorded in the return's history."""

from dataclasses import dataclass

from daemon.domain.events.returns import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorActed(Event):
    """An operator linked, cancelled or replayed. If that changes the return, the change has its own event."""

    by: str
    how: str
