"""What has had its time goes, with everything that is filed under its name, and really leaves the disk."""

import asyncio
import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from adapters.sql import maintenance as upkeep
from adapters.sqlite.store import SqliteStore, open_store
from daemon.domain.events.returns import Resolved
from daemon.domain.returns import Finding, LabelRequest, State
from daemon.operations.retention import Periods, Retention
from daemon.operations.verbs.keeping import Purged
from daemon.ports.names import link_mark
from daemon.ports.store import DeadLetter, Delivery, StoreSize
from daemon.ports.vendors import OrderHead
from tests.services.store_conformance import add, get, make_full_return, make_return, make_unit
from tests.support.virtual_time import FakeClock

DAY = 86400.0
PERIODS = Periods(dead_letters=30 * DAY, closed_returns=400 * DAY, order_index=180 * DAY, calls=30 * DAY)
CANARY = "a name that nothing else has"


@pytest.fixture
async def store(new_store):
    """An empty store."""
    async with await new_store() as opened:
        yield opened


@pytest.fixture
def clock():
    """A clock that stands."""
    return FakeClock()


def on_disk(path: Path) -> bytes:
    """Everything that the database's files hold."""
    return b"".join(file.read_bytes() for file in sorted(path.parent.glob(f"{path.name}*")))


async def ended(store: SqliteStore, clock: FakeClock, name: str, days: float, **changes: object) -> None:
    """Store a return that ended so many days ago."""
    at = clock.now() - days * DAY
    fields = {"state": State.CLOSED, "closed_at": at, "changed_at": at, "due_at": None} | changes
    unit = make_unit(reason=CANARY, return_item_id=f"item-{name}", finding=Finding(condition="Sellable", found_at=at))
    await add(
        store, make_return(name, order_name=CANARY, units=(unit,), requests=(LabelRequest(request_id=name),), **fields)
    )


async def test_returns_go_when_their_time_is_over(store, clock):
    """Closed, cancelled and expired returns go after the period; younger ones, open, stuck and due ones stay."""
    await ended(store, clock, "closed", 401)
    await ended(store, clock, "cancelled", 401, state=State.CANCELLED, closed_at=None)
    await ended(store, clock, "expired", 401, state=State.EXPIRED, closed_at=None)
    await ended(store, clock, "young", 399)
    await ended(store, clock, "stuck", 500, state=State.STUCK, closed_at=None)
    await ended(store, clock, "review", 500, state=State.IN_REVIEW, closed_at=None)
    await ended(store, clock, "still due", 500, due_at=clock.now() + DAY)
    forgotten: Counter[tuple[str, State]] = Counter()

    gone = await Retention(store, clock, PERIODS, lambda *gone: forgotten.update([gone])).purge()

    assert gone["returns"] == 3
    assert Purged(**gone).returns == 3  # which tells of each kind
    assert forgotten == {("acme", state): 1 for state in (State.CLOSED, State.CANCELLED, State.EXPIRED)}
    names = ("closed", "cancelled", "expired", "young", "stuck", "review", "still due")
    assert [name for name in names if await get(store, name)] == ["young", "stuck", "review", "still due"]


async def test_a_return_goes_with_all_that_belongs_to_it(store, clock):
    """History, parts, documents and an operator's link go with their return; what others have of the like stays."""
    await add(store, make_full_return("old"))
    await store.transact(lambda uow: uow.save(_closed(uow.get("acme", "old"), clock), _event(clock), State.STUCK))
    await ended(store, clock, "old2", 1)

    def file(uow):
        for name in ("old", "old2"):
            uow.keep_document(f"label/acme/{name}/A1/1", b"sealed", clock.now() + DAY)
            uow.set_mark(link_mark("acme", name), "#1001")

    await store.transact(file)

    assert (await Retention(store, clock, PERIODS).purge())["returns"] == 1

    def left(uow):
        return [
            (
                bool(uow.document(f"label/acme/{name}/A1/1")),
                uow.mark(link_mark("acme", name)),
                bool(uow.history("acme", name)),
            )
            for name in ("old", "old2")
        ]

    assert await store.read(left) == [(False, None, False), (True, "#1001", False)]
    assert await store.read(lambda uow: uow.find("old")) == []


def _closed(ret, clock):
    return replace(ret, state=State.CLOSED, due_at=None, closed_at=clock.now() - 500 * DAY)


def _event(clock):
    return Resolved(at=clock.now() - 500 * DAY, by="somebody")


async def test_known_orders_go_by_their_last_change(store, clock):
    """Of every account, the oldest first, so many at once; an order that Amazon has changed since stays."""

    def heads(*days: float) -> list[OrderHead]:
        return [
            OrderHead(order_id=f"o{age}", displayable_order_id="#1001", changed_at=clock.now() - age * DAY)
            for age in days
        ]

    def fill(uow):
        uow.index_orders("main", heads(179, 181, 182, 183))
        uow.index_orders("other", heads(181))
        uow.index_orders("main", [replace(heads(183)[0], changed_at=clock.now())])

    await store.transact(fill)
    assert await store.upkeep(lambda keep: keep.drop_indexed_orders(clock.now() - 180 * DAY, 1)) == 1

    def left(uow):
        return [[head.order_id for head in uow.orders_named(account, "#1001")] for account in ("main", "other")]

    assert await store.read(left) == [["o179", "o181", "o183"], ["o181"]]
    assert (await Retention(store, clock, PERIODS).purge())["known_orders"] == 2
    assert await store.read(left) == [["o179", "o183"], []]
    assert (await Retention(store, clock, PERIODS).purge())["known_orders"] == 0


