"""Amazon's limit under a backlog that never ends: used to the last call, never broken, and no shopper notices."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web
from multidict import CIMultiDict, CIMultiDictProxy

from adapters.amazon_mcf.client import McfNetwork
from adapters.amazon_mcf.limits import AmazonLimits
from adapters.host.clock import SystemClock
from adapters.vendor_calls.transport import Reply, Transport, open_session
from daemon.errors import RateLimited
from daemon.ports.host import Clock
from daemon.ports.vendors import Lane
from tests.support.amazon_server import USER_AGENT, HeldTokens
from tests.support.virtual_time import FakeClock, run_virtual

ORDER = (Path(__file__).parents[1] / "samples" / "amazon_mcf" / "order.json").read_bytes()
OPERATION = "getFulfillmentOrder"


@dataclass
class StrictBucket:
    """Counts arrivals as Amazon publishes it, and forgives nothing. `arrivals` are the times of those let in."""

    clock: Clock
    rate: float
    burst: float
    refused: int = 0
    arrivals: list[float] = field(default_factory=list)
    _tokens: float = 0.0
    _since: float | None = None

    def admits(self) -> bool:
        now = self.clock.monotonic()
        if self._since is None:
            self._tokens, self._since = self.burst, now
        self._tokens, self._since = min(self.burst, self._tokens + (now - self._since) * self.rate), now
        if self._tokens < 1:
            self.refused += 1
            return False
        self._tokens -= 1
        self.arrivals.append(now)
        return True

    @property
    def used(self) -> float:
        """The share of the rate that was used from the first arrival to the last."""
        return (len(self.arrivals) - 1) / (self.arrivals[-1] - self.arrivals[0]) / self.rate

    @property
    def headers(self) -> dict[str, str]:
        return {"x-amzn-RateLimit-Limit": str(self.rate)}


@dataclass
class Saturation:
    """A network client behind the daemon's own limits, and callers who want more than the limit allows."""

    network: McfNetwork
    clock: Clock
    over: asyncio.Event = field(default_factory=asyncio.Event)
    waits: list[float] = field(default_factory=list)
    """How long each shopper took, seconds."""

    async def background(self) -> None:
        while not self.over.is_set():
            await self.network.order("A", Lane.BACKGROUND)

    async def shopper(self, after: float) -> None:
        await self.clock.wait(self.over, after)
        began = self.clock.monotonic()
        await self.network.order("A", Lane.SHOPPER)
        self.waits.append(self.clock.monotonic() - began)

    async def run(self, seconds: float, *, backlog: int, shoppers: list[float]) -> None:
        """Let so many background callers ask without a pause, and shoppers come at these times."""
        callers = [self.background() for _ in range(backlog)] + [self.shopper(after) for after in shoppers]
        tasks = [asyncio.ensure_future(caller) for caller in callers]
        await self.clock.wait(asyncio.Event(), seconds)
        self.over.set()
        for task in tasks[:backlog]:
            task.cancel()
        await asyncio.wait(tasks)


def p99(waits: list[float]) -> float:
    """All but one in a hundred waited no longer."""
    return sorted(waits)[int(len(waits) * 0.99)]


def client(
    transport: Transport, clock: Clock, rate: float, burst: float, url: str = "http://amazon.test"
) -> McfNetwork:
    """The client as the daemon makes it."""
    limits = AmazonLimits(clock, {OPERATION: (rate, burst)})
    return McfNetwork(transport, HeldTokens(), limits, endpoint=url, marketplace_id="M")


# ---- in real time, over HTTP


@asynccontextmanager
async def amazon(bucket: StrictBucket) -> AsyncIterator[str]:
    """A server that counts; its URL."""

    async def answer(_request: web.BaseRequest) -> web.Response:
        if bucket.admits():
            return web.Response(body=ORDER, content_type="application/json", headers=bucket.headers)
        return web.Response(status=429)

    server = web.ServerRunner(web.Server(answer))
    await server.setup()
    try:
        site = web.TCPSite(server, "127.0.0.1", 0)
        await site.start()
        yield "http://{}:{}".format(*server.addresses[0])
    finally:
        await server.cleanup()


