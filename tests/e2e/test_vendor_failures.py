"""Vendors that fail for a while, or after the effect: every return ends well, and nothing happens twice."""

from collections.abc import Collection

import pytest

from adapters.sandbox import Fault
from tests.e2e.world import MUG, SOCK, World, everyone, until

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def clean(w: World, name: str, *, notes: Collection[int] = (4,)) -> None:
    """Send a clean return through whatever is in force, and look at what came of it."""
    return_id = w.submit(name, SOCK)
    await w.receive(return_id, SOCK)
    await w.state(return_id, "closed")
    once(w, return_id, name, {"process": 1}, notes)


async def damaged(w: World, name: str) -> None:
    """Send a damaged return through whatever is in force, and look at what came of it."""
    return_id = w.submit(name, MUG)
    await w.receive(return_id, MUG, "CarrierDamaged")
    await w.state(return_id, "in_review")
    once(w, return_id, name, {"flag": 1}, (4,))
    w.sandbox.settle_review(return_id, "close")
    await w.state(return_id, "closed")


def once(w: World, return_id: int, order_id: str, counts: dict[str, int], notes: Collection[int]) -> None:
    """One unit at Amazon, one label, each note once, graded once, one outcome."""
    held = w.portal(return_id)
    assert len(w.network(order_id)["returnItems"]) == 1
    assert len(held["delivered_labels"]) == 1
    assert len(w.notes(return_id)) == len(set(w.notes(return_id)))
    assert len(w.notes(return_id)) in notes
    assert [(line["grades"], line["assessments"]) for line in held["line_items"]] == [(1, 1)]
    assert held["counts"] == counts


@pytest.mark.parametrize(("status", "times"), [(500, 6), (503, 6), (429, 3)])
async def test_amazon_fails_for_a_while(w, status, times):
    """A storm of one status is weathered: the returns wait, and end as they should."""
    w.sandbox.set_faults([Fault(vendor="amazon", kind="status", status=status, count=times)])
    await everyone(clean(w, f"#2{status}1"), damaged(w, f"#2{status}2"))


async def test_loop_fails_now_and_then(w):
    """Every fifth answer of Loop's is an error page; no note, grade or outcome is written twice."""
    w.sandbox.set_faults([Fault(vendor="loop", kind="status", status=502, probability=0.2)])
    await everyone(clean(w, "#2201"), damaged(w, "#2202"))


async def test_a_label_whose_answer_was_lost_is_found(w):
    """A label that Loop took without saying so is not posted again.

    That its id is unknown is told in a note, unless the return is as old as the store: then it is taken over.
    """
    w.sandbox.set_faults([Fault(vendor="loop", operation="createLabel", kind="drop", after_effect=True, count=1)])
    await clean(w, "#2301", notes=(4, 5))


@pytest.mark.parametrize("operation", ["addNote", "grade", "assess", "processReturn", "updateLabel"])
async def test_loop_drops_the_line_after_the_effect(w, operation):
    """What Loop did although its answer was lost is found there, and not done again."""
    w.sandbox.set_faults([Fault(vendor="loop", operation=operation, kind="drop", after_effect=True, count=1)])
    await clean(w, f"#23{operation}")


async def test_loop_drops_the_line_after_a_flag(w):
    """A flag whose answer was lost is not raised again."""
    w.sandbox.set_faults([Fault(vendor="loop", operation="flagReturn", kind="drop", after_effect=True, count=1)])
    await damaged(w, "#2310")


@pytest.mark.parametrize("kind", ["drop", "status", "empty", "contradiction"])
async def test_amazon_fails_after_the_effect(w, kind):
    """A return that Amazon made although it did not say so is adopted: one return item per unit."""
    operation = "createFulfillmentReturn"
    w.sandbox.set_faults([Fault(vendor="amazon", operation=operation, kind=kind, after_effect=True, count=1)])
    await clean(w, f"#24{kind}")
    assert w.calls(operation, f"%2324{kind}") == 1


async def test_a_dropped_line_is_not_resent_behind_our_back(w):
    """A create call whose connection drops without an effect arrives once, and once more after a look at the order."""
    w.sandbox.set_faults([Fault(vendor="amazon", operation="createFulfillmentReturn", kind="drop", count=1)])
    return_id = w.submit("#2501", SOCK)
    await w.labelled(return_id)
    asked = [c["operation"] for c in w.sandbox.calls() if "%232501" in c["path"]]
    assert asked[:4] == ["getFulfillmentOrder", "createFulfillmentReturn"] * 2
    assert "createFulfillmentReturn" not in asked[4:]


async def test_slow_answers_are_waited_for(w):
    """A vendor that takes its time is no reason to ask twice."""
    w.sandbox.set_faults([Fault(vendor="amazon", kind="delay", seconds=0.4, operation="createFulfillmentReturn")])
    return_id = w.submit("#2601", SOCK)
    await w.labelled(return_id)
    assert w.calls("createFulfillmentReturn", "%232601") == 1


async def test_login_with_amazon_is_down_for_a_while(w):
    """Expired access tokens are renewed as soon as the login answers again."""
    w.sandbox.set_faults([Fault(vendor="lwa", kind="status", status=503, count=1)])
    w.sandbox.expire_access_tokens()
    return_id = w.submit("#2701", SOCK)
    await w.labelled(return_id)


async def test_a_processing_that_fails_is_flagged(w):
    """When Loop cannot process a clean return, that is noted and a person gets it."""
    return_id = w.submit("#2801", SOCK)
    w.sandbox.plan_processing(return_id, "fail", "The card was declined.")
    await w.receive(return_id, SOCK)
    await w.portal_state(return_id, "review")
    assert w.portal(return_id)["counts"] == {"process": 1, "flag": 1}
    assert any("could not be processed" in note for note in w.notes(return_id))
    assert any("The card was declined" in note for note in w.notes(return_id))
    w.sandbox.settle_review(return_id, "process")
    await w.state(return_id, "closed")


async def test_a_processing_that_bounces_is_not_flagged_as_well(w):
    """When Loop itself sends a return to review, nothing is added but a look at how it ends."""
    return_id = w.submit("#2901", SOCK)
    w.sandbox.plan_processing(return_id, "bounce")
    await w.receive(return_id, SOCK)
    await w.state(return_id, "in_review")
    assert w.portal(return_id)["counts"] == {"process": 1}
    w.sandbox.settle_review(return_id, "process")
    await w.state(return_id, "closed")


async def test_an_order_that_amazon_learns_of_later(w):
    """A return whose order is not there yet waits for it."""
    return_id = w.sandbox.submit_return("#2951", [{"sku": SOCK}])
    await until("it was looked for", lambda: w.calls("getFulfillmentOrder", "%232951"))
    await w.state(return_id, "received")
    w.sandbox.create_order("#2951", {SOCK: 1})
    assert (await w.daemon.verb("link", **{"return": str(return_id), "orders": ["#2951"], "by": "a person"}))[0] == 200
    await w.labelled(return_id)
