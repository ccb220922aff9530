"""What vendors refuse, told from node to node by the store."""

from contextlib import AsyncExitStack

import pytest

from adapters.postgresql.store import open_store
from daemon.engine.refusals import SharedRefusals
from daemon.ports.leases import Lease
from tests.support.virtual_time import FakeClock


class Holding:
    """Holds these accounts."""

    def __init__(self, **leases):
        self.leases = leases

    def of(self, account):
        return self.leases.get(account)

    def tell(self, changed):
        """What is held changes only by the test."""


@pytest.fixture
async def store(postgres, postgres_template):
    """A store that the nodes share."""
    async with AsyncExitStack() as stack:
        url = postgres.new_database(postgres_template)
        yield await stack.enter_async_context(await open_store("the database", url, lease=60.0))


async def lease_on(store, account, token):
    """Hold an account by this token."""
    beat = await store.leases.beat(token, 60.0, {}, {account: token})
    assert account in beat.won
    return Lease(account, token, lambda: 0.0, 1.0)


async def test_who_works_an_account_tells_of_it(store):
    """All nodes read what each tells of its own accounts; of an account that it does not work a node says nothing."""
    refused = {"one": {"amazon@one": "credentials: refused"}, "two": {"loop/zeta": "Loop refuses the API key"}}
    known = {name: lambda name=name: refused[name] for name in refused}
    stale = {"one": dict, "two": lambda: {"loop/zeta": "stale"}}
    first = SharedRefusals(
        store, FakeClock(), Holding(one=await lease_on(store, "one", "a")), stale | {"one": known["one"]}
    )
    second = SharedRefusals(store, FakeClock(), Holding(two=await lease_on(store, "two", "b")), known)
    await first.round()
    await second.round()
    assert await first.all() == await second.all() == refused["one"] | refused["two"]

    refused["one"] = {}
    await first.round()
    assert await second.all() == refused["two"]


async def test_who_takes_over_begins_anew(store):
    """A new holder tells what it knows, though that is nothing; one that was deposed can tell nothing more."""
    held = await lease_on(store, "one", "a")
    refused = {"amazon@one": "credentials: refused"}
    deposed = SharedRefusals(store, FakeClock(), Holding(one=held), {"one": lambda: dict(refused)})
    await deposed.round()
    await store.leases.hand_over({"one": "a"}, clean=True)
    successor = SharedRefusals(store, FakeClock(), Holding(one=await lease_on(store, "one", "b")), {"one": dict})
    assert await successor.all() == refused
    await successor.round()
    refused["easypost@one"] = "no funds"
    await deposed.round()
    assert await successor.all() == {}
