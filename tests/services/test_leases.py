"""Several nodes on one PostgreSQL: who works an account, what a deposed node can still do, and what a new one repeats."""

import asyncio
from contextlib import AsyncExitStack
from functools import partial

import psycopg
import pytest

import daemon.engine.leases
from adapters.postgresql.store import open_store
from daemon.domain.returns import State
from daemon.engine.leases import REPEATED_AFTER, NodeLeases
from daemon.errors import LeaseLost, StoreUnavailable, TooEarly, Unavailable
from daemon.ports.leases import LEASE, NONE, ONLY_LOOKING, Lease
from tests.services.stage import HOUR, ORDER
from tests.services.store_conformance import add, get, make_return
from tests.support.virtual_time import FakeClock

SECONDS = 6.0
OUTWARD = {"create_return", "deliver_label", "write_note", "grade", "assess", "process", "flag", "buy"}


@pytest.fixture
async def sessions(postgres, postgres_template):
    """Opens stores on one database, as so many nodes do."""
    url = postgres.new_database(postgres_template)
    async with AsyncExitStack() as stack:

        async def opened():
            return await stack.enter_async_context(await open_store("the database", url, lease=SECONDS))

        opened.url = url
        yield opened


class Node:
    """A node's leases over a store of its own, and what was done for it."""

    def __init__(self, name, store, clock, accounts=("a", "b")):
        self.store = store
        self.gained = []
        self.told = []
        self.changes = 0
        numbers = iter(range(1000))
        self.leases = NodeLeases(
            store.leases,
            clock,
            node=name,
            accounts=accounts,
            seconds=SECONDS,
            new_token=lambda: f"{name}-{next(numbers)}",
            gained=self._gain,
            changed=self._change,
            heard=lambda _now, _asked: None,
            grace=20.0,
        )
        self.leases.tell(self.told.append)

    async def _gain(self, lease):
        self.gained.append(lease)

    async def _change(self):
        self.changes += 1

    async def round(self):
        await self.leases._round()
        return list(self.leases.working)


def end_leases(url):
    """Let the database's clock pass the end of every lease and of every sign of life."""
    with psycopg.connect(url) as connection:
        connection.execute("UPDATE cluster_leases SET ends_at = 1")
        connection.execute("UPDATE cluster_nodes SET ends_at = 1")


async def nodes(sessions, clock, **options):
    """Two nodes."""
    return [Node(name, await sessions(), clock, **options) for name in ("first", "second")]


async def test_an_account_has_one_holder(sessions):
    """The first node takes everything that is free; the second finds nothing, and takes all when the leases have ended."""
    clock = FakeClock()
    first, second = await nodes(sessions, clock)
    assert await first.round() == ["a", "b"]
    assert await second.round() == []

    end_leases(sessions.url)
    assert await second.round() == ["a", "b"]
    assert {lease.repeats_from > 0 for lease in second.gained} == {True}
    clock.advance(SECONDS)
    assert await first.round() == []
    assert first.told == ["a", "b", "a", "b"]


async def test_all_that_is_won_is_taken_up_together(sessions, monkeypatch):
    """Many accounts of a dead node keep no renewal waiting; one that cannot be taken up holds up no other."""
    node, both = Node("first", await sessions(), FakeClock()), asyncio.Barrier(2)

    async def take_up(lease):
        await both.wait()
        if lease.account == "b":
            raise StoreUnavailable("away")

    monkeypatch.setattr(node.leases, "_gained", take_up)
    async with asyncio.timeout(20):
        assert await node.round() == ["a"]
    monkeypatch.setattr(node.leases, "_gained", node._gain)
    assert await node.round() == ["a", "b"]


async def test_a_lease_that_nobody_took_goes_on(sessions):
    """A node that was silent for long, but whose accounts nobody took, renews them; meanwhile it sends nothing."""
    clock = FakeClock()
    node = Node("first", await sessions(), clock)
    await node.round()
    lease = node.leases.of("a")
    clock.advance(2 * SECONDS)
    assert (node.leases.of("a"), lease.stands) == (None, False)
    with pytest.raises(LeaseLost, match="not sent"):
        lease.let_out("process")

    end_leases(sessions.url)
    await node.round()
    assert node.leases.of("a") is lease
    lease.let_out("process")


