"""`mcfd doctor`: what it sees, what it says, and that it changes nothing."""

import pytest

from adapters.sandbox import Fault
from adapters.sqlite.lock import StateLock
from tests.e2e.daemon_process import Said
from tests.e2e.gate import gated, webhook_url
from tests.e2e.world import SHOP, SOCK, until, vendors


def lines(said: Said) -> dict[tuple[str, str], tuple[str, str]]:
    """(area, what) -> (verdict, text) of the JSON answer."""
    return {(row["area"], row["what"]): (row["verdict"], row["text"]) for row in said.json["lines"]}


def verdicts(said: Said) -> dict[tuple[str, str], str]:
    """(area, what) -> verdict."""
    return {key: verdict for key, (verdict, _) in lines(said).items()}


async def test_all_is_well(tmp_path):
    """With everything in place every line is ok and the exit is 0."""
    async with gated(tmp_path, shop={"destinations": [6021]}, buys_labels=True) as (w, gate):
        await w.daemon.start()
        w.sandbox.set_webhook_url(webhook_url(gate))
        await w.labelled(w.submit("#6001", SOCK))
        said = await w.daemon.cli("doctor", "--json")
        assert said.status == 0, said.stderr + said.stdout
        assert set(verdicts(said).values()) == {"ok"}, said.stdout
        found = lines(said)
        assert gate.url in found["public_url", "reach"][1]
        assert "6021" in found[SHOP, "destinations"][1]
        assert "last at 2" in found[SHOP, "last delivery"][1]
        for what in ("Return", "Developer Tools", "Destinations (read)", "Labels", "Label Generation Requests"):
            assert (SHOP, f"scope {what}") in found
        told = await w.daemon.cli("doctor")
        assert told.status == 0
        assert f"{SHOP}: webhooks - all 6 are active" in told.stdout

        verified = f'mcfd_webhook_last_verified_timestamp_seconds{{shop="{SHOP}"}}'
        before = (await w.daemon.metrics())[verified]
        w.sandbox.set_webhook_url(None)
        await w.daemon.restart()
        assert abs((await w.daemon.metrics())[verified] - before) < 2.0


async def test_every_trouble_has_its_line(tmp_path):
    """What is refused, missing, disabled or unreachable is told with what to do, and the exit is 1."""
    scopes = frozenset({"returns", "label_requests:read", "destinations:read"})
    config = {"public_url": "http://127.0.0.1:9"}
    async with vendors(tmp_path, api_scopes=scopes, shop={"destinations": [777]}, config=config) as w:
        w.daemon.secrets["amazon_refresh_token"] = "Atzr|withdrawn"
        del w.daemon.secrets[f"loop_webhook_secrets.{SHOP}"]
        await w.daemon.start()
        said = await w.daemon.cli("doctor", "--json")
        found = verdicts(said)
        assert said.status == 1
        assert said.json["ok"] is False
        expected = {
            ("daemon", "process"): "ok",
            ("amazon", "token"): "fail",
            ("amazon", "return service id"): "ok",
            (SHOP, "api key"): "ok",
            (SHOP, "scope Developer Tools"): "fail",
            (SHOP, "scope Label Generation Requests"): "warn",
            (SHOP, "scope Labels"): "warn",
            (SHOP, "destinations"): "fail",
            (SHOP, "last delivery"): "warn",
            ("public_url", "reach"): "fail",
            ("store", "file"): "ok",
            ("clock", "skew"): "ok",
        }
        assert {key: found[key] for key in expected} == expected
        assert ("amazon", "role") not in found
        todo = {(row["area"], row["what"]): row.get("todo", "") for row in said.json["lines"]}
        assert "mcfd authorize amazon" in todo["amazon", "token"]
        assert "Developer Tools" in todo[SHOP, "scope Developer Tools"]
        assert f"loop_webhook_secrets.{SHOP}" in todo[SHOP, "last delivery"]
        for secret in w.daemon.secrets.values():
            assert secret not in said.stdout + said.stderr


async def test_it_sees_what_is_so_now(tmp_path):
    """A key that the daemon has parked is tried anew, so that a repair shows at once."""
    async with gated(tmp_path, timings={"label_request_poll": "1s"}) as (w, _):
        await w.daemon.start()
        key = w.daemon.secrets[f"loop_api_key.{SHOP}"]
        refused = Fault(vendor="loop", kind="status", status=401)
        w.sandbox.set_faults([refused])
        await until("it is parked", lambda: w.daemon.heard("poll.failed"))
        bad = await w.daemon.cli("doctor", "--json")
        assert bad.status == 1
        assert verdicts(bad)[SHOP, "api key"] == "fail"
        w.sandbox.set_faults()
        good = await w.daemon.cli("doctor", "--json")
        assert verdicts(good)[SHOP, "api key"] == "ok"
        assert key not in bad.stdout


async def test_without_the_daemon(tmp_path):
    """The doctor comes before the first start, and after the last stop, says that nothing runs, and only reads."""
    async with gated(tmp_path) as (w, gate):
        w.sandbox.set_webhook_url(webhook_url(gate))
        w.daemon.write_files()
        first = await w.daemon.cli("doctor", "--json")
        found = verdicts(first)
        assert found["daemon", "process"] == "warn"
        assert found["public_url", "reach"] == "warn"
        assert found["store", "file"] == "ok"
        assert found["amazon", "token"] == "ok"
        assert (first.status, first.json["ok"]) == (0, True)
        asked = w.sandbox.calls()
        assert {c["method"] for c in asked if c["operation"] != "token"} == {"GET"}
        assert {c["vendor"] for c in asked} == {"lwa", "amazon", "loop"}


async def test_a_store_that_is_not_to_be_had(tmp_path):
    """When another process holds the state directory the doctor says so and looks at everything else."""
    async with vendors(tmp_path) as w:
        w.daemon.write_files()
        with StateLock(w.daemon.state):
            said = await w.daemon.cli("doctor", "--json")
        found = lines(said)
        assert said.status == 1
        assert found["store", "file"][0] == "fail"
        assert "holds" in found["store", "file"][1]
        assert found["amazon", "role"][0] == "ok"
        assert "Traceback" not in said.stderr


async def test_something_else_answers(tmp_path):
    """A public_url at which another program answers is a failure."""
    async with gated(tmp_path) as (w, _):
        w.daemon.config["public_url"] = w.sandbox.amazon_url
        await w.daemon.start()
        said = await w.daemon.cli("doctor", "--json")
        assert lines(said)["public_url", "reach"] == (
            "fail",
            f"something else answers at {w.sandbox.amazon_url} (status 401)",
        )


pytestmark = pytest.mark.timeout(120)
