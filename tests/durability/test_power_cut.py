"""Power cuts: nothing that was acknowledged is lost, no unit of work is halved, every database opens."""

import random

import pytest

from tests.durability.power_cut import KEPT, LOST, PER_LIFE, judge, one_life
from tests.durability.recorded_disk import Op, images
from tests.durability.workload import Life, live


@pytest.mark.parametrize("part", range(2))
async def test_nothing_acknowledged_is_lost(part):
    """Whenever the power goes, the store opens by itself with every acknowledged webhook and only whole units."""
    seed = random.getrandbits(32) + part  # pytest-randomly's, so that its seed repeats the run

    assert await one_life(PER_LIFE, seed) == {KEPT: PER_LIFE}, f"seed {seed}"


async def test_a_creation_that_was_cut_short_is_taken_up(tmp_path, quick_folder, moments):
    """Whenever the power goes while the database is made, the next start makes it or goes on with it."""
    life = Life(tmp_path, 1)
    await life.session(1, ends_well=False)
    began = [*range(40)] * 3  # while there are no tables yet
    cuts = [*began, *range(40, len(life.disk.ops) + 1)]
    assert len(cuts) > 150
    found = [
        await judge(life.recording, cut, image, quick_folder)
        for cut, image in images(life.disk.ops, cuts[moments.first :: moments.step], random.Random(1))
    ]

    assert set(found) == {KEPT}


async def test_without_a_sync_per_commit_the_same_cuts_lose_webhooks():
    """With synchronous=NORMAL the judgement does find lost webhooks: it can fail."""
    tally = await one_life(30, 1, synchronous="NORMAL")

    assert tally[LOST] >= 5


async def test_without_any_sync_the_same_cuts_break_the_database():
    """With synchronous=OFF it finds databases that do not open, or hold half of a unit."""
    tally = await one_life(30, 1, synchronous="OFF")

    assert tally.total() - tally[KEPT] - tally[LOST] >= 2


async def test_the_workload_is_what_a_power_cut_is_feared_for(tmp_path):
    """The record holds acknowledged webhooks, shared commits, automatic checkpoints and a log that begins anew."""
    recording = await live(tmp_path, 1)
    database = next(op.inode for op in recording.ops if op.name == "mcfd.db")
    syncs = [at for at, op in enumerate(recording.ops) if op.kind == "sync"]
    of_database = [at for at in syncs if recording.ops[at].inode == database]
    starts = [op for op in recording.ops if op.kind == "write" and op.at == 0 and len(op.data) == 32]

    assert len(recording.acknowledged) >= 80
    assert len(recording.commits) < len(recording.acknowledged) + 90
    assert any(recording.commits[-1].pending_calls > at > recording.commits[-40].pending_calls for at in of_database)
    assert len(starts) >= 3


def test_what_was_synced_survives_and_what_was_not_may_be_torn():
    """The disk keeps synced writes always and unsynced sectors one by one; a lost sync is not made up for later."""
    ops = [
        Op("create", 1, "file"),
        Op("write", 1, data=b"a" * 1024),
        Op("sync", 1),
        Op("sync directory"),
        Op("write", 1, at=256, data=b"b" * 1024),
        Op("sync failed", 1),
        Op("write", 1, at=2048, data=b"c"),
        Op("sync", 1),
    ]
    dice = random.Random(1)
    unnamed, torn, after = ({repr(image) for _, image in images(ops, [cut] * 300, dice)} for cut in (3, 5, 8))

    assert unnamed == {"{}", repr({"file": b"a" * 1024})}
    assert len(torn) == 8, "three sectors, each there or not"
    assert all(repr(b"a" * 256)[2:-1] in image for image in torn)
    assert len(after) == 1, "what the failed sync left is settled"
    assert after <= {repr({"file": content}) for content in _whatever(ops)}


def _whatever(ops):
    """Every content that the file may have after the failed sync."""
    for kept in range(8):
        content = bytearray(b"a" * 1024 + bytes(1024) + b"c")
        for number, (start, end) in enumerate(((256, 512), (512, 1024), (1024, 1280))):
            if kept & 1 << number:
                content[start:end] = b"b" * (end - start)
        yield bytes(content)
