"""`mcfd doctor`: what it sees, what it says, and that it changes nothing."""

import base64
import os

import pytest
from aiohttp import test_utils, web

from adapters.sandbox import Fault
from adapters.sqlite.lock import StateLock
from adapters.sqlite.store import open_store
from daemon.domain.returns import State
from daemon.ports.store import DeadLetter
from tests.e2e.certificates import Authority
from tests.e2e.daemon_process import Said
from tests.e2e.gate import gated, webhook_url
from tests.e2e.world import CLOCK, SHOP, SOCK, until, vendors
from tests.services.store_conformance import add, make_return


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
        assert f"{SHOP}: webhooks - all 7 are active" in told.stdout

        verified = f'mcfd_webhook_last_verified_timestamp_seconds{{account="main",shop="{SHOP}"}}'
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
        assert lines(first)["store", "file"] == ("warn", "there is no database yet")
        assert list(w.daemon.state.iterdir()) == []
        assert found["amazon", "token"] == "ok"
        assert (first.status, first.json["ok"]) == (0, True)
        asked = w.sandbox.calls()
        assert {c["method"] for c in asked if c["operation"] != "token"} == {"GET"}
        assert {c["vendor"] for c in asked} == {"lwa", "amazon", "loop"}


async def test_a_daemon_that_listens_elsewhere(tmp_path):
    """A daemon that holds the store but is not where the configuration says is told as such, not as a bad store."""
    async with vendors(tmp_path) as w:
        w.daemon.write_files()
        async with await open_store(w.daemon.state / "mcfd.db"):
            pass
        with StateLock(w.daemon.state):
            said = await w.daemon.cli("doctor", "--json")
        found = lines(said)
        assert said.status == 1
        holder = f"mcfd runs (pid {os.getpid()}), but not at listen.ops http://127.0.0.1:9"
        assert found["daemon", "process"] == ("fail", holder)
        assert ("store", "file") not in found
        assert found["amazon", "role"][0] == "ok"
        assert "Traceback" not in said.stderr


async def test_a_daemon_that_takes_another_token(tmp_path):
    """With a wrong ops token the doctor says so, and checks what it can check without the daemon."""
    async with vendors(tmp_path) as w:
        await w.daemon.start()
        w.daemon.secrets["ops_token"] = "another-token-of-the-same-length"
        said = await w.daemon.cli("doctor", "--json")
        verdict, text = lines(said)["daemon", "ops token"]
        assert (said.status, verdict) == (1, "fail")
        assert "name the daemon's --secrets" in text
        assert lines(said)["amazon", "role"][0] == "ok"


async def test_the_vault_keys_of_another_store(tmp_path):
    """Keys that do not open the store are found before the start that they would prevent, and nothing is written."""
    async with vendors(tmp_path) as w:
        await w.daemon.start()
        assert await w.daemon.sigterm() == 0
        right = await w.daemon.cli("doctor", "--json")
        assert verdicts(right)["store", "vault keys"] == "ok"
        before = (w.daemon.state / "mcfd.db").read_bytes()
        w.daemon.secrets["vault_keys"] = base64.urlsafe_b64encode(os.urandom(32)).decode()
        wrong = await w.daemon.cli("doctor", "--json")
        assert verdicts(wrong)["store", "vault keys"] == "fail"
        assert (w.daemon.state / "mcfd.db").read_bytes() == before


@pytest.mark.parametrize(
    ("days", "name", "verdict", "text"),
    [
        (60, "localhost", "ok", "good for 60 more days"),
        (10, "localhost", "warn", "good for 10 more days"),
        (0.5, "localhost", "fail", "good for 0 more days"),
        (-1, "localhost", "fail", "certificate has expired"),
        (60, "other.example", "fail", "Hostname mismatch"),
    ],
)
async def test_the_certificate_in_front(tmp_path, days, name, verdict, text):
    """How long the certificate is good is told before it ends; one that Loop would not accept fails with its reason."""
    authority = Authority(tmp_path)
    async with gated(tmp_path, tls=authority.server(days=days, name=name)) as (w, gate):
        w.daemon.environment = {"SSL_CERT_FILE": str(authority.file)}
        await w.daemon.start()
        said = await w.daemon.cli("doctor", "--json")
        found = lines(said)
        assert found["public_url", "certificate"][0] == verdict
        assert text in found["public_url", "certificate"][1]
        reached = found["public_url", "reach"]
        assert reached[0] == ("fail" if "good" not in text else "ok"), reached
        assert said.status == (1 if verdict == "fail" else 0)
        assert gate.url in reached[1]


async def test_a_certificate_of_nobody(tmp_path):
    """A certificate that signed itself fails, and a port without TLS is told as unreachable alone."""
    async with gated(tmp_path, tls=Authority(tmp_path).server(days=60)) as (w, _):
        await w.daemon.start()
        assert lines(await w.daemon.cli("doctor", "--json"))["public_url", "certificate"][0] == "fail"
    other = tmp_path / "without"
    other.mkdir()
    async with gated(other) as (w, gate):
        w.daemon.config["public_url"] = gate.url.replace("http:", "https:")
        await w.daemon.start()
        found = lines(await w.daemon.cli("doctor", "--json"))
        assert found["public_url", "reach"][0] == "fail"
        assert ("public_url", "certificate") not in found


