"""The public listener, over real sockets: deliveries, labels, and everything that is neither."""

import asyncio
import gzip
import resource
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from structlog.testing import capture_logs

from adapters.host.clock import SystemClock
from adapters.http.public import Allowance, PublicListener, Route
from daemon.errors import BadSignature, StoreUnavailable, Unavailable

TOKEN = "A-z_0123456789012345678901234567890123456789"[:43]
WEBHOOK = b"POST /webhooks/loop/acme HTTP/1.1\r\nHost: a\r\nX-Loop-Signature: c2ln\r\n"
CLOCK = SystemClock()


class Receiver:
    """Keeps deliveries; `trouble` is raised instead, `hold` is waited for first."""

    def __init__(self) -> None:
        self.kept: list[tuple[str, str | None, bytes]] = []
        self.trouble: Exception | None = None
        self.outcome = "verified"
        self.began = asyncio.Event()
        self.hold = asyncio.Event()
        self.hold.set()

    async def receive(self, shop: str, signature: str | None, body: bytes) -> str:
        self.began.set()
        await self.hold.wait()
        if self.trouble:
            raise self.trouble
        self.kept.append((shop, signature, body))
        return self.outcome


class Labels:
    """Holds labels by token and counts how often it was asked."""

    def __init__(self) -> None:
        self.pdfs: dict[str, bytes] = {}
        self.asked = 0
        self.trouble: Exception | None = None
        self.hold = asyncio.Event()
        self.hold.set()

    async def open(self, token: str) -> bytes | None:
        self.asked += 1
        await self.hold.wait()
        if self.trouble:
            raise self.trouble
        return self.pdfs.get(token)


class FrozenClock(SystemClock):
    """Real waiting, but `monotonic` moves only when told."""

    seconds = 0.0

    def monotonic(self) -> float:
        return self.seconds


class Front:
    """A running listener with what it was given, and what it reported."""

    def __init__(self, **options: Any) -> None:
        self.receiver = Receiver()
        self.labels = Labels()
        self.webhooks: list[tuple[str, str]] = []
        self.label_outcomes: list[str] = []
        self.listener = PublicListener(
            receiver=self.receiver,
            labels=self.labels,
            shops={"acme", "zeta"},
            clock=CLOCK,
            on_webhook=lambda shop, outcome, _seconds: self.webhooks.append((shop, outcome)),
            on_label=self.label_outcomes.append,
            **options,
        )

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.listener.port}{path}"

    async def connect(self, first: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.listener.port, limit=1 << 24)
        writer.write(first)
        return reader, writer

    async def raw(self, *pieces: bytes) -> bytes:
        """Send the pieces, read until the server closes."""
        reader, writer = await self.connect(b"")
        try:
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
            return await reader.read()
        finally:
            writer.close()


@asynccontextmanager
async def front(**options: Any) -> AsyncIterator[Front]:
    """Run a listener for the length of a block."""
    one = Front(**options)
    await one.listener.start("127.0.0.1", 0)
    try:
        yield one
    finally:
        await one.listener.stop(0.5)
        await pause(0)


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """An ordinary HTTP client."""
    async with aiohttp.ClientSession() as one:
        yield one


async def pause(seconds: float) -> None:
    """Let real time pass."""
    await CLOCK.wait(asyncio.Event(), seconds)


def chunked(*chunks: bytes) -> bytes:
    """Encode a body in chunks."""
    return b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in (*chunks, b""))


async def test_a_delivery_reaches_the_receiver_untouched(session: aiohttp.ClientSession):
    """The raw bytes, the signature and the shop arrive as they were sent, and the answer is 200."""
    body = '{"a": "\\/ ü \\n"} \r\n'.encode()
    async with front() as one:
        async with session.post(
            one.url("/webhooks/loop/acme"), data=body, headers={"X-Loop-Signature": "c2ln"}
        ) as answer:
            assert answer.status == 200
            assert len(await answer.read()) < 10
        assert one.receiver.kept == [("acme", "c2ln", body)]
        assert one.webhooks == [("acme", "verified")]


