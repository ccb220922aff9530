"""A store in bad surroundings: it says so, keeps what it had, and goes on when they are good again."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from adapters.sqlite.store import open_store
from daemon.errors import StoreUnavailable
from tests.services.store_conformance import add, get, make_full_return, make_return

ROOT = Path(__file__).parents[2]


@pytest.fixture
async def store(tmp_path):
    """A store with a return in it."""
    async with await open_store(tmp_path / "mcfd.db") as opened:
        await add(opened, make_full_return())
        yield opened


async def pragma(store, text: str):
    """Change a setting of the store's own connection."""
    return await store._writer.read(lambda connection: connection.execute(f"PRAGMA {text}").fetchone())


async def test_a_lock_of_another_process_passes(store):
    """While somebody else writes, units are unavailable and reads answer; afterwards all is well."""
    await pragma(store, "busy_timeout = 20")
    foreign = sqlite3.connect(store.path, isolation_level=None)
    foreign.execute("BEGIN IMMEDIATE")
    try:
        with pytest.raises(StoreUnavailable, match="locked"):
            await add(store, make_return("r2"))
        assert await get(store) is not None
        await store.alive()
    finally:
        foreign.execute("ROLLBACK")
        foreign.close()

    await add(store, make_return("r2"))
    assert await get(store, "r2") is not None


async def test_a_short_lock_of_another_process_is_waited_for(store):
    """A unit that reads and then writes waits for a foreign commit, and then works on what that left."""
    foreign = sqlite3.connect(store.path, isolation_level=None, check_same_thread=False)
    foreign.execute("BEGIN IMMEDIATE")
    foreign.execute("INSERT INTO marks VALUES ('seen', '1')")
    commit = threading.Timer(0.1, foreign.execute, ["COMMIT"])
    commit.start()

    def work(uow):
        seen = uow.mark("seen")
        uow.add(make_return("r2"))
        return seen

    try:
        assert await store.transact(work) == "1"
    finally:
        commit.join()
        foreign.close()


async def test_a_full_disk_loses_nothing(store):
    """On a full disk units are unavailable and reads go on; what was stored stays; with room again, it works."""
    (pages,) = await pragma(store, "page_count")
    await pragma(store, f"max_page_count = {pages + 8}")
    with pytest.raises(StoreUnavailable, match="full"):
        await add(store, *(make_return(f"n{n}", problem="x" * 2000) for n in range(1000)))
    stored = (await store.read(lambda uow: uow.counts()))["acme", "received"]
    assert await get(store, f"n{stored}") is None
    assert await get(store, f"n{stored - 1}") is not None

    await pragma(store, "max_page_count = 1000000")
    await add(store, make_return(f"n{stored}"))

    assert await store.read(lambda uow: uow.counts()) == {("acme", "stuck"): 1, ("acme", "received"): stored + 1}
    assert await pragma(store, "integrity_check") == ("ok",)


async def test_a_database_that_turns_read_only_can_still_be_read(store):
    """When nothing can be written any more, units are unavailable with SQLite's own words, and reads answer."""
    await pragma(store, "query_only = ON")

    with pytest.raises(StoreUnavailable, match="readonly") as caught:
        await add(store, make_return("r2", problem="private words"))

    assert "private words" not in str(caught.value)
    assert await get(store) is not None


async def test_damage_met_on_the_way_is_unavailable(tmp_path):
    """A page that turns out to be damaged while running makes the unit that needs it unavailable."""
    async with await open_store(tmp_path / "mcfd.db") as store:
        await add(store, *(make_return(f"r{n}", problem="x" * 3000) for n in range(60)))
        await pragma(store, "wal_checkpoint(TRUNCATE)")
        await pragma(store, "cache_size = 0")
        with store.path.open("r+b") as file:
            file.seek(file.seek(0, os.SEEK_END) - 20 * 4096)
            file.write(b"\xff" * 20 * 4096)

        with pytest.raises(StoreUnavailable, match="malformed"):
            await asyncio.gather(*(get(store, f"r{n}") for n in range(60)))


VICTIM = """
import asyncio, os, sys
from pathlib import Path
from adapters.sqlite.store import open_store
from tests.services.store_conformance import make_return

async def client(store, name):
    n = 0
    while True:
        await store.transact(lambda uow: uow.add(make_return(f"{name}-{n}")))
        os.write(1, f"{name}-{n}\\n".encode())
        n += 1

async def main():
    store = await open_store(Path(sys.argv[1]))
    await asyncio.gather(*(client(store, f"{os.getpid()}-{n}") for n in range(16)))

asyncio.run(main())
"""


def acknowledged_until_killed(path: Path) -> list[str]:
    """Run a process that stores returns until it is killed; the ids that it acknowledged."""
    command = [sys.executable, "-c", VICTIM, str(path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as victim:
        assert victim.stdout is not None
        lines = [victim.stdout.readline() for _ in range(400)]
        victim.send_signal(signal.SIGKILL)
        lines += victim.stdout.readlines()
    return [line.strip() for line in lines if line.endswith("\n")]


@pytest.mark.slow
async def test_what_was_acknowledged_survives_a_kill(tmp_path):
    """A process that is killed in the middle of its commits has lost nothing that it acknowledged."""
    path = tmp_path / "mcfd.db"
    acknowledged = [return_id for _ in range(3) for return_id in acknowledged_until_killed(path)]

    async with await open_store(path) as store:
        missing = [return_id for return_id in acknowledged if await get(store, return_id) is None]
        counts = await store.read(lambda uow: uow.counts())
        sound = await pragma(store, "integrity_check")

    assert len(acknowledged) >= 1200
    assert missing == []
    assert counts["acme", "received"] >= len(acknowledged)
    assert sound == ("ok",)
