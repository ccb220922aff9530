"""`mcfd run --shadow`: what it would do is told, nothing is done, and nobody is asked in a hurry."""

import pytest

from tests.e2e.daemon_process import DaemonProcess
from tests.e2e.world import SOCK, World, pause, until, vendors

pytestmark = pytest.mark.timeout(120)


def writes(w: World) -> list[dict]:
    """Calls that could have changed something at a vendor."""
    return [c for c in w.sandbox.calls() if c["method"] != "GET" and c["operation"] not in {"token", "getRates"}]


def would(shadow: DaemonProcess) -> list[str]:
    """What the shadow said that it would do."""
    return [event["what"] for event in shadow.heard("shadow.withheld")]


async def test_a_shadow_in_place_of_the_daemon(tmp_path):
    """It finds what Loop asks for, matches it, tells what it would create, and then waits without asking again."""
    async with vendors(tmp_path) as w:
        w.daemon.run_options = ("--shadow",)
        await w.daemon.start()
        assert w.daemon.heard("daemon.starting")[-1]["shadow"] is True
        return_id = w.submit("#6801", SOCK)
        await until("it tells", lambda: would(w.daemon))
        assert would(w.daemon) == ["create a return"]
        assert (await w.daemon.show(return_id))["state"] == "received"
        asked = len([c for c in w.sandbox.calls() if c["vendor"] == "amazon"])
        await pause(1.0)
        assert len([c for c in w.sandbox.calls() if c["vendor"] == "amazon"]) == asked
        assert writes(w) == []
        assert not (w.daemon.state / "mcfd.db").exists()
        assert (w.daemon.state / "shadow" / "mcfd.db").exists()
        assert await w.daemon.sigterm() == 0
        assert [file.name for file in (w.daemon.state / "shadow").iterdir()] == ["mcfd.lock"]

        w.daemon.run_options = ()
        await w.daemon.start()
        await w.labelled(return_id)


async def test_a_shadow_on_a_copy_of_the_store(tmp_path):
    """It goes on from where the returns are, tells notes, grades and the flag, and leaves store and vendors alone."""
    async with vendors(tmp_path) as w:
        await w.daemon.start()
        w.subscribe()
        return_id = w.submit("#6802", SOCK)
        await w.labelled(return_id)
        await w.state(return_id, "awaiting_inspection")
        assert await w.daemon.sigterm() == 0
        w.sandbox.receive(return_id, sku=SOCK, condition="Defective")
        before = len(writes(w))

        shadow = DaemonProcess(tmp_path, w.daemon.config, w.daemon.secrets)
        shadow.run_options = ("--shadow",)
        await shadow.start()
        await until("it would flag", lambda: "flag" in would(shadow))
        assert {"write a note", "grade", "assess"} < set(would(shadow))
        assert (await shadow.show(return_id))["state"] == "settling"
        assert len(writes(w)) == before
        assert w.portal(return_id)["state"] == "open"

        await w.daemon.start()  # beside it, on the store itself
        await w.state(return_id, "in_review")
        assert w.portal(return_id)["state"] == "review"
        assert await shadow.sigterm() == 0
        assert not shadow.complaints
