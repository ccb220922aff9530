"""The judge finds whatever is wrong: each violation, planted into the books of a world that went well, is reported."""

from copy import copy
from dataclasses import replace

import pytest

from adapters.sandbox.journal import Call
from daemon.domain.returns import Note, State
from tests.campaign.judge import Ending, judge, judge_deliveries, judge_ending, judge_messages, judge_store
from tests.campaign.kill_points import LIVES
from tests.support.builders import NOW, a_return, an_awaited_return
from tests.support.virtual_time import FakeClock


@pytest.fixture
def books(simulation):
    """The vendors' books after one good life with a bought label."""
    kept = []

    async def keep(world, _):
        kept.append(world.vendors)

    assert simulation.run(replace(LIVES["bought label"], trouble=keep)).wrong == []
    (sandbox,) = kept
    return sandbox


def the_return(sandbox):
    """The only return in the books."""
    (ret,) = sandbox.shop.returns.values()
    return ret


def the_request(sandbox):
    """Its only label request."""
    (request,) = sandbox.shop.requests_of(the_return(sandbox))
    return request


def item_twice(sandbox):
    (order,) = sandbox.network.orders.values()
    sandbox.network.orders["#2002"] = copy(order)


def item_for_nobody(sandbox):
    (order,) = sandbox.network.orders.values()
    (item,) = order.items.values()
    stray = replace(item, seller_id=f"mcfd-acme-{the_return(sandbox).return_id}-999-1")
    order.items[stray.seller_id] = stray


def sold_twice(sandbox):
    service = sandbox.easypost
    service._clock = FakeClock(NOW)
    (item,) = (item for order in sandbox.network.orders.values() for item in order.items.values())
    printed = {"label_format": "PDF", "print_custom_1": f"RMA {item.authorization.rma}"}
    address = {"name": "N", "street1": "S", "city": "C", "zip": "83702", "country": "US"}
    wanted = {"to_address": address, "from_address": address, "parcel": {"weight": 1}, "options": printed}
    for _ in range(2):
        made = service.create({"shipment": wanted}, "production")
        service.buy(made["id"], {"rate": made["rates"][0]}, "production")


def purchase_twice(sandbox):
    (shipment,) = sandbox.shipping.shipments.values()
    sandbox.shipping.shipments["SHIPMENT2"] = copy(shipment)


def bought_anew(sandbox):
    (shipment,) = sandbox.shipping.shipments.values()
    sandbox.shipping.shipments["SHIPMENT2"] = replace(shipment, shipment_id="SHIPMENT2", key="another key")


def said(sandbox, *lines):
    the_return(sandbox).timeline.extend(lines)


def counted(sandbox, what, times):
    the_return(sandbox).counts[what] = times


def flagged_too(sandbox):
    counted(sandbox, "flag", 1)
    the_return(sandbox).history.append({"at": "", "what": "Loop: review"})


def limit_exceeded(sandbox):
    sandbox._journal.calls.append(Call("amazon", "getFulfillmentOrder", "GET", "/orders/1", at=NOW, status=429))


PLANTED = {
    "has 2 return items": item_twice,
    "stands for no unit": item_for_nobody,
    "labels were paid for and kept": sold_twice,
    "one purchase was made 2 times": purchase_twice,
    "bought again before": bought_anew,
    "has 2 labels": lambda s: the_return(s).labels.append(the_return(s).labels[0]),
    "an error was posted 2 times": lambda s: the_request(s).errors.extend([{"message": "no"}] * 2),
    "was told ['delivered', 'in_transit']": lambda s: said(s, "label 1: delivered", "label 1: in_transit"),
    "was told ['delivered', 'delivered']": lambda s: said(s, "label 1: delivered", "label 1: delivered"),
    "was written 2 times": lambda s: the_return(s).notes.append(the_return(s).notes[0]),
    "was graded 2": lambda s: setattr(the_return(s).lines[0], "grades", 2),
    "assessed 2 times": lambda s: setattr(the_return(s).lines[0], "assessments", 2),
    "asked to process 2": lambda s: counted(s, "process", 2),
    "was settled in two ways": flagged_too,
    "the limit of getFulfillmentOrder was exceeded": limit_exceeded,
    "a vendor complains": lambda s: s._journal.warn("that page forbids it"),
}


@pytest.mark.parametrize("what", PLANTED)
def test_a_planted_violation_is_reported(what, books):
    """The books are good until something is planted, and then exactly that is said."""
    assert judge(books) == []
    PLANTED[what](books)
    assert any(what in sentence for sentence in judge(books)), judge(books)


@pytest.mark.parametrize(
    ("wanted", "what"),
    [
        ({"items": 2}, "return items 1, not 2"),
        ({"labels": 0}, "labels 1, not 0"),
        ({"errors": 1}, "errors 0, not 1"),
        ({"settled": (0, 1, 0)}, "settled (process, flag, remove) (1, 0, 0), not (0, 1, 0)"),
        ({"portal": frozenset({"review"})}, "ended closed, not review"),
        ({"words": ("Discrepancy found",)}, "no note says 'Discrepancy found'"),
        ({"given_back": True}, "a label that nobody needs was not given back"),
    ],
)
def test_another_ending_is_reported(wanted, what, books):
    """What the story demands is compared with what is in the books."""
    return_id = the_return(books).return_id
    assert judge_ending(books, Ending(return_id=return_id, kind="good", items=1, labels=1, errors=0)) == []
    assert judge_ending(books, Ending(return_id=return_id, kind="good", **wanted)) == [f"good {return_id}: {what}"]


def test_an_acknowledged_delivery_that_is_not_stored_is_reported(books):
    """Loop was told 200, so the return must be there."""
    known = {str(the_return(books).return_id)}
    assert judge_deliveries(books, known) == []
    assert "acknowledged and lost" in judge_deliveries(books, set())[0]


@pytest.mark.parametrize(
    ("ret", "what"),
    [
        (an_awaited_return(due_at=None), "waits for nothing"),
        (a_return(state=State.CLOSED, due_at=None, notes=(Note(key="k", text="t"),)), "waits for nothing"),
        (a_return(state=State.CLOSED, due_at=NOW - 3600.0, notes=(Note(key="k", text="t"),)), "overdue"),
        (a_return(state=State.STUCK, due_at=NOW, problem="a bug"), "is stuck: a bug"),
    ],
)
def test_a_forgotten_return_is_reported(ret, what):
    """A return that nothing wakes, that nobody took up, or that was given up."""
    assert any(what in sentence for sentence in judge_store([ret], NOW))


def test_a_message_that_is_lost_or_left_is_reported():
    """What could not be read must be kept, once however often it came, and nothing stays in the queue."""
    read = [b'{"NotificationType": "X"}', b'{"Notifi', b'{"Notifi']
    assert judge_messages(0, read, letters=1) == []
    assert judge_messages(2, read, letters=1) == ["2 messages are left in the queue"]
    assert judge_messages(0, read, letters=0) == ["1 messages could not be read, 0 are kept"]
