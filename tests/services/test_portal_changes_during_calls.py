"""Something happens in Loop while a call is under way, at every call of a life: whoever saves second gives way."""

import itertools
import sqlite3
from collections import Counter

import pytest

from daemon.domain.portal import PortalState, RequestCancelled, RequestIssued, RequestStatus, ReturnChanged
from daemon.domain.returns import LabelSourceName, State
from tests.services.stage import DAY, HOUR, ORDER, Choices, Stage, open_relaxed
from tests.support.builders import a_line, a_portal_request
from tests.support.configured import a_policy
from tests.support.fakes import LoopReturn
from tests.support.virtual_time import FakeClock

pytestmark = pytest.mark.slow

BUYING = a_policy(order_id_templates=("{provider_order_id}",), label_source=LabelSourceName.AMAZON_SHIPPING)
POLICIES = {"page": Choices.policy, "bought": BUYING}


async def _repeated(stage):
    await stage.tell(RequestIssued(return_id="77", request_id="q77"))


async def _withdrawn(stage):
    stage.portal.withdraw("q77")
    await stage.tell(RequestCancelled(return_id="77", request_id="q77"))


async def _cancelled(stage):
    stage.portal.withdraw("q77")
    stage.portal.set_state("77", PortalState.CANCELLED)
    await stage.tell(ReturnChanged(return_id="77", state=PortalState.CANCELLED))
    await stage.tell(RequestCancelled(return_id="77", request_id="q77"))


async def _closed(stage):
    stage.portal.set_state("77", PortalState.CLOSED, was_processed=True)
    await stage.tell(ReturnChanged(return_id="77", state=PortalState.CLOSED))


async def _reviewed(stage):
    stage.portal.set_state("77", PortalState.REVIEW)
    await stage.tell(ReturnChanged(return_id="77", state=PortalState.REVIEW))


async def _asked_again(stage):
    if stage.portal.requests["q77"].status is RequestStatus.ISSUED:
        await _withdrawn(stage)
    stage.portal.ask(a_portal_request("q2", skus=("SOCK", "CAP")))
    await stage.tell(RequestIssued(return_id="77", request_id="q2"))


async def _edited(stage):
    stage.portal.returns["77"].lines.append(a_line("9", "HAT"))
    lines = frozenset(line.line_id for line in stage.portal.returns["77"].lines)
    await stage.tell(ReturnChanged(return_id="77", state=PortalState.OPEN, line_ids=lines))


async def _polled(stage):
    await stage.polls.label_requests()
    await stage.polls.returns()


HAPPENINGS = {
    "the request is delivered again": _repeated,
    "the request is withdrawn": _withdrawn,
    "the return is cancelled": _cancelled,
    "the return is closed": _closed,
    "a person reviews it": _reviewed,
    "another label is asked for": _asked_again,
    "a line is added": _edited,
    "the polls come round": _polled,
}


class Visitor:
    """Comes by once, at the n-th point of all calls: half of the points are before the effect, half after it."""

    def __init__(self, stage: Stage, happening, at: int) -> None:
        self._stage = stage
        self._happening = happening
        self._left = at
        self.came = ""

    async def __call__(self, operation: str) -> None:
        self._left -= 1
        if self._left == 0:
            self.came = operation
            await self._happening(self._stage)


@pytest.mark.parametrize("happening", HAPPENINGS)
@pytest.mark.parametrize("policy", POLICIES)
async def test_whatever_happens_meanwhile_nothing_is_done_twice(policy, happening, tmp_path, template, moments):
    """No error, no second label or return item or note or outcome, and the return comes to an end of some kind."""
    store = await open_relaxed(tmp_path / "mcfd.db")
    empty = sqlite3.connect(template)
    try:
        for at in itertools.count(1 + moments.first, moments.step):
            await store._writer.read(empty.backup)
            stage = Stage(store.path, FakeClock(), Choices(policy=POLICIES[policy]), lambda _point: None)
            stage.begin(store)
            visitor = Visitor(stage, HAPPENINGS[happening], at)
            for vendor in (stage.portal, stage.network, stage.postage):
                vendor.meet = visitor
            await _live(stage)
            await _judge(stage, f"number {at}, during {visitor.came}")
            if not visitor.came:
                break
    finally:
        empty.close()
        await store.close()
    assert at > 30


async def _live(stage: Stage) -> None:
    """A return of two lines, the second of which comes back damaged; the parcel is looked at after an hour."""
    lines = [a_line("1", "SOCK"), a_line("2", "CAP")]
    stage.ship(SOCK=1, CAP=1)
    stage.network.authorization_delay = 3.0
    stage.portal.submit(LoopReturn(return_id="77", lines=lines))
    await stage.tell(RequestIssued(return_id="77", request_id="q77"))
    await stage.pass_time(HOUR)
    for unit in (await stage.ret()).units:
        if unit.return_item_id in {item.return_item_id for item in stage.network.items(ORDER)}:
            stage.network.inspect(unit, "Sellable" if unit.sku == "SOCK" else "Defective")
    await stage.pass_time(9 * DAY)


async def _judge(stage: Stage, when: str) -> None:
    ret, loop = await stage.ret(), stage.portal.returns["77"]
    marks = Counter(note.split("]")[0] for note in loop.notes)
    assert stage.metrics.troubles["bug"] == 0, when
    assert ret.state in {State.CLOSED, State.CANCELLED, State.IN_REVIEW}, f"{when}: {ret.state} {ret.problem}"
    assert set(marks.values()) <= {1}, f"{when}: {loop.notes}"
    assert len(stage.network.items(ORDER)) in {0, 2}, when
    assert len(stage.portal.labels) <= len(ret.requests), when
    assert len(loop.records) + loop.flags <= 1, when
    assert all(not request.errors for request in stage.portal.requests.values()), when
    assert max(loop.grades.values(), default=0) <= 1, when
    assert len(stage.postage.live()) <= 1, when
