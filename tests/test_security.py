"""What SECURITY.md and requirements.txt say is so; and what belongs to no single room: comparisons, doors, credentials."""

import asyncio
import base64
import hmac
import re
import tomllib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web
from packaging.requirements import Requirement
from packaging.version import Version
from structlog.testing import capture_logs

from adapters.host.clock import SystemClock
from adapters.http.ops import OpsListener
from adapters.http.ops_client import DaemonSaid, ask
from adapters.loop_returns.connection import LoopConnection, Operation, Scope
from adapters.loop_returns.limits import LoopLimits
from adapters.loop_returns.wire.webhooks import verify
from adapters.vendor_calls.transport import Transport, open_session
from daemon.errors import BadSignature
from tests.test_architecture import ROOT, table

SECURITY = (ROOT / "SECURITY.md").read_text()
LOCK = (ROOT / "requirements.txt").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
TOKEN = "an-ops-token-of-some-length"


def promises() -> list[tuple[str, str]]:
    """Each statement of SECURITY.md with a test that holds it."""
    rows = re.findall(r"^\| (.+) \| (`tests/.+`) \|$", SECURITY, re.MULTILINE)
    return [(said, test) for said, tests in rows for test in re.findall(r"`(.+?)`", tests)]


def locked() -> dict[str, tuple[Version, list[str]]]:
    """Each package of the lock file: its version and its hashes."""
    entries = re.split(r"^(?=[a-z0-9])", re.sub(r"^ *#.*\n", "", LOCK, flags=re.MULTILINE), flags=re.MULTILINE)
    found = {}
    for entry in filter(None, entries):
        name, version = re.match(r"([a-z0-9][a-z0-9._-]*)==([^\s;]+)", entry).groups()
        found[name] = (Version(version), re.findall(r"--hash=sha256:([0-9a-f]{64})", entry))
    return found


# ---- SECURITY.md


def test_every_statement_has_its_test():
    """Each row of SECURITY.md names tests that are there, and each section has such rows."""
    assert len(promises()) > 40
    for said, held_by in promises():
        path, _, name = held_by.partition("::")
        assert f"def {name}(" in (ROOT / path).read_text() if name else (ROOT / path).exists(), said
    for section in SECURITY.split("\n## ")[1:]:
        assert re.search(r"\| `tests/", section) or section.startswith("Report"), section.partition("\n")[0]


# ---- requirements.txt


def test_the_lock_covers_what_is_declared():
    """Each dependency of mcfd, and what builds it, is locked in a version that pyproject.toml allows."""
    for text in (*PROJECT["project"]["dependencies"], *PROJECT["build-system"]["requires"]):
        wanted = Requirement(text)
        version, _ = locked()[wanted.name.lower().replace("_", "-")]
        assert version in wanted.specifier, text


def test_every_locked_package_has_hashes_and_nothing_names_an_index():
    """Each package has the hashes of several files; no option, no URL and no version range is in the file."""
    assert len(locked()) == len(re.findall(r"==", re.sub(r"'[^']*'|;.*", "", LOCK)))
    assert [name for name, (_, hashes) in locked().items() if len(hashes) < 1] == []
    assert "://" not in LOCK
    lines = [line for line in LOCK.splitlines() if line and not line.lstrip().startswith("#")]
    assert [line for line in lines if not re.match(r"[a-z0-9._-]+==|    --hash=sha256:[0-9a-f]{64}", line)] == []


def test_the_readme_tells_the_locked_versions():
    """The README's table of packages shows the versions that are installed."""
    told = {row[0].lower(): row[3].split(",")[0] for row in table("package")}
    assert told == {name: str(locked()[name][0]) for name in told}


# ---- outward


def modules_with(pattern: str) -> set[str]:
    """The modules of the program in which it occurs, but for the sandbox, which plays the others."""
    paths = (path for room in ("daemon", "adapters", "config") for path in (ROOT / room).rglob("*.py"))
    return {
        str(path.relative_to(ROOT))
        for path in paths
        if "sandbox" not in path.parts and re.search(pattern, path.read_text())
    }


def test_there_is_one_way_out():
    """Only the transport calls vendors; the others reach the daemon, systemd's socket, our own public URL, and the store."""
    calls = r"\b(ClientSession|open_connection|create_connection|create_datagram_endpoint|urlopen|HTTPS?Connection|socket\.socket|psycopg\.connect)\("
    ways = {
        f"adapters/{name}.py"
        for name in (
            *("vendor_calls/transport", "http/ops_client", "host/systemd", "host/certificate"),
            *("postgresql/engine", "postgresql/store"),
        )
    }
    assert {"adapters/vendor_calls/transport.py"} <= modules_with(calls) <= ways


