"""The transport against real sockets that drop, stall, lie and truncate."""

import asyncio
import contextlib
import datetime
import gzip
import re
import socket
import ssl
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from adapters.host.clock import SystemClock
from adapters.vendor_calls.transport import MAX_BODY, Call, Transport, open_session
from daemon.errors import ContractBroken, McfdError, RateLimited, Unavailable

Connected = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Speak = Callable[["RawServer", asyncio.StreamWriter], Awaitable[None]]


@dataclass
class RawServer:
    """Speaks whatever bytes a test wants, and keeps every request's head and body."""

    url: str = ""
    requests: list[tuple[str, bytes]] = field(default_factory=list)
    connections: int = 0


@contextlib.asynccontextmanager
async def listening(connected: Connected, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Give each connection to `connected` for as long as it runs; yields the port."""
    tasks = set()

    async def attended(reader, writer):
        tasks.add(asyncio.current_task())
        with contextlib.suppress(asyncio.CancelledError, asyncio.IncompleteReadError, OSError):
            await connected(reader, writer)
        writer.transport.abort()

    listener = await asyncio.start_server(attended, "127.0.0.1", 0, ssl=tls)
    try:
        yield listener.sockets[0].getsockname()[1]
    finally:
        listener.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks)


@contextlib.asynccontextmanager
async def raw_server(speak: Speak, tls: ssl.SSLContext | None = None) -> AsyncIterator[RawServer]:
    """Call `speak(server, writer)` for each request that was read whole."""
    server = RawServer()

    async def connected(reader, writer):
        server.connections += 1
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            length = re.search(r"(?i)content-length: (\d+)", head)
            server.requests.append((head, await reader.readexactly(int(length[1]) if length else 0)))
            await speak(server, writer)
            await writer.drain()

    async with listening(connected, tls) as port:
        server.url = f"http{'s' if tls else ''}://127.0.0.1:{port}"
        yield server


def answer(text: str, body: bytes = b"") -> Speak:
    """Answer every request with this status line and headers, and a body of the right length."""

    async def speak(_server, writer):
        lines = [f"HTTP/1.1 {text.splitlines()[0]}", *text.splitlines()[1:], f"Content-Length: {len(body)}"]
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)

    return speak


def bytes_then_close(data: bytes) -> Speak:
    """Answer with exactly these bytes, then drop the connection."""

    async def speak(_server, writer):
        writer.write(data)
        await writer.drain()
        writer.close()

    return speak


async def stall(_server, _writer):
    """Never answer."""
    await asyncio.Event().wait()


@dataclass
class Caller:
    transport: Transport
    calls: list[Call]

    async def fails(self, method, url, error=McfdError, **options):
        """Return the error that a call ends with."""
        with pytest.raises(error) as caught:
            await self.transport.send(method, url, operation="getThing", **options)
        return caught.value


@contextlib.asynccontextmanager
async def calling(timeout: float = 5.0) -> AsyncIterator[Caller]:
    """A transport over a session of its own."""
    calls: list[Call] = []
    async with open_session("mcfd/0.1 (Language=Python)") as session:
        yield Caller(Transport(session, vendor="amazon", timeout=timeout, on_call=calls.append), calls)


async def pause(seconds: float) -> None:
    """Let real sockets do their work."""
    await SystemClock().wait(asyncio.Event(), seconds)


def unused_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


# --- what goes out ------------------------------------------------------------------------------------------------


async def test_a_reply_has_status_headers_of_any_case_and_the_body():
    """An answer comes back as it was, and the call is told with its outcome, status and request id."""
    async with (
        raw_server(answer("200 OK\r\nX-Amzn-RateLimit-Limit: 2.0\r\nx-amzn-requestid: r-1", b'{"a": 1}')) as server,
        calling() as caller,
    ):
        reply = await caller.transport.send(
            "POST", f"{server.url}/x", operation="getThing", headers={"X-Key": "k"}, body=b"{}"
        )
    assert (reply.status, reply.body, reply.header("x-amzn-ratelimit-limit")) == (200, b'{"a": 1}', "2.0")
    assert reply.header("absent") is None
    [call] = caller.calls
    assert (call.vendor, call.operation, call.outcome, call.status, call.request_id) == (
        "amazon",
        "getThing",
        "ok",
        200,
        "r-1",
    )
    assert 0 <= call.seconds < 5
    head, body = server.requests[0]
    assert "X-Key: k" in head
    assert "User-Agent: mcfd/0.1 (Language=Python)" in head
    assert body == b"{}"


@pytest.mark.parametrize(
    "path", ["/orders/%231001", "/a%2Fb", "/a%20b+c", "/%C3%A9?x=%2B&y=a%3Db", "/%7Etilde/%2e%2e/x", "/x?from=a%20b"]
)
async def test_a_percent_encoded_url_goes_out_as_it_is(path):
    """Nothing is decoded, encoded again or normalised on the way."""
    async with raw_server(answer("200 OK")) as server, calling() as caller:
        await caller.transport.send("GET", server.url + path, operation="getThing")
    assert server.requests[0][0].split(" ")[:2] == ["GET", path]


async def test_a_get_carries_neither_body_nor_content_length():
    """Amazon refuses a GET with either."""
    async with raw_server(answer("200 OK")) as server, calling() as caller:
        await caller.transport.send("GET", server.url, operation="getThing")
    assert "content-length" not in server.requests[0][0].lower()


async def test_cookies_are_neither_kept_nor_sent():
    """A cookie set by one answer is not in the next request."""
    async with raw_server(answer("200 OK\r\nSet-Cookie: session=1; Path=/")) as server, calling() as caller:
        for _ in range(2):
            await caller.transport.send("GET", server.url, operation="getThing")
    assert all("cookie" not in head.lower() for head, _ in server.requests)


async def test_a_proxy_of_the_environment_is_not_used(monkeypatch):
    """http_proxy and friends do not redirect our calls."""
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{unused_port()}")
    async with raw_server(answer("200 OK")) as server, calling() as caller:
        assert (await caller.transport.send("GET", server.url, operation="getThing")).status == 200


# --- never twice --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["PUT", "POST", "GET", "DELETE"])
@pytest.mark.parametrize("kept_alive", [False, True])
async def test_a_dropped_connection_is_not_answered_with_a_second_request(method, kept_alive):
    """The server that reads a request and drops the connection sees exactly one, on new and on pooled connections."""

    async def speak(server, writer):
        if kept_alive and len(server.requests) == 1:
            await answer("200 OK")(server, writer)
        else:
            writer.close()

    async with raw_server(speak) as server, calling() as caller:
        if kept_alive:
            await caller.transport.send("GET", f"{server.url}/first", operation="getThing")
        body = b"{}" if method in ("PUT", "POST") else None
        error = await caller.fails(method, f"{server.url}/only", Unavailable, body=body)
        assert len([head for head, _ in server.requests if "/only" in head]) == 1
        assert server.connections == 1
    assert error.unclear


async def test_a_session_that_resends_is_not_accepted():
    """A session of aiohttp's own making cannot be used by mistake."""
    async with aiohttp.ClientSession() as session:
        with pytest.raises(ValueError, match="resends"):
            Transport(session, vendor="amazon", timeout=1, on_call=lambda _call: None)


async def test_a_connection_that_the_server_closed_while_idle_is_not_used_again():
    """The next call opens a new connection and succeeds, rather than failing unclearly."""
    closed = asyncio.Event()

    async def speak(server, writer):
        await answer("200 OK")(server, writer)
        await writer.drain()
        writer.close()
        closed.set()

    async with raw_server(speak) as server, calling() as caller:
        await caller.transport.send("GET", server.url, operation="getThing")
        await closed.wait()
        await pause(0.05)
        await caller.transport.send("PUT", server.url, operation="getThing", body=b"{}")
        assert server.connections == 2


# --- errors, classified -------------------------------------------------------------------------------------------


async def test_a_refused_connection_is_unavailable_and_clear():
    """Nobody listens: nothing can have had an effect."""
    async with calling() as caller:
        error = await caller.fails("PUT", f"http://127.0.0.1:{unused_port()}/x?token=t", Unavailable, body=b"{}")
    assert not error.unclear
    assert str(error) == "amazon getThing: cannot connect"
    assert caller.calls[0].outcome == "unavailable"


async def test_a_name_that_does_not_resolve_is_unavailable_and_clear():
    """DNS failed: nothing can have had an effect."""
    async with calling() as caller:
        error = await caller.fails("PUT", "http://nowhere.invalid/x", Unavailable, body=b"{}")
    assert not error.unclear
    assert "resolve" in str(error)


def self_signed(tmp_path) -> ssl.SSLContext:
    """A server's TLS context with a certificate that nobody trusts."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    start = datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start.replace(year=2124))
        .sign(key, hashes.SHA256())
    )
    pem = tmp_path / "server.pem"
    pem.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context


async def test_an_untrusted_certificate_is_unavailable_and_nothing_is_sent(tmp_path):
    """TLS is verified always; not one byte of the request reaches an impostor."""
    async with raw_server(answer("200 OK"), self_signed(tmp_path)) as server, calling() as caller:
        error = await caller.fails("PUT", f"{server.url}/x", Unavailable, body=b"{}")
        assert server.requests == []
    assert not error.unclear
    assert "TLS" in str(error)


async def test_a_peer_that_does_not_speak_tls_is_unavailable_and_clear():
    """A plain-text answer to a TLS greeting is never a reason to fall back to plain text."""
    heard = []

    async def plain(reader, writer):
        heard.append(await reader.read(65536))
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        heard.append(await reader.read(65536))

    async with listening(plain) as port, calling() as caller:
        error = await caller.fails("PUT", f"https://127.0.0.1:{port}/path", Unavailable, body=b"canary")
    assert not error.unclear
    assert b"canary" not in b"".join(heard)
    assert b"/path" not in b"".join(heard)


async def test_a_connection_that_is_never_completed_times_out_clearly():
    """A time-out before the connection stands (here: a TLS handshake without an answer) cannot have had an effect."""

    async def silent(_reader, _writer):
        await asyncio.Event().wait()

    async with listening(silent) as port, calling(timeout=0.4) as caller:
        error = await caller.fails("PUT", f"https://127.0.0.1:{port}/x", Unavailable, body=b"{}")
    assert not error.unclear
    assert "connecting" in str(error)


async def test_calls_that_hang_take_nobody_elses_connections():
    """Whose places are all taken by unanswered calls is told so, unsent; another account's call goes through at once."""
    async with (
        raw_server(stall) as hanging,
        raw_server(answer("200 OK")) as well,
        open_session("mcfd", connections=0) as session,
    ):
        mine, another = (
            Transport(session, vendor="amazon", timeout=0.6, on_call=lambda _: None, room=asyncio.Semaphore(3))
            for _ in range(2)
        )
        waiting = [asyncio.create_task(mine.send("GET", hanging.url, operation="getThing")) for _ in range(3)]
        while len(hanging.requests) < 3:
            await pause(0.001)
        late = asyncio.create_task(mine.send("GET", hanging.url, operation="getThing"))
        assert (await another.send("GET", well.url, operation="getThing")).status == 200
        with pytest.raises(Unavailable, match="too many calls are still unanswered") as told:
            await late
        assert not told.value.unclear
        ends = await asyncio.gather(*waiting, return_exceptions=True)
        assert all(isinstance(end, Unavailable) and end.unclear for end in ends)
        assert len(hanging.requests) == 3
        assert (await mine.send("GET", well.url, operation="getThing")).status == 200


async def test_a_server_that_never_answers_times_out_unclearly():
    """The request was read; whether it had its effect, nobody knows."""
    async with raw_server(stall) as server, calling(timeout=0.2) as caller:
        error = await caller.fails("PUT", f"{server.url}/x", Unavailable, body=b"{}")
        assert len(server.requests) == 1
    assert error.unclear
    assert "timed out" in str(error)
    assert caller.calls[0].seconds >= 0.15


async def test_a_body_that_drips_for_ever_times_out():
    """The time-out is for the whole call: a byte now and then does not prolong it."""

    async def drip(_server, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(1000):
            writer.write(b"x")
            await writer.drain()
            await pause(0.02)

    async with raw_server(drip) as server, calling(timeout=0.3) as caller:
        error = await caller.fails("GET", server.url, Unavailable)
    assert error.unclear


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"HTTP/1.1 200",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope",
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"\x00\xff\x00\xff\r\n\r\n",
    ],
)
async def test_a_truncated_or_garbled_answer_is_unavailable_and_unclear(data):
    """Half an answer is no answer, and the request may have had its effect."""
    async with raw_server(bytes_then_close(data)) as server, calling() as caller:
        error = await caller.fails("PUT", f"{server.url}/x", Unavailable, body=b"{}")
    assert error.unclear
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [408, 500, 502, 503, 504, 599])
async def test_a_server_error_is_unavailable_and_unclear(status):
    """408 and every 5xx may have had their effect; Retry-After is honoured."""
    async with raw_server(answer(f"{status} Oops\r\nRetry-After: 17", b"<html>")) as server, calling() as caller:
        error = await caller.fails("PUT", server.url, Unavailable, body=b"{}")
    assert error.unclear
    assert error.retry_after == 17
    assert str(error) == f"amazon getThing: status {status}"
    assert caller.calls[0].status == status


