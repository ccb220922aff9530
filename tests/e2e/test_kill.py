"""SIGKILL at any instant, again and again: nothing is lost and nothing happens twice."""

import asyncio
import itertools
import random
import signal
from dataclasses import dataclass

import pytest

from adapters.sandbox import ReturnLine
from adapters.sandbox.journal import Call, Journal
from tests.e2e.world import CLOCK, MUG, SOCK, World, everyone, pause, vendors

RETURNS = 20
KILLS = 8


@dataclass(frozen=True)
class Story:
    """What is sent back, and how Amazon finds it."""

    order_id: str
    units: int
    damaged: bool


async def live(w: World, story: Story, dice: random.Random) -> int:
    """Submit a return some time, and let its units arrive some time after the label is out."""
    await pause(dice.random() * 4)
    return_id = w.submit(story.order_id, ReturnLine(sku=MUG if story.damaged else SOCK, quantity=story.units))
    await w.labelled(return_id)
    await pause(dice.random())
    for line in w.portal(return_id)["line_items"]:
        condition = "CustomerDamaged" if story.damaged else "Sellable"
        w.sandbox.receive(return_id, line=line["line_item_id"], condition=condition)
    return return_id


async def kill_at_random(w: World, dice: random.Random) -> None:
    """End the daemon when one of its calls arrives, so that the effect is there and its answer is not; start it again."""
    for _ in range(KILLS):
        await killed_by_call(w, dice.randint(1, 80))
        await w.daemon.ended()
        await w.daemon.start()
        w.subscribe()


async def killed_by_call(w: World, number: int) -> None:
    """Kill the daemon as soon as that many more calls have arrived, or after a second of fewer."""
    journal, died = w.sandbox._journal, asyncio.Event()
    arrived = itertools.count(1)

    def note(*call: str) -> Call:
        if next(arrived) == number:
            w.daemon.signal(signal.SIGKILL)
            died.set()
        return Journal.open(journal, *call)

    journal.open = note
    if not await CLOCK.wait(died, 1.0):
        w.daemon.signal(signal.SIGKILL)
    del journal.open


def judge(w: World, story: Story, return_id: int) -> None:
    """One item per unit at Amazon; one label, each note once, graded once, one outcome in Loop."""
    held = w.portal(return_id)
    assert len(w.network(story.order_id)["returnItems"]) == story.units
    assert len(held["delivered_labels"]) == len(held["label_requests"]) == 1
    assert len(held["notes"]) == len(set(held["notes"]))
    assert 3 + story.units <= len(held["notes"]) <= 4 + story.units  # one more when the label's id was lost
    assert {(line["grades"], line["assessments"]) for line in held["line_items"]} == {(1, 1)}
    assert held["counts"] == ({"flag": 1} if story.damaged else {"process": 1})
    assert held["state"] == ("review" if story.damaged else "closed")


@pytest.mark.timeout(120)
async def test_killed_at_any_instant(tmp_path):
    """Whatever the daemon was doing when it was killed, in the end every effect was there exactly once."""
    seed = random.getrandbits(32)  # pytest-randomly's, so that its seed repeats the run
    print(f"seed {seed}")
    dice = random.Random(seed)
    stories = [Story(f"#9{n:03}", units=dice.choice((1, 1, 2)), damaged=dice.random() < 0.4) for n in range(RETURNS)]
    async with vendors(tmp_path, seed=seed, timings={"inspection_idle": "1s", "return_poll": "2s"}) as w:
        w.patience = 90.0
        await w.daemon.start()
        w.subscribe()
        *returns, _ = await everyone(*(live(w, story, dice) for story in stories), kill_at_random(w, dice))
        await everyone(*(w.state(return_id, "closed", "in_review") for return_id in returns))
        for story, return_id in zip(stories, returns, strict=True):
            judge(w, story, return_id)
        assert not w.daemon.complaints
        assert w.sandbox.snapshot()["amazon"]["warnings"] == []
