"""An aiohttp server that slow, greedy or silent clients cannot block.

aiohttp sets no deadline for a request and no bound on connections. Here a request, headers and body, must arrive
within `request_deadline` seconds. When all places are taken, a newcomer gets the place of the connection that has kept
us waiting longest; if newcomers were refused, an attacker could lock Loop out. A request that has arrived completely
is never cut off while its handler runs, whatever its client does.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from functools import partial
from typing import cast

import structlog
from aiohttp import web

from daemon.ports.host import Clock

log = structlog.get_logger(__name__)

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

# Long enough for a client that is still sending to notice our early answer, too short to be useful in an attack.
_LINGERING = 1.0
_SWEPT_AT_ONCE = 16
# aiohttp's own timer could cut off a request that has just begun to arrive, so Places keeps the time instead.
_AIOHTTP_KEEPALIVE = 86_400.0


class Connection(web.RequestHandler):
    """aiohttp's protocol, which reports arriving bytes to its server and reveals nothing to clients.

    aiohttp does not promise to keep the methods overridden here; the tests of this module notice when they go.
    """

    __slots__ = ("_server",)

    def __init__(self, server: "GuardedServer") -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            access_log=None,  # type: ignore[arg-type] # documented as the way to switch it off
            auto_decompress=False,
            keepalive_timeout=_AIOHTTP_KEEPALIVE,
            lingering_time=_LINGERING,
            max_headers=64,
        )
        self._server = server

    def data_received(self, data: bytes) -> None:
        """Tell the server that bytes have come, and parse them."""
        if data:
            self._server.places.bytes_came(self)
        super().data_received(data)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - aiohttp's text quotes the request
    ) -> web.StreamResponse:
        """Answer briefly when aiohttp cannot parse a request or a handler fails."""
        if status < 500:
            self._server.on_turned_away("malformed")
        elif self.transport is not None or not isinstance(exc, ConnectionError):  # else the client left: no news
            log.error("request.failed", exc_info=exc)
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun already")
        response = web.Response(status=status, text="bad request\n" if status < 500 else "failed\n")
        response.force_close()
        return _anonymous(response)


class Places:
    """The open connections, and since when each keeps us waiting. Times are the event loop's, in seconds."""

    def __init__(
        self,
        *,
        request_deadline: float,
        keepalive_timeout: float,
        max_connections: int,
        on_turned_away: Callable[[str], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._max = max_connections
        self._on_turned_away = on_turned_away
        self._open: dict[web.RequestHandler, asyncio.Transport] = {}
        self._serving: set[web.RequestHandler] = set()  # a handler runs; its body may still be arriving
        self._early: set[web.RequestHandler] = set()  # sent the next request while we serve the previous one
        # Both in order of arrival, so the first entry is the next to run out of time.
        self._incomplete: OrderedDict[web.RequestHandler, float] = OrderedDict()
        self._idle: OrderedDict[web.RequestHandler, float] = OrderedDict()
        self._limits = (
            (self._incomplete, request_deadline, "late"),
            (self._idle, keepalive_timeout, "idle"),
        )
        self._timer: asyncio.TimerHandle | None = None
        self._wakes_at = 0.0

    def connected(self, connection: web.RequestHandler, transport: asyncio.Transport) -> None:
        """Take a place and start the time for the first request."""
        self._open[connection] = transport
        if len(self._open) > self._max:
            self._make_room(connection)
        if connection in self._open:
            self._await_request(connection)

    def bytes_came(self, connection: web.RequestHandler) -> None:
        """Start the time for the next request of a kept-alive connection."""
        if connection in self._idle:
            del self._idle[connection]
            self._await_request(connection)
        elif connection in self._serving and connection not in self._incomplete:
            self._early.add(connection)

    def began(self, connection: web.RequestHandler) -> None:
        """Note that a handler runs for the connection."""
        self._serving.add(connection)
        if self._idle.pop(connection, None) is not None:  # a pipelined request, which arrived with the previous one
            self._await_request(connection)

    def completed(self, connection: web.RequestHandler) -> None:
        """Note that the request has arrived, headers and body."""
        if self._incomplete.pop(connection, None) is not None and connection not in self._serving:
            self._await_silence(connection)

    def answered(self, connection: web.RequestHandler) -> None:
        """Note that the handler is done; time spent on sending the answer counts as idle."""
        self._serving.discard(connection)
        if connection not in self._open or connection in self._incomplete:
            return
        if connection in self._early:
            self._early.discard(connection)
            self._await_request(connection)
        else:
            self._await_silence(connection)

    def lost(self, connection: web.RequestHandler) -> None:
        """Give the place back."""
        self._open.pop(connection, None)
        self._incomplete.pop(connection, None)
        self._idle.pop(connection, None)
        self._early.discard(connection)

    def dismiss(self) -> None:
        """Close every connection without a running handler, after sending what was written to it."""
        for connection in [one for one in self._open if one not in self._serving]:
            self._open[connection].close()
            self.lost(connection)
        if self._timer is not None and not self._open:
            self._timer.cancel()

    def _await_request(self, connection: web.RequestHandler) -> None:
        self._incomplete[connection] = self._loop.time()
        self._set_timer()

    def _await_silence(self, connection: web.RequestHandler) -> None:
        self._idle[connection] = self._loop.time()
        self._set_timer()

    def _make_room(self, newcomer: web.RequestHandler) -> None:
        oldest = [next(iter(waiting.items())) for waiting in (self._incomplete, self._idle) if waiting]
        if oldest:
            self._turn_away(min(oldest, key=lambda item: item[1])[0], "evicted")
        else:
            self._turn_away(newcomer, "refused")

    def _turn_away(self, connection: web.RequestHandler, why: str) -> None:
        self._open[connection].abort()
        self.lost(connection)
        self._on_turned_away(why)

    def _set_timer(self) -> None:
        due = [next(iter(waiting.values())) + limit for waiting, limit, _ in self._limits if waiting]
        if self._timer is not None:
            if due and self._wakes_at <= min(due):  # not when(): uvloop's handle lacks it if due at once
                return
            self._timer.cancel()
        self._wakes_at = min(due, default=0.0)
        self._timer = self._loop.call_at(self._wakes_at, self._sweep) if due else None

    def _sweep(self) -> None:
        """Close overdue connections, a few in each turn of the loop, so that a thousand do not delay everybody else."""
        self._timer = None
        now, left = self._loop.time(), _SWEPT_AT_ONCE
        for waiting, limit, why in self._limits:
            while left and waiting and next(iter(waiting.values())) + limit <= now:
                self._turn_away(next(iter(waiting)), why)
                left -= 1
        self._set_timer()


class GuardedServer(web.Server):
    """A factory of protocols for `loop.create_server`, with a deadline per request and a bound on connections.

    `on_turned_away` is told why a connection was closed: `late` (the request did not arrive in time), `evicted` (for a
    newcomer), `idle`, `refused` (a running handler holds every place), `malformed` (not HTTP). Durations are in
    seconds. Handlers get bodies as they came; nothing is decompressed.
    """

    def __init__(
        self,
        handler: Handler,
        *,
        request_deadline: float = 10.0,
        keepalive_timeout: float = 75.0,
        max_connections: int = 1024,
        on_turned_away: Callable[[str], None] = lambda _why: None,
    ) -> None:
        super().__init__(self._serve)
        self.on_turned_away = on_turned_away
        self.places = Places(
            request_deadline=request_deadline,
            keepalive_timeout=keepalive_timeout,
            max_connections=max_connections,
            on_turned_away=on_turned_away,
        )
        self._handler = handler
        self._tasks: set[asyncio.Task[object]] = set()
        self._draining = False
        self._quiet = asyncio.Event()

    def __call__(self) -> Connection:
        """Make the protocol of one connection."""
        return Connection(self)

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        """Note that a protocol is connected."""
        super().connection_made(handler, transport)
        self.places.connected(handler, transport)

    def connection_lost(self, handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        """Note that a protocol has lost its connection; its handler continues to run."""
        super().connection_lost(handler, exc)
        self.places.lost(handler)

    async def drain(self, clock: Clock, seconds: float) -> int:
        """Let running requests finish and close everything else. Return how many were cut off after `seconds`.

        Close the listening socket first.
        """
        self._draining = True
        self.places.dismiss()
        if self._tasks:
            await clock.wait(self._quiet, seconds)
        late = list(self._tasks)
        for task in late:
            task.cancel()
        await self.shutdown(timeout=0.1)
        self.places.dismiss()
        return len(late)

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        connection, task = request.protocol, cast("asyncio.Task[object]", asyncio.current_task())
        self._tasks.add(task)
        self.places.began(connection)
        request.content.on_eof(partial(self.places.completed, connection))
        try:
            response = await self._handler(request)
        except web.HTTPException as answer:
            _anonymous(answer)
            raise
        finally:
            self.places.answered(connection)
            self._tasks.discard(task)
            if self._draining and not self._tasks:
                self._quiet.set()
        if self._draining:
            response.force_close()
        return _anonymous(response)


def _anonymous(response: web.StreamResponse) -> web.StreamResponse:
    """Keep aiohttp from sending its version and Python's."""
    response.headers["Server"] = "mcfd"
    return response
