"""The daemon on PostgreSQL: the same stories as with SQLite, and a server that goes away in the middle."""

import json
from contextlib import closing

import psycopg
import pytest

from adapters.sandbox import ReturnLine
from tests.e2e.daemon_process import DaemonDied, DaemonProcess
from tests.e2e.world import MUG, SOCK, everyone, until, world
from tests.support.postgres import running_server, unmade_server


def on(url: str) -> dict[str, object]:
    """What the configuration has in place of the file."""
    return {"store": {"url": url}}


async def test_returns_go_all_the_way(tmp_path, postgres):
    """Over PostgreSQL a clean return is processed and a damaged one flagged, each once; verbs work without a daemon."""
    async with world(tmp_path, config=on(postgres.new_database()), buys_labels=True) as w:
        clean, damaged = w.submit("#1001", SOCK), w.submit("#1002", ReturnLine(sku=MUG))
        await everyone(w.receive(clean, SOCK), w.receive(damaged, MUG, "CustomerDamaged"))
        await everyone(w.state(clean, "closed"), w.state(damaged, "in_review"))
        assert w.portal(clean)["counts"] == {"process": 1}
        assert w.portal(damaged)["counts"] == {"flag": 1}
        assert len(w.shipments(clean)) == len(w.shipments(damaged)) == 1
        running = (await w.daemon.cli("show", str(clean), "--json")).json
        assert await w.daemon.sigterm() == 0

        stopped = (await w.daemon.cli("show", str(clean), "--json")).json
        assert stopped["history"] == running["history"] != []
        assert not w.daemon.complaints
        await w.daemon.start()


async def test_a_server_that_restarts_is_waited_for(tmp_path):
    """While the server is away deliveries are answered 503 and nothing is lost; when it is back, all goes on by itself."""
    with running_server() as server:
        async with world(tmp_path, config=on(server.new_database())) as w:
            before = w.submit("#1001", SOCK)
            await w.labelled(before)
            server.stop()
            status, answer = await w.daemon.ops("/readyz")
            assert (status, list(answer["problems"])) == (503, ["store"])
            during = w.submit("#1002", SOCK)
            refused = await until(
                "a refused delivery",
                lambda: [d for d in w.sandbox.snapshot()["loop"]["deliveries"] if d["status"] == 503],
            )
            assert refused
            server.start()
            await w.labelled(during)
            await everyone(w.receive(before, SOCK), w.receive(during, SOCK))
            await everyone(w.state(before, "closed"), w.state(during, "closed"))
            assert w.portal(before)["counts"] == w.portal(during)["counts"] == {"process": 1}
            assert (await w.daemon.ops("/readyz"))[0] == 200


async def test_a_second_daemon_goes_on_where_the_first_was_killed(tmp_path, postgres):
    """Two nodes serve one database; when the one that works the account is killed, the other does all that is left."""
    config = on(postgres.new_database()) | {"cluster": {"lease": "2s", "node": "first"}}
    async with world(tmp_path, config=config) as w:
        (tmp_path / "second").mkdir()
        other = DaemonProcess(tmp_path / "second", {**w.daemon.config, "cluster": {"lease": "2s"}}, w.daemon.secrets)
        return_id = w.submit("#1001", SOCK)
        await w.labelled(return_id)
        await other.start()
        assert not other.heard("lease.won", account="main")
        killed, w.daemon = w.daemon, other
        await killed.sigkill()
        w.subscribe()
        await w.receive(return_id, SOCK)
        await w.state(return_id, "closed")
        assert w.portal(return_id)["counts"] == {"process": 1}
        assert other.heard("lease.won", account="main", handed_over=False)


async def test_a_daemon_that_stops_hands_its_accounts_over(tmp_path, postgres):
    """After SIGTERM the other node goes on at once, however long a lease would last."""
    config = on(postgres.new_database()) | {"cluster": {"lease": "10m"}}
    async with world(tmp_path, config=config) as w:
        (tmp_path / "second").mkdir()
        other = DaemonProcess(tmp_path / "second", w.daemon.config, w.daemon.secrets)
        await other.start()
        first, w.daemon = w.daemon, other
        assert await first.sigterm() == 0
        await until("the lease", lambda: other.heard("lease.won", account="main", handed_over=True))
        assert not other.complaints


async def test_what_a_failover_lost_is_taken_over(tmp_path):
    """A replica that lacks the last commits takes over: returns wait, and adopt finds what was done; nothing twice."""
    with running_server() as primary, unmade_server() as replica:
        name = primary.new_database().partition("@/")[2].partition("?")[0]
        both = f"postgresql://mcfd@/{name}?host={primary.directory},{replica.directory}"
        async with world(tmp_path, config=on(both), buys_labels=True) as w:
            known = w.submit("#1001", SOCK)
            await w.labelled(known)
            replica.copy(primary)
            replica.start()
            unknown = w.submit("#1002", ReturnLine(sku=MUG))
            await w.labelled(unknown)
            primary.stop()
            replica.promote()
            await w.receive(known, SOCK)

            await until("the return waits", lambda: waits_for_adopt(w, known))
            assert await said(w, "adopt", "--open") == {"adopted": 2}
            await w.receive(unknown, MUG, "CustomerDamaged")
            await everyone(w.state(known, "closed"), w.state(unknown, "in_review"))
            assert w.portal(known)["counts"] == {"process": 1}
            assert w.portal(unknown)["counts"] == {"flag": 1}
            assert len(w.shipments(known)) == len(w.shipments(unknown)) == 1


