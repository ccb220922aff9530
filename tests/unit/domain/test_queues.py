"""In which queue a return waits."""

from dataclasses import replace

import pytest

from daemon.domain.queues import Queue, queue_of
from daemon.domain.returns import Finding, LabelSourceName, Note, Postage, RequestState, State, UnitState, Void
from tests.support.builders import a_request, a_return, a_unit, an_awaited_return, assigned, authorized

NOW = 1000.0
SHIPPED = LabelSourceName.AMAZON_SHIPPING
BOUGHT = Postage(authorization_id="A1", shipment_id="S1", tracking_id="1Z", printable=True)
WAITING = {"state": State.AWAITING_LABEL, "requests": (a_request(),), "units": (authorized(a_unit()),)}
FOUND = authorized(a_unit(finding=Finding(condition="Sellable", found_at=1.0)))


@pytest.mark.parametrize(
    ("ret", "queue"),
    [
        (a_return(requests=(a_request(asked=RequestState.UNREAD),)), Queue.LABELS),
        (a_return(requests=(a_request(),), units=(a_unit(),)), Queue.LABELS),
        (a_return(requests=(a_request(),), units=(assigned(a_unit()),)), Queue.LABELS),
        (a_return(requests=(a_request(),), units=(a_unit(),), held=True), Queue.HELD),
        (a_return(**WAITING), Queue.AUTHORIZATIONS),
        (a_return(**{**WAITING, "units": (a_unit(standing=UnitState.NOT_RETURNABLE),)}), Queue.LABELS),
        (a_return(state=State.LABEL_READY, requests=(a_request(),)), Queue.LABELS),
        (a_return(state=State.REFUSED, requests=(a_request(),)), Queue.LABELS),
        (an_awaited_return(authorized(a_unit()), amazon_due_at=NOW), Queue.LOOKS),
        (an_awaited_return(authorized(a_unit()), amazon_due_at=NOW, postage=(BOUGHT,)), Queue.LOOKS),
        (an_awaited_return(authorized(a_unit()), amazon_due_at=NOW + 1, needs_read=True), Queue.PORTAL),
        (an_awaited_return(authorized(a_unit()), amazon_due_at=NOW, needs_read=True), Queue.PORTAL),
        (an_awaited_return(authorized(a_unit()), notes=(Note(key="k", text="t"),)), Queue.PORTAL),
        (an_awaited_return(authorized(a_unit()), postage=(replace(BOUGHT, void=Void.WANTED),)), Queue.LOOKS),
        (an_awaited_return(FOUND, state=State.INSPECTED), Queue.PORTAL),
        (an_awaited_return(FOUND, state=State.SETTLING), Queue.PORTAL),
        (a_return(state=State.IN_REVIEW, portal_due_at=NOW), Queue.PORTAL),
        (a_return(state=State.CLOSED, amazon_due_at=NOW), Queue.LOOKS),
        (a_return(state=State.CLOSED), Queue.PORTAL),
    ],
)
def test_a_return_waits_in_the_queue_of_what_it_owes_next(ret, queue):
    """Labels, what Amazon makes late, what nobody knows, looks at Amazon and calls to the portal wait apart."""
    assert queue_of(replace(ret, due_at=NOW)) is queue


def test_a_return_that_waits_for_nothing_is_in_a_queue_all_the_same():
    """It is due never, and nobody asks."""
    assert queue_of(a_return(state=State.CLOSED, due_at=None)) is Queue.PORTAL
