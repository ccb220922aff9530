"""Which queue a return waits in, by its next duty. Each queue has its own places for each shop.

A crowd in one queue does not delay another: returns that wait for Amazon's authorization, or for an unknown order, do
not delay a new shopper's label, and a thousand readings of Amazon do not delay a verdict.
"""

from enum import StrEnum

from daemon.domain.acts import Act
from daemon.domain.duties import duty
from daemon.domain.returns import Return, State


class Queue(StrEnum):
    """What the returns in the queue wait for."""

    LABELS = "labels"  # a shopper's label, as fast as possible
    AUTHORIZATIONS = "authorizations"  # what Amazon provides late: an authorization, a label's document
    HELD = "held"  # an order, or somebody else's label, that may never appear
    LOOKS = "looks"  # Amazon alone, while no shopper waits
    PORTAL = "portal"  # the portal, while no shopper waits for a label


_LABEL_STATES = frozenset({State.RECEIVED, State.AWAITING_LABEL, State.LABEL_READY, State.REFUSED})
_LATE = frozenset({Act.LOOK_FOR_AUTHORIZATION, Act.FETCH_LABEL})
_LOOKS = frozenset({Act.TRACK_PARCELS, Act.LOOK_FOR_INSPECTION, Act.VOID_POSTAGE, Act.BUY_POSTAGE, Act.QUOTE_POSTAGE})


def queue_of(ret: Return) -> Queue:
    """The queue in which the return waits for its `due_at`."""
    owed = duty(ret, ret.due_at or 0.0)
    act = None if owed is None else owed.act
    if ret.state in _LABEL_STATES:
        if ret.held or ret.awaits_foreign_label:
            return Queue.HELD
        return Queue.AUTHORIZATIONS if act in _LATE else Queue.LABELS
    return Queue.LOOKS if act in _LOOKS else Queue.PORTAL
