"""A return goes all the way, through real processes and real sockets.

With SQLite, with PostgreSQL, and with two nodes on one PostgreSQL, of which the one at work is killed in the middle.
"""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from adapters.sandbox import ReturnLine
from tests.e2e.cluster import Cluster, nodes_at_work
from tests.e2e.world import CALM, MUG, SOCK, World, pause, until, world

pytestmark = pytest.mark.asyncio(loop_scope="session")


STORES = ["sqlite", pytest.param("postgresql", marks=pytest.mark.volume), "two nodes"]
"""Two nodes have PostgreSQL, too."""


@pytest_asyncio.fixture(scope="module", loop_scope="session", params=STORES)
async def _gentle_world(request, tmp_path_factory, postgres) -> AsyncIterator[World]:
    folder = tmp_path_factory.mktemp("stored")
    config = {"store": {"url": postgres.new_database()}} if request.param == "postgresql" else {}
    two = request.param == "two nodes"
    async with nodes_at_work(folder, 2, timings=CALM) if two else world(folder, timings=CALM, config=config) as made:
        yield made


@pytest_asyncio.fixture(loop_scope="session")
async def w(w: World) -> AsyncIterator[World]:
    """Of two nodes, the one at work is killed in the middle of the test, and started again after it."""
    if not isinstance(w.daemon, Cluster):
        yield w
        return
    killing = asyncio.create_task(kill_in_the_middle(w))
    yield w
    killing.cancel()
    await w.daemon.start()


async def kill_in_the_middle(w: World) -> None:
    """Kill the node at work as soon as it tells something on a timeline, whether it hears of its success or not."""
    before = w.calls("addNote")
    await until("a note", lambda: w.calls("addNote") > before, w.patience)
    w.daemon.holder.kill()


def events(shown: dict) -> list[str]:
    """What happened to a return, oldest first."""
    return [row["event"] for row in shown["history"]]


async def test_a_clean_return_is_processed_and_closed(w):
    """The label carries the RMA, the unit is graded, the notes tell the story in order, and the return is closed."""
    return_id = w.submit("#1001", SOCK)
    held = await w.labelled(return_id)
    (authorization,) = w.network("#1001")["returnAuthorizations"]
    (label,) = held["delivered_labels"]
    assert label["tracking_number"] == authorization["amazonRmaId"]
    assert label["label_url"] == authorization["rmaPageURL"]
    await w.receive(return_id, SOCK)
    shown = await w.state(return_id, "closed")

    held = w.portal(return_id)
    (line,) = held["line_items"]
    assert held["was_processed"]
    assert held["counts"] == {"process": 1}
    assert (line["grades"], line["assessments"]) == (1, 1)
    assert line["disposition"]["disposition_outcome"] == "back_to_stock"
    rma = authorization["amazonRmaId"]
    assert w.notes(return_id) == [
        f"Return created in Amazon: 1 x {SOCK}. RMA {rma}.",
        f"Label delivered: Amazon, tracking {rma}.",
        f"Amazon inspected {SOCK} at RNO1: sellable. Amazon's reason: UNKNOWN_OTHER_REASON.",
        "No discrepancy: all units arrived as they should. Processing the return.",
    ]
    told = [name for name in events(shown) if name[0].isupper()]
    story = ["UnitsAuthorized", "LabelIssued", "LabelDelivered", "UnitsInspected", "VerdictReached"]
    assert [name for name in told if name in story] == story
    assert told[-1] == "ReturnProcessed"


async def test_a_damaged_return_waits_for_a_person(w):
    """A discrepancy is noted, flagged once, never processed, and over when a person has closed the return."""
    return_id = w.submit("#1002", ReturnLine(sku=MUG, reason="Changed my mind"), SOCK)
    await w.receive(return_id, MUG, "CustomerDamaged")
    w.sandbox.receive(return_id, sku=SOCK)
    await w.portal_state(return_id, "review")
    await w.state(return_id, "in_review")
    assert w.portal(return_id)["counts"] == {"flag": 1}
    lines = w.portal(return_id)["line_items"]
    dispositions = {line["sku"]: line["disposition"]["disposition_outcome"] for line in lines}
    assert dispositions == {MUG: "resale_hold", SOCK: "back_to_stock"}
    assert w.notes(return_id)[-1] == f"Discrepancy: {MUG} damaged by the customer. Sent to Needs Review."

    w.sandbox.settle_review(return_id, "close")
    shown = await w.state(return_id, "closed")
    assert "ReturnFlagged" in events(shown)
    assert events(shown)[-1] == "ReviewSettled"
    assert w.portal(return_id)["counts"] == {"flag": 1}


async def test_the_label_may_come_later(w):
    """An authorization that is not in the answer of the create call is looked for until it is there."""
    w.sandbox.set_label_after(1.0)
    return_id = w.submit("#1003", SOCK)
    await w.state(return_id, "awaiting_label")
    assert not w.portal(return_id)["delivered_labels"]
    held = await w.labelled(return_id)
    (label,), (authorization,) = held["delivered_labels"], w.network("#1003")["returnAuthorizations"]
    assert label["tracking_number"] == authorization["amazonRmaId"]
    assert w.calls("createFulfillmentReturn", "%231003") == 1
    await w.state(return_id, "awaiting_inspection")


async def test_two_parcels_get_a_label_each(w):
    """Each label request of a return gets the label of its own authorization."""
    w.sandbox.create_order("#1004", {SOCK: 1, MUG: 1}, return_centers=("RNO1", "ABE8"))
    return_id = w.submit("#1004", SOCK, MUG, parcels=[[0], [1]])
    await until("both labels", lambda: len(w.portal(return_id)["delivered_labels"]) == 2)
    labels = w.portal(return_id)["delivered_labels"]
    assert len({label["tracking_number"] for label in labels}) == 2
    assert len(w.network("#1004")["returnItems"]) == 2


async def test_without_webhooks_the_polls_find_everything(tmp_path):
    """When no delivery ever arrives, the label request and the outcome are found by asking."""
    async with world(tmp_path, webhooks=False) as w:
        clean, damaged = w.submit("#1005", SOCK), w.submit("#1006", MUG)
        await w.receive(clean, SOCK)
        await w.receive(damaged, MUG, "Defective")
        await w.state(clean, "closed")
        await w.portal_state(damaged, "review")
        w.sandbox.settle_review(damaged, "process")
        await w.state(damaged, "closed")
        assert w.sandbox.snapshot()["loop"]["deliveries"] == []
        assert w.portal(clean)["counts"] == {"process": 1}


async def test_a_return_cancelled_in_loop_is_over(w):
    """A return that the shopper takes back before there is a label gets none."""
    w.sandbox.set_label_after(30.0)
    return_id = w.submit("#1007", SOCK)
    await w.state(return_id, "awaiting_label")
    w.sandbox.cancel_return(return_id)
    await w.state(return_id, "cancelled")
    await pause(0.5)
    assert not w.portal(return_id)["delivered_labels"]


async def test_a_refused_unit_becomes_an_error_in_loop(w):
    """When Amazon takes nothing back, the label request gets one error that says why, and no label."""
    w.sandbox.refuse_sku("HAT", "InvalidValues", "This unit cannot come back.")
    return_id = w.submit("#1008", "HAT")
    await w.state(return_id, "closed")
    (request,) = w.portal(return_id)["label_requests"]
    (error,) = w.sandbox.snapshot()["loop"]["label_requests"][str(request)]["errors"]
    assert "This unit cannot come back." in error["message"]
    assert not w.portal(return_id)["delivered_labels"]
