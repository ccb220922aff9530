"""The process: how it starts, refuses to start, and stops."""

import asyncio
import signal

import pytest

from adapters.sandbox import Fault
from tests.e2e.daemon_process import DaemonDied, DaemonProcess
from tests.e2e.world import SHOP, SOCK, CLOCK, everyone, pause, until, vendors, world


async def test_sigterm_under_work_ends_well_within_the_grace(tmp_path):
    """Steps in hand finish, the doors close in order, the exit is 0, and the next start goes on where this one was."""
    async with world(tmp_path) as w:
        w.sandbox.set_faults([Fault(vendor="amazon", kind="delay", seconds=0.3, operation="createFulfillmentReturn")])
        returns = [w.submit(f"#12{n:02}", SOCK) for n in range(12)]
        await until("Amazon is asked", lambda: w.calls("createFulfillmentReturn"))
        began = CLOCK.monotonic()
        assert await w.daemon.sigterm() == 0
        assert CLOCK.monotonic() - began < 5.0
        assert [e["closing"] for e in w.daemon.heard("shutdown.step")] == ["public listener", "ops listener", "store"]
        assert not w.daemon.heard("task.late")
        assert not w.daemon.heard("service.late")
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
    """Whoever asks twice does not want to wait: the exit is 1, and nothing is lost."""
    async with world(tmp_path) as w:
        hang = Fault(vendor="amazon", kind="hang", seconds=30.0, operation="getFulfillmentOrder")
        w.sandbox.set_faults([hang])
        return_id = w.submit("#1302", SOCK)
        await until("Amazon is asked", lambda: w.calls("getFulfillmentOrder"))
        w.daemon.signal(signal.SIGTERM)
        await until("it is stopping", lambda: w.daemon.heard("daemon.stopping"))
        w.daemon.signal(signal.SIGTERM)
        assert await w.daemon.ended() == 1
        w.sandbox.set_faults()
        await w.restart()
        await w.labelled(return_id)


async def test_one_daemon_per_state_directory(tmp_path):
    """A second daemon on the same state directory exits 75 at once and says who holds it; the first does not notice."""
    async with world(tmp_path) as w:
        second = DaemonProcess(tmp_path, w.daemon.config, w.daemon.secrets)
        with pytest.raises(DaemonDied, match=r"exit 75:\n.*another mcfd \(pid \d+\) holds"):
            await second.start()
        assert not second.complaints
        return_id = w.submit("#1401", SOCK)
        await w.labelled(return_id)


async def test_a_port_that_is_taken_is_said_in_words(tmp_path):
    """A listener that cannot be bound ends the start with exit 1 and a sentence, not with a traceback."""
    async with world(tmp_path) as w, vendors(tmp_path / "other") as other:
        (tmp_path / "other").mkdir()
        other.daemon.config["listen"] = {"public": f"127.0.0.1:{w.daemon.public_port}", "ops": "127.0.0.1:0"}
        with pytest.raises(DaemonDied, match=r"exit 1:\n[^T]*"):
            await other.daemon.start()
        assert any("address already in use" in line for line in other.daemon.lines)
        assert not any("Traceback" in line for line in other.daemon.lines)


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


async def test_the_first_start_without_a_refresh_token(tmp_path):
    """Without Amazon's token deliveries are acknowledged and kept; once the file is there, a restart does the rest."""
    async with vendors(tmp_path) as w:
        token = w.daemon.secrets.pop("amazon_refresh_token")
        await w.daemon.start()
        w.subscribe()
        assert any("amazon_refresh_token" in e["text"] for e in w.daemon.heard("config.warning"))
        returns = [w.submit(f"#15{n:02}", SOCK) for n in range(3)]
        await everyone(*(w.state(return_id, "received") for return_id in returns))
        await until("it was tried", lambda: w.daemon.heard("step.postponed"))
        assert await w.daemon.ops("/readyz") == (503, {"ok": False, "problems": {"amazon": "credentials: no_token"}})
        assert (await w.daemon.ops("/healthz"))[0] == 200
        assert w.calls("token") == 0
        assert {d["status"] for d in w.sandbox.snapshot()["loop"]["deliveries"]} == {200}

        w.daemon.secrets["amazon_refresh_token"] = token
        await w.restart()
        await everyone(*(w.labelled(return_id) for return_id in returns))
        assert (await w.daemon.ops("/readyz"))[0] == 200


async def test_the_first_start_without_webhook_secrets(tmp_path):
    """Without a webhook secret deliveries are asked to come later, and the polls do the work."""
    async with vendors(tmp_path, retry_unit=30.0) as w:
        secret = w.daemon.secrets.pop(f"loop_webhook_secrets.{SHOP}")
        await w.daemon.start()
        w.subscribe()
        return_id = w.submit("#1601", SOCK)
        await w.labelled(return_id)
        assert {d["status"] for d in w.sandbox.snapshot()["loop"]["deliveries"]} == {503}
        w.daemon.secrets[f"loop_webhook_secrets.{SHOP}"] = secret
        await w.restart()
        await w.receive(return_id, SOCK)
        await w.state(return_id, "closed")
        assert any(d["status"] == 200 for d in w.sandbox.snapshot()["loop"]["deliveries"])


async def test_an_idle_daemon_asks_little(tmp_path):
    """With nothing to do the daemon asks Amazon nothing, and Loop no more than its polls."""
    async with world(tmp_path, timings={"label_request_poll": "1h", "return_poll": "1h"}) as w:
        await until("the first polls", lambda: w.calls("listReturns") == 5 and w.calls("listLabelRequests") == 1)
        await pause(1.0)
        assert len(w.sandbox.calls()) == 6
