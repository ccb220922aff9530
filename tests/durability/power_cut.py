"""Cuts the power while the real store is at work, thousands of times, and opens what is left.

`python -m tests.durability.power_cut --images 10000 --seed 1` goes on for as long as it takes; it ends with status 1
when an acknowledged webhook was lost, a unit of work was halved, or a database did not open.
"""

import asyncio
import random
import sqlite3
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import click

from adapters.sqlite.store import open_store
from config.logging.setup import configure
from daemon.errors import ConfigError, StoreUnavailable
from tests.durability.recorded_disk import Image, images
from tests.durability.workload import Recording, content, live

PER_LIFE = 200
IN_MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None  # an image need not outlive a real power cut
KEPT, LOST, HALVED, UNUSABLE = "kept", "lost", "halved", "unusable"


def cuts(recording: Recording, count: int, dice: random.Random) -> Iterator[int]:
    """Half of them anywhere, half of them where something is being made durable."""
    syncs = [at for at, op in enumerate(recording.ops) if op.kind.startswith("sync")]
    for number in range(count):
        near = dice.choice(syncs) + dice.randint(-2, 2) if number % 2 and syncs else dice.randrange(len(recording.ops))
        yield min(max(near, 0), len(recording.ops))


def lay_out(image: Image, folder: Path) -> None:
    """Let a directory hold these files and no others."""
    for file in folder.iterdir():
        file.unlink()
    for name, left in image.items():
        (folder / name).write_bytes(left)


async def judge(recording: Recording, cut: int, image: Image, folder: Path) -> str:
    """Open what the cut has left as a restarted daemon does, and compare it with what was promised."""
    lay_out(image, folder)
    try:
        store = await open_store(folder / "mcfd.db", inline=True)
    except (ConfigError, StoreUnavailable, sqlite3.Error):
        return UNUSABLE
    async with store:
        verdict = await store._writer.read(lambda connection: compare(recording, cut, connection))
        if verdict == KEPT:
            await store.transact(lambda uow: uow.set_mark("after the cut", str(cut)))
        return verdict


def compare(recording: Recording, cut: int, connection: sqlite3.Connection) -> str:
    """The verdict on a database that has opened."""
    try:
        if connection.execute("PRAGMA integrity_check").fetchone() != ("ok",):
            return UNUSABLE
        if connection.execute("PRAGMA foreign_key_check").fetchone() is not None:
            return HALVED
        known = {digest for (digest,) in connection.execute("SELECT digest FROM deliveries")}
        found = content(connection)
    except sqlite3.DatabaseError:
        return UNUSABLE
    if found not in {commit.content for commit in recording.commits}:
        return HALVED
    if not recording.promised(cut) <= known or found not in recording.possible(cut):
        return LOST
    return KEPT


async def one_life(count: int, seed: int, synchronous: str | None = None) -> Counter[str]:
    """Record one workload, cut it that many times, and count the verdicts."""
    dice, tally = random.Random(seed), Counter[str]()
    with tempfile.TemporaryDirectory(dir=IN_MEMORY) as name:
        folder = Path(name)
        recording = await live(folder, seed, synchronous=synchronous)
        (folder / "image").mkdir()
        for cut, image in images(recording.ops, cuts(recording, count, dice), dice):
            tally[await judge(recording, cut, image, folder / "image")] += 1
    return tally


@click.command()
@click.option("--images", "count", default=1000, show_default=True, help="How many cuts to judge.")
@click.option("--seed", default=1, show_default=True, help="Of the first workload; the following have the next ones.")
@click.option("--synchronous", type=click.Choice(["FULL", "NORMAL", "OFF"]), default="FULL", show_default=True)
def main(count: int, seed: int, synchronous: str) -> None:
    """Cut the power of the store that many times."""
    configure("console", "warning", under_systemd=False)
    tally: Counter[str] = Counter()
    while tally.total() < count:
        found = asyncio.run(one_life(min(PER_LIFE, count - tally.total()), seed, synchronous))
        tally += found
        verdicts = ", ".join(f"{number} {verdict}" for verdict, number in sorted(found.items()))
        click.echo(f"seed {seed}: {verdicts}")
        seed += 1
    click.echo(f"{tally.total()} images: " + ", ".join(f"{number} {verdict}" for verdict, number in tally.items()))
    sys.exit(tally.keys() != {KEPT})


if __name__ == "__main__":
    main()