async def test_the_receivers_word_is_reported(session: aiohttp.ClientSession):
    """A receiver that tells a repeated delivery from a new one is heard by the metric, and both are 200."""
    async with front() as one:
        one.receiver.outcome = "duplicate"
        async with session.post(one.url("/webhooks/loop/acme"), data=b"{}") as answer:
            assert answer.status == 200
        assert one.webhooks == [("acme", "duplicate")]


async def test_nothing_is_acknowledged_before_it_is_kept():
    """The answer comes only after the receiver returned."""
    async with front() as one:
        one.receiver.hold.clear()
        reader, writer = await one.connect(WEBHOOK + b"Content-Length: 2\r\n\r\n{}")
        await one.receiver.began.wait()
        early = asyncio.create_task(reader.readline())
        await pause(0.05)
        assert not early.done()
        one.receiver.hold.set()
        assert (await early).startswith(b"HTTP/1.1 200 ")
        writer.close()


async def test_a_sender_that_goes_away_has_delivered_all_the_same():
    """A connection lost after the body does not keep the delivery from being kept."""
    async with front() as one:
        one.receiver.hold.clear()
        _, writer = await one.connect(WEBHOOK + b"Content-Length: 2\r\n\r\n{}")
        await one.receiver.began.wait()
        writer.transport.abort()
        await pause(0.05)
        one.receiver.hold.set()
        await pause(0.05)
        assert one.receiver.kept == [("acme", "c2ln", b"{}")]
        assert one.webhooks == [("acme", "verified")]


async def test_a_sender_that_leaves_halfway_has_delivered_nothing():
    """Half a body is never passed on, and is counted without a log line."""
    with capture_logs() as lines:
        async with front() as one:
            _, writer = await one.connect(WEBHOOK + b"Content-Length: 9\r\n\r\n{}")
            await pause(0.05)
            writer.transport.abort()
            await pause(0.05)
            assert one.receiver.kept == []
            assert one.webhooks == [("acme", "incomplete")]
    assert [line["event"] for line in lines] == ["listener.stopped"]


async def test_a_large_body_is_refused_by_its_length_before_it_is_read():
    """413 comes although not one byte of the announced body was sent, and the connection ends."""
    async with front() as one:
        at = time.monotonic()
        raw = await one.raw(WEBHOOK + b"Content-Length: 1048577\r\n\r\n")
        assert raw.startswith(b"HTTP/1.1 413 ")
        assert b"Connection: close\r\n" in raw
        assert time.monotonic() - at < 3
        assert one.receiver.kept == []
        assert one.webhooks == [("acme", "too_large")]


async def test_a_body_of_exactly_the_limit_is_taken(session: aiohttp.ClientSession):
    """The limit itself is allowed, one byte more is not."""
    async with front(max_body=1000) as one:
        for size, status in ((1000, 200), (1001, 413)):
            async with session.post(one.url("/webhooks/loop/acme"), data=b"x" * size) as answer:
                assert answer.status == status


async def test_large_bodies_of_strangers_do_not_fill_the_memory(session: aiohttp.ClientSession, monkeypatch):
    """While too many unfinished bodies are held, another large one gets 503; small ones, and later large ones, are taken."""
    monkeypatch.setattr("adapters.http.public.MOST_BYTES", 300_000)
    async with front() as one, asyncio.timeout(10):
        reader, stranger = await one.connect(WEBHOOK + b"Content-Length: 1000000\r\n\r\n" + b"x" * 250_000)

        async def answer_to(size: int) -> int:
            async with session.post(one.url("/webhooks/loop/acme"), data=b"x" * size) as answer:
                return answer.status

        while await answer_to(100_000) != 503:
            await pause(0.01)  # until all that was sent has been read
        assert await answer_to(4096) == 200
        stranger.write(b"x" * 750_000)
        await reader.read()
        while await answer_to(100_000) != 200:
            await pause(0.01)
        assert {"crowded", "incomplete"} & {outcome for _, outcome in one.webhooks} == {"crowded"}
        stranger.close()