async def test_the_rest_goes_after_its_own_period(store, clock):
    """Labels lose their content, dead letters and deliveries go, each by its own age; a gone label is remembered."""
    now = clock.now()

    def fill(uow):
        for days in (29, 31):
            letter = DeadLetter(shop="acme", digest=str(days), reason="", sealed=b"x", received_at=now - days * DAY)
            uow.keep_dead_letter(letter)
            uow.keep_document(f"hosted/{days}", b"sealed", now + (30 - days) * DAY)
        for days in (364, 366):
            row = {"topic": "return", "trigger": "return.updated", "subject": "1", "return_id": "1"}
            uow.record_delivery(Delivery(shop="acme", digest=str(days), received_at=now - days * DAY, **row))
        uow.keep_document("hosted/ancient", b"", now - 401 * DAY)

    await store.transact(fill)
    gone = await Retention(store, clock, PERIODS).purge()

    assert {name: gone[name] for name in ("labels", "dead_letters", "deliveries", "returns")} == {
        "labels": 1,
        "dead_letters": 1,
        "deliveries": 1,
        "returns": 0,
    }
    assert [
        await store.read(lambda uow, n=n: uow.document(n)) for n in ("hosted/29", "hosted/31", "hosted/ancient")
    ] == [
        b"sealed",
        b"",
        None,
    ]
    assert [letter.received_at for letter in await store.survey(lambda keep: keep.letters())] == [now - 29 * DAY]
    assert (await Retention(store, clock, PERIODS).purge())["deliveries"] == 0


@pytest.mark.parametrize("new_store", ["sqlite"], indirect=True)  # it looks into the file
async def test_what_is_forgotten_has_left_the_disk(store, clock):
    """After a purge no file of the database holds a word of it, and the file is smaller, while the store works on."""
    for n in range(150):
        await ended(store, clock, f"gone-{n}", 500)
    await store.transact(lambda uow: uow.keep_document("hosted/x", CANARY.encode() * 1000, clock.now() - 1))
    await add(store, make_return("kept"))
    await store.shrink()
    before: StoreSize = await store.sizes()
    assert CANARY.encode() in on_disk(store.path)

    gone = await Retention(store, clock, PERIODS).purge()

    after = await store.sizes()
    assert gone["returns"] == 150
    assert CANARY.encode() not in on_disk(store.path)
    assert gone["bytes"] == before.size - after.size > 0
    assert (after.unused, after.log, after.finding) == (0, 0, "")
    assert await get(store, "kept") is not None
    await add(store, make_return("later"))


@pytest.mark.parametrize("new_store", ["sqlite"], indirect=True)  # it looks into the file
async def test_the_indexes_serve_the_clearing(store):
    """Neither ended returns nor old deliveries are looked for by reading whole tables."""

    def plans(connection):
        asked = ((upkeep._ENDED, (0.0, 1)), (upkeep._DROP_DELIVERIES, (0.0, 1)))
        return [
            " ".join(row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", given)) for sql, given in asked
        ]

    returns, deliveries = await store._writer.read(plans)
    assert "returns_to_drop" in returns
    assert "deliveries_by_age" in deliveries
    assert "SCAN" not in returns
    assert "TEMP B-TREE" not in returns + deliveries


@pytest.mark.parametrize("new_store", ["sqlite"], indirect=True)  # it looks into the file
async def test_counting_what_is_held_reads_what_has_just_arrived(store):
    """However many returns there are, those that were matched are not looked at."""
    sql = f"EXPLAIN QUERY PLAN SELECT shop, count(*) {upkeep._HELD}"
    rows = await store._writer.read(lambda connection: connection.execute(sql).fetchall())
    assert [row[3] for row in rows] == ["SEARCH returns USING INDEX returns_by_state (state=?)"]


async def test_a_file_that_keeps_its_pages_is_left_alone(tmp_path):
    """A database that somebody rebuilt gives nothing back, however often it is asked: the night must end all the same."""
    path = tmp_path / "mcfd.db"
    async with await open_store(path) as opened:
        await opened.transact(lambda uow: uow.keep_document("label", bytes(500_000), 1.0))
    with closing(sqlite3.connect(path)) as rebuilt:
        rebuilt.execute("PRAGMA auto_vacuum = NONE")
        rebuilt.execute("VACUUM")
    async with await open_store(path) as opened:
        assert await opened.transact(lambda uow: uow.drop_documents(2.0, 9)) == 1
        async with asyncio.timeout(10):
            assert await opened.shrink() <= 0


async def test_labels_are_emptied_a_few_at_a_time(store, clock):
    """Webhooks wait for no more than some labels, however many have had their time."""
    for number in range(25):
        await store.transact(lambda uow, name=f"label/{number}": uow.keep_document(name, b"sealed", clock.now()))
    units: list[int] = []
    transact = store.transact

    async def counted(work):
        done = await transact(work)
        units.append(done)
        return done

    store.transact = counted
    assert (await Retention(store, clock, PERIODS).purge())["labels"] == 25
    assert [unit for unit in units if isinstance(unit, int)][:4] == [10, 10, 5, 0]
