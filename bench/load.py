"""A lean client for the public listener: prepared requests over raw connections, closed or open loop."""

import asyncio
import base64
import hashlib
import hmac
import json
import random
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import cast

import uvloop

BODY = 4096


def signed_request(return_id: int, secret: str, *, issued: bool) -> bytes:
    """A delivery of 4 KB: a new label request, or an update of an unknown return."""
    about: dict[str, object] = {"topic": "return", "trigger": "return.updated", "id": str(return_id), "state": "open"}
    if issued:
        about = {
            "topic": "label.request",
            "trigger": "label.request.issued",
            "id": str(return_id + 10**9),
            "return_id": str(return_id),
        }
    about["line_items"] = []
    empty = len(json.dumps({**about, "padding": ""}))
    body = json.dumps({**about, "padding": "x" * (BODY - empty)}).encode()
    signature = base64.b64encode(hmac.digest(secret.encode(), body, hashlib.sha256)).decode()
    head = (
        "POST /webhooks/loop/acme HTTP/1.1\r\nHost: returns.test\r\nContent-Type: application/json\r\n"
        f"X-Loop-Signature: {signature}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


@dataclass
class Answers:
    """The answers: how long each took, in seconds from when it was due, and the statuses."""

    seconds: list[float] = field(default_factory=list)
    statuses: dict[bytes, int] = field(default_factory=dict)
    took: float = 0.0
    broken: int = 0

    @property
    def acknowledged(self) -> int:
        return self.statuses.get(b"200", 0)

    def quantile(self, share: float) -> float:
        """Return a quantile in seconds."""
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


class _Connection(asyncio.Protocol):
    """One request at a time; says through `idle` when the next may be sent."""

    def __init__(self, client: "_Client") -> None:
        self._client = client
        self._due: float | None = None
        self._answer = b""
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's transports do not inherit from it

    def connection_lost(self, exc: Exception | None) -> None:
        self._client.lost(self, unanswered=self._due is not None)

    def send(self, request: bytes, due: float) -> None:
        self._due = due
        assert self.transport is not None
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._answer += data
        head, end, body = self._answer.partition(b"\r\n\r\n")
        if not end or self._due is None:
            return
        at = head.lower().find(b"content-length:")
        length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        if len(body) < length:
            return
        due, self._due, self._answer = self._due, None, b""
        self._client.answered(self, head[9:12], time.monotonic() - due)


class _Client:
    def __init__(self) -> None:
        self.answers = Answers()
        self.idle: deque[_Connection] = deque()
        self.waiting: deque[tuple[bytes, float]] = deque()
        self.requests: Iterator[bytes] | None = None
        self.left = 0
        self.open = 0
        self.over = asyncio.Event()

    async def connect(self, port: int, connections: int) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(connections):
            _, protocol = await loop.create_connection(lambda: _Connection(self), "127.0.0.1", port)
            self.idle.append(protocol)
            self.open += 1

    def answered(self, connection: _Connection, status: bytes, seconds: float) -> None:
        self.answers.seconds.append(seconds)
        self.answers.statuses[status] = self.answers.statuses.get(status, 0) + 1
        self.left -= 1
        if self.waiting:
            connection.send(*self.waiting.popleft())
        elif self.requests is not None:
            self._send_next(connection)
        else:
            self.idle.append(connection)
        if self.left <= 0:
            self.over.set()

    def lost(self, connection: _Connection, *, unanswered: bool) -> None:
        self.open -= 1
        self.answers.broken += unanswered
        if connection in self.idle:
            self.idle.remove(connection)
        if not self.open:
            self.over.set()

    def _send_next(self, connection: _Connection) -> None:
        assert self.requests is not None
        request = next(self.requests, None)
        if request is not None and connection.transport is not None and not connection.transport.is_closing():
            connection.send(request, time.monotonic())

    def send_at_will(self, requests: list[bytes]) -> None:
        self.requests, self.left = iter(requests), len(requests)
        while self.idle:
            self._send_next(self.idle.popleft())

    def send_due(self, request: bytes, due: float) -> None:
        if self.idle:
            self.idle.popleft().send(request, due)
        else:
            self.waiting.append((request, due))

    def close(self) -> None:
        for connection in self.idle:
            if connection.transport is not None:
                connection.transport.abort()


async def closed_loop(port: int, requests: list[bytes], connections: int) -> Answers:
    """Send on each connection the next request when the last was answered."""
    client = _Client()
    await client.connect(port, connections)
    began = time.monotonic()
    client.send_at_will(requests)
    await client.over.wait()
    client.answers.took = time.monotonic() - began
    client.requests = None
    client.close()
    return client.answers


async def open_loop(port: int, requests: list[bytes], rate: float, connections: int, seed: int) -> Answers:
    """Send requests at random times (Poisson), answered or not; latency counts from the time each was due."""
    client = _Client()
    await client.connect(port, connections)
    loop, client.left = asyncio.get_running_loop(), len(requests)
    origin = time.monotonic() + 0.1
    times = deque(zip(requests, _arrivals(len(requests), rate, seed), strict=True))
    began = time.monotonic()

    def tick() -> None:
        now = time.monotonic()
        while times and origin + times[0][1] <= now:
            request, at = times.popleft()
            client.send_due(request, origin + at)
        if times:
            loop.call_later(max(0.0, origin + times[0][1] - now), tick)

    tick()
    await client.over.wait()
    client.answers.took = time.monotonic() - began
    client.close()
    return client.answers


def _arrivals(count: int, rate: float, seed: int) -> Iterable[float]:
    chance = random.Random(seed)
    at = 0.0
    for _ in range(count):
        at += chance.expovariate(rate)
        yield at


def run_closed(port: int, requests: list[bytes], connections: int) -> Answers:
    """Run `closed_loop` on its own event loop."""
    return _run(closed_loop(port, requests, connections))


def run_open(port: int, requests: list[bytes], rate: float, connections: int = 256, seed: int = 1) -> Answers:
    """Run `open_loop` on its own event loop."""
    return _run(open_loop(port, requests, rate, connections, seed))


def _run(work: object) -> Answers:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)  # type: ignore[arg-type]
