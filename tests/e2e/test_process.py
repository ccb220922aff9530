"""The process: how it starts, refuses to start, and stops."""

import asyncio
import signal

import pytest

from adapters.sandbox import Fault
from tests.e2e.daemon_process import DaemonDied, DaemonProcess
from tests.e2e.world import CLOCK, SHOP, SOCK, everyone, pause, until, vendors, world


async def test_sigterm_under_work_ends_well_within_the_grace(tmp_path):
    """Steps in hand finish, the doors close in order, the exit is 0, and the next start goes on where this one was."""
    async with world(tmp_path) as w:
        w.sandbox.set_faults([Fault(vendor="amazon", kind="delay", seconds=0.3, operation="createFulfillmentReturn")])
        returns = [w.submit(f"#12{n:02}", SOCK) for n in range(12)]
        await until("Amazon is asked", lambda: w.calls("createFulfillmentReturn"))
        began = CLOCK.monotonic()
        assert await w.daemon.sigterm() == 0
        assert CLOCK.monotonic() - began < 5.0
        closed = [e["closing"] for e in w.daemon.heard("shutdown.step")]
        assert closed == ["public listener", "ops listener", "console", "store"]
        assert not w.daemon.heard("task.overran")
        assert not w.daemon.heard("service.overran")
        assert not w.daemon.complaints

        w.sandbox.set_faults()
        await w.restart()
        await everyone(*(w.labelled(return_id) for return_id in returns))
        assert w.calls("createFulfillmentReturn") == 12


async def test_a_vendor_that_hangs_does_not_hold_the_daemon_up(tmp_path):
    """A call that does not come back is given up when the grace is over; the unit is still created only once."""
    async with world(tmp_path, timings={"stop_grace": "1s"}) as w:
        hang = Fault(vendor="amazon", kind="hang", seconds=30.0, operation="createFulfillmentReturn", after_effect=True)
        w.sandbox.set_faults([hang])
        return_id = w.submit("#1301", SOCK)
        await until("Amazon is asked", lambda: w.calls("createFulfillmentReturn"))
        began = CLOCK.monotonic()
        assert await w.daemon.sigterm() == 0
        assert CLOCK.monotonic() - began < 2.5
        w.sandbox.set_faults()
        await w.restart()
        await w.labelled(return_id)
        assert w.calls("createFulfillmentReturn") == 1
        assert len(w.network("#1301")["returnItems"]) == 1


async def test_a_second_signal_ends_it_at_once(tmp_path):
    """While it stops it is not ready. Whoever asks twice does not want to wait: the exit is 1, and nothing is lost."""
    async with world(tmp_path) as w:
        hang = Fault(vendor="amazon", kind="hang", seconds=30.0, operation="getFulfillmentOrder")
        w.sandbox.set_faults([hang])
        return_id = w.submit("#1302", SOCK)
        await until("Amazon is asked", lambda: w.calls("getFulfillmentOrder"))
        w.daemon.signal(signal.SIGTERM)
        await until("it is stopping", lambda: w.daemon.heard("daemon.stopping"))
        assert await w.daemon.ops("/readyz") == (503, {"ok": False, "problems": {"daemon": "it is stopping"}})
        assert (await w.daemon.cli("ready")).stdout == "it is not ready\ndaemon: it is stopping\n"
        w.daemon.signal(signal.SIGTERM)
        assert await w.daemon.ended() == 1
        gone = await w.daemon.cli("ready")
        assert (gone.status, "no daemon answers" in gone.stderr) == (1, True)
        w.sandbox.set_faults()
        await w.restart()
        await w.labelled(return_id)


@pytest.mark.asyncio(loop_scope="session")
async def test_one_daemon_per_state_directory(w):
    """A second daemon on the same state directory exits 75 at once and says who holds it; the first does not notice."""
    second = DaemonProcess(w.daemon.folder, w.daemon.config, w.daemon.secrets)
    with pytest.raises(DaemonDied, match=r"exit 75:\n(.*\n)*another mcfd \(pid \d+\) holds"):
        await second.start()
    assert not second.complaints
    await w.labelled(w.submit("#1401", SOCK))


@pytest.mark.asyncio(loop_scope="session")
async def test_a_port_that_is_taken_is_said_in_words(w, tmp_path):
    """A listener that cannot be bound ends the start with exit 1 and a sentence, not with a traceback."""
    state = tmp_path / "state" / "mcfd.db"
    listen = {"public": f"127.0.0.1:{w.daemon.public_port}", "ops": "127.0.0.1:0"}
    other = w.daemon.config | {"listen": listen, "store": {"path": str(state)}}
    second = DaemonProcess(tmp_path, other, w.daemon.secrets)
    with pytest.raises(DaemonDied, match=r"exit 1:"):
        await second.start()
    assert f"listen.public {listen['public']}: the port is taken" in second.lines[-1]
    assert not second.complaints


