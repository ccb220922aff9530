"""A PostgreSQL server that takes over from another, or is restored: nothing is done on its word until adopt has looked."""

from contextlib import closing

import psycopg
import pytest

from adapters.postgresql.store import open_store
from daemon.domain.provenance import Proof
from daemon.engine.provenance import ServerProvenance, proofs
from daemon.errors import StoreUnavailable
from daemon.ports.names import proof_of
from tests.services.store_conformance import add, get, make_full_return, make_return
from tests.support.postgres import replica_of, running_server
from tests.support.virtual_time import FakeClock

pytestmark = pytest.mark.timeout(90)
SHOPS = ("acme",)
NOW = 1_800_000_000.0
ENDS = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'mcfd %'"


async def opened(url):
    """A store that has been judged, as a start does it."""
    store = await open_store("the database", url)
    await ServerProvenance(store, store.servers, FakeClock(NOW)).check(SHOPS)
    return store


async def doubted(store):
    """Whether the whole store is."""
    return (await store.read(lambda uow: proofs(uow, SHOPS)))["acme"].whole


async def compared(store):
    """What adopt does at its end."""
    await store.transact(lambda uow: uow.set_mark(proof_of("acme"), Proof(since=NOW).to_text()))


async def lose_session(store, url):
    """The connection is lost, and made again by the next unit of work."""
    with closing(psycopg.connect(url, autocommit=True)) as other:
        other.execute(ENDS)
    await come_back(store)


async def come_back(store):
    """Wait until the store connects again."""
    while True:
        try:
            return await store.alive()
        except StoreUnavailable:
            continue


def name_of(url):
    """The database's name alone."""
    return url.partition("@/")[2].partition("?")[0]


async def test_the_same_server_is_trusted(postgres):
    """Neither a start nor a lost connection is a reason for doubt; a new store knows since when it knows all."""
    url = postgres.new_database()
    async with await opened(url) as store:
        assert (await store.read(lambda uow: proofs(uow, SHOPS)))["acme"] == Proof(since=NOW)
        await add(store, make_full_return())
        await lose_session(store, url)
        assert not await doubted(store)
    async with await opened(url) as store:
        assert not await doubted(store)
        assert not (await get(store)).unproven


async def test_a_store_from_before_is_trusted(postgres):
    """The first start that asks for the server takes it as it is."""
    url = postgres.new_database()
    async with await open_store("the database", url) as store:
        await add(store, make_full_return())
    async with await opened(url) as store:
        assert (await store.read(lambda uow: proofs(uow, SHOPS)))["acme"] == Proof()
        assert not (await get(store)).unproven


@pytest.mark.parametrize("running", [True, False], ids=["running", "at the start"])
async def test_a_promoted_replica_is_doubted(running):
    """Before anything else is read there, every return waits: in a running daemon, and at a start. And only once."""
    with running_server() as primary:
        name = name_of(primary.new_database())
        async with await open_store("the database", primary.url(name)) as store:
            await add(store, make_full_return())
            await ServerProvenance(store, store.servers, FakeClock(NOW)).check(SHOPS)
        with replica_of(primary) as replica:
            both = f"postgresql://mcfd@/{name}?host={primary.directory},{replica.directory}"
            store = await opened(both)
            await add(store, make_return("r2"))
            if not running:
                await store.close()
            primary.stop()
            replica.promote()
            if running:
                await come_back(store)
            else:
                store = await opened(both)
            await taken_up(store, replica.url(name))


async def taken_up(store, url):
    """A store that is on another server now: its returns wait; once they were compared, that server is trusted."""
    async with store:
        assert await get(store, "r2") is None
        assert await doubted(store)
        assert ((await get(store)).unproven, (await get(store)).due_at) == (True, None)

        await compared(store)
        await lose_session(store, url)
        assert not await doubted(store)


async def test_a_restored_dump_is_doubted(postgres, tmp_path):
    """A dump that was read into an empty database of the same server has other tables."""
    url = postgres.new_database()
    async with await opened(url) as store:
        await add(store, make_full_return())
    dump = postgres.run("pg_dump", "--no-owner", url)
    copy = postgres.new_database()
    (postgres.directory / "dump.sql").write_text(dump)
    postgres.run("psql", "--quiet", "--file", "dump.sql", copy)
    async with await opened(copy) as store:
        assert await doubted(store)
        assert (await get(store)).unproven


async def test_any_user_may_ask(postgres):
    """The owner of the database need not be anybody special at the server."""
    url = postgres.new_database()
    name = name_of(url)
    with closing(psycopg.connect(url, autocommit=True)) as connection:
        connection.execute("CREATE ROLE plain LOGIN")
        connection.execute(f"ALTER DATABASE {name} OWNER TO plain")
        connection.execute("ALTER SCHEMA public OWNER TO plain")
    try:
        async with await opened(url.replace("mcfd@", "plain@")) as store:
            assert not await doubted(store)
    finally:
        with closing(psycopg.connect(url, autocommit=True)) as connection:
            connection.execute("REASSIGN OWNED BY plain TO mcfd")
            connection.execute("DROP ROLE plain")
