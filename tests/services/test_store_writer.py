"""The writer: what waits together commits together, and nobody pays for another's failure or impatience."""

import asyncio
import random
import sqlite3
import threading

import pytest

from adapters.sql.writer import Writer
from adapters.sqlite.engine import SQLITE, InlineEngine
from adapters.sqlite.store import open_store
from daemon.errors import StaleReturn, StoreUnavailable


@pytest.fixture
async def store(tmp_path):
    """A store with a thread."""
    async with await open_store(tmp_path / "mcfd.db") as opened:
        yield opened


async def watch(store) -> list[str]:
    """The statements that the store runs from now on."""
    statements: list[str] = []
    await raw(store, lambda connection: connection.set_trace_callback(statements.append))
    return statements


async def raw(store, work):
    """Run `work` on the store's own connection."""
    return await store._writer.read(work)


async def yield_once():
    """Let every callback that is ready run."""
    loop = asyncio.get_running_loop()
    passed = loop.create_future()
    loop.call_soon(passed.set_result, None)
    await passed


async def occupy(store) -> tuple[asyncio.Future[None], threading.Event]:
    """Keep the store's thread in a unit of work until the event is set."""
    running, go_on = threading.Event(), threading.Event()

    def work(uow):
        running.set()
        assert go_on.wait(5)

    caller = asyncio.ensure_future(store.transact(work))
    while not running.is_set():
        await yield_once()
    return caller, go_on


def set_mark(name: str, value: str = "1"):
    """The unit of work that sets a mark."""
    return lambda uow: uow.set_mark(name, value)


def mark(name: str):
    """The unit of work that reads a mark."""
    return lambda uow: uow.mark(name)


async def test_what_arrives_together_shares_commits(store):
    """A hundred units that arrive at once need one commit, and all are stored."""
    statements = await watch(store)

    await asyncio.gather(*(store.transact(set_mark(f"m{n}")) for n in range(100)))

    assert statements.count("COMMIT") == 1
    assert [await store.read(mark(f"m{n}")) for n in range(100)] == ["1"] * 100


async def test_what_arrives_during_a_commit_shares_the_next(store):
    """While a batch runs, newcomers wait, and then go together; nobody waits for newcomers."""
    statements = await watch(store)
    first, go_on = await occupy(store)
    late = [asyncio.ensure_future(store.transact(set_mark(f"m{n}"))) for n in range(10)]
    await yield_once()
    go_on.set()
    await asyncio.gather(first, *late)

    assert statements.count("COMMIT") == 2


async def test_a_batch_is_bounded(store):
    """A flood is stored in batches of bounded size."""
    statements = await watch(store)

    await asyncio.gather(*(store.transact(set_mark(f"m{n}")) for n in range(600)))

    assert statements.count("COMMIT") == 3


async def test_reads_need_no_transaction(store):
    """Reads alone begin no transaction."""
    statements = await watch(store)

    await asyncio.gather(*(store.read(mark("m")) for _ in range(10)))

    assert not [s for s in statements if s.startswith(("BEGIN", "COMMIT", "SAVEPOINT"))]


async def test_a_failing_unit_fails_alone(store):
    """In one commit, the failing unit's changes are undone, its caller alone gets its error, others are stored."""
    statements = await watch(store)

    def fail(uow):
        uow.set_mark("bad", "1")
        raise StaleReturn("mine")

    results = await asyncio.gather(
        store.transact(set_mark("a")), store.transact(fail), store.transact(set_mark("b")), return_exceptions=True
    )

    assert statements.count("COMMIT") == 1
    assert results[0] is results[2] is None
    assert isinstance(results[1], StaleReturn)
    assert [await store.read(mark(name)) for name in ("a", "bad", "b")] == ["1", None, "1"]


async def test_a_failing_commit_fails_all_its_units(store):
    """When the commit itself fails, every unit of it gets StoreUnavailable and nothing is kept; reads still answer."""

    def break_commit(connection):
        connection.execute("PRAGMA defer_foreign_keys = ON")
        connection.execute("INSERT INTO notes VALUES (4711, 0, 'k', 't', 0)")

    results = await asyncio.gather(
        store.transact(set_mark("a")),
        store._writer.write(break_commit),
        store.read(mark("a")),
        return_exceptions=True,
    )

    assert [type(r) for r in results] == [StoreUnavailable, StoreUnavailable, type(None)]
    assert "FOREIGN KEY" in str(results[0])
    assert results[0] is not results[1]
    await store.transact(set_mark("a", "later"))
    assert await store.read(mark("a")) == "later"


@pytest.mark.parametrize("kind", ["write", "read"])
async def test_an_undone_transaction_fails_all_its_units(store, kind):
    """When SQLite undoes the transaction by itself, no unit of the batch is told that it was stored."""

    def undo(connection):
        connection.execute("ROLLBACK")
        raise sqlite3.OperationalError("disk I/O error")

    results = await asyncio.gather(
        store.transact(set_mark("a")),
        getattr(store._writer, kind)(undo),
        store.transact(set_mark("b")),
        return_exceptions=True,
    )

    assert isinstance(results[0], StoreUnavailable)
    assert isinstance(results[1], (StoreUnavailable, sqlite3.OperationalError))
    assert isinstance(results[2], StoreUnavailable)
    assert await store.read(mark("a")) is None
    assert await store.read(mark("b")) is None


