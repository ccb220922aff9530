"""Which queue a return waits in, by what is owed to it next. Each queue has places of its own, for each shop.

A crowd in one queue takes no place from another: whoever waits for Amazon's authorization, or for an order that nobody
knows, keeps no new shopper from a label, and a thousand looks at Amazon keep no verdict from the portal.
"""

from enum import StrEnum

from daemon.domain.acts import Act
from daemon.domain.duties import duty
from daemon.domain.returns import Return, State


class Queue(StrEnum):
    """What the returns in it wait for."""

    LABELS = "labels"  # a shopper's label, as fast as it goes
    AUTHORIZATIONS = "authorizations"  # what Amazon makes late: an authorization, a label's document
    HELD = "held"  # an order that may never turn up
    LOOKS = "looks"  # Amazon alone, and nobody waits
    PORTAL = "portal"  # the portal, and nobody waits for a label


_LABEL_STATES = frozenset({State.RECEIVED, State.AWAITING_LABEL, State.LABEL_READY, State.REFUSED})
_LATE = frozenset({Act.LOOK_FOR_AUTHORIZATION, Act.FETCH_LABEL})
_LOOKS = frozenset({Act.TRACK_PARCELS, Act.LOOK_FOR_INSPECTION, Act.VOID_POSTAGE, Act.BUY_POSTAGE, Act.QUOTE_POSTAGE})


def queue_of(ret: Return) -> Queue:
    """Where the return waits for its `due_at`."""
    owed = duty(ret, ret.due_at or 0.0)
    act = None if owed is None else owed.act
    if ret.state in _LABEL_STATES:
        if ret.held:
            return Queue.HELD
        return Queue.AUTHORIZATIONS if act in _LATE else Queue.LABELS
    return Queue.LOOKS if act in _LOOKS else Queue.PORTAL
