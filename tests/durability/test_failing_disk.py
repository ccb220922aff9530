"""A disk that refuses: nothing is acknowledged that may not be there, and nothing acknowledged is lost later."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import apsw
import pytest

from adapters.sqlite import schema
from adapters.sqlite.store import open_store
from daemon.errors import StoreUnavailable
from tests.durability.apsw_store import open_recorded
from tests.durability.power_cut import KEPT, LOST, judge
from tests.durability.recorded_disk import Op, RecordedDisk, images
from tests.durability.workload import Life, Recording

IMAGES = 8


@dataclass
class Trouble:
    """Lets one operation of a kind fail, or all from then on."""

    kind: str
    first: int
    lasting: bool
    error: type[apsw.Error] = apsw.IOError
    met: int = 0

    def __call__(self, op: Op) -> type[apsw.Error] | None:
        if op.kind != self.kind:
            return None
        self.met += 1
        return self.error if self.met == self.first or (self.lasting and self.met > self.first) else None


async def troubled(folder: Path, seed: int, trouble: Callable[[Op], type[apsw.Error] | None]) -> Recording:
    """A life whose second process meets trouble and ends, and whose third has none."""
    life = Life(folder, seed)
    await life.session(10, ends_well=False)
    life.disk.fault = trouble
    await life.session(25, ends_well=False, printed=0.3)
    life.disk.fault = lambda _op: None
    await life.session(8, ends_well=False)
    return life.recording


async def verdicts(recording: Recording, folder: Path, dice: random.Random) -> Counter[str]:
    """What cuts after the trouble, most of them after the restart, leave of the store."""
    tally, end = Counter[str](), len(recording.ops)
    restart = next(commit.pending_calls for commit in recording.commits[-8:])
    cuts = [dice.randint(end // 3, end) for _ in range(IMAGES // 2)] + [dice.randint(restart, end)] * (IMAGES // 2)
    for cut, image in images(recording.ops, cuts, dice):
        tally[await judge(recording, cut, image, folder)] += 1
    return tally


SYNC, WRITE, FULL = ("sync", apsw.IOError, 20), ("write", apsw.IOError, 300), ("write", apsw.FullError, 300)


@pytest.mark.parametrize("lasting", [False, True])
@pytest.mark.parametrize("what", [SYNC, WRITE, FULL])
async def test_whatever_fails_nothing_acknowledged_is_lost(tmp_path, quick_folder, what, lasting):
    """A failing sync or write, a full disk: after the restart and a power cut every acknowledged webhook is there."""
    seed = random.getrandbits(32)
    dice = random.Random(seed)
    kind, error, among = what
    trouble = Trouble(kind, dice.randint(1, among), lasting, error)
    recording = await troubled(tmp_path, seed, trouble)

    assert trouble.met >= trouble.first
    assert await verdicts(recording, quick_folder, dice) == {KEPT: IMAGES}, f"seed {seed}"


async def test_a_restart_that_believes_its_log_would_lose_webhooks(tmp_path, quick_folder, monkeypatch):
    """Without writing the log again at the start, a power cut takes away what was acknowledged after a failed sync."""
    monkeypatch.setattr(schema, "_settle_log", lambda _path, _connection: None)
    tally = Counter[str]()
    for seed in range(1, 7):
        (tmp_path / str(seed)).mkdir()
        recording = await troubled(tmp_path / str(seed), seed, Trouble("sync", 9, lasting=False))
        tally += await verdicts(recording, quick_folder, random.Random(seed))

    assert tally[LOST]


def marking(name: str):
    """The unit that sets a mark."""
    return lambda uow: uow.set_mark(name, "1")


async def test_a_failed_sync_ends_all_writing(tmp_path):
    """The unit is not acknowledged, nothing is written afterwards though the disk would take it, reads go on."""
    disk = RecordedDisk()
    store, connection = open_recorded(tmp_path / "mcfd.db", disk)
    watching = asyncio.ensure_future(store.watch(asyncio.Event()))
    await store.transact(marking("before"))
    disk.fault = lambda op: apsw.IOError if op.kind == "sync" else None
    together = await asyncio.gather(
        store.transact(marking("a")),
        store.transact(marking("b")),
        store.read(lambda uow: uow.mark("before")),
        return_exceptions=True,
    )
    disk.fault = lambda _op: None
    written = len(disk.ops)

    assert [type(outcome) for outcome in together] == [StoreUnavailable, StoreUnavailable, str]
    assert "disk I/O error (SQLITE_IOERR_FSYNC)" in str(together[0])
    for refused in (store.transact(marking("c")), store.writable(), store._writer.alone(lambda _: None)):
        with pytest.raises(StoreUnavailable, match="until the next start"):
            await refused
    assert await store.read(lambda uow: [uow.mark(name) for name in ("before", "a", "b", "c")]) == [
        "1",
        None,
        None,
        None,
    ]
    with pytest.raises(StoreUnavailable, match="disk I/O error"):
        await watching
    await store.close()
    assert len(disk.ops) == written
    connection.close()


@pytest.mark.parametrize("error", [apsw.IOError, apsw.FullError])
async def test_a_write_that_is_refused_can_be_repeated(tmp_path, error):
    """A disk that takes nothing makes units unavailable and the store unready; when it does again, all is well."""
    disk = RecordedDisk()
    store, connection = open_recorded(tmp_path / "mcfd.db", disk)
    stop = asyncio.Event()
    watching = asyncio.ensure_future(store.watch(stop))
    await store.writable()
    disk.fault = lambda op: error if op.kind == "write" else None
    for attempt in (store.transact(marking("a")), store.writable(), store.writable()):
        with pytest.raises(StoreUnavailable, match=r"full|disk I/O"):
            await attempt
    await store.alive()
    disk.fault = lambda _op: None

    await store.writable()
    await store.transact(marking("a"))
    await store.writable()
    assert await store.read(lambda uow: uow.mark("a")) == "1"
    stop.set()
    await watching
    await store.close()
    connection.close()


async def test_a_log_that_a_killed_process_left_is_written_again(tmp_path):
    """The start writes the same bytes into the log once more; a log that was never left needs nothing."""
    store, connection = open_recorded(tmp_path / "mcfd.db", RecordedDisk())
    await store.transact(marking("before"))
    connection.close()
    log = tmp_path / "mcfd.db-wal"
    left = log.read_bytes()
    written = log.stat().st_mtime_ns

    async with await open_store(tmp_path / "mcfd.db") as again:
        assert log.stat().st_mtime_ns > written
        assert log.read_bytes() == left
        assert await again.read(lambda uow: uow.mark("before")) == "1"
