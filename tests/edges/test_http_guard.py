"""The guard against slow, greedy and silent clients, tried with raw sockets on both event loops."""

import asyncio
import gzip
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress

import pytest
import uvloop
from aiohttp import web
from structlog.testing import capture_logs

from adapters.host.clock import SystemClock
from adapters.http.guard import GuardedServer, Places

GOOD = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody"
HALF_HEAD = b"POST / HTTP/1.1\r\nHost: a\r\nX-Slow: "
HALF_BODY = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbo"
DEADLINE = 0.3
CLOCK = SystemClock()


def on_both_loops(test: Callable[[], Awaitable[None]]) -> Callable[..., None]:
    """Run a test once under asyncio's loop and once under uvloop's."""

    @pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
    def run(new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
        with asyncio.Runner(loop_factory=new_loop) as runner:
            runner.run(test())

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


async def pause(seconds: float) -> None:
    """Let real time pass."""
    await CLOCK.wait(asyncio.Event(), seconds)


async def until(seen: Callable[[], bool]) -> None:
    """Wait until `seen` is true."""
    async with asyncio.timeout(10):
        while not seen():
            await pause(0.02)


class GuardedPort:
    """A guarded server on a free port, and how its connections ended."""

    def __init__(self, server: GuardedServer, socket: asyncio.Server, turned_away: list[str]) -> None:
        self.server = server
        self.socket = socket
        self.turned_away = turned_away
        self.writers: list[asyncio.StreamWriter] = []

    async def connect(self, first: bytes = b"") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.socket.sockets[0].getsockname()[1])
        self.writers.append(writer)
        writer.write(first)
        return reader, writer


@asynccontextmanager
async def serving(
    handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
    *,
    request_deadline: float = DEADLINE,
    keepalive_timeout: float = 5.0,
    max_connections: int = 100,
):
    """Run a server inside a block."""
    turned_away: list[str] = []
    server = GuardedServer(
        handler,
        request_deadline=request_deadline,
        keepalive_timeout=keepalive_timeout,
        max_connections=max_connections,
        on_turned_away=turned_away.append,
    )
    socket = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0)
    one = GuardedPort(server, socket, turned_away)
    try:
        yield one
    finally:
        for writer in one.writers:
            writer.close()
        socket.close()
        await server.drain(CLOCK, 0.5)
        await pause(0)


async def echo(request: web.BaseRequest) -> web.StreamResponse:
    """Answer with the request's body."""
    return web.Response(body=await request.read())


async def answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Read one answer: its status and its body."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    length = next(int(line.split(":")[1]) for line in head.splitlines() if line.startswith("content-length:"))
    return int(head.split(" ")[1]), await reader.readexactly(length)


async def until_closed(reader: asyncio.StreamReader) -> float:
    """Wait until the server has closed the connection; how many seconds that took."""
    began = time.monotonic()
    async with asyncio.timeout(5):
        with suppress(ConnectionResetError):
            await reader.read()
    return time.monotonic() - began


def echoing(**limits: float) -> AbstractAsyncContextManager[GuardedPort]:
    """Run a server that echoes."""
    return serving(echo, **limits)


@pytest.mark.parametrize("sent", [b"", HALF_HEAD, HALF_BODY], ids=["silent", "half a head", "half a body"])
async def test_a_request_that_does_not_arrive_is_closed_at_its_deadline(sent: bytes):
    """Silence, half a header and half a body all end at the deadline, counted from the connection."""
    async with echoing() as one:
        reader, _ = await one.connect(sent)
        assert DEADLINE - 0.05 < await until_closed(reader) < DEADLINE + 0.5
        assert one.turned_away == ["late"]


@on_both_loops
async def test_a_trickle_of_bytes_does_not_extend_the_deadline():
    """A client that sends one byte at a time is cut off at the same deadline as a silent one."""
    async with echoing() as one:
        reader, writer = await one.connect(HALF_HEAD)
        closed = asyncio.create_task(until_closed(reader))
        while not closed.done():
            writer.write(b"x")
            await pause(0.02)
        assert await closed < DEADLINE + 0.5
        assert one.turned_away == ["late"]