async def test_a_deposed_node_can_commit_nothing(sessions):
    """What a node does under a lease that another has taken is undone; what runs on every node is stored."""
    clock = FakeClock()
    first, second = await nodes(sessions, clock)
    await first.round()
    lease = first.leases.of("a")
    with lease.working():
        await add(first.store, make_return("before"))
    end_leases(sessions.url)
    await second.round()

    with lease.working(), pytest.raises(LeaseLost):
        await add(first.store, make_return("after"))
    assert LEASE.get().token == ""
    await add(first.store, make_return("heard"))
    kept = [await get(second.store, name) is not None for name in ("before", "after", "heard")]
    assert kept == [True, False, True]


async def test_units_of_one_batch_are_judged_one_by_one(sessions):
    """A unit under a lost lease takes none of those with it that share its commit."""
    clock = FakeClock()
    first, second = await nodes(sessions, clock)
    await first.round()
    lost, clock_then = first.leases.of("a"), clock.monotonic()
    assert clock_then < lost.ends_at
    with psycopg.connect(sessions.url) as connection:
        connection.execute("UPDATE cluster_leases SET ends_at = 1 WHERE account = 'a'")
    second.leases._accounts = ("a",)
    await second.round()
    kept = first.leases.of("b")

    async def under(lease, name):
        with lease.working():
            await add(first.store, make_return(name))

    results = await asyncio.gather(under(kept, "r1"), under(lost, "r2"), under(kept, "r3"), return_exceptions=True)
    assert [type(result) for result in results] == [type(None), LeaseLost, type(None)]
    assert [await get(first.store, name) is not None for name in ("r1", "r2", "r3")] == [True, False, True]


