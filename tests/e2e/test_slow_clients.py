"""Slow clients in their thousands against the real process and its real deadline."""

import asyncio
import resource
import statistics
from itertools import count

import pytest

from adapters.sandbox.loop.webhooks import signature
from tests.e2e.world import CLOCK, SHOP, World, until, world

SLOW = 2000
DEADLINE = 10.0
PLACES = 1024
HEAD = f"POST /webhooks/loop/{SHOP} HTTP/1.1\r\nHost: a\r\n".encode()
HALVES = (HEAD + b"X-Loop-Sig", HEAD + b'Content-Length: 99\r\n\r\n{"topic": "ret')


class Half(asyncio.Protocol):
    """Sends half a request, then a byte now and then; knows how long it was suffered."""

    def __init__(self, half: bytes) -> None:
        self.half = half
        self.began = self.lasted = 0.0
        self.ended = asyncio.Event()

    def connection_made(self, transport: asyncio.Transport) -> None:
        self.transport, self.began = transport, CLOCK.monotonic()
        transport.write(self.half)

    def connection_lost(self, error: Exception | None) -> None:
        self.lasted = CLOCK.monotonic() - self.began
        self.ended.set()

    async def drip(self) -> None:
        while not await CLOCK.wait(self.ended, 2.0):
            self.transport.write(b"x")


@pytest.fixture
def many_sockets():
    """As many files as this test and its daemon open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 2 * SLOW:
        pytest.skip(f"only {hard} files may be open")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2 * SLOW), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def good_sender(w: World, over: asyncio.Event) -> list[int]:
    """Deliver as Loop does, each time on a connection of its own, until it is over; the answers."""
    answers = []
    for number in count(1):
        body = b'{"topic": "return", "trigger": "return.updated", "id": "%d", "state": "open"}' % number
        signed = signature(w.sandbox.options.webhook_secret, body)
        async with asyncio.timeout(15):
            answers.append(await w.daemon.deliver(f"/webhooks/loop/{SHOP}", body, signed))
        if await CLOCK.wait(over, 0.05):
            return answers
    raise AssertionError


@pytest.mark.volume
async def test_two_thousand_half_sent_requests(tmp_path, many_sockets):
    """All are closed about ten seconds after they came, or for a newcomer; every good delivery meanwhile is kept."""
    async with world(tmp_path) as w:
        loop, over, halves = asyncio.get_running_loop(), asyncio.Event(), []
        sender = asyncio.create_task(good_sender(w, over))
        for number in range(SLOW):
            half = Half(HALVES[number % 2])
            await loop.create_connection(lambda half=half: half, "127.0.0.1", w.daemon.public_port)
            halves.append(half)
        await until("the places are enough", lambda: sum(not half.ended.is_set() for half in halves) <= PLACES)
        standing = [half for half in halves if not half.ended.is_set()]
        assert len(standing) > PLACES // 2
        async with asyncio.timeout(60):
            await asyncio.gather(*(half.drip() for half in halves))
        over.set()
        answers = await sender
        assert set(answers) == {200}
        assert len(answers) > 20
        assert max(half.lasted for half in halves) < DEADLINE + 8
        assert statistics.median(half.lasted for half in standing) > DEADLINE - 1  # newcomers took some of the places