async def test_the_proxy_sends_elsewhere(tmp_path):
    """A redirect is not followed: Loop does not follow it either."""

    async def elsewhere(_: web.Request) -> web.Response:
        raise web.HTTPMovedPermanently("https://www.example.com/")

    app = web.Application()
    app.router.add_get("/{tail:.*}", elsewhere)
    async with vendors(tmp_path) as w, test_utils.TestServer(app, host="127.0.0.1") as server:
        w.daemon.config["public_url"] = f"http://127.0.0.1:{server.port}"
        w.daemon.write_files()
        verdict, text = lines(await w.daemon.cli("doctor", "--json"))["public_url", "reach"]
        assert verdict == "fail"
        assert "redirect (status 301)" in text


async def test_what_waits_in_the_store(tmp_path):
    """Stuck returns, dead letters and open returns of shops that are gone have their lines; `status` shows them, too."""
    async with gated(tmp_path) as (w, _):
        w.daemon.write_files()
        async with await open_store(w.daemon.state / "mcfd.db") as store:
            await add(store, make_return("1", shop="gone"), make_return("2", shop=SHOP, state=State.STUCK, problem="p"))
            await add(store, make_return("3", shop=SHOP, problem="no order", held=True))
            letter = DeadLetter(shop=SHOP, digest="d", reason="strange", sealed=b"?", received_at=CLOCK.now())
            await store.transact(lambda uow: uow.keep_dead_letter(letter))
        for _ in range(2):  # without the daemon, and with it
            found = lines(await w.daemon.cli("doctor", "--json"))
            assert found["store", "returns"] == ("warn", "3 open, 1 of them stuck")
            assert found["store", "held returns"] == ("warn", "1 wait for an order")
            assert found["store", "removed shops"][0] == "warn"
            assert "gone (1)" in found["store", "removed shops"][1]
            assert found["store", "dead letters"] == ("warn", "1 deliveries could not be read")
            # One after the other: without the daemon, a command holds the store for itself.
            status = await w.daemon.cli("status", "--json")
            table = await w.daemon.cli("status")
            assert status.json["shops"] == [
                {"shop": SHOP, "open": 2, "configured": True},
                {"shop": "gone", "open": 1, "configured": False},
            ]
            assert [row["return"] for row in status.json["held"]] == [f"{SHOP}/3"]
            assert "Held, for lack of an order" in table.stdout
            assert "nobody follows them" in table.stdout
            if not w.daemon.running:
                await w.daemon.start()
        metrics = await w.daemon.metrics()
        assert metrics['mcfd_returns{account="",shop="gone",state="received"}'] == 1
        assert metrics[f'mcfd_returns_held{{account="main",shop="{SHOP}"}}'] == 1


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


async def test_the_doctor_is_of_use_before_all_secrets_are_written(tmp_path):
    """In the middle of the onboarding it says which files are still to be written, and looks at all that is there."""
    async with vendors(tmp_path) as w:
        del w.daemon.secrets[f"loop_api_key.{SHOP}"]
        w.daemon.write_files()
        said = await w.daemon.cli("doctor", "--json")
        found = lines(said)
        assert said.status == 1
        assert found[SHOP, "loop api key"] == ("fail", f"the secret file loop_api_key.{SHOP} is not there yet")
        assert found["amazon", "token"][0] == "ok"
        del w.daemon.secrets["amazon_client_secret"]
        (w.daemon.secret_folder / "amazon_client_secret").unlink()
        found = lines(await w.daemon.cli("doctor", "--json"))
        assert found["amazon", "amazon client secret"][0] == "fail"
        assert ("amazon", "token") not in found
        assert (await w.daemon.cli("status")).status == 78


async def test_the_merchants_carriers(tmp_path):
    """EasyPost's key, the carrier accounts and a sample parcel's price have a line each; nothing is bought for it."""
    mine = {"carrier_accounts": ["ca_sandbox2"]}
    async with vendors(tmp_path, buys_labels="easypost", easypost=mine) as w:
        await w.daemon.start()
        found = lines(await w.daemon.cli("doctor", "--json"))
        assert found["easypost", "key"] == ("ok", "EasyPost accepts it (production)")
        assert found["easypost", "carrier accounts"] == ("ok", "ca_sandbox2 (UPS)")
        verdict, text = found["easypost", "rate"]
        assert (verdict, "costs 8.12 USD with ca_sandbox2/UPS/Ground" in text) == ("ok", True)
        w.sandbox.offer_rates([{"carrier": "USPS", "service": "Priority", "cents": 9000}])
        found = lines(await w.daemon.cli("doctor", "--json"))
        assert found["easypost", "carrier accounts"][0] == found["easypost", "rate"][0] == "fail"
        w.sandbox.set_easypost_key(active=False)
        assert lines(await w.daemon.cli("doctor", "--json"))["easypost", "key"][0] == "fail"
        assert w.sandbox.easypost_labels() == []