@pytest.mark.parametrize(
    ("retry_after", "seconds"),
    [
        ("Retry-After: 3", 3.0),
        ("Retry-After: 0", 0.0),
        ("retry-after: 999999", 3600.0),
        ("Retry-After: " + "9" * 400, 3600.0),
        ("Retry-After: Wed, 21 Oct 2026 07:28:10 GMT\r\nDate: Wed, 21 Oct 2026 07:28:00 GMT", 10.0),
        ("Retry-After: Wed, 21 Oct 2026 07:28:00 GMT\r\nDate: Wed, 21 Oct 2026 07:29:00 GMT", 0.0),
        ("Retry-After: Wed, 21 Oct 2026 07:28:00 GMT", None),
        ("Retry-After: Wed, 21 Oct 2026 07:28:00\r\nDate: Wed, 21 Oct 2026 07:28:00 GMT", None),
        ("Retry-After: soon", None),
        ("Retry-After: Wed, 21 Oct 99999999999 07:28:10 GMT\r\nDate: Wed, 21 Oct 2026 07:28:00 GMT", None),
        ("Retry-After: -5", None),
        ("Retry-After:", None),
        ("X-Other: 3", None),
    ],
)
async def test_a_429_is_rate_limited_with_the_vendors_own_delay(retry_after, seconds):
    """Retry-After is read in seconds or as a date on the server's own clock; nonsense is none; an hour is the most."""
    async with raw_server(answer(f"429 Slow down\r\n{retry_after}", b"{}")) as server, calling() as caller:
        error = await caller.fails("GET", server.url, RateLimited)
    assert error.retry_after == seconds
    assert caller.calls[0].outcome == "rate_limited"


