"""The running daemon when its disk is full, locked, damaged, read-only or lies."""

import asyncio
import os
import sqlite3
from itertools import dropwhile

import pytest

from adapters.sqlite.schema import APPLICATION_ID
from tests.durability.failing_syncs import possible
from tests.durability.harmed_daemon import HarmedDaemon, own_mounts_possible, stored, trial
from tests.e2e.daemon_process import DaemonDied
from tests.e2e.world import CLOCK, everyone, until, vendors

MOUNTS = pytest.mark.skipif(not own_mounts_possible(), reason="no mounts of one's own here")


async def ready(daemon) -> tuple[int, str]:
    """What /readyz answers: the status, and what it says of the store."""
    status, answer = await daemon.ops("/readyz")
    return status, answer["problems"].get("store", "")


async def serves(daemon, deliveries) -> None:
    """All is well: ready, and deliveries are acknowledged."""
    assert await ready(daemon) == (200, "")
    assert await deliveries.many(5) == {200}


@MOUNTS
async def test_a_full_disk(tmp_path):
    """Deliveries get 503 and /readyz says why; with room again both are well, and nothing acknowledged is missing."""
    async with trial(tmp_path) as t:
        t.daemon.on_tmpfs("3m")
        await t.daemon.start()
        await serves(t.daemon, t.deliveries)
        filler = t.daemon.state_as_it_sees_it / "filler"
        free = os.statvfs(filler.parent)
        filler.write_bytes(bytes((free.f_bavail - 1) * free.f_frsize))

        async def full() -> bool:
            return await t.deliveries.many(20) == {503}

        await until("nothing more is taken", full)
        status, why = await ready(t.daemon)
        assert (status, "database or disk is full" in why) == (503, True)
        assert (await t.daemon.ops("/healthz"))[0] == 200
        assert t.daemon.heard("webhook.unavailable")

        filler.unlink()
        await serves(t.daemon, t.deliveries)
        shown = await everyone(*(t.daemon.show(return_id) for return_id in t.deliveries.acknowledged))
        assert {answer["state"] for answer in shown} == {"received"}
        assert await t.daemon.sigterm() == 0


async def test_a_disk_that_refuses_writes(tmp_path):
    """When files may not grow, deliveries get 503; when they may again, it goes on; a kill then loses nothing."""
    async with trial(tmp_path) as t:
        await t.daemon.start()
        await serves(t.daemon, t.deliveries)
        t.daemon.largest_file(1)
        assert await t.deliveries.many(20) == {503}
        status, why = await ready(t.daemon)
        assert (status, "SQLITE_IOERR_WRITE" in why) == (503, True)
        assert await t.deliveries.many(3) == {503}

        t.daemon.largest_file(-1)
        await serves(t.daemon, t.deliveries)
        await t.daemon.sigkill()
        assert stored(t.daemon.state) == set(t.deliveries.acknowledged)
        assert not t.daemon.complaints


async def test_a_database_that_somebody_else_has_locked(tmp_path):
    """While another process writes, deliveries get 503 after the busy time-out; then all is well without a restart."""
    async with trial(tmp_path) as t:
        await t.daemon.start()
        await serves(t.daemon, t.deliveries)
        foreign = sqlite3.connect(t.daemon.state / "mcfd.db", isolation_level=None)
        foreign.execute("BEGIN EXCLUSIVE")
        began = CLOCK.monotonic()
        assert await t.deliveries.many(20) == {503}
        assert CLOCK.monotonic() - began < 6.0, "the busy time-out for what was under way, and once more"
        assert (await ready(t.daemon))[1].endswith("database is locked (SQLITE_BUSY)")
        assert (await t.daemon.ops("/healthz"))[0] == 200
        foreign.execute("ROLLBACK")
        foreign.close()

        await serves(t.daemon, t.deliveries)
        assert await t.daemon.sigterm() == 0
        assert stored(t.daemon.state) == set(t.deliveries.acknowledged)
        assert not t.daemon.complaints


