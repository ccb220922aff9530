"""The reverse proxies of the documentation, as they are printed there, in front of a real daemon."""

import asyncio
import re
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from tests.e2e.certificates import Authority
from tests.e2e.test_readme import block, chapter
from tests.e2e.world import SHOP, until, world
from tests.support.programs import program

pytestmark = pytest.mark.timeout(120)

HOST = "returns.example.com"
LETSENCRYPT = f"/etc/letsencrypt/live/{HOST}"
CANARY = "canary-0123456789-of-a-token"
PRIVATE = (f"/labels/{CANARY}", f"/oauth/amazon/callback?spapi_oauth_code={CANARY}&state=x", f"/Labels/{CANARY}")
"""What belongs in no log; the last is a slip of somebody's."""


@dataclass(frozen=True)
class Proxy:
    """Where it listens, on both kinds of address, and where it logs."""

    plain: int
    tls: int
    log: Path
    trusted: ssl.SSLContext

    async def get(self, path: str, *, address: str = "127.0.0.1", method: str = "GET", secure: bool = True) -> "Answer":
        """Ask for a path of the host."""
        scheme, port = ("https", self.tls) if secure else ("http", self.plain)
        url = f"{scheme}://{f'[{address}]' if ':' in address else address}:{port}{path}"
        async with (
            aiohttp.ClientSession() as session,
            session.request(
                method,
                url,
                headers={"Host": HOST},
                ssl=self.trusted,
                server_hostname=HOST,
                allow_redirects=False,
            ) as answer,
        ):
            return Answer(answer.status, await answer.text(), answer.headers.get("Location", ""))


@dataclass(frozen=True)
class Answer:
    """What a browser sees."""

    status: int
    text: str
    location: str


def free_port() -> int:
    """A port that nobody has on either kind of address."""
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as free:
        return free.getsockname()[1]


def certificate(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """A certificate for the host, and whom to trust for it."""
    authority = Authority(folder)
    authority.server(days=60, name=HOST)
    return folder / f"server-60-{HOST}.pem", ssl.create_default_context(cafile=str(authority.file))


def nginx(folder: Path, upstream: int, plain: int, tls: int, pem: Path) -> tuple[list[str], dict[Path, str]]:
    """The printed servers inside the rest of a configuration, which logs all that it may."""
    printed = block(chapter("Install"), "nginx")
    for old, new in {
        "127.0.0.1:8080": f"127.0.0.1:{upstream}",
        "listen 80": f"listen {plain}",
        "[::]:80": f"[::]:{plain}",
        "listen 443": f"listen {tls}",
        "[::]:443": f"[::]:{tls}",
        f"{LETSENCRYPT}/fullchain.pem": str(pem),
        f"{LETSENCRYPT}/privkey.pem": str(pem),
    }.items():
        assert old in printed
        printed = printed.replace(old, new)
    temporary = "".join(
        f"{name}_temp_path {folder}/{name};" for name in ("proxy", "client_body", "fastcgi", "uwsgi", "scgi")
    )
    whole = (
        f"daemon off; master_process off; pid {folder}/pid; error_log {folder}/log debug;\n"
        f"events {{}}\nhttp {{ access_log {folder}/log; {temporary}\n{printed}\n}}"
    )
    return ["nginx", "-p", str(folder), "-e", f"{folder}/log", "-c", f"{folder}/conf"], {folder / "conf": whole}


def caddy(folder: Path, upstream: int, plain: int, tls: int, pem: Path) -> tuple[list[str], dict[Path, str]]:
    """The printed file with ports and a certificate of the test."""
    printed = block(chapter("Install"), "caddyfile")
    ports = f"{{\n\tadmin off\n\thttp_port {plain}\n\thttps_port {tls}\n"
    printed = printed.replace("{\n", ports, 1).replace(
        "log default {\n", f"log default {{\n\t\toutput file {folder}/log\n"
    )
    printed = printed.replace(f"{HOST} {{\n", f"{HOST} {{\n\ttls {pem} {pem}\n").replace(":8080", f":{upstream}")
    command = ["env", f"XDG_DATA_HOME={folder}", f"XDG_CONFIG_HOME={folder}", "caddy", "run", "--adapter", "caddyfile"]
    return [*command, "--config", f"{folder}/conf"], {folder / "conf": printed}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder for the proxy's own files."""
    folder = tmp_path / "proxy"
    folder.mkdir()
    return folder


@asynccontextmanager
async def proxied(name: str, folder: Path, upstream: int) -> AsyncIterator[Proxy]:
    """Run a proxy until the block ends."""
    program(name)
    pem, trusted = certificate(folder)
    plain, tls = free_port(), free_port()
    command, files = {"nginx": nginx, "caddy": caddy}[name](folder, upstream, plain, tls, pem)
    for path, text in files.items():
        path.write_text(text)
    with (folder / "said").open("w") as said:
        process = await asyncio.create_subprocess_exec(*command, stdout=said, stderr=said)
    proxy = Proxy(plain, tls, folder / "log", trusted)

    async def up() -> bool:
        assert process.returncode is None, (folder / "said").read_text()
        try:
            return (await proxy.get("/")).status == 404
        except aiohttp.ClientError:
            return False

    try:
        await until(f"{name} listens", up)
        yield proxy
    finally:
        process.kill()
        await process.wait()


@pytest.mark.parametrize("name", ["nginx", "caddy"])
async def test_only_the_paths_of_mcfd_reach_it(tmp_path, place, name):
    """Webhooks, labels, consent and robots.txt get mcfd's answers, over IPv6 too; everything else is 404 at the proxy."""
    async with world(tmp_path) as w, proxied(name, place, w.daemon.public_port) as proxy:
        for address in ("127.0.0.1", "::1"):
            robots = await proxy.get("/robots.txt", address=address)
            assert (robots.status, robots.text.startswith("User-agent:")) == (200, True)
        assert (await proxy.get(f"/webhooks/loop/{SHOP}", method="POST")).status == 401
        direct = f"http://127.0.0.1:{w.daemon.public_port}"
        async with aiohttp.ClientSession() as session, session.get(f"{direct}/labels/{CANARY}") as page:
            unknown = (page.status, await page.text())
        label = await proxy.get(f"/labels/{CANARY}")
        assert (label.status, label.text) == unknown
        assert (await proxy.get(f"/oauth/amazon/callback?state=x&spapi_oauth_code={CANARY}")).status == 400
        for path in ("/", "/metrics", "/api/status", "/healthz", "/webhooks/other", "/labels", f"/{CANARY}"):
            away = await proxy.get(path)
            assert (away.status, "mcfd" in away.text) == (404, False), path


@pytest.mark.parametrize("name", ["nginx", "caddy"])
async def test_no_log_of_the_proxy_holds_a_label_or_a_code(tmp_path, place, name):
    """Neither while mcfd answers nor while it is down, secure or plain, whatever the proxy itself has to complain of."""
    async with world(tmp_path) as w, proxied(name, place, w.daemon.public_port) as proxy:
        for path in PRIVATE:
            assert (await proxy.get(path)).status < 500
        redirected = await proxy.get(PRIVATE[0], secure=False)
        assert redirected.status == 308
        assert re.fullmatch(rf"https://{HOST}(:\d+)?{PRIVATE[0]}", redirected.location)
        await w.daemon.sigterm()
        for path in PRIVATE[:2]:
            assert (await proxy.get(path)).status == 502
    written = proxy.log.read_text() + (proxy.log.parent / "said").read_text()
    assert CANARY not in written
    if name == "caddy":
        assert '"status":502' in written  # the log that would show it is written