@on_both_loops
async def test_two_hundred_slow_clients_do_not_slow_a_good_one():
    """Good requests are answered at once while slow ones hold on, and all slow ones are closed in time."""
    async with echoing(max_connections=1000) as one:
        slow = [(await one.connect(HALF_HEAD))[0] for _ in range(100)]
        slow += [(await one.connect(HALF_BODY))[0] for _ in range(100)]
        reader, writer = await one.connect()
        for _ in range(20):
            writer.write(GOOD)
            assert await answer(reader) == (200, b"body")
        await asyncio.gather(*(until_closed(reader) for reader in slow))
        assert one.turned_away == ["late"] * 200


@on_both_loops
async def test_the_newcomer_is_served_and_the_oldest_incomplete_gives_way():
    """With every place taken a newcomer is served, and exactly the connection that waited longest is closed."""
    async with echoing(max_connections=3, request_deadline=30.0) as one:
        slow = []
        for _ in range(3):
            slow.append((await one.connect(HALF_HEAD))[0])
            await pause(0.02)
        reader, writer = await one.connect(GOOD)
        assert await answer(reader) == (200, b"body")
        await until_closed(slow[0])
        assert not slow[1].at_eof()
        assert not slow[2].at_eof()
        assert one.turned_away == ["evicted"]
        writer.write(GOOD)
        assert await answer(reader) == (200, b"body")


@on_both_loops
async def test_a_flood_does_not_lock_out_the_real_sender():
    """While ten times the allowed number of slow connections pour in, every good request is answered."""
    async with echoing(max_connections=20, request_deadline=30.0) as one:
        for _ in range(20):
            for _ in range(10):
                await one.connect(HALF_HEAD)
            reader, writer = await one.connect(GOOD)
            assert await answer(reader) == (200, b"body")
            writer.close()
        await until(lambda: one.turned_away.count("evicted") >= 180)
        assert set(one.turned_away) == {"evicted"}


class Line(asyncio.Transport):
    """A connection that can only be cut."""

    def abort(self) -> None:
        self.cut = True


@on_both_loops
async def test_who_comes_while_another_is_just_due_is_watched_all_the_same():
    """A deadline that is due at once does not make the guard fail for the next connection of the same turn."""
    turned_away: list[str] = []
    limits = {"request_deadline": 0.0, "keepalive_timeout": 5.0, "max_connections": 9}
    places = Places(**limits, on_turned_away=turned_away.append)
    for visitor in (object(), object(), object()):
        places.connected(visitor, Line())
    await until(lambda: len(turned_away) == 3)
    assert set(turned_away) == {"late"}


@on_both_loops
async def test_idle_connections_do_not_lock_out_the_real_sender():
    """Idle kept connections give way as well, oldest first, so two newcomers do not evict each other."""
    async with echoing(max_connections=5, request_deadline=30.0, keepalive_timeout=30.0) as one:
        for _ in range(5):
            reader, _ = await one.connect(GOOD)
            await answer(reader)
        await pause(0.02)
        first, first_writer = await one.connect(GOOD[:-1])
        second, _ = await one.connect(GOOD)
        assert await answer(second) == (200, b"body")
        first_writer.write(GOOD[-1:])
        assert await answer(first) == (200, b"body")


@on_both_loops
async def test_a_running_handler_is_never_killed():
    """A request that is complete outlives the deadline and a full server; then only the newcomer is refused."""
    release = asyncio.Event()

    async def slow(request: web.BaseRequest) -> web.StreamResponse:
        await request.read()
        await release.wait()
        return web.Response(text="done")

    async with serving(slow, max_connections=2, request_deadline=0.1, keepalive_timeout=0.1) as one:
        running = [(await one.connect(GOOD))[0] for _ in range(2)]
        await pause(0.3)
        newcomer, _ = await one.connect(GOOD)
        await until_closed(newcomer)
        assert one.turned_away == ["refused"]
        release.set()
        assert [await answer(reader) for reader in running] == [(200, b"done")] * 2


async def test_a_client_that_leaves_does_not_cancel_the_handler():
    """The handler of a complete request runs to its end after its client has gone."""
    began, release, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def slow(request: web.BaseRequest) -> web.StreamResponse:
        await request.read()
        began.set()
        await release.wait()
        ended.set()
        return web.Response()

    async with serving(slow) as one:
        _, writer = await one.connect(GOOD)
        await began.wait()
        writer.transport.abort()
        await pause(0.05)
        release.set()
        assert await CLOCK.wait(ended, 1.0)


