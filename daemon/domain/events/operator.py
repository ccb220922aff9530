"""What a person did about a return, for its history."""

from dataclasses import dataclass

from daemon.domain.events.returns import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorActed(Event):
    """An operator linked, cancelled or replayed; what that changes, if anything, is an event of its own."""

    by: str
    how: str