async def test_chunks_are_counted_while_they_come():
    """A chunked body is taken up to the limit; beyond it 413 comes before the end, and nothing is kept."""
    async with front(max_body=1000) as one:
        head = WEBHOOK + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
        assert (await one.raw(head, chunked(b"a" * 500, b"b" * 500))).startswith(b"HTTP/1.1 200 ")
        endless = chunked(*[b"a" * 100] * 11).removesuffix(b"0\r\n\r\n")
        assert (await one.raw(head, endless)).startswith(b"HTTP/1.1 413 ")
        assert [body for _, _, body in one.receiver.kept] == [b"a" * 500 + b"b" * 500]


async def test_a_flood_of_tiny_chunks_is_cut_off():
    """A body of one-byte chunks is refused at the limit as any other."""
    async with front(max_body=1000) as one:
        head = WEBHOOK + b"Transfer-Encoding: chunked\r\n\r\n"
        assert (await one.raw(head, b"1\r\nx\r\n" * 5000)).startswith(b"HTTP/1.1 413 ")


async def test_broken_chunks_are_400():
    """A body that is not the chunks it says is refused, and never half kept."""
    async with front() as one:
        raw = await one.raw(WEBHOOK + b"Transfer-Encoding: chunked\r\n\r\n4\r\nab", b"cd\r\nzz\r\n")
        assert b" 400 " in raw.split(b"\r\n")[0]
        assert one.receiver.kept == []


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "identity", ""])
async def test_no_coding_is_accepted(coding: str):
    """Any Content-Encoding is 415 without reading the body."""
    async with front() as one:
        raw = await one.raw(WEBHOOK + f"Content-Encoding: {coding}\r\nContent-Length: 9\r\n\r\n".encode())
        assert raw.startswith(b"HTTP/1.1 415 ")
        assert one.webhooks == [("acme", "encoded")]


async def test_a_gzip_bomb_costs_nothing(session: aiohttp.ClientSession):
    """Bombs of 200 MiB are answered 415 without being decompressed: that alone would take a second."""
    bomb = gzip.compress(b"\0" * (200 << 20), compresslevel=9)
    async with front() as one:
        at = resource.getrusage(resource.RUSAGE_SELF).ru_utime
        for _ in range(10):
            headers = {"Content-Encoding": "gzip"}
            async with session.post(one.url("/webhooks/loop/acme"), data=bomb, headers=headers) as answer:
                assert answer.status == 415
        assert resource.getrusage(resource.RUSAGE_SELF).ru_utime - at < 0.3
        assert one.receiver.kept == []


async def test_a_missing_signature_is_for_the_receiver_to_judge():
    """Without the header the receiver hears None."""
    async with front() as one:
        raw = await one.raw(
            b"POST /webhooks/loop/acme HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"
        )
        assert raw.startswith(b"HTTP/1.1 200 ")
        assert one.receiver.kept == [("acme", None, b"{}")]


@pytest.mark.parametrize(
    "header",
    [b"X-Loop-Signature: c2ln\r\nX-Loop-Signature: c2ln\r\n", b"X-Loop-Signature: \xff\xfe\r\n"],
    ids=["two", "not ascii"],
)
async def test_a_malformed_signature_is_401(header: bytes):
    """Several signatures, or one that is not ASCII, never reach the receiver."""
    async with front() as one:
        head = b"POST /webhooks/loop/acme HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 2\r\n"
        assert (await one.raw(head + header + b"\r\n{}")).startswith(b"HTTP/1.1 401 ")
        assert one.receiver.kept == []
        assert one.webhooks == [("acme", "bad_signature")]


async def test_the_receivers_rejection_is_the_answer(session: aiohttp.ClientSession):
    """A signature that the receiver does not accept is 401, without a reason."""
    async with front() as one:
        one.receiver.trouble = BadSignature("no secret matches")
        async with session.post(one.url("/webhooks/loop/acme"), data=b"{}") as answer:
            assert answer.status == 401
            assert await answer.text() == "unauthorized\n"
        assert one.webhooks == [("acme", "bad_signature")]