@on_both_loops
async def test_an_idle_kept_connection_is_closed_after_its_own_time():
    """A kept connection without a byte outlives the request deadline and ends at the keep-alive time."""
    async with echoing(request_deadline=0.1, keepalive_timeout=0.4) as one:
        reader, _ = await one.connect(GOOD)
        await answer(reader)
        assert 0.35 < await until_closed(reader) < 1.0
        assert one.turned_away == ["idle"]


async def test_a_kept_connection_has_a_deadline_for_its_next_request():
    """The next request's time runs from its first byte, not from the end of the one before."""
    async with echoing(keepalive_timeout=30.0) as one:
        reader, writer = await one.connect(GOOD)
        await answer(reader)
        await pause(DEADLINE * 1.5)
        writer.write(HALF_HEAD)
        assert DEADLINE - 0.05 < await until_closed(reader) < DEADLINE + 0.5
        assert one.turned_away == ["late"]


@pytest.mark.parametrize("rest", [HALF_HEAD, HALF_BODY], ids=["half a head", "half a body"])
async def test_a_second_request_sent_early_has_a_deadline_too(rest: bytes):
    """Half a request that came while the first one was served does not enjoy the keep-alive time."""
    began, release = asyncio.Event(), asyncio.Event()

    async def slow(request: web.BaseRequest) -> web.StreamResponse:
        await request.read()
        began.set()
        await release.wait()
        return web.Response()

    async with serving(slow, keepalive_timeout=30.0) as one:
        reader, writer = await one.connect(GOOD)
        await began.wait()
        writer.write(rest)
        await pause(0.05)
        release.set()
        await answer(reader)
        assert await until_closed(reader) < DEADLINE + 0.5
        assert one.turned_away == ["late"]


async def test_half_a_body_that_came_in_one_piece_with_the_request_before_has_a_deadline():
    """Pipelining does not hide an incomplete request from the guard."""
    async with echoing(keepalive_timeout=30.0) as one:
        reader, _ = await one.connect(GOOD + HALF_BODY)
        await answer(reader)
        assert await until_closed(reader) < DEADLINE + 0.5
        assert one.turned_away == ["late"]


@on_both_loops
async def test_pipelined_requests_are_answered_in_order():
    """Three requests in one piece get three answers."""
    async with echoing() as one:
        reader, writer = await one.connect(GOOD * 3)
        assert [await answer(reader) for _ in range(3)] == [(200, b"body")] * 3
        writer.write(GOOD)
        assert await answer(reader) == (200, b"body")


async def test_many_requests_on_one_connection_outlive_the_deadline():
    """A busy kept connection is not closed because it is older than the deadline."""
    async with echoing(request_deadline=0.1) as one:
        reader, writer = await one.connect()
        for _ in range(10):
            writer.write(GOOD)
            assert await answer(reader) == (200, b"body")
            await pause(0.03)
        assert one.turned_away == []


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 tls, not http\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n" + b"".join(b"X-%d: a\r\n" % n for n in range(2000)) + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n" + b"".join(b"X-%d: a\r\n" % n for n in range(64)) + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX-Signature: " + b"a" * 9000 + b"\r\n\r\n",
        b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nbody!",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -4\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked, x\r\n\r\n",
    ],
    ids=["tls", "flood", "65 headers", "long header", "long path", "smuggling", "two lengths", "negative", "coding"],
)
async def test_what_is_not_http_gets_400_and_nothing_else(sent: bytes):
    """Garbage, floods and smuggling are answered 400 in two words that quote nothing, unlogged, and closed."""
    with capture_logs() as lines:
        async with echoing() as one:
            reader, _ = await one.connect(sent)
            raw = await reader.read()
            assert raw.startswith(b"HTTP/1.0 400 ")
            assert raw.endswith(b"\r\n\r\nbad request\n")
            assert b"aiohttp" not in raw
            assert b"Python" not in raw
            assert one.turned_away == ["malformed"]
    assert lines == []


async def test_a_compressed_body_arrives_as_it_was_sent():
    """Nothing is decompressed before somebody has judged who sent it."""
    body = gzip.compress(b"x" * 1000)
    async with echoing() as one:
        head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body)
        reader, _ = await one.connect(head + body)
        assert await answer(reader) == (200, body)


