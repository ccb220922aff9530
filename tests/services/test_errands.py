"""Verbs that another node runs, over a real PostgreSQL: once at most, in time, sealed, and with an answer or its lack."""

import asyncio
from contextlib import AsyncExitStack
from functools import partial

import psycopg
import pytest

import daemon.operations.errands
from adapters.host.clock import SystemClock
from adapters.host.vault import Vault
from adapters.postgresql.store import open_store
from daemon.engine.leases import NodeLeases
from daemon.errors import OperatorError
from daemon.operations.errands import Errands
from daemon.operations.verbs import VERBS
from daemon.operations.verbs.returns import MATCH
from daemon.ports.errands import Errand
from daemon.ports.leases import LEASE, NONE

SECRET = "canary-in-the-arguments"
GIVEN = {"return": SECRET}


class Node:
    """A node with its leases and errands over a store of its own; `stop` lets it end."""

    def __init__(self, name, store, accounts):
        self.store = store
        self.ran = []
        self.release = asyncio.Event()
        self.release.set()
        self.begun = asyncio.Event()
        self.problem: Exception | None = None
        self.stop = asyncio.Event()
        clock = SystemClock()
        numbers = iter(range(1000))

        async def nothing(*_):
            """Neither gained nor changed anything."""

        self.leases = NodeLeases(
            store.leases,
            clock,
            node=name,
            accounts=accounts,
            seconds=60.0,
            new_token=lambda: f"{name}-{next(numbers)}",
            gained=nothing,
            changed=nothing,
            heard=lambda _now, _asked: None,
            grace=5.0,
        )
        self.errands = Errands(
            store.errands,
            Vault([b"k" * 32]),
            clock,
            self.leases,
            node=name,
            new_name=lambda: f"{name}/{next(numbers)}",
            verbs={verb.path: verb for verb in VERBS},
            run=self._run,
        )

    async def _run(self, verb, account, given):
        self.ran.append((verb.name, account, given, LEASE.get().account))
        self.begun.set()
        await self.release.wait()
        if self.problem is not None:
            raise self.problem
        return {"return": "seen", "tried": []}

    def ask(self, account="a"):
        """Have it asked for in a task of its own, under no lease, as a node's listener does."""

        async def asked():
            with NONE.reading():
                return await self.errands.ask(MATCH, account, GIVEN)

        return asyncio.create_task(asked())

    async def serve(self, stack):
        """Begin to run what others ask for."""
        await self.leases._round()
        serving = asyncio.create_task(self.errands.serve(self.stop, grace=0.0))
        stack.push_async_callback(partial(asyncio.wait, [serving]))
        stack.callback(self.stop.set)


@pytest.fixture
async def url(postgres, postgres_template):
    """A database for all nodes."""
    return postgres.new_database(postgres_template)


@pytest.fixture
async def stack():
    """Closes at the end."""
    async with AsyncExitStack() as opened:
        yield opened


@pytest.fixture
async def node(url, stack):
    """Makes nodes."""

    async def made(name, *accounts):
        store = await stack.enter_async_context(await open_store("the database", url, lease=60.0))
        return Node(name, store, accounts)

    return made


def rows(url):
    """The errands in the database."""
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute("SELECT * FROM cluster_errands").fetchall()


async def test_the_node_that_works_the_account_answers(node, url, stack):
    """A verb is run at its account's node, under its lease; secrets are sealed on the way, and nothing is left."""
    holder, asker = await node("holder", "a"), await node("asker")
    holder.release.clear()
    await holder.serve(stack)
    asked = asker.ask()
    await holder.begun.wait()
    assert SECRET.encode() not in repr(rows(url)).encode()
    holder.release.set()
    assert await asked == {"return": "seen", "tried": []}
    assert holder.ran == [("match", "a", GIVEN, "a")]
    assert rows(url) == []


@pytest.mark.parametrize(
    ("problem", "told"),
    [(OperatorError("no return 7 is known"), "no return 7 is known"), (ValueError(SECRET), "holder failed; its log")],
)
async def test_what_goes_wrong_there_is_told_here(node, stack, problem, told):
    """An operator's error is passed on; of a bug nothing is told but where."""
    holder, asker = await node("holder", "a"), await node("asker")
    holder.problem = problem
    await holder.serve(stack)
    with pytest.raises(OperatorError, match=told) as error:
        await asker.ask()
    assert SECRET not in str(error.value)


async def test_an_account_that_nobody_works_is_not_waited_for(node, url, monkeypatch):
    """What nobody begins is taken back, and the operator is told that nothing was done."""
    monkeypatch.setattr(daemon.operations.errands, "BEGUN_WITHIN", 0.0)
    asker = await node("asker")
    with pytest.raises(OperatorError, match="a is worked by no node just now, so nothing was done"):
        await asker.ask()
    assert rows(url) == []


async def test_a_node_that_ends_meanwhile_leaves_a_doubt(node, url, stack):
    """When the node that runs it is gone, the operator is told to look, and no other node runs it again."""
    holder, asker = await node("holder", "a"), await node("asker")
    holder.release.clear()
    await holder.serve(stack)
    asked = asker.ask()
    await holder.begun.wait()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("UPDATE cluster_nodes SET ends_at = 1")
        connection.execute("UPDATE cluster_leases SET ends_at = 1")
    next_holder = await node("next", "a")
    await next_holder.serve(stack)
    with pytest.raises(OperatorError, match="the node holder ended while it did this"):
        await asked
    assert next_holder.ran == []
    holder.release.set()


async def test_nothing_is_run_for_an_asker_that_is_gone(node, url, stack):
    """An errand that its asker did not withdraw, because it was killed, is never begun late, and is dropped."""
    holder = await node("holder", "a")
    for name, seconds in (("late", -1.0), ("late begun", -1.0)):
        await holder.store.errands.ask(Errand(name=name, account="a", verb="match", asked=b""), seconds)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("UPDATE cluster_errands SET node = 'other' WHERE errand = 'late begun'")
    await holder.leases._round()
    lease = holder.leases.of("a")
    assert lease is not None
    with lease.reading():
        assert not await holder.store.errands.begin("late", "holder")
    assert [errand.name for errand in await holder.store.errands.waiting()] == ["late"]
    assert rows(url) == []
    assert holder.ran == []


async def test_an_errand_is_begun_once(node, stack):
    """Of two that want to begin an errand one may."""
    holder = await node("holder", "a")
    await holder.leases._round()
    lease = holder.leases.of("a")
    assert lease is not None
    await holder.store.errands.ask(Errand(name="one", account="a", verb="match", asked=b""), 60.0)
    with lease.reading():
        begun = await asyncio.gather(*(holder.store.errands.begin("one", "holder") for _ in range(3)))
    assert sorted(begun) == [False, False, True]


async def test_a_cancelled_asker_takes_its_errand_back(node, url, stack):
    """When the request ends, nothing is left of it, though the verb may still run."""
    holder, asker = await node("holder", "a"), await node("asker")
    holder.release.clear()
    await holder.serve(stack)
    asked = asker.ask()
    await holder.begun.wait()
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    assert rows(url) == []
    holder.release.set()


async def test_an_impatient_verb_says_where_it_goes_on(node, url, stack, monkeypatch):
    """When the verb's patience is over, who asked is told which node still works on it."""
    monkeypatch.setattr(daemon.operations.errands, "LESS_PATIENT", MATCH.patience)
    holder, asker = await node("holder", "a"), await node("asker")
    holder.release.clear()
    await holder.serve(stack)
    asked = asker.ask()
    with pytest.raises(OperatorError, match="still works on it"):
        await asked
    holder.release.set()
