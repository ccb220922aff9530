"""The connection for pages: it sees what is committed, changes nothing, and has an end."""

import asyncio
import threading

import pytest

import adapters.sqlite.reading
from daemon.errors import StoreUnavailable
from tests.services.store_conformance import add, make_return


@pytest.fixture
async def store(new_store):
    async with await new_store() as opened:
        yield opened


@pytest.fixture
async def reader(store):
    opened = await store.reader()
    yield opened
    await opened.close()


async def test_it_sees_what_was_committed_before(store, reader):
    """A page after an action shows what the action did."""
    ret = make_return()
    await add(store, ret)
    seen = await reader.read(lambda uow: uow.get(ret.shop, ret.return_id))
    assert seen is not None
    assert await reader.survey(lambda keep: keep.find_by(ret.return_id, 5))


async def test_it_changes_nothing(reader):
    """A verb that writes fails there, and the next reading works."""
    with pytest.raises(StoreUnavailable):
        await reader.read(lambda uow: uow.set_mark("a", "b"))
    assert await reader.read(lambda uow: uow.mark("a")) is None


async def test_a_reading_that_waits_holds_up_no_writer(store, reader):
    """While a page is read, returns are written, and the page still sees one state."""
    reading, written = threading.Event(), threading.Event()

    def slowly(uow):
        before = uow.mark("a")
        reading.set()
        assert written.wait(10)
        return before, uow.mark("a")

    async def write() -> None:
        await store.transact(lambda uow: uow.set_mark("a", "b"))
        written.set()

    page = asyncio.ensure_future(reader.read(slowly))
    await asyncio.to_thread(reading.wait, 10)
    await write()
    assert await page == (None, None)


@pytest.mark.parametrize("new_store", ["sqlite"], indirect=True)  # it looks into the file
async def test_a_reading_without_end_is_ended(reader, monkeypatch):
    """What takes too long is broken off, with words; the next one works."""
    monkeypatch.setattr(adapters.sqlite.reading, "LONGEST", 0.0)
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    with pytest.raises(StoreUnavailable, match="cannot be read"):
        await reader.read(lambda uow: uow._connection.execute(endless).fetchone())
    monkeypatch.setattr(adapters.sqlite.reading, "LONGEST", 60.0)
    assert await reader.read(lambda uow: uow.mark("a")) is None


async def test_after_its_end(store):
    """Once it is closed it says so."""
    reader = await store.reader()
    await reader.close()
    with pytest.raises(StoreUnavailable):
        await reader.read(lambda uow: uow.mark("a"))
