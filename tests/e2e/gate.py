"""What stands in front of the daemon where it is installed: a reverse proxy that the world knows by its public URL."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from tests.e2e.world import SHOP, World, vendors

HOP_BY_HOP = {"transfer-encoding", "connection", "content-length", "host"}


class Gate:
    """Forwards everything to the daemon's public port of the moment; answers 502 while there is none."""

    def __init__(self) -> None:
        self.world: World | None = None
        self.url = ""

    async def forward(self, request: web.Request) -> web.StreamResponse:
        if self.world is None or not self.world.daemon.running:
            return web.Response(status=502, text="bad gateway")
        target = f"http://127.0.0.1:{self.world.daemon.public_port}{request.rel_url.raw_path_qs}"
        headers = {k: v for k, v in request.headers.items() if k.lower() not in HOP_BY_HOP}
        async with (
            aiohttp.ClientSession() as session,
            session.request(
                request.method, target, data=await request.read(), headers=headers, allow_redirects=False
            ) as reply,
        ):
            answer = web.Response(status=reply.status, body=await reply.read())
            for name, value in reply.headers.items():
                if name.lower() not in HOP_BY_HOP | {"content-type"}:
                    answer.headers.add(name, value)
            answer.headers["Content-Type"] = reply.headers.get("Content-Type", "text/plain")
            return answer


@asynccontextmanager
async def gated(folder: Path, **options: Any) -> AsyncIterator[tuple[World, Gate]]:
    """Both vendors, a daemon that nobody has started yet, and the proxy in front of it, if told so with `tls`."""
    gate, tls = Gate(), options.pop("tls", None)
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", gate.forward)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    port = runner.addresses[0][1]
    gate.url = f"https://localhost:{port}" if tls else f"http://127.0.0.1:{port}"
    try:
        async with vendors(folder, **options) as made:
            gate.world = made
            made.daemon.config["public_url"] = gate.url
            yield made, gate
            if made.daemon.running:
                assert await made.daemon.sigterm() == 0
    finally:
        await runner.cleanup()


def webhook_url(gate: Gate) -> str:
    """Where Loop delivers."""
    return f"{gate.url}/webhooks/loop/{SHOP}"