@pytest.mark.parametrize("status", [301, 302, 303, 304, 307, 308])
async def test_a_redirect_is_not_followed(status):
    """No API of ours redirects: a redirect is a broken contract, and nobody else gets our headers."""
    async with (
        raw_server(answer("200 OK")) as elsewhere,
        raw_server(answer(f"{status} Go\r\nLocation: {elsewhere.url}/secret-path")) as server,
        calling() as caller,
    ):
        error = await caller.fails("GET", f"{server.url}/x", ContractBroken, headers={"x-amz-access-token": "t"})
        assert elsewhere.connections == 0
    assert str(error) == f"amazon getThing: unexpected redirect (status {status})"
    assert caller.calls[0].outcome == "broken"


@pytest.mark.parametrize("status", [201, 202, 204, 400, 401, 403, 404, 409, 410, 413, 415, 422])
async def test_every_other_status_is_a_reply(status):
    """What the application itself says is for the wire to read."""
    async with raw_server(answer(f"{status} Word")) as server, calling() as caller:
        reply = await caller.transport.send("GET", server.url, operation="getThing")
    assert reply.status == status
    assert caller.calls[0].outcome == ("ok" if status < 300 else "refused")


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
async def test_an_answer_beyond_the_bound_is_a_broken_contract(encoding):
    """8 MiB are the most, before and after decompression, and the transport goes on."""
    body = b"x" * (2 * MAX_BODY)
    packed = gzip.compress(body, 1) if encoding == "gzip" else body

    async def speak(server, writer):
        too_much = answer(f"200 OK\r\nContent-Encoding: {encoding}", packed)
        await (too_much if len(server.requests) == 1 else answer("204 Fine"))(server, writer)

    async with raw_server(speak) as server, calling() as caller:
        error = await caller.fails("GET", server.url, ContractBroken)
        assert (await caller.transport.send("GET", server.url, operation="getThing")).status == 204
    assert "larger than" in str(error)