async def test_a_claim_waits_for_what_has_proven_the_lease(sessions):
    """Between the check of a lease and the commit that relies on it, nobody can take the account."""
    node = Node("first", await sessions(), FakeClock())
    await node.round()
    end = "UPDATE cluster_leases SET token = 'x' WHERE account = 'a'"
    with psycopg.connect(sessions.url) as holder, psycopg.connect(sessions.url) as other:
        holder.execute("SELECT 1 FROM cluster_leases WHERE account = 'a' FOR KEY SHARE")
        other.execute("SET lock_timeout = '100ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            other.execute(end)
        other.rollback()
        holder.rollback()
        other.execute(end)


async def test_a_stop_hands_over_what_has_no_work_under_way(sessions):
    """An idle account goes at once; one with a step in hand when the step ends, and is renewed until then."""
    clock = FakeClock()
    first, second = await nodes(sessions, clock)
    await first.round()
    work = first.leases.of("b").working()
    work.__enter__()
    stop = asyncio.Event()
    stop.set()
    stopping = asyncio.create_task(first.leases.run(stop))
    while await second.round() != ["a"]:
        clock.advance(0.05)
    assert second.gained[0].repeats_from <= clock.now() + 10**10
    for _ in range(int(SECONDS)):
        clock.advance(1.0)
        await asyncio.sleep(0.02)  # noqa: TID251 - the database has a clock of its own
    assert await second.round() == ["a"]
    work.__exit__(None, None, None)
    while not stopping.done():
        clock.advance(0.05)
        await asyncio.sleep(0.01)  # noqa: TID251 - as above
    assert await second.round() == ["a", "b"]


async def _handed_over(sessions, *, cancelled):
    clock = FakeClock()
    first, second = await nodes(sessions, clock, accounts=("a",))
    await first.round()
    lease = first.leases.of("a")

    async def step():
        with lease.working():
            await asyncio.Event().wait()

    walk = asyncio.create_task(step())
    await asyncio.wait([walk], timeout=0)
    if cancelled:
        walk.cancel()
        await asyncio.wait([walk])
    else:
        lease.at_work = 0
    stop = asyncio.Event()
    stop.set()
    running = asyncio.create_task(first.leases.run(stop))
    while not running.done():
        clock.advance(0.05)
        await asyncio.sleep(0.01)  # noqa: TID251 - as above
    walk.cancel()
    await second.round()
    now = (await second.store.leases.look()).now
    return second.gained[0].repeats_from - now


async def test_what_was_broken_off_is_not_repeated_at_once(sessions):
    """A step that was cancelled may have sent something, so whoever goes on waits before it repeats a call."""
    assert await _handed_over(sessions, cancelled=True) > REPEATED_AFTER - 5


async def test_what_was_handed_over_well_needs_no_pause(sessions):
    """Nothing is under way at a clean hand-over."""
    assert await _handed_over(sessions, cancelled=False) <= 0


async def test_a_node_lets_one_account_go_at_a_time(sessions, monkeypatch):
    """When another node has come, accounts move one by one until both have their share."""
    monkeypatch.setattr(daemon.engine.leases, "ONE_LEAVES_EVERY", 30.0)
    clock = FakeClock()
    first, second = await nodes(sessions, clock, accounts=("a", "b", "c", "d"))
    await first.round()
    await second.round()
    left = []
    for _ in range(4):
        await first.round()
        await second.round()
        left.append(len(first.leases.working))
        clock.advance(1.0)
    assert left == [3, 3, 3, 3]
    held = first.leases.working
    clock.advance(30.0)
    with psycopg.connect(sessions.url) as connection:
        connection.execute("UPDATE cluster_leases SET ends_at = ends_at + 100")
    await first.round()
    await first.round()
    assert len(await second.round()) == 2, held


async def test_what_all_nodes_keep_in_memory_is_read_again(sessions):
    """A change of a kept setting, a pause or a credential is noticed by every node, and by no other change."""
    first, second = await nodes(sessions, FakeClock())
    for node in (first, second, first, second):
        await node.round()
    before = second.changes
    await first.store.transact(lambda uow: uow.set_mark("verified/acme", "1"))
    await second.round()
    assert second.changes == before
    await first.store.transact(lambda uow: uow.set_mark("paused/acme", "1.0"))
    await second.round()
    assert second.changes == before + 1


async def test_nodes_tell_each_other(sessions):
    """What one node stores outside its leases wakes the others, and not itself."""
    first, second = await sessions(), await sessions()
    heard, stop = {"first": asyncio.Event(), "second": asyncio.Event()}, asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for name, store in (("first", first), ("second", second)):
            group.create_task(store.listen(heard[name].set, stop))
        async with asyncio.timeout(20):
            while not heard["second"].is_set():
                await first.transact(lambda uow: uow.set_mark("x", "y"))
        assert not heard["first"].is_set()
        stop.set()


def test_who_holds_nothing_sends_nothing():
    """Outside a lease, and while only looking, no call that changes something leaves."""
    with pytest.raises(LeaseLost):
        NONE.let_out("process")
    lease = Lease("a", "t", lambda: 0.0, 1.0)
    lease.let_out("process")
    looking = ONLY_LOOKING.set(True)
    try:
        with pytest.raises(TooEarly):
            lease.let_out("process")
    finally:
        ONLY_LOOKING.reset(looking)


# ---- what another node had begun


async def _keep_in(operation):
    """What the real clients ask before each call."""
    if operation in OUTWARD:
        LEASE.get().let_out(operation)


async def _begun(stage, vendor, operation, *, effect):
    """A return whose call was made by a node that died before the answer."""
    stage.ship(SOCK=1)
    await stage.submit()
    getattr(stage, vendor).fail(operation, Unavailable("timed out"), after=effect)
    inspected = False
    for _ in range(40):
        ret = await stage.ret()
        if ret.pending_calls and getattr(stage, vendor).count(operation):
            break
        if ret.state is State.AWAITING_INSPECTION and not inspected:
            await stage.inspect()
            inspected = True
            stage.clock.advance(13 * HOUR)
        await stage.step()
        stage.clock.advance(1.0)
    for one in (stage.network, stage.portal):
        one.meet = _keep_in
    monotonic = stage.clock.monotonic
    lease = Lease("main", "t", monotonic, float("inf"), repeats_from=stage.clock.now() + REPEATED_AFTER)
    return LEASE.set(lease)


CALLS = [("network", "create_return"), ("portal", "deliver_label"), ("portal", "process")]


@pytest.mark.parametrize(("vendor", "operation"), CALLS)
async def test_a_call_without_effect_is_repeated_after_the_pause(stage, vendor, operation):
    """The call may still arrive, so the next node only looks for its effect, and makes it again when the pause is over."""
    await _begun(stage, vendor, operation, effect=False)
    done = partial(_effects, stage, operation)
    before = done()
    await stage.pass_time(REPEATED_AFTER - 1)
    assert done() == before
    await stage.pass_time(HOUR)
    assert done() == before + 1


@pytest.mark.parametrize(("vendor", "operation"), CALLS)
async def test_a_call_with_effect_needs_no_pause(stage, vendor, operation):
    """Where the effect is seen, the return goes on at once, and the call is not made again."""
    await _begun(stage, vendor, operation, effect=True)
    done = partial(_effects, stage, operation)
    before = done()
    await stage.pass_time(HOUR)
    assert done() == before
    assert not (await stage.ret()).pending_calls


def _effects(stage, operation):
    """How often that took effect at the vendor."""
    shown = stage.portal.returns["77"]
    found = {"create_return": stage.network.items(ORDER), "deliver_label": shown.labels, "process": shown.records}
    return len(found[operation])