@pytest.mark.volume  # beside what takes all cores it would measure them
async def test_the_limit_is_used_and_not_broken_in_real_time():
    """For five seconds at 20 a second: 98 % of the rate, no 429, and a shopper waits for two turns at most."""
    clock = SystemClock()
    bucket = StrictBucket(clock, rate=20.0, burst=30.0)
    async with amazon(bucket) as url, open_session(USER_AGENT) as session:
        transport = Transport(session, vendor="amazon", timeout=5.0, on_call=lambda _call: None)
        saturated = Saturation(client(transport, clock, 20.0, 30.0, url), clock)
        await saturated.run(5.0, backlog=200, shoppers=[0.5 + 0.2 * n for n in range(20)])

    assert bucket.refused == 0
    assert bucket.used >= 0.98
    assert len(saturated.waits) == 20
    assert p99(saturated.waits) < 2 / 20 + 0.3, "two turns, and what a busy machine needs for a call"


# ---- in virtual time, for an hour


@dataclass
class VirtualAmazon:
    """Stands in for the transport: calls take up to half a second on their way, and are counted when they arrive."""

    clock: FakeClock
    bucket: StrictBucket
    dice: random.Random

    async def send(self, _method: str, _url: str, **_rest: object) -> Reply:
        await self.clock.wait(asyncio.Event(), self.dice.uniform(0.02, 0.5))
        if not self.bucket.admits():
            raise RateLimited("429")
        return Reply(200, CIMultiDictProxy(CIMultiDict(self.bucket.headers)), ORDER)


Hour = Callable[[FakeClock], Awaitable[tuple[StrictBucket, list[float]]]]


def an_hour(seed: int, backlog: int) -> Hour:
    """An hour at Amazon's published 2 a second and 30 at once; about every fourth second a shopper comes."""

    async def main(clock: FakeClock) -> tuple[StrictBucket, list[float]]:
        dice = random.Random(seed)
        bucket = StrictBucket(clock, rate=2.0, burst=30.0)
        network = client(VirtualAmazon(clock, bucket, dice), clock, 2.0, 30.0)
        saturated = Saturation(network, clock)
        shoppers = [60 + 3500 * dice.random() for _ in range(900)]
        await saturated.run(3600.0, backlog=backlog, shoppers=shoppers)
        return bucket, saturated.waits

    return main


def test_the_published_limit_is_used_and_not_broken_for_an_hour():
    """With 300 background callers always waiting, 98 % of the rate is used, there is no 429, and no shopper notices."""
    seed = random.getrandbits(32)
    bucket, waits = run_virtual(an_hour(seed, backlog=300))
    _, undisturbed = run_virtual(an_hour(seed, backlog=0))

    assert bucket.refused == 0, f"seed {seed}"
    assert bucket.used >= 0.98
    assert len(waits) == len(undisturbed) == 900
    assert p99(waits) <= 2 / 2.0 + p99(undisturbed), "two turns more than without anybody else"


def test_a_limit_that_is_believed_to_be_larger_is_broken():
    """The strict bucket does refuse a client that takes 3 a second for allowed."""

    async def main(clock: FakeClock) -> StrictBucket:
        bucket = StrictBucket(clock, rate=2.0, burst=30.0)
        network = client(VirtualAmazon(clock, bucket, random.Random(1)), clock, 3.0, 30.0)
        limits = network._api._limits
        limits.observe = lambda _operation, _headers: None
        calls = [asyncio.ensure_future(network.order("A", Lane.BACKGROUND)) for _ in range(300)]
        await asyncio.wait(calls)
        assert any(isinstance(call.exception(), RateLimited) for call in calls)
        return bucket

    assert run_virtual(main).refused
