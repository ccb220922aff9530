"""SIGHUP: what an operator changed is in effect, or the old stays and everybody can see it."""

import asyncio
import json
import signal
import socket

import pytest

from adapters.sandbox import Fault
from adapters.sandbox.loop.webhooks import signature
from tests.e2e.world import SHOP, SOCK, World, fresh_secret, until, vendors

pytestmark = pytest.mark.timeout(120)

PATH = f"/webhooks/loop/{SHOP}"


async def reload(w: World, event: str = "config.reloaded") -> dict:
    """Write the files anew, send SIGHUP, and wait for what the log says of it."""
    before = len(w.daemon.heard(event))
    w.daemon.write_files()
    w.daemon.signal(signal.SIGHUP)
    await until(event, lambda: len(w.daemon.heard(event)) > before)
    return w.daemon.heard(event)[-1]


async def test_secrets_and_policies_are_taken_over(tmp_path):
    """New secrets, a shop's rules and the log level count at once; the rest is named as waiting for a restart."""
    async with vendors(tmp_path) as w:
        await w.daemon.start()
        w.subscribe()
        body = json.dumps({"topic": "x", "trigger": "y"}).encode()
        new = fresh_secret("webhook-two")
        assert await w.daemon.deliver(PATH, body, signature(new, body)) == 401
        first = w.submit("#6701", SOCK)
        await w.labelled(first)

        w.daemon.secrets[f"loop_webhook_secrets.{SHOP}"] += f"\n{new}"
        w.daemon.config["log"] = {"level": "debug"}
        w.daemon.config["timings"] = w.daemon.config["timings"] | {"return_poll": "2s"}
        w.daemon.config["shops"][SHOP]["verdict"] = {"conditions": {"Defective": "process"}}
        said = await reload(w)
        assert set(said["taken_over"]) == {
            "log.level",
            f"shops.{SHOP}.verdict.conditions.Defective",
            f"secret loop_webhook_secrets.{SHOP}",
        }
        assert said["needs_restart"] == ["timings.return_poll"]
        assert await w.daemon.deliver(PATH, body, signature(new, body)) == 200
        w.sandbox.receive(first, sku=SOCK, condition="Defective")
        await w.state(first, "closed")
        assert w.portal(first)["counts"] == {"process": 1}
        assert new not in "\n".join(w.daemon.lines)
        assert await w.daemon.sigterm() == 0


async def test_a_wrong_configuration_keeps_the_old_one(tmp_path):
    """What is wrong is told line by line, the metric falls to 0, work goes on, and a good reload lifts it again."""
    async with vendors(tmp_path) as w:
        await w.daemon.start()
        w.subscribe()
        good = w.daemon.config["shops"]
        w.daemon.config["shops"] = {SHOP: {**good[SHOP], "verdict": {"missing": "explode"}}}
        await reload(w, "config.reload_refused")
        assert any("missing" in e["text"] for e in w.daemon.heard("config.rejected"))
        assert (await w.daemon.metrics())["mcfd_config_last_reload_successful"] == 0
        await w.labelled(w.submit("#6702", SOCK))
        w.daemon.config["shops"] = good
        assert (await reload(w))["taken_over"] == []
        assert (await w.daemon.metrics())["mcfd_config_last_reload_successful"] == 1
        assert not w.daemon.complaints


async def test_credentials_are_repaired_without_a_restart(tmp_path):
    """A rotated client secret, a new refresh token and a new API key un-park at once what waited for them."""
    async with vendors(tmp_path) as w:
        right = dict(w.daemon.secrets)
        w.daemon.secrets["amazon_client_secret"] = fresh_secret("old")
        await w.daemon.start()
        w.subscribe()
        waiting = w.submit("#6703", SOCK)
        await until("it is parked", lambda: w.daemon.heard("amazon.credentials_changed", state="refused"))
        assert (await w.daemon.metrics())['mcfd_connection_parked{account="main",connection="amazon"}'] == 1
        w.daemon.secrets["amazon_client_secret"] = right["amazon_client_secret"]
        await reload(w)
        await w.labelled(waiting)

        w.sandbox.set_faults([Fault(vendor="loop", kind="status", status=401)])
        await until("Loop is parked", lambda: _parked(w))
        w.sandbox.set_faults()
        w.daemon.secrets[f"loop_api_key.{SHOP}"] = fresh_secret("wrong")
        await reload(w)
        w.daemon.secrets[f"loop_api_key.{SHOP}"] = right[f"loop_api_key.{SHOP}"]
        await reload(w)
        await w.labelled(w.submit("#6704", SOCK))
        assert not await _parked(w)


async def test_a_reload_tries_at_once_what_was_refused(tmp_path):
    """A role and a scope that were missing are used after a reload that changes nothing, not five minutes later."""
    async with vendors(tmp_path) as w:
        await w.daemon.start()
        w.subscribe()
        w.sandbox.set_faults([Fault(vendor="amazon", kind="status", status=403)])
        waiting = w.submit("#6705", SOCK)
        await until("the API is parked", lambda: _parked(w, "amazon/outbound"))
        w.sandbox.set_faults([Fault(vendor="loop", kind="status", status=401)])
        w.submit("#6706", SOCK)
        await until("Loop is parked", lambda: _parked(w))
        w.sandbox.set_faults()
        await reload(w)
        assert not await _parked(w, "amazon/outbound")
        assert not await _parked(w)
        await w.labelled(waiting)


async def _parked(w: World, connection: str = f"loop/{SHOP}") -> bool:
    return (await w.daemon.metrics())[f'mcfd_connection_parked{{account="main",connection="{connection}"}}'] == 1


async def test_systemd_hears_of_it(tmp_path):
    """A reload is announced with RELOADING=1 and ended with READY=1, also when it was refused."""
    address = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(str(address))
        heard.setblocking(False)
        async with vendors(tmp_path) as w:
            w.daemon.environment = {"NOTIFY_SOCKET": str(address)}
            await w.daemon.start()
            await _hear(heard, "READY=1")
            await reload(w)
            assert [await _hear(heard, word) for word in ("RELOADING=1", "READY=1")]
            w.daemon.config["public_url"] = "nonsense"
            await reload(w, "config.reload_refused")
            assert [await _hear(heard, word) for word in ("RELOADING=1", "READY=1")]


async def _hear(heard: socket.socket, word: str) -> bool:
    async with asyncio.timeout(20):
        while True:
            message = await asyncio.get_running_loop().sock_recv(heard, 1000)
            if message.decode().startswith(word):
                return True
