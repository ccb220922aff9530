"""A PostgreSQL server that is away, silent or read-only: the store says so in time, and goes on when it is back."""

import asyncio
import os
import signal

import psycopg
import pytest

import adapters.postgresql.engine
from adapters.postgresql.store import open_store
from daemon.errors import AlreadyRunning, StaleReturn, StoreUnavailable
from daemon.operations.doctor.amazon import examine_store
from tests.services.store_conformance import add, get, make_full_return, make_return
from tests.support.postgres import running_server

pytestmark = [pytest.mark.timeout(90), pytest.mark.slow]


@pytest.fixture
def server():
    """A server that a test may stop."""
    with running_server() as made:
        yield made


async def come_back(store) -> None:
    """Wait until the store connects again."""
    while True:
        try:
            await store.alive()
        except StoreUnavailable:
            continue
        return


async def test_a_server_that_is_away(server):
    """Without a server every unit is unavailable and nothing is kept; what was stored is there when it is back."""
    async with await open_store("the database", server.new_database()) as store:
        (stored,) = await add(store, make_full_return())
        server.stop()
        for work in (add(store, make_return("r2")), get(store), store.alive()):
            with pytest.raises(StoreUnavailable):
                await work
        with pytest.raises(StoreUnavailable):
            await store.writable()

        server.start()
        await come_back(store)
        await store.writable()
        assert await get(store) == stored
        assert await get(store, "r2") is None
        await add(store, make_return("r2"))


async def test_a_session_that_never_answers(postgres, monkeypatch):
    """A session that stands still is given up after a bounded wait; nobody gets past it until the server has ended it."""
    monkeypatch.setattr(adapters.postgresql.engine, "LONGEST_STATEMENT", 0.5)
    async with await open_store("the database", postgres.new_database()) as store:
        await add(store, make_return())
        pid = store._writer._engine._connection.raw.info.backend_pid
        os.kill(pid, signal.SIGSTOP)
        try:
            async with asyncio.timeout(20):
                with pytest.raises(StoreUnavailable):
                    await add(store, make_return("r2"))
                with pytest.raises(StoreUnavailable, match="has not ended our lost session"):
                    await store.alive()
        finally:
            os.kill(pid, signal.SIGCONT)
        await come_back(store)
        assert await get(store) is not None
        await add(store, make_return("r3"))


async def test_an_error_of_one_unit_is_its_own(postgres):
    """Of units that share a commit, the one that breaks an invariant is undone, and its values are in no message."""
    async with await open_store("the database", postgres.new_database()) as store:
        await add(store, make_return("private-id"))
        outcomes = await asyncio.gather(
            store.transact(lambda uow: uow.add(make_return("r2"))),
            store.transact(lambda uow: uow._connection.execute("INSERT INTO marks VALUES ('private-id', NULL)")),
            store.read(lambda uow: uow._connection.execute("SELECT no_such_column FROM marks")),
            store.transact(lambda uow: uow.add(make_return("private-id"))),
            store.read(lambda uow: uow.mark("none")),
            store.transact(lambda uow: uow.add(make_return("r3"))),
            return_exceptions=True,
        )
        kinds = [type(outcome) for outcome in outcomes]
        assert kinds[1:5] == [psycopg.errors.NotNullViolation, psycopg.errors.UndefinedColumn, StaleReturn, type(None)]
        assert "private-id" not in str(outcomes[1])
        assert [await get(store, name) is not None for name in ("r2", "r3")] == [True, True]


async def test_many_units_share_a_commit(postgres):
    """Units that wait together are one transaction of the server."""
    async with await open_store("the database", postgres.new_database()) as store:
        connection = store._writer._engine._connection
        statements: list[str] = []
        run = connection.execute

        def noting(sql, *values):
            statements.append(sql)
            return run(sql, *values)

        connection.execute = noting
        await asyncio.gather(*(add(store, make_return(f"r{n}")) for n in range(50)))
        del connection.execute
        assert statements.count("COMMIT") < 5
        assert await store.read(lambda uow: uow.counts()) == {("acme", "received"): 50}


async def test_what_two_stores_cannot_do_at_once(postgres):
    """A second store on the database is refused; once the first is closed it opens."""
    url = postgres.new_database()
    async with await open_store("the database", url):
        with pytest.raises(AlreadyRunning, match="stop it first"):
            await open_store("the database", url)
    await (await open_store("the database", url)).close()


async def test_text_that_postgresql_cannot_hold(postgres):
    """NUL in a vendor's words does not stop the return: it is replaced."""
    async with await open_store("the database", postgres.new_database()) as store:
        await add(store, make_return(problem="a\0b"))
        stored = await get(store)
        assert stored is not None
        assert stored.problem == "a\N{REPLACEMENT CHARACTER}b"


async def test_the_doctor_tells_of_an_asynchronous_replica(server):
    """A replica that may lack the last commits is a warning, until the server waits for it."""
    async with await open_store("the database", server.new_database()) as store:
        assert [line.what for line in await examine_store(store)] == ["database"]
        (server.directory / "replica").mkdir()
        (server.directory / "replica").chmod(0o777)  # the server's user writes there
        with server.running("pg_receivewal", "-D", "replica", "-h", str(server.directory), "-U", "mcfd"):
            while len(lines := await examine_store(store)) == 1:
                pass
            assert [line.what for line in lines] == ["database", "replica"]
            assert "synchronous_standby_names" in lines[1].todo