def test_tls_is_never_switched_off():
    """Nothing names an option that could weaken the check of a certificate."""
    options = (
        r"ssl\s*=\s*(False|None)|verify_ssl|check_hostname|verify_mode|CERT_NONE|unverified_context|fingerprint\s*="
    )
    assert modules_with(options) == set()


# ---- comparisons


@pytest.fixture
def compared(monkeypatch):
    """Counts the comparisons that take the same time whatever they find."""
    seen, real = [], hmac.compare_digest

    def compare(left, right):
        seen.append((left, right))
        return real(left, right)

    monkeypatch.setattr(hmac, "compare_digest", compare)
    return seen


@pytest.mark.parametrize("at", [0, 1, 2, None])
def test_signatures_are_compared_in_constant_time(compared, at):
    """Every secret is tried in constant time, wherever the right one stands."""
    secrets = [b"one", b"two", b"three"]
    signature = "" if at is None else _signature(secrets[at])
    compared.clear()
    if at is None:
        with pytest.raises(BadSignature):
            verify(b"body", "bm90aGluZw==", secrets)
    else:
        assert verify(b"body", signature, secrets) == "raw"
    assert len(compared) >= len(secrets)


def _signature(secret: bytes) -> str:
    return base64.b64encode(hmac.digest(secret, b"body", "sha256")).decode()


# ---- the operators' door


@asynccontextmanager
async def operators_door() -> AsyncIterator[tuple[str, list[object]]]:
    """A running ops listener with one verb: its URL, and the verb's calls."""
    calls: list[object] = []

    async def touch(arguments: object) -> object:
        calls.append(arguments)
        return {}

    async def well() -> dict[str, str]:
        return {}

    door = OpsListener(render=lambda: b"", health=well, ready=well, verbs={"touch": touch}, describe=dict, token=TOKEN)
    await door.start("127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{door.port}/api/touch", calls
    finally:
        await door.stop()


@pytest.mark.parametrize(
    "shown",
    [
        b"",
        b"Bearer ",
        b"Bearer an-ops-token",
        b"Bearer " + TOKEN.encode() + b"x",
        b"Bearer \xff\xfe",
        b"Bearer \xc3\xa9",
    ],
    ids=["nothing", "empty", "half", "more", "not UTF-8", "not ASCII"],
)
async def test_the_operators_door_compares_in_constant_time(compared, shown):
    """Whatever is shown in place of the token is 401, changes nothing, and is told nowhere."""
    with capture_logs() as lines:
        async with operators_door() as (url, calls):
            host, _, port = url.removeprefix("http://").partition("/")[0].partition(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            head = b"POST /api/touch HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 2\r\n"
            writer.write(head + b"Authorization: " + shown + b"\r\n\r\n{}")
            assert (await reader.read()).startswith(b"HTTP/1.1 401 ")
            writer.close()
            assert len(compared) == 1
            async with (
                aiohttp.ClientSession(headers={"Authorization": f"Bearer {TOKEN}"}) as session,
                session.post(url, json={}) as answer,
            ):
                assert answer.status == 200
            assert calls == [{}]
    assert lines == []


async def test_the_command_line_follows_no_redirect():
    """Whoever sits at the daemon's port cannot send the command line and its token elsewhere."""
    async with operators_door() as (url, calls):

        async def elsewhere(_: web.Request) -> web.Response:
            raise web.HTTPTemporaryRedirect(url)

        app = web.Application()
        app.router.add_post("/api/touch", elsewhere)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            with pytest.raises(DaemonSaid):
                await asyncio.to_thread(
                    ask, f"http://127.0.0.1:{runner.addresses[0][1]}", TOKEN, "touch", {}, timeout=10.0
                )
        finally:
            await runner.cleanup()
        assert calls == []


# ---- Loop's credentials


async def test_another_credential_than_a_key_fits():
    """Loop is called with whatever a credential says of itself, so an OAuth bearer needs no other change."""
    shown: list[tuple[str | None, str | None]] = []

    async def answer(request: web.Request) -> web.Response:
        shown.append((request.headers.get("Authorization"), request.headers.get("X-Authorization")))
        return web.json_response({})

    app = web.Application()
    app.router.add_get("/thing", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    clock = SystemClock()
    try:
        async with open_session("test") as session:
            transport = Transport(session, vendor="loop", timeout=5.0, on_call=lambda _call: None)
            thing = Operation("thing", "GET", Scope.RETURNS)
            loop = LoopConnection(
                transport,
                LoopLimits(clock),
                clock,
                base_url=f"http://127.0.0.1:{runner.addresses[0][1]}",
                credential=lambda: {"Authorization": "Bearer of-the-moment"},
                probe=(thing, "/thing"),
            )
            await loop.call(thing, "/thing")
    finally:
        await runner.cleanup()
    assert shown == [("Bearer of-the-moment", None)]
