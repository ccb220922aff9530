"""A forgotten return is gone from every file, and is not served again unless Loop asks anew."""

from dataclasses import replace
from pathlib import Path

import pytest

from adapters.host.vault import Vault
from adapters.sqlite.store import open_store
from daemon.domain.acts import Act, Duty
from daemon.domain.events.returns import Resolved
from daemon.domain.portal import PortalState, RequestIssued, ReturnChanged
from daemon.domain.returns import Finding, Label, LabelRequest, LabelSourceName, Note, State
from daemon.engine.call_journal import CallJournal
from daemon.engine.intake import Intake
from daemon.engine.label_hosting import LabelHosting
from daemon.engine.recorder import Recorder
from daemon.errors import OperatorError
from daemon.operations.forgetting import Forgetting
from daemon.ports.names import bought_labels, link_mark, proof_mark
from daemon.ports.sealed import dead_letter
from daemon.ports.store import DeadLetter
from tests.services.store_conformance import (
    add,
    make_call,
    make_delivery,
    make_purchase,
    make_return,
    make_unit,
)
from tests.support.configured import clocks
from tests.support.fakes import RecordingMetrics
from tests.support.virtual_time import FakeClock

BOX = Vault([bytes(32)])
RETURN_ID, REQUEST_ID = "58120031", "73310499"
CANARIES = (b"58120031", b"73310499", b"CANARY")
NAMES = {
    "sku": "CANARY-SKU",
    "portal_sku": "CANARY-P",
    "reason": "CANARY says so",
    "order_id": "#CANARY",
    "line_id": "CANARY-1",
}


@pytest.fixture
def path(tmp_path):
    """Where the database is."""
    return tmp_path / "mcfd.db"


@pytest.fixture
async def store(path):
    """A store, with another return that must stay."""
    async with await open_store(path) as opened:
        await add(opened, make_return("1"))
        yield opened


@pytest.fixture
def clock():
    """A clock that stands."""
    return FakeClock()


@pytest.fixture
def gone():
    """The forgotten returns that the metrics hear of."""
    return []


@pytest.fixture
def forgetting(store, clock, gone):
    """As the daemon has it."""
    return Forgetting(store, clock, BOX, lambda *what: gone.append(what))


def on_disk(path: Path) -> bytes:
    """Everything that the database's files hold."""
    return b"".join(file.read_bytes() for file in sorted(path.parent.glob(f"{path.name}*")))


async def fill(store, clock):
    """A return with something everywhere."""
    hosting = LabelHosting(
        store, BOX, clock, public_url="https://r.test", retention=1e6, new_token=lambda: "CANARYTOKEN"
    )
    link, keep_page = hosting.publish(b"CANARY label page")
    label = Label(url=link, carrier="UPS", tracking_number="1ZCANARY")
    ret = make_return(
        RETURN_ID,
        state=State.STUCK,
        order_name="#CANARY",
        problem="CANARY",
        requests=(LabelRequest(request_id=REQUEST_ID, label=label),),
        units=(make_unit(**NAMES, finding=Finding(condition="CANARY", found_at=1.0)),),
        notes=(Note(key="k", text="CANARY"),),
    )
    await add(store, ret)

    def around(uow):
        stored = uow.get("acme", RETURN_ID)
        uow.save(replace(stored, state=State.CLOSED, due_at=None), Resolved(at=2.0, by="CANARY"), State.STUCK)
        uow.record_delivery(make_delivery(subject=REQUEST_ID, return_id=RETURN_ID))
        keep_page(uow)
        uow.keep_document(f"{bought_labels('acme', RETURN_ID)}A1/1", b"CANARY label", 1e12)
        uow.set_mark(link_mark("acme", RETURN_ID), "#CANARY")
        uow.set_mark(proof_mark("acme", RETURN_ID), link)
        uow.keep_purchase(make_purchase("shp_CANARY", return_id=RETURN_ID, charge_cents=700, offered_at=clock.now()))
        uow.keep_calls([make_call(return_id=RETURN_ID, asked={"order": "#CANARY"})])
        for number, body in enumerate((b'{"return_id": 58120031}', b'{"id": 7, "return_id": 581200317}')):
            sealed = BOX.seal(body, dead_letter("acme"))
            uow.keep_dead_letter(
                DeadLetter(shop="acme", digest=str(number), reason="x", sealed=sealed, received_at=1.0)
            )

    await store.transact(around)
    return await store.read(lambda uow: uow.get("acme", RETURN_ID))