async def waits_for_adopt(w, return_id):
    """Whether the daemon, which may have no database just now, says that the return waits for it."""
    shown = await w.daemon.cli("show", str(return_id), "--json")
    return shown.status == 0 and "mcfd adopt" in json.dumps(shown.json)


async def said(w, *verb):
    """The summary of a verb."""
    told = await w.daemon.cli(*verb, "--json")
    return told.json["summary"]


async def test_a_lost_session_is_taken_up_again(tmp_path, postgres):
    """When the server ends the daemon's session, the next unit of work connects again, and nobody notices."""
    url = postgres.new_database()
    async with world(tmp_path, config=on(url)) as w:
        end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name LIKE 'mcfd % pid %' AND datname = current_database()"
        with closing(psycopg.connect(url)) as other:
            assert other.execute(end).fetchone() == (1,)
        return_id = w.submit("#1001", SOCK)
        await w.receive(return_id, SOCK)
        await w.state(return_id, "closed")


async def test_a_store_moves_to_postgresql_in_the_middle(tmp_path, postgres):
    """A return that began in a file ends in PostgreSQL; the file is left, and no daemon works on it any more."""
    async with world(tmp_path) as w:
        return_id = w.submit("#1001", SOCK)
        await w.labelled(return_id)
        file = w.daemon.config["store"]
        busy = await w.daemon.cli("store", "copy", file["path"])
        assert (busy.status, "set it in the configuration first" in busy.stderr) == (1, True)
        w.daemon.config["store"] = {"url": postgres.new_database()}
        busy = await w.daemon.cli("store", "copy", file["path"])
        assert busy.status == 75
        assert await w.daemon.sigterm() == 0

        said = await w.daemon.cli("store", "copy", file["path"], "--json")
        assert said.json["rows"]["returns"] == 1, said.stderr
        again = await w.daemon.cli("store", "copy", file["path"])
        assert (again.status, "rows in" in again.stderr) == (1, True)
        moved, w.daemon.config["store"] = w.daemon.config["store"], file
        with pytest.raises(DaemonDied, match=r"exit 78:(?s:.*)was moved to postgresql://"):
            await w.daemon.start()

        w.daemon.config["store"] = moved
        await w.daemon.start()
        w.subscribe()
        await w.receive(return_id, SOCK)
        await w.state(return_id, "closed")
        assert len(w.portal(return_id)["delivered_labels"]) == 1
        assert w.portal(return_id)["counts"] == {"process": 1}


async def test_backup_and_shadow_say_what_to_do_instead(tmp_path, postgres):
    """What copies files says that PostgreSQL's own tools do it."""
    async with world(tmp_path, config=on(postgres.new_database())) as w:
        backup = await w.daemon.cli("backup", str(tmp_path / "copy.db"))
        restore = await w.daemon.cli("restore", str(tmp_path / "copy.db"))
        shadow = await w.daemon.cli("run", "--shadow")
    assert "pg_dump" in backup.stderr
    assert "pg_restore" in restore.stderr
    assert "a shadow needs a copy" in shadow.stderr
    assert all(said.status == 1 and "Traceback" not in said.stderr for said in (backup, restore, shadow))


async def test_the_password_is_a_secret(tmp_path):
    """With a password the daemon serves; a wrong one is explained and exits 78; neither is ever shown."""
    with running_server() as server:
        url = server.new_database()
        with closing(psycopg.connect(url, autocommit=True)) as connection:
            connection.execute("ALTER USER mcfd PASSWORD 'right-canary-password'")
        (server.directory / "data" / "pg_hba.conf").write_text("local all all scram-sha-256\n")
        server.run("pg_ctl", "reload", "-D", "data")
        async with world(tmp_path, config=on(url), secrets={"store_password": "right-canary-password"}) as w:
            assert (await w.daemon.ops("/readyz"))[0] == 200
            await w.daemon.sigterm()
            w.daemon.secrets["store_password"] = "wrong-canary-password"
            with pytest.raises(DaemonDied, match=r"(?s)exit 78:.*secret file store_password"):
                await w.daemon.start()
            assert not any("canary-password" in line for line in w.daemon.lines)
            w.daemon.secrets["store_password"] = "right-canary-password"
            await w.daemon.start()
            assert "canary-password" not in json.dumps(w.daemon.events)