async def test_a_wrong_configuration_is_told_completely(tmp_path):
    """Every mistake of the file and of the secrets is named, run and check exit 78, and nobody sees a traceback."""
    async with vendors(tmp_path) as w:
        daemon = w.daemon
        daemon.config["timings"]["label_pol_first"] = "2s"
        daemon.config["amazon"]["region"] = "moon"
        daemon.config["shops"][SHOP]["api_url"] = "ftp://loop.example"
        daemon.secrets["vault_keys"] = "short"
        del daemon.secrets["ops_token"]
        daemon.write_files()
        where = ("--config", daemon.config_file, "--secrets", daemon.secret_folder)
        ran, checked = await asyncio.gather(daemon.command("run", *where), daemon.command("check", *where))
        for said in (ran, checked):
            assert said.status == 78
            for named in ("label_pol_first", "amazon.region", f"shops.{SHOP}.api_url", "vault_keys", "ops_token"):
                assert named in said.stderr
            assert "Traceback" not in said.stderr
            assert said.stdout == ""
        assert ran.stderr == checked.stderr


async def test_check_contacts_nobody(tmp_path):
    """A good configuration is called good with exit 0, whatever runs, and no vendor hears of it."""
    async with vendors(tmp_path) as w:
        w.daemon.write_files()
        where = ("--config", w.daemon.config_file, "--secrets", w.daemon.secret_folder)
        missing = w.daemon.command("check", "--config", tmp_path / "nowhere.yaml", "--secrets", w.daemon.secret_folder)
        good, absent = await asyncio.gather(w.daemon.command("check", *where), missing)
        assert (good.status, absent.status) == (0, 78)
        assert "the configuration is good, 1 shop(s)" in good.stdout
        assert "nowhere.yaml" in absent.stderr
        assert w.sandbox.calls() == []
        assert not list(w.daemon.state.iterdir())


async def test_the_first_start(tmp_path):
    """Without Amazon's token and webhook secrets, what the polls find is kept; when the files are there all goes on."""
    async with vendors(tmp_path, retry_unit=30.0) as w:
        own = dict(w.daemon.secrets)
        missing = ("amazon_refresh_token", f"loop_webhook_secrets.{SHOP}")
        for name in missing:
            del w.daemon.secrets[name]
        await w.daemon.start()
        w.subscribe()
        warned = " ".join(e["text"] for e in w.daemon.heard("config.warned"))
        assert all(name in warned for name in missing)
        returns = [w.submit(f"#15{n:02}", SOCK) for n in range(3)]
        await everyone(*(w.state(return_id, "received") for return_id in returns))
        await until("it was tried", lambda: w.daemon.heard("step.postponed"))
        assert await w.daemon.ops("/readyz") == (503, {"ok": False, "problems": {"amazon": "credentials: no_token"}})
        assert (await w.daemon.ops("/healthz"))[0] == 200
        assert w.calls("token") == 0
        assert {d["status"] for d in w.sandbox.snapshot()["loop"]["deliveries"]} == {503}

        w.daemon.secrets = own
        await w.restart()
        await everyone(*(w.receive(return_id, SOCK) for return_id in returns))
        await everyone(*(w.state(return_id, "closed") for return_id in returns))
        assert (await w.daemon.ops("/readyz"))[0] == 200
        assert 200 in {d["status"] for d in w.sandbox.snapshot()["loop"]["deliveries"]}
        assert not w.daemon.complaints


async def test_parked_deliveries_are_acknowledged(tmp_path):
    """While Amazon refuses the credentials, deliveries are answered 200 and kept, and a restart tries again at once."""
    async with world(tmp_path) as w:
        await w.labelled(w.submit("#1600", SOCK))
        w.sandbox.revoke_access()
        return_id = w.submit("#1601", SOCK)
        await until("it is parked", lambda: w.daemon.heard("amazon.credentials_changed", state="refused"))
        assert await w.daemon.ops("/readyz") == (503, {"ok": False, "problems": {"amazon": "credentials: refused"}})
        late = w.submit("#1602", SOCK)
        await w.state(late, "received")
        assert {d["status"] for d in w.sandbox.snapshot()["loop"]["deliveries"]} == {200}
        assert w.calls("token") <= 3

        w.sandbox.restore_access()
        await w.restart()
        await everyone(w.labelled(return_id), w.labelled(late))
        assert (await w.daemon.ops("/readyz"))[0] == 200


async def test_a_loop_key_that_is_refused(tmp_path):
    """Loop's refusal makes the daemon unready and is not asked for again and again; with the right key all goes on."""
    async with vendors(tmp_path) as w:
        right = w.daemon.secrets[f"loop_api_key.{SHOP}"]
        w.daemon.secrets[f"loop_api_key.{SHOP}"] = "wrong-key"
        await w.daemon.start()
        w.subscribe()
        return_id = w.submit("#1701", SOCK)
        await w.state(return_id, "received")
        refused = (503, {"ok": False, "problems": {f"loop/{SHOP}": "Loop refuses the API key"}})
        assert await w.daemon.ops("/readyz") == refused
        await pause(1.5)
        # Up to three were under way, each is repeated once, and one probe tells.
        assert len([c for c in w.sandbox.calls() if c["vendor"] == "loop"]) <= 7

        w.daemon.secrets[f"loop_api_key.{SHOP}"] = right
        await w.restart()
        await w.labelled(return_id)
        assert (await w.daemon.ops("/readyz"))[0] == 200