async def test_a_mistaken_statement_is_not_the_disks_fault(store):
    """A statement that SQLite does not understand is a bug, and reported as such."""
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        await raw(store, lambda connection: connection.execute("SELECT 1 FROM nowhere"))
    assert not SQLITE.unavailable(ValueError())


async def test_two_thousand_cancellations_leave_a_consistent_store(store):
    """Callers that give up at any moment leave whole units or nothing, no open transaction, and a working store."""
    dice = random.Random(7)

    def pair(n: int):
        def work(uow):
            uow.set_mark(f"left-{n}", "1")
            uow.set_mark(f"right-{n}", "1")

        return work

    acknowledged = []
    for start in range(0, 2500, 25):
        tasks = {n: asyncio.ensure_future(store.transact(pair(n))) for n in range(start, start + 25)}
        for n in dice.sample(sorted(tasks), 20):
            for _ in range(dice.randrange(3)):
                await yield_once()
            tasks[n].cancel()
        await asyncio.wait(tasks.values())
        acknowledged += [n for n, task in tasks.items() if not task.cancelled()]

    assert not await raw(store, lambda connection: connection.in_transaction)
    names = {name for (name,) in await raw(store, lambda c: c.execute("SELECT name FROM marks").fetchall())}
    assert {n for n in range(2500) if f"left-{n}" in names} == {n for n in range(2500) if f"right-{n}" in names}
    assert 500 <= len(acknowledged) < 2500
    assert {f"left-{n}" for n in acknowledged} <= names
    assert len(names) > 2 * len(acknowledged), "some callers gave up while their unit was being stored"


async def test_who_gives_up_before_the_turn_is_not_run(store):
    """A unit whose caller has gone while it waited for its turn does not run at all."""
    first, go_on = await occupy(store)
    second = asyncio.ensure_future(store.transact(set_mark("m")))
    await yield_once()
    second.cancel()
    go_on.set()
    await asyncio.wait([first, second])

    assert await store.read(mark("m")) is None


async def test_closing_finishes_what_waits(tmp_path):
    """Units that were asked for before the close are stored; later ones are refused; closing again is harmless."""
    store = await open_store(tmp_path / "mcfd.db")
    waiting = [asyncio.ensure_future(store.transact(set_mark(f"m{n}"))) for n in range(300)]
    await yield_once()
    await asyncio.gather(store.close(), store.close())

    assert all(task.done() and task.exception() is None for task in waiting)
    with pytest.raises(StoreUnavailable):
        await store.transact(set_mark("late"))
    with pytest.raises(StoreUnavailable):
        await store.alive()
    assert not list(tmp_path.glob("*-wal")), "the log was checkpointed and removed"
    async with await open_store(tmp_path / "mcfd.db") as again:
        assert await again.read(mark("m299")) == "1"


async def test_a_cancelled_close_still_closes(tmp_path):
    """Whoever closes and gives up does not leave the thread behind."""
    before = set(threading.enumerate())
    store = await open_store(tmp_path / "mcfd.db")
    (thread,) = set(threading.enumerate()) - before
    closing = asyncio.ensure_future(store.close())
    await yield_once()
    closing.cancel()
    await asyncio.wait([closing])
    await store.close()

    assert closing.cancelled()
    thread.join(5)
    assert not thread.is_alive()


async def test_a_loop_that_ends_takes_its_callers_along(store):
    """When everything is cancelled at once, waiting callers are cancelled too, and the store can still be used."""
    first, go_on = await occupy(store)
    second = asyncio.ensure_future(store.transact(set_mark("m")))
    await yield_once()
    store._writer._round.cancel()
    await asyncio.wait([first, second])
    go_on.set()

    assert first.cancelled()
    assert second.cancelled()
    await store.transact(set_mark("after"))
    assert [await store.read(mark(name)) for name in ("m", "after")] == [None, "1"]


async def test_alive_is_a_round_trip(store):
    """The store is alive when its thread answers."""
    statements = await watch(store)

    await store.alive()

    assert statements


async def test_a_lost_connection_is_unavailable():
    """When the connection is gone, callers hear of it instead of waiting for ever."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    writer = Writer(InlineEngine(connection))
    connection.close()

    with pytest.raises(StoreUnavailable):
        await writer.write(lambda c: c.execute("SELECT 1"))


def test_without_a_thread_every_run_is_the_same(tmp_path):
    """Inline, the order of everything that happens is the same at every repetition, and no thread is started."""

    async def scenario(path) -> tuple[list[str], set[threading.Thread]]:
        async with await open_store(path, inline=True) as store:
            statements = await watch(store)
            units = [asyncio.ensure_future(store.transact(set_mark(f"m{n}"))) for n in range(20)]
            await yield_once()
            units[7].cancel()
            reads = await asyncio.gather(*(store.read(mark(f"m{n}")) for n in range(20)))
            return [*statements, *map(str, reads)], set(threading.enumerate())

    threads = set(threading.enumerate())
    first, during = asyncio.run(scenario(tmp_path / "a.db"))
    second, _ = asyncio.run(scenario(tmp_path / "b.db"))

    assert first == second
    assert during <= threads