@pytest.mark.parametrize(
    ("trouble", "outcome", "retry_after", "events"),
    [
        (StoreUnavailable("disk full"), "unavailable", "60", ["webhook.unavailable"]),
        (Unavailable("no webhook secret yet"), "unavailable", "60", []),
        (Unavailable("no webhook secret yet", retry_after=7.2), "unavailable", "8", []),
        (RuntimeError("a bug with a secret"), "failed", "60", ["webhook.failed"]),
        (ConnectionResetError("of the receiver's own"), "failed", "60", ["webhook.failed"]),
        (TimeoutError(), "failed", "60", ["webhook.failed"]),
    ],
    ids=["store", "no secret", "no secret, named time", "bug", "connection", "time-out"],
)
async def test_a_fault_of_ours_is_503_and_never_4xx(
    session: aiohttp.ClientSession, trouble: Exception, outcome: str, retry_after: str, events: list[str]
):
    """Loop gives up after a 4xx, so every fault of ours asks it to come again, and says nothing else."""
    with capture_logs() as lines:
        async with front() as one:
            one.receiver.trouble = trouble
            async with session.post(one.url("/webhooks/loop/acme"), data=b"{}") as answer:
                assert answer.status == 503
                assert answer.headers["Retry-After"] == retry_after
                assert await answer.text() == "service unavailable\n"
            assert one.webhooks == [("acme", outcome)]
            assert [line["event"] for line in lines] == events


async def test_an_unknown_shop_is_404_and_no_metric_label(session: aiohttp.ClientSession):
    """A shop that is not configured is 404 before its body is read, and its name is not reported."""
    async with front() as one:
        for path in ("/webhooks/loop/evil", "/webhooks/loop/ACME", "/webhooks/loop/%00"):
            async with session.post(one.url(path), data=b"{}") as answer:
                assert answer.status == 404
        assert one.webhooks == [("", "unknown_shop")] * 3
        assert one.receiver.kept == []


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/webhooks/loop/acme", 405),
        ("PUT", "/webhooks/loop/acme", 405),
        ("POST", f"/labels/{TOKEN}.pdf", 405),
        ("DELETE", "/robots.txt", 405),
        ("POST", "/webhooks/loop/", 404),
        ("POST", "/webhooks/loop/acme/more", 404),
        ("POST", "/", 404),
        ("GET", "/", 404),
        ("GET", "/metrics", 404),
        ("GET", "/.env", 404),
        ("TRACE", "/", 404),
        ("OPTIONS", f"/labels/{TOKEN}.pdf", 405),
        ("OPTIONS", "/webhooks/loop/acme", 405),
        ("GET", "/labels/", 404),
        ("GET", "/labels", 404),
    ],
)
async def test_everything_else_is_405_or_404(session: aiohttp.ClientSession, method: str, path: str, status: int):
    """Other methods and other paths get a tiny answer."""
    async with front() as one, session.request(method, one.url(path)) as answer:
        assert answer.status == status
        assert len(await answer.read()) < 40
        assert ("Allow" in answer.headers) is (status == 405)


async def test_no_answer_names_a_version(session: aiohttp.ClientSession):
    """Good and bad answers alike carry our name only."""
    async with front() as one:
        one.labels.pdfs[TOKEN] = b"%PDF-1.7"
        for method, path in (("POST", "/webhooks/loop/acme"), ("GET", f"/labels/{TOKEN}.pdf"), ("GET", "/nothing")):
            async with session.request(method, one.url(path)) as answer:
                assert answer.headers["Server"] == "mcfd"