@pytest.mark.skipif(not possible(), reason="the system calls of this machine are not known")
async def test_a_sync_that_fails_ends_the_daemon(tmp_path):
    """What was not synced is not acknowledged, the daemon ends with 1 and a reason, and the next start has the rest."""
    async with trial(tmp_path) as t:
        pipe = tmp_path / "syncs-fail"
        os.mkfifo(pipe)
        t.daemon.module = ("tests.durability.failing_syncs", str(pipe))
        await t.daemon.start()
        await serves(t.daemon, t.deliveries)
        await asyncio.to_thread(pipe.write_bytes, b"!")
        await until("it ends", lambda: _ended_under(t.deliveries.many(5), t.daemon), 10.0)

        assert await t.daemon.ended() == 1
        assert "SQLITE_IOERR_FSYNC" in t.daemon.lines[-1]
        assert set(t.deliveries.statuses[5:]) <= {0, 200, 503}
        refused = list(dropwhile(lambda status: status == 200, t.deliveries.statuses))
        assert refused
        assert 200 not in refused

        t.daemon.module = ("tests.durability.failing_syncs", "-")
        with pytest.raises(DaemonDied, match=r"exit 1:(.*\n)+.*cannot be written and synced"):
            await t.daemon.start()

        t.daemon.module = ("daemon",)
        await t.daemon.start()
        await serves(t.daemon, t.deliveries)
        assert await t.daemon.sigterm() == 0
        assert set(t.deliveries.acknowledged) <= stored(t.daemon.state)


async def _ended_under(deliveries, daemon) -> bool:
    await deliveries
    return not daemon.running


def spoil(state, how: str) -> None:
    """Put something into the place of the database."""
    path = state / "mcfd.db"
    if how == "no database":
        path.write_text("store: elsewhere\n" * 500)
        return
    connection = sqlite3.connect(path)
    connection.executescript("CREATE TABLE t (x);" + "INSERT INTO t VALUES (zeroblob(3000));" * 20)
    marks = {"newer": (APPLICATION_ID, 99), "foreign": (77, 1), "damaged": (APPLICATION_ID, 1)}[how]
    connection.executescript("PRAGMA application_id = {}; PRAGMA user_version = {};".format(*marks))
    connection.close()
    if how == "damaged":
        content = path.read_bytes()
        path.write_bytes(content[:8192] + b"\xff" * 8192 + content[16384:])


REFUSALS = {
    "no database": "is not a database",
    "damaged": "is damaged",
    "newer": "has schema 99",
    "foreign": "belongs to another program",
}


async def test_a_database_that_is_not_for_it_is_refused_in_words(tmp_path):
    """Something else, a damaged, a newer or a foreign database ends the start with 78, one sentence, and no change."""
    async with vendors(tmp_path) as w:

        async def refusal(how: str) -> None:
            folder = tmp_path / how
            folder.mkdir()
            path = folder / "state" / "mcfd.db"
            daemon = HarmedDaemon(folder, w.daemon.config | {"store": {"path": str(path)}}, w.daemon.secrets)
            daemon.write_files()
            spoil(daemon.state, how)
            before = path.read_bytes()
            said = await daemon.command("run", "--config", daemon.config_file, "--secrets", daemon.secret_folder)
            assert (said.status, said.stderr.count("\n")) == (78, 1)
            assert f"{path}: {REFUSALS[how]}" in said.stderr
            assert path.read_bytes() == before

        await everyone(*(refusal(how) for how in REFUSALS))
        assert w.sandbox.calls() == []


async def test_a_read_only_directory_is_refused_in_words(tmp_path):
    """A state directory that cannot be written ends the start with 78 and says what it needs."""
    async with trial(tmp_path) as t:
        t.daemon.write_files()
        if os.geteuid() != 0:
            t.daemon.state.chmod(0o500)
        elif own_mounts_possible():
            t.daemon.read_only()
        else:
            pytest.skip("nothing is read-only to this user")
        said = await t.daemon.command("run", "--config", t.daemon.config_file, "--secrets", t.daemon.secret_folder)
        t.daemon.state.chmod(0o700)

        assert said.status == 78
        words = "cannot be written" if os.geteuid() != 0 else "is on a read-only file system; remount it"
        assert words in said.stderr
        assert str(t.daemon.state) in said.stderr
        assert "Traceback" not in said.stderr