async def test_nothing_of_a_forgotten_return_is_left_in_any_file(store, path, clock, forgetting, gone):
    """Rows, history, documents, marks, calls, deliveries, its dead letter: no file holds a name; others stay."""
    ret = await fill(store, clock)
    assert all(canary in on_disk(path) for canary in CANARIES)

    await forgetting.forget(ret, "somebody")

    held = on_disk(path)
    assert [canary for canary in CANARIES if canary in held] == []
    assert gone == [("acme", State.CLOSED)]
    assert await store.read(lambda uow: uow.find("1")) == [("acme", "1")]
    assert [letter.letter_id for letter in await store.survey(lambda keep: keep.letters())] == [2]
    spent = await store.read(lambda uow: uow.spent_since("main", LabelSourceName.EASYPOST, 0.0))
    assert spent == 700
    assert await store.read(lambda uow: uow.purchases_due("main", 1e12, 10)) == []


async def test_a_preview_changes_nothing(store, clock, forgetting):
    """The preview says what would be erased, and that an open return would be followed no more."""
    ret = await fill(store, clock)
    still_open = (await add(store, make_return("2", state=State.AWAITING_INSPECTION)))[0]

    assert "erases acme/58120031 for good" in (await forgetting.forget(ret, "somebody", preview=True)).note
    assert "followed no more" in (await forgetting.forget(still_open, "somebody", preview=True)).note
    assert await store.read(lambda uow: uow.get("acme", RETURN_ID)) == ret


async def test_a_return_with_a_call_under_way_is_not_forgotten(store, forgetting):
    """What is being bought or created would be lost with it, so its answer is awaited."""
    pending = (Duty(Act.BUY_POSTAGE, "A1"),)
    ret = (await add(store, make_return("2", state=State.AWAITING_LABEL, pending_calls=pending)))[0]

    with pytest.raises(OperatorError, match="has not been answered yet"):
        await forgetting.forget(ret, "somebody")
    assert await store.read(lambda uow: uow.get("acme", "2")) is not None


async def test_a_return_that_changed_meanwhile_is_not_forgotten(store, clock, forgetting):
    """A label request that came between the reading and the erasing is not lost."""
    ret = await fill(store, clock)
    await store.transact(lambda uow: uow.defer(uow.get("acme", RETURN_ID)))

    with pytest.raises(OperatorError, match="just changed"):
        await forgetting.forget(ret, "somebody")


async def test_a_forgotten_return_is_served_again_only_when_loop_asks_anew(store, path, clock, forgetting):
    """The old label request and news of the return are ignored, without keeping its ids; a new request opens it."""
    await forgetting.forget(await fill(store, clock), "somebody")
    intake = Intake(store, clock, clocks(), RecordingMetrics(), wake=lambda: None)
    old = RequestIssued(request_id=REQUEST_ID, return_id=RETURN_ID)
    for number, message in enumerate((old, ReturnChanged(return_id=RETURN_ID, state=PortalState.CLOSED))):
        await intake.deliver(make_delivery(digest=f"d{number}", subject=REQUEST_ID, return_id=RETURN_ID), message)
    await intake.hear("acme", [old])

    assert await store.read(lambda uow: uow.find(RETURN_ID)) == []
    assert RETURN_ID.encode() not in on_disk(path)

    await intake.hear("acme", [RequestIssued(request_id="73310500", return_id=RETURN_ID)])
    ret = await store.read(lambda uow: uow.get("acme", RETURN_ID))
    assert [request.request_id for request in ret.requests] == ["73310500"]


async def test_a_step_in_hand_ends_with_its_return(store, clock, forgetting):
    """A step that was under way writes nothing of the return or its calls any more, and owes nothing."""
    ret = (await add(store, make_return("2", state=State.AWAITING_INSPECTION, due_at=1.0)))[0]
    journal = CallJournal(store)
    recorder = Recorder(store, clock, clocks(), RecordingMetrics(), journal=journal)
    await forgetting.forget(ret, "somebody")

    assert (await recorder.defer(ret)).due_at is None
    assert (await recorder.fresh(ret)).due_at is None
    assert await store.read(lambda uow: uow.find("2")) == []


async def test_tombstones_go_with_the_time_of_ended_returns(store, clock, forgetting):
    """A tombstone is kept as long as an ended return would have been."""
    await forgetting.forget(await fill(store, clock), "somebody")

    assert await store.upkeep(lambda keep: keep.drop_tombstones(clock.now())) == 0
    assert await store.upkeep(lambda keep: keep.drop_tombstones(clock.now() + 1.0)) == 2