async def test_a_polite_sender_is_told_to_go_on():
    """Expect: 100-continue is honoured for a body that will be read, and answered finally for one that will not."""
    async with front(max_body=1000) as one:
        reader, writer = await one.connect(WEBHOOK + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"{}")
        assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
        writer.close()
        raw = await one.raw(WEBHOOK + b"Expect: 100-continue\r\nContent-Length: 2000\r\n\r\n")
        assert raw.startswith(b"HTTP/1.1 413 ")


async def test_bodies_do_not_reach_the_log(session: aiohttp.ClientSession):
    """Neither a rejected nor a failing delivery leaves its body or its signature in the log."""
    with capture_logs() as lines:
        async with front() as one:
            for trouble in (BadSignature("no"), RuntimeError("bug"), StoreUnavailable("full")):
                one.receiver.trouble = trouble
                headers = {"X-Loop-Signature": "canary-signature"}
                url = one.url("/webhooks/loop/acme")
                async with session.post(url, data=b'{"name": "canary-name"}', headers=headers):
                    pass
    assert len(lines) == 3
    assert "canary" not in repr(lines)


async def test_slow_requests_are_cut_off_while_good_ones_are_served(session: aiohttp.ClientSession):
    """Half heads and half bodies end at the deadline and are counted; deliveries meanwhile are kept."""
    turned_away: list[str] = []
    async with front(request_deadline=0.3, on_turned_away=turned_away.append) as one:
        slow = [await one.connect(WEBHOOK) for _ in range(20)]
        slow += [await one.connect(WEBHOOK + b"Content-Length: 9\r\n\r\n{") for _ in range(20)]
        for _ in range(10):
            async with session.post(one.url("/webhooks/loop/acme"), data=b"{}") as answer:
                assert answer.status == 200
        for reader, writer in slow:
            with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
                await reader.readexactly(1)
            writer.close()
        assert turned_away == ["late"] * 40
        assert len(one.receiver.kept) == 10


async def test_the_oldest_incomplete_connection_gives_way(session: aiohttp.ClientSession):
    """With every place taken by half requests a delivery is still kept."""
    turned_away: list[str] = []
    async with front(max_connections=5, request_deadline=30.0, on_turned_away=turned_away.append) as one:
        slow = [await one.connect(WEBHOOK) for _ in range(5)]
        async with session.post(one.url("/webhooks/loop/acme"), data=b"{}") as answer:
            assert answer.status == 200
        async with asyncio.timeout(10):
            while not turned_away:
                await pause(0.02)
        assert turned_away == ["evicted"]
        for _, writer in slow:
            writer.close()


async def test_stopping_lets_a_delivery_in_hand_be_kept():
    """Nobody new is accepted, the delivery that waits for its commit is answered 200, and the port is free."""
    one = Front()
    one.receiver.hold.clear()
    await one.listener.start("127.0.0.1", 0)
    port = one.listener.port
    reader, writer = await one.connect(WEBHOOK + b"Content-Length: 2\r\n\r\n{}")
    await one.receiver.began.wait()
    stopping = asyncio.create_task(one.listener.stop(5.0))
    await pause(0.05)
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)
    one.receiver.hold.set()
    assert (await reader.read()).startswith(b"HTTP/1.1 200 ")
    await stopping
    writer.close()
    assert one.receiver.kept == [("acme", "c2ln", b"{}")]
    await one.listener.stop(0.1)


async def test_a_delivery_that_outlasts_the_drain_is_not_acknowledged():
    """What is not durable when the time is up gets no 200, so the sender comes again."""
    one = Front()
    one.receiver.hold.clear()
    await one.listener.start("127.0.0.1", 0)
    reader, writer = await one.connect(WEBHOOK + b"Content-Length: 2\r\n\r\n{}")
    await one.receiver.began.wait()
    await one.listener.stop(0.1)
    assert await reader.read() == b""
    assert one.receiver.kept == []
    writer.close()


async def test_a_listener_that_never_started_has_no_port_and_stops_quietly():
    """Asking for the port too early is an error, stopping is not."""
    one = Front()
    with pytest.raises(RuntimeError):
        assert one.listener.port
    await one.listener.stop(0.1)