async def test_an_answer_within_the_bound_is_read_whole():
    """Exactly 8 MiB are still read."""
    body = b"x" * MAX_BODY
    async with raw_server(answer("200 OK", body)) as server, calling() as caller:
        assert (await caller.transport.send("GET", server.url, operation="getThing")).body == body


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/x", "no-scheme", "http:///x"])
async def test_a_url_that_cannot_be_called_is_a_broken_contract(url):
    """A mistake of ours is not retried for ever as if the vendor were down."""
    async with calling() as caller:
        error = await caller.fails("GET", url, ContractBroken)
    assert "URL" in str(error)


@pytest.mark.parametrize(
    "speak", [answer("500 Oops", b"canary"), answer("302 Go\r\nLocation: /canary"), bytes_then_close(b"canary\r\n\r\n")]
)
async def test_an_error_shows_neither_query_nor_header_nor_body(speak):
    """Not even the printed traceback, causes included, shows anything but vendor, operation and kind."""
    async with raw_server(speak) as server, calling(timeout=1) as caller:
        error = await caller.fails(
            "POST", f"{server.url}/x?canary=1", headers={"x-amz-access-token": "canary"}, body=b"canary"
        )
    assert error.__cause__ is None
    assert error.__context__ is None
    lines = "".join(traceback.format_exception_only(error))
    assert "canary" not in lines + repr(error) + repr(caller.calls)


async def test_a_reply_does_not_print_its_content():
    """A reply in a log line or a traceback shows its status only."""
    async with raw_server(answer("200 OK\r\nX-Canary: canary", b"canary")) as server, calling() as caller:
        reply = await caller.transport.send("GET", server.url, operation="getThing")
    assert repr(reply) == "Reply(status=200)"


async def test_a_cancelled_call_stays_cancelled():
    """Cancellation passes through untouched, is told as abandoned, and leaves the transport usable."""

    async def speak(server, writer):
        await (stall if len(server.requests) == 1 else answer("200 OK"))(server, writer)

    async with raw_server(speak) as server, calling() as caller:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await caller.transport.send("PUT", server.url, operation="getThing", body=b"{}")
        assert [call.outcome for call in caller.calls] == ["abandoned"]
        assert (await caller.transport.send("GET", server.url, operation="getThing")).status == 200
