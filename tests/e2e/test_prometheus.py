"""A real Prometheus scrapes a real daemon, and finds sense in every alert and every panel."""

import asyncio
import json
import re
import shutil
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from tests.e2e.daemon_process import ROOT
from tests.e2e.test_readme import block, chapter
from tests.e2e.world import SHOP, SOCK, World, until, world

pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.skipif(shutil.which("prometheus") is None, reason="prometheus is not installed"),
]

ALERTS = ROOT / "config" / "prometheus-alerts.yaml"
BOARD = json.loads((ROOT / "config" / "grafana-dashboard.json").read_text())


class Prometheus:
    """Its HTTP API."""

    def __init__(self, url: str) -> None:
        self.url = url

    async def get(self, path: str, **parameters: str) -> Any:
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{self.url}/api/v1/{path}", params=parameters) as reply,
        ):
            answer = await reply.json()
            assert answer["status"] == "success", (parameters, answer)
            return answer["data"]

    async def query(self, text: str) -> list[Any]:
        return (await self.get("query", query=text))["result"]

    async def scraped(self) -> bool:
        """Whether it is up, has scraped and has evaluated every rule."""
        try:
            groups = (await self.get("rules"))["groups"]
            up = await self.query('up{job="mcfd"} == 1')
        except aiohttp.ClientError:
            return False
        rules = [rule for group in groups for rule in group["rules"]]
        return bool(up and rules) and all(rule["health"] != "unknown" for rule in rules)


@asynccontextmanager
async def prometheus(folder: Path, w: World) -> AsyncIterator[Prometheus]:
    """Prometheus beside the daemon, with our rules, looking several times a second."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    own = folder / "prometheus.yaml"
    often = {"scrape_interval": "300ms", "scrape_timeout": "300ms", "evaluation_interval": "300ms"}
    shutil.copy(ALERTS, folder / "mcfd-alerts.yaml")
    printed = block(chapter("Look after it"), "yaml").replace("127.0.0.1:9108", f"127.0.0.1:{w.daemon.ops_port}")
    own.write_text(yaml.safe_dump(yaml.safe_load(printed) | {"global": often}))
    process = await asyncio.create_subprocess_exec(
        "prometheus",
        f"--config.file={own}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=warn",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield Prometheus(f"http://127.0.0.1:{port}")
    finally:
        process.kill()
        await process.wait()


WITH_A_QUEUE = {"mcfd_notifications_total", "mcfd_notification_queue_read_timestamp_seconds"}
"""Metrics that only a daemon with a notification queue shows."""
LATER = {"mcfd_returns_to_adopt"}
"""Measured half a minute after the start."""
ON_NODES = {"mcfd_account_worked"}
"""Metrics that only daemons on PostgreSQL show."""


def panel_queries() -> list[str]:
    """Every query of the dashboard, for all shops."""
    texts = [target["expr"] for panel in BOARD["panels"] for target in panel["targets"]]
    return [text.replace("$shop", ".*") for text in texts]


async def _quiet(peer: Prometheus) -> bool:
    return await peer.query("ALERTS") == []


async def test_prometheus_understands_the_daemon(tmp_path):
    """Every alert and every panel can be evaluated, each of their metrics is scraped, and only what is so is alarming."""
    async with world(tmp_path) as w:
        done = w.submit("#7001", SOCK)
        await w.receive(done, SOCK)
        await w.state(done, "closed")
        async with prometheus(tmp_path, w) as peer:
            await until("it has scraped and evaluated", peer.scraped, 40.0)
            rules = [rule for group in (await peer.get("rules"))["groups"] for rule in group["rules"]]
            assert [(rule["name"], rule.get("lastError")) for rule in rules if rule["health"] != "ok"] == []
            queries = panel_queries()
            for text in queries:
                await peer.query(text)
            wanted = set(re.findall(r"\bmcfd_[a-z_]+", " ".join([*queries, *(rule["query"] for rule in rules)])))
            names = set(await peer.get("label/__name__/values"))
            assert wanted - names - LATER == WITH_A_QUEUE | ON_NODES
            closed = await peer.query(f'mcfd_returns{{account="main",shop="{SHOP}",state="closed"}}')
            assert [row["value"][1] for row in closed] == ["1"]
            await until("nothing is alarming", lambda: _quiet(peer))
            w.daemon.config["public_url"] = "nonsense"
            w.daemon.write_files()
            w.daemon.signal(signal.SIGHUP)
            await until("the refused reload is alarming", lambda: peer.query('ALERTS{alertname="McfdReloadFailed"}'))


async def test_another_host_may_scrape_and_do_nothing_else(tmp_path):
    """`listen.metrics` shows metrics and health, and no verb, whatever token is shown."""
    async with world(tmp_path) as w:
        await w.daemon.sigterm()
        w.daemon.config["listen"]["metrics"] = "127.0.0.1:0"
        await w.restart()
        ready = next(event for event in reversed(w.daemon.events) if event["event"] == "daemon.ready")
        url, token = f"http://127.0.0.1:{ready['metrics_port']}", w.daemon.secrets["ops_token"]
        async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as session:
            for path in ("/metrics", "/healthz", "/readyz"):
                async with session.get(url + path) as reply:
                    assert reply.status == 200, path
            async with session.post(f"{url}/api/status", json={}) as reply:
                assert reply.status == 404
