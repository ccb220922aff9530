"""SIGKILL at any instant, again and again: nothing is lost and nothing happens twice."""

import asyncio
import itertools
import random
import re
import signal
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from adapters.sandbox import ReturnLine
from adapters.sandbox.journal import Call, Journal
from tests.e2e.cluster import REPEATS_AFTER_SECONDS
from tests.e2e.node import AHEAD, NAME, REPEATS_AFTER
from tests.e2e.world import MUG, SOCK, World, everyone, pause, tell, vendors
from tests.support.postgres import Server, running_server

RETURNS = 12
KILLS = 7
RESTARTS = 5


@dataclass(frozen=True)
class Story:
    """What is sent back, and how Amazon finds it."""

    order_id: str
    units: int
    damaged: bool


async def live(w: World, story: Story, dice: random.Random) -> int:
    """Submit a return some time, let its units arrive some time after the label is out, and wait for its outcome."""
    await pause(dice.random() * 4)
    return_id = w.submit(story.order_id, ReturnLine(sku=MUG if story.damaged else SOCK, quantity=story.units))
    await w.labelled(return_id)
    await pause(dice.random())
    for line in w.portal(return_id)["line_items"]:
        condition = "CustomerDamaged" if story.damaged else "Sellable"
        w.sandbox.receive(return_id, line=line["line_item_id"], condition=condition)
    await w.portal_state(return_id, "review" if story.damaged else "closed")
    return return_id


async def kill_again_and_again(w: World, dice: random.Random, over: asyncio.Event) -> None:
    """End the daemon when one of its calls arrives, so that the effect is there and its answer is lost; start anew.

    After some short lives it gets longer ones, which end before Loop's 300 calls a minute are spent.
    """
    for number in itertools.count(1):
        kill = partial(w.daemon.signal, signal.SIGKILL)
        if not await struck_by_call(w, dice.randint(1, 60) if number <= KILLS else 250, kill, over):
            break
        await w.daemon.ended()
        await w.daemon.start()
        w.subscribe()


async def restart_again_and_again(w: World, server: Server, dice: random.Random, over: asyncio.Event) -> None:
    """End the database's server when a call arrives, so that its effect is there and cannot be stored; start it anew."""
    for _ in range(RESTARTS):
        if not await struck_by_call(w, dice.randint(1, 60), server.stop, over):
            break
        await pause(dice.random())
        await asyncio.to_thread(server.start)


async def struck_by_call(w: World, number: int, strike: Callable[[], None], over: asyncio.Event) -> bool:
    """Strike when that many more calls have arrived; False when all is over before."""
    journal, done = w.sandbox._journal, asyncio.Event()
    arrived = itertools.count(1)

    def note(*call: str) -> Call:
        if next(arrived) == number:
            strike()
            done.set()
        return Journal.open(journal, *call)

    journal.open = note
    waits = [asyncio.create_task(event.wait()) for event in (done, over)]
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    del journal.open
    for wait in waits:
        wait.cancel()
    return done.is_set()


def judge(w: World, story: Story, return_id: int) -> None:
    """One item per unit, and one label bought, at Amazon; one label, each note and grade once, one outcome in Loop."""
    held = w.portal(return_id)
    assert len(w.shipments(return_id)) == 1
    assert len(w.network(story.order_id)["returnItems"]) == story.units
    assert len(held["delivered_labels"]) == len(held["label_requests"]) == 1
    notes = re.findall(r"\[mcfd \w+\]", " ".join(held["notes"]))  # one text may hold several
    assert len(notes) == len(set(notes))
    assert 3 + story.units <= len(notes) <= 4 + story.units  # one more when the label's id was lost
    assert {(line["grades"], line["assessments"]) for line in held["line_items"]} == {(1, 1)}
    assert held["counts"] == ({"flag": 1} if story.damaged else {"process": 1})
    assert held["state"] == ("review" if story.damaged else "closed")


@pytest.mark.timeout(400)
@pytest.mark.parametrize("store", ["sqlite", pytest.param("postgresql", marks=pytest.mark.volume)])
async def test_killed_at_any_instant(tmp_path, store, request):
    """Whatever the daemon was doing when it was killed, in the end every effect was there exactly once."""
    on_server = store == "postgresql"
    config = kept_at(request.getfixturevalue("postgres")) if on_server else {}
    await lived_through(tmp_path, config, kill_again_and_again)


@pytest.mark.volume
@pytest.mark.timeout(400)
async def test_the_server_killed_at_any_instant(tmp_path):
    """Whatever the daemon was doing when PostgreSQL's server was killed, in the end every effect was there exactly once."""
    with running_server() as server:
        config = kept_at(server)
        await lived_through(tmp_path, config, lambda w, dice, over: restart_again_and_again(w, server, dice, over))


def kept_at(server: Server) -> dict[str, Any]:
    """A store in a new database there; whoever is killed waits at its next start for the end of its own lease."""
    return {"store": {"url": server.new_database()}, "cluster": {"lease": "5s"}}


async def lived_through(
    folder: Path, config: dict[str, Any], striking: Callable[..., Coroutine[Any, Any, None]]
) -> None:
    """Let many returns live while something strikes, and judge each of them."""
    seed = random.getrandbits(32)  # pytest-randomly's, so that its seed repeats the run
    tell([f"seed {seed}"])
    dice = random.Random(seed)
    stories = [Story(f"#9{n:03}", units=dice.choice((1, 1, 2)), damaged=dice.random() < 0.4) for n in range(RETURNS)]
    unhurried = {"inspection_idle": "1s", "inspection_moving": "1s", "return_poll": "2s"}
    async with vendors(folder, seed=seed, buys_labels=True, timings=unhurried, config=config) as w:
        w.patience = 150.0
        if "cluster" in config:  # a node waits before it repeats what a dead one had begun
            w.daemon.program = "tests.e2e.node"
            w.daemon.environment |= {NAME: "node", AHEAD: "0", REPEATS_AFTER: str(REPEATS_AFTER_SECONDS)}
        await w.daemon.start()
        w.subscribe()
        over = asyncio.Event()
        killer = asyncio.create_task(striking(w, dice, over))
        returns = await everyone(*(live(w, story, dice) for story in stories))
        over.set()
        await killer
        await everyone(*(w.state(return_id, "closed", "in_review") for return_id in returns))
        for story, return_id in zip(stories, returns, strict=True):
            judge(w, story, return_id)
        assert len(w.sandbox.snapshot()["amazon"]["shipments"]) == RETURNS
        assert not w.daemon.complaints
        assert w.sandbox.snapshot()["amazon"]["warnings"] == []