async def test_a_label_is_served_privately(session: aiohttp.ClientSession):
    """The PDF comes inline under a neutral name, and neither caches nor search engines may keep it."""
    async with front() as one:
        one.labels.pdfs[TOKEN] = b"%PDF-1.7 label"
        async with session.get(one.url(f"/labels/{TOKEN}.pdf")) as answer:
            assert answer.status == 200
            assert await answer.read() == b"%PDF-1.7 label"
            headers = answer.headers
        assert headers["Content-Type"] == "application/pdf"
        assert headers["Content-Disposition"] == 'inline; filename="return-label.pdf"'
        assert headers["Cache-Control"] == "no-store"
        assert headers["X-Robots-Tag"] == "noindex"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert one.label_outcomes == ["served"]


async def test_head_of_a_label_has_its_length_and_no_body(session: aiohttp.ClientSession):
    """HEAD answers like GET, without the PDF."""
    async with front() as one:
        one.labels.pdfs[TOKEN] = b"%PDF-1.7 label"
        async with session.head(one.url(f"/labels/{TOKEN}.pdf")) as answer:
            assert answer.status == 200
            assert answer.headers["Content-Length"] == "14"
            assert await answer.read() == b""


@pytest.mark.parametrize(
    "name", [TOKEN[:-1] + ".pdf", TOKEN + "A.pdf", TOKEN, TOKEN[:-1] + "=.pdf", TOKEN[:-1] + "%2B.pdf", TOKEN + ".PDF"]
)
async def test_what_cannot_be_a_token_is_not_looked_up(session: aiohttp.ClientSession, name: str):
    """Anything but 43 characters of the URL-safe alphabet and .pdf is 404 without asking the store."""
    async with front() as one:
        async with session.get(one.url("/labels/") + name) as answer:
            assert answer.status == 404
        assert one.labels.asked == 0


async def test_a_label_after_its_retention_says_whom_to_ask(session: aiohttp.ClientSession):
    """410 tells the shopper to ask the shop."""
    async with front() as one:
        one.labels.pdfs[TOKEN] = b""
        async with session.get(one.url(f"/labels/{TOKEN}.pdf")) as answer:
            assert answer.status == 410
            assert "ask the shop" in await answer.text()
            assert answer.headers["Cache-Control"] == "no-store"
        assert one.label_outcomes == ["gone"]


async def test_a_slash_at_the_end_is_the_same_webhook(session: aiohttp.ClientSession):
    """Webhooks made by hand may end in a slash; Loop never repeats what it got a 404 for."""
    async with front() as one:
        async with session.post(
            one.url("/webhooks/loop/acme/"), data=b"{}", headers={"X-Loop-Signature": "s"}
        ) as answer:
            assert answer.status == 200
        assert one.webhooks == [("acme", "verified")]


async def test_guessing_is_limited_and_shoppers_are_not(session: aiohttp.ClientSession):
    """After the budget of misses guesses get 429, an existing label is served all the while, and time refills it."""
    clock = FrozenClock()
    other = "B" * 43
    async with front(misses=Allowance(clock, rate=0.5, burst=3)) as one:
        one.labels.pdfs[TOKEN] = b"%PDF-1.7"

        async def status(token: str) -> int:
            async with session.get(one.url(f"/labels/{token}.pdf")) as answer:
                assert ("Retry-After" in answer.headers) is (answer.status == 429)
                return answer.status

        assert [await status(other) for _ in range(5)] == [404, 404, 404, 429, 429]
        assert await status(TOKEN) == 200
        clock.seconds = 2.0
        assert [await status(other) for _ in range(2)] == [404, 429]
        assert one.label_outcomes == ["missing"] * 3 + ["limited"] * 2 + ["served", "missing", "limited"]


