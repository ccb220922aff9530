"""A way to a queue that hangs: it takes the connection, and then says nothing, or only half of an answer."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

from aiohttp import web
from aiohttp.test_utils import TestServer

from adapters.sandbox.amazon.queue import TARGET, SqsQueue

JSON = "application/x-amz-json-1.0"


class StallingQueue:
    """Passes requests on until it hangs: for all operations, or for those that end with `only`."""

    def __init__(self, url: str) -> None:
        self.endpoint = ""
        self.stalled = 0
        self._far = SqsQueue(url)
        self._how: Literal["", "silent", "half"] = ""
        self._only = ""
        self._changed = asyncio.Event()

    def hang(self, how: Literal["silent", "half"], *, only: str = "") -> None:
        """Hang from now on, in requests under way, too."""
        self._how, self._only = how, only
        self._change()

    def recover(self) -> None:
        """Answer again. Who waits for an answer goes on waiting."""
        self._how = ""

    def _change(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        headers = {name: request.headers[name] for name in (TARGET, "Content-Type")}
        changed = asyncio.ensure_future(self._changed.wait())
        if not self._hangs(headers[TARGET]):
            passing = asyncio.ensure_future(self._far.forward(headers, await request.read()))
            await asyncio.wait({passing, changed}, return_when=asyncio.FIRST_COMPLETED)
            if passing.done() and not self._hangs(headers[TARGET]):
                status, kind, body = passing.result()
                return web.Response(status=status or 503, body=body, content_type=kind or "text/plain")
        self.stalled += 1
        response = web.StreamResponse(headers={"Content-Type": JSON, "Content-Length": "1000"})
        if self._how == "half":
            await response.prepare(request)
            await response.write(b'{"Messages": [')
        await asyncio.Event().wait()
        return response

    def _hangs(self, operation: str) -> bool:
        return bool(self._how) and operation.endswith(self._only)


@asynccontextmanager
async def stalling(url: str) -> AsyncIterator[StallingQueue]:
    """Run it in front of a queue's server."""
    queue = StallingQueue(url)
    app = web.Application()
    app.router.add_post("/{tail:.*}", queue._answer)
    async with TestServer(app, shutdown_timeout=0.1) as server:
        queue.endpoint = str(server.make_url("")).rstrip("/")
        try:
            yield queue
        finally:
            await queue._far.close()
