"""The connection from a process to the vendors: like aiohttp's session, but in simulated time."""

import asyncio
import contextvars
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from typing import Self

import aiohttp
from aiohttp import web
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from tests.support.simulation.in_process_http import Request, Switchboard
from tests.support.simulation.virtual_loop import Process, pass_time


class Line:
    """Stands in for aiohttp.ClientSession. A sent request arrives even when its sender dies.

    `latency` is the time of one way; `step` is called at everything that a kill cannot undo.
    """

    _retry_connection = False

    def __init__(
        self,
        process: Process,
        hosts: Mapping[str, Switchboard],
        *,
        user_agent: str,
        latency: Callable[[], float],
        step: Callable[[], None],
    ) -> None:
        self._process = process
        self._hosts = hosts
        self._user_agent = user_agent
        self._latency = latency
        self._step = step

    def request(
        self,
        method: str,
        url: URL,
        *,
        headers: Mapping[str, str] | None,
        data: bytes | aiohttp.BytesPayload | None,
        allow_redirects: bool,
        timeout: aiohttp.ClientTimeout,
        trace_request_ctx: Callable[[], None] | None,
    ) -> "_Exchange":
        """Send a request; entering the context manager returns the answer."""
        self._process.check()
        if trace_request_ctx is not None:  # the last look before the first byte, which may keep it back
            trace_request_ctx()
        sent = CIMultiDict({"User-Agent": self._user_agent})
        sent.update(headers or {})
        body = _written(data) if isinstance(data, aiohttp.BytesPayload) else data
        if body is not None:
            sent["Content-Length"] = str(len(body))
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[web.Response | None] = loop.create_future()
        self._step()
        loop.create_task(self._carry(Request(method, url, sent, body or b""), answer), context=contextvars.Context())
        return _Exchange(answer, timeout.total)

    async def _carry(self, request: Request, answer: "asyncio.Future[web.Response | None]") -> None:
        await pass_time(self._latency())
        self._step()
        response = await self._hosts[request.url.host or ""].serve(request)
        self._step()
        await pass_time(self._latency())
        self._step()
        if not answer.done():
            answer.set_result(response)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Do nothing: there is nothing to close."""


class _Sheet:
    """What a body is written to."""

    def __init__(self) -> None:
        self.written = b""

    async def write(self, chunk: bytes) -> None:
        self.written += chunk


def _written(data: aiohttp.BytesPayload) -> bytes:
    """The body as it writes itself: it may take a last look then, and keep itself back."""
    sheet = _Sheet()
    with suppress(StopIteration):
        data.write_with_length(sheet, data.size).send(None)  # type: ignore[arg-type]
    return sheet.written


class _Exchange:
    """One request under way, and its answer in the form that Transport reads."""

    def __init__(self, answer: "asyncio.Future[web.Response | None]", patience: float | None) -> None:
        self._answer = answer
        self._patience = patience
        self._response = web.Response()

    async def __aenter__(self) -> "_Exchange":
        async with asyncio.timeout(self._patience):
            response = await self._answer
        if response is None:
            raise aiohttp.ServerDisconnectedError
        self._response = response
        return self

    async def __aexit__(self, *_: object) -> None:
        """Do nothing: the answer is already complete."""

    @property
    def status(self) -> int:
        return self._response.status

    @property
    def headers(self) -> CIMultiDictProxy[str]:
        return CIMultiDictProxy(self._response.headers)

    @property
    def content(self) -> "_Exchange":
        return self

    async def iter_any(self) -> AsyncIterator[bytes]:
        body = self._response.body
        if isinstance(body, bytes):
            yield body