async def test_a_reader_who_takes_nothing_is_cut_off(session: aiohttp.ClientSession):
    """A label that nobody reads is not kept in memory for them, and others are served meanwhile."""
    async with front(label_patience=0.2) as one:
        one.labels.pdfs[TOKEN] = bytes(8 * 1024 * 1024)
        reader, writer = await one.connect(b"")
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        reader._transport.pause_reading()  # type: ignore[attr-defined] # whoever reads nothing
        writer.write(b"GET /labels/%b.pdf HTTP/1.1\r\nHost: a\r\n\r\n" % TOKEN.encode())
        while not one.label_outcomes:
            await pause(0.01)
        assert one.label_outcomes == ["unread"]
        writer.close()
        async with session.get(one.url(f"/labels/{TOKEN}.pdf")) as answer:
            assert len(await answer.read()) == 8 * 1024 * 1024


async def test_only_so_many_bytes_are_on_their_way():
    """When readers hold as much memory as may be, the next one is asked to come again."""
    async with front() as one:
        one.labels.pdfs[TOKEN] = bytes(33 * 1024 * 1024)
        request = b"GET /labels/%b.pdf HTTP/1.1\r\nHost: a\r\n\r\n" % TOKEN.encode()
        readers = [await one.connect(request) for _ in range(2)]
        while one.labels.asked < 2:
            await pause(0.01)
        assert b" 429 " in await one.raw(request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        for _, writer in readers:
            writer.close()


async def test_guessing_does_not_occupy_the_store(session: aiohttp.ClientSession):
    """Only so many labels are looked up at once; one more is asked to come again at once."""
    async with front(max_lookups=2) as one:
        one.labels.hold.clear()
        waiting = [asyncio.create_task(session.get(one.url(f"/labels/{TOKEN}.pdf"))) for _ in range(2)]
        while one.labels.asked < 2:
            await pause(0.01)
        async with session.get(one.url(f"/labels/{TOKEN}.pdf")) as answer:
            assert answer.status == 429
        one.labels.hold.set()
        assert [(await answer).status for answer in waiting] == [404, 404]
        async with session.get(one.url(f"/labels/{TOKEN}.pdf")) as answer:
            assert answer.status == 404


@pytest.mark.parametrize(
    ("trouble", "event"), [(StoreUnavailable("locked"), "label.unavailable"), (KeyError("token"), "request.failed")]
)
async def test_a_label_that_cannot_be_read_is_503(session: aiohttp.ClientSession, trouble: Exception, event: str):
    """A failing store, or a bug, asks the shopper to come again, and is one log line without the token."""
    with capture_logs() as lines:
        async with front() as one:
            one.labels.trouble = trouble
            async with session.get(one.url(f"/labels/{TOKEN}.pdf")) as answer:
                assert answer.status == 503
                assert answer.headers["Retry-After"] == "60"
            assert [line["event"] for line in lines] == [event]
            assert TOKEN not in repr(lines)


async def test_robots_are_sent_away(session: aiohttp.ClientSession):
    """robots.txt disallows everything."""
    async with front() as one, session.get(one.url("/robots.txt")) as answer:
        assert answer.status == 200
        assert await answer.text() == "User-agent: *\nDisallow: /\n"


async def test_extra_routes_are_answered_beside_our_own(session: aiohttp.ClientSession):
    """A route that was added is served at its path and method, may redirect, and its bugs stay inside."""

    async def hello(request: web.BaseRequest) -> web.StreamResponse:
        if request.query["state"] == "go":
            raise web.HTTPFound("https://example.com/")
        return web.Response(text=request.query["state"])

    with capture_logs() as lines:
        async with front(extra_routes=[Route("GET", "/oauth/amazon/callback", hello)]) as one:
            url = one.url("/oauth/amazon/callback")
            async with session.get(url, params={"state": "s1"}) as answer:
                assert (answer.status, await answer.text()) == (200, "s1")
            async with session.get(url, params={"state": "go"}, allow_redirects=False) as answer:
                assert (answer.status, answer.headers["Location"]) == (302, "https://example.com/")
            async with session.get(url) as answer:
                assert answer.status == 503
            async with session.post(url) as answer:
                assert answer.status == 405
            assert [line["event"] for line in lines] == ["request.failed"]
