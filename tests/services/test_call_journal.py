"""The journal of calls: written with the return's next change, or soon after, and never in a step's way."""

import asyncio

import pytest

from daemon.domain.events.returns import ReturnRead
from daemon.engine import call_journal
from daemon.engine.call_journal import EVERY, CallJournal
from daemon.engine.recorder import Recorder
from daemon.errors import StoreUnavailable
from daemon.ports.vendors import RETURN_AT_HAND
from tests.services.store_conformance import add, make_call, make_return
from tests.support.configured import clocks
from tests.support.fakes import RecordingMetrics
from tests.support.virtual_time import FakeClock, settle

REF = ("acme", "r1")


@pytest.fixture
async def store(new_store):
    """A store with one return."""
    async with await new_store() as opened:
        await add(opened, make_return())
        yield opened


@pytest.fixture
def journal(store):
    """The journal, with the return at hand."""
    token = RETURN_AT_HAND.set(REF)
    yield CallJournal(store)
    RETURN_AT_HAND.reset(token)


def hear(journal, **changes):
    """A call is made for the return at hand."""
    journal.heard(lambda shop, return_id: make_call(shop=shop, return_id=return_id, **changes))


async def kept(store, ref=REF):
    """The operations in the stored journal."""
    return [call.operation for call in await store.read(lambda uow: uow.calls_of(*ref))]


@pytest.fixture
def recorder(store, journal):
    """Saves the outcomes of steps."""
    return Recorder(store, FakeClock(), clocks(), RecordingMetrics(), journal=journal)


async def test_calls_are_written_in_the_transaction_of_the_step(store, journal, recorder, monkeypatch):
    """The save of a step takes the return's calls along: there is no transaction beside it."""
    transactions = []
    transact = store.transact
    monkeypatch.setattr(store, "transact", lambda work: transactions.append(work) or transact(work))
    hear(journal)
    ret = await store.read(lambda uow: uow.get(*REF))

    await recorder.defer(ret)

    assert len(transactions) == 1
    assert await kept(store) == ["getFulfillmentOrder"]


async def test_calls_without_a_save_are_written_soon(store, journal):
    """What no save took along is written by the next round, once."""
    hear(journal)
    await journal.flush()
    await journal.flush()

    assert [call.times for call in await store.read(lambda uow: uow.calls_of(*REF))] == [1]


async def test_nothing_is_waited_for_without_calls(store, journal):
    """The journal is asked for by the first line, and written a few seconds after it; a daemon at rest stays so."""
    clock, stop = FakeClock(), asyncio.Event()
    await journal.round(clock, stop)
    assert not journal.news.is_set()

    hear(journal)
    assert journal.news.is_set()
    writing = asyncio.ensure_future(journal.round(clock, stop))
    await settle(20)
    assert await kept(store) == []
    clock.advance(EVERY)
    await writing
    assert len(await kept(store)) == 1


async def test_a_call_for_no_return_is_not_kept(store, journal):
    """Polls and other calls that belong to no return leave no line."""
    RETURN_AT_HAND.set(None)
    hear(journal)
    await journal.flush()

    assert await kept(store) == []


async def test_calls_of_a_lost_race_are_kept(store, journal, recorder):
    """When somebody else saved the return first, the step's calls are still written, once."""
    ret = await store.read(lambda uow: uow.get(*REF))
    await store.transact(lambda uow: uow.defer(uow.get(*REF)))
    hear(journal)

    await recorder.record(ret, ReturnRead(at=1.0))
    await journal.flush()

    assert [call.times for call in await store.read(lambda uow: uow.calls_of(*REF))] == [1]


async def test_calls_wait_while_the_store_cannot_write(store, journal, monkeypatch):
    """Nothing is lost or doubled when a write fails; the lines go with the next one."""
    hear(journal)

    async def fails(_work):
        raise StoreUnavailable("full")

    with monkeypatch.context() as broken:
        broken.setattr(store, "transact", fails)
        with pytest.raises(StoreUnavailable):
            await journal.flush()
        with pytest.raises(StoreUnavailable):
            await journal.transact(REF, lambda _: None)
    await journal.flush()

    assert [call.times for call in await store.read(lambda uow: uow.calls_of(*REF))] == [1]


async def test_the_lines_that_wait_are_bounded(store, journal, monkeypatch):
    """While nothing can be written, later calls are dropped instead of filling the memory."""
    monkeypatch.setattr(call_journal, "MOST_LINES", 3)
    for number in range(5):
        hear(journal, operation=f"call {number}")
    await journal.flush()

    assert await kept(store) == ["call 0", "call 1", "call 2"]


async def test_calls_go_after_their_time_and_with_their_return(store, journal):
    """Old calls are deleted by age, all of a return's with the return."""
    hear(journal, at=1.0, first_at=1.0)
    hear(journal, at=2.0, first_at=2.0, operation="later")
    await journal.flush()

    assert await store.upkeep(lambda keep: keep.drop_calls(2.0, 10)) == 1
    assert await kept(store) == ["later"]
    await store.upkeep(lambda keep: keep.drop_return(*REF))
    assert await kept(store) == []
