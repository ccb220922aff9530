"""An aiohttp server that slow, greedy or silent clients cannot hold.

aiohttp lets a request take for ever to arrive and accepts connections without end. Here a request has
`request_deadline` seconds to arrive whole, headers and body; and when every place is taken, the connection that has
kept us waiting longest gives its place to the newcomer: refusing newcomers would let an attacker lock out the sender
we live for. A request that has arrived whole is never touched while its handler runs, whatever its client does.
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

# Long enough for a client that sends blindly to notice our early answer, too short to be worth an attack.
_LINGERING = 1.0
_SWEPT_AT_ONCE = 16
# aiohttp's own timer would cut off a request whose first bytes came just before it; Places keeps the time instead.
_AIOHTTP_KEEPALIVE = 86_400.0


class Connection(web.RequestHandler):
    """aiohttp's protocol, telling its server when bytes come and telling strangers nothing.

    The overridden methods are aiohttp's, without a promise to stay; the tests of this module notice when they go.
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
        """Parse what came."""
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
        """Answer what aiohttp could not parse, or a handler that failed, in two words."""
        if status < 500:
            self._server.on_turned_away("malformed")
        elif self.transport is not None or not isinstance(exc, ConnectionError):  # else it left; that is no news
            log.error("request.failed", exc_info=exc)
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun already")
        response = web.Response(status=status, text="bad request\n" if status < 500 else "failed\n")
        response.force_close()
        return _anonymous(response)


class Places:
    """Who holds a connection, and since when they keep us waiting. All times are the event loop's, in seconds."""

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
        self._early: set[web.RequestHandler] = set()  # sent the next request while we serve the one before
        # Both in order of arrival, so the first one is the oldest and the next one to run out of time.
        self._incomplete: OrderedDict[web.RequestHandler, float] = OrderedDict()
        self._idle: OrderedDict[web.RequestHandler, float] = OrderedDict()
        self._limits = (
            (self._incomplete, request_deadline, "late"),
            (self._idle, keepalive_timeout, "idle"),
        )
        self._timer: asyncio.TimerHandle | None = None
        self._wakes_at = 0.0

    def connected(self, connection: web.RequestHandler, transport: asyncio.Transport) -> None:
        """Take a place; the time for the first request runs from here."""
        self._open[connection] = transport
        if len(self._open) > self._max:
            self._make_room(connection)
        if connection in self._open:
            self._await_request(connection)

    def bytes_came(self, connection: web.RequestHandler) -> None:
        """Start the time of a kept connection's next request."""
        if connection in self._idle:
            del self._idle[connection]
            self._await_request(connection)
        elif connection in self._serving and connection not in self._incomplete:
            self._early.add(connection)

    def began(self, connection: web.RequestHandler) -> None:
        """Note that a handler runs for the connection."""
        self._serving.add(connection)
        if self._idle.pop(connection, None) is not None:  # a pipelined request, its bytes came with the one before
            self._await_request(connection)

    def completed(self, connection: web.RequestHandler) -> None:
        """Note that the request is here, headers and body."""
        if self._incomplete.pop(connection, None) is not None and connection not in self._serving:
            self._await_silence(connection)

    def answered(self, connection: web.RequestHandler) -> None:
        """Note that the handler is done; sending the answer counts as the silence after it."""
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
        """Close every connection that no handler runs for, once what was written to it is sent."""
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
            if due and self._wakes_at <= min(due):  # uvloop's handle of what is due at once cannot say when()
                return
            self._timer.cancel()
        self._wakes_at = min(due, default=0.0)
        self._timer = self._loop.call_at(self._wakes_at, self._sweep) if due else None

    def _sweep(self) -> None:
        """Turn away whose time is over: a thousand at once would keep everybody else waiting, so a few in each turn."""
        self._timer = None
        now, left = self._loop.time(), _SWEPT_AT_ONCE
        for waiting, limit, why in self._limits:
            while left and waiting and next(iter(waiting.values())) + limit <= now:
                self._turn_away(next(iter(waiting)), why)
                left -= 1
        self._set_timer()


class GuardedServer(web.Server):
    """A factory of protocols for `loop.create_server`, with a deadline per request and a bound on connections.

    `on_turned_away` hears why somebody was: `late` (the request did not arrive in time), `evicted` (gave way to a
    newcomer), `idle`, `refused` (every place is held by a running handler), `malformed` (not HTTP). Durations are
    seconds. The handler gets undecoded bodies: nothing is decompressed.
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
        """Hear from a protocol that it is connected."""
        super().connection_made(handler, transport)
        self.places.connected(handler, transport)

    def connection_lost(self, handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        """Hear from a protocol that its connection is gone; its handler runs on."""
        super().connection_lost(handler, exc)
        self.places.lost(handler)

    async def drain(self, clock: Clock, seconds: float) -> int:
        """Let requests in hand finish, close everything else; the number of those cut off after `seconds`.

        The listening socket must be closed before.
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
    """Keep aiohttp from naming its version and Python's."""
    response.headers["Server"] = "mcfd"
    return response