async def test_a_failing_handler_is_one_log_line_and_two_words():
    """A bug in a handler is logged, and its client learns nothing of it."""

    async def broken(request: web.BaseRequest) -> web.StreamResponse:
        raise RuntimeError("the secret inside")

    with capture_logs() as lines:
        async with serving(broken) as one:
            reader, _ = await one.connect(GOOD)
            raw = await reader.read()
    assert raw.startswith(b"HTTP/1.1 500 ")
    assert b"secret" not in raw
    assert b"aiohttp" not in raw
    assert [line["event"] for line in lines] == ["request.failed"]


async def test_an_http_exception_does_not_name_versions():
    """An answer that a handler raises carries no aiohttp version either."""

    async def elsewhere(request: web.BaseRequest) -> web.StreamResponse:
        raise web.HTTPFound("https://example.com/")

    async with serving(elsewhere) as one:
        reader, _ = await one.connect(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        raw = await reader.read()
    assert raw.startswith(b"HTTP/1.1 302 ")
    assert b"Server: mcfd\r\n" in raw


@on_both_loops
async def test_draining_lets_requests_in_hand_finish_and_closes_the_others():
    """A running handler answers, an idle and a half-sent connection are closed, nobody is late."""
    release, began = asyncio.Event(), asyncio.Event()

    async def slow(request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        if body == b"slow":
            began.set()
            await release.wait()
        return web.Response(body=body)

    async with serving(slow, request_deadline=30.0) as one:
        idle, _ = await one.connect(GOOD)
        await answer(idle)
        half, _ = await one.connect(HALF_HEAD)
        busy, _ = await one.connect(GOOD.replace(b"body", b"slow"))
        await began.wait()
        one.socket.close()
        drain = asyncio.create_task(one.server.drain(CLOCK, 5.0))
        await asyncio.gather(until_closed(idle), until_closed(half))
        assert not drain.done()
        release.set()
        raw = await busy.read()
        assert raw.startswith(b"HTTP/1.1 200 ")
        assert b"Connection: close\r\n" in raw
        assert raw.endswith(b"slow")
        assert await drain == 0


@on_both_loops
async def test_a_body_under_way_may_arrive_while_draining():
    """A request whose body is half here when draining begins is still read and answered."""
    async with echoing(request_deadline=30.0) as one:
        reader, writer = await one.connect(GOOD[:-2])
        await pause(0.05)
        one.socket.close()
        drain = asyncio.create_task(one.server.drain(CLOCK, 5.0))
        await pause(0.05)
        writer.write(GOOD[-2:])
        assert await answer(reader) == (200, b"body")
        assert await drain == 0


@on_both_loops
async def test_draining_cuts_off_what_is_late():
    """A handler that outlasts the drain is cancelled and counted, and the drain takes no longer than it said."""
    cancelled, began = asyncio.Event(), asyncio.Event()

    async def endless(request: web.BaseRequest) -> web.StreamResponse:
        began.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return web.Response()

    async with serving(endless) as one:
        reader, _ = await one.connect(GOOD)
        await began.wait()
        one.socket.close()
        at = time.monotonic()
        assert await one.server.drain(CLOCK, 0.1) == 1
        assert time.monotonic() - at < 0.6
        assert cancelled.is_set()
        await until_closed(reader)


async def test_draining_cuts_off_a_handler_whose_client_has_left():
    """A handler that nobody waits for any more is cancelled at the end of the drain like the others."""
    began, cancelled = asyncio.Event(), asyncio.Event()

    async def endless(request: web.BaseRequest) -> web.StreamResponse:
        began.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return web.Response()

    async with serving(endless) as one:
        _, writer = await one.connect(GOOD)
        await began.wait()
        writer.transport.abort()
        await pause(0.05)
        one.socket.close()
        assert await one.server.drain(CLOCK, 0.1) == 1
        assert await CLOCK.wait(cancelled, 1.0)


@on_both_loops
async def test_a_reader_that_never_reads_is_closed():
    """A client that does not take its answer holds its place no longer than an idle one."""

    async def large(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(body=b"x" * 30_000_000)

    async with serving(large, keepalive_timeout=0.2) as one:
        _, writer = await one.connect(GOOD)
        writer.transport.pause_reading()
        await pause(0.6)
        assert one.turned_away == ["idle"]
        writer.transport.abort()
