"""Calls that must not happen twice, through the real clients: a server that hangs up has seen each exactly once."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import aiohttp
import pytest

from adapters.amazon_mcf.client import McfNetwork
from adapters.amazon_mcf.postage import ReturnServicePostage
from adapters.easypost.client import EasyPostLabels
from adapters.easypost.connection import EasyPostConnection
from adapters.easypost.wire.files import allowed_hosts
from adapters.easypost.wire.shipments import Asking
from adapters.host.clock import SystemClock
from adapters.loop_returns.client import LoopPortal
from adapters.loop_returns.limits import LoopLimits
from adapters.vendor_calls.transport import Transport, open_session
from daemon.domain.portal import Grade, ParcelSize
from daemon.domain.postage import PostageOrder
from daemon.domain.postage_rates import RateRules
from daemon.domain.returns import Label, ReturnUnit, Transit
from daemon.errors import LeaseLost, McfdError, Unavailable
from daemon.ports.leases import Lease
from daemon.ports.vendors import Lane
from tests.support.amazon_server import USER_AGENT, HeldTokens, WatchedLimits
from tests.support.builders import CENTER, SHOPPER

LABEL = Label(url="https://x.test/l.pdf", carrier="Amazon", tracking_number="RMA-1")
UNIT = ReturnUnit(line_id="1", portal_sku="S", sku="S", return_item_id="r-1", order_item_id="A", shipment_id="D1")
ORDER = PostageOrder(
    reference="77-A1",
    ship_from=SHOPPER,
    ship_to=CENTER,
    rma_id="RMA-1",
    size=ParcelSize(weight_g=500),
    value_cents=1999,
    skus=("S",),
)
GRADES = [Grade(line_id="1", grade="grade_a", title="Grade A", disposition="donate", description="ok", inspected_at=0)]

READ = (Path(__file__).parents[1] / "samples" / "easypost" / "created.json").read_bytes()
"""What every reading is answered: a shipment, which EasyPost's client reads before it has it rated again."""

HANGING_UP = {
    "closes": b"",
    "closes after half a head": b"HTTP/1.1 200 OK\r\nContent-Ty",
    "closes after half a body": b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 90\r\n\r\n{",
}


@dataclass
class HangsUp:
    """Answers reading calls and keeps their connection; reads every other one whole, then hangs up."""

    last_words: bytes = b""
    resets: bool = False
    url: str = ""
    seen: list[str] = field(default_factory=list)
    """The requests that were not for reading."""
    connections: int = 0
    attending: set[asyncio.Task[None] | None] = field(default_factory=set)

    async def attend(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.attending.add(asyncio.current_task())
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while await self._serve(reader, writer):
                await writer.drain()
        if self.resets:
            writer.transport.abort()
        writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = re.search(r"(?i)content-length: (\d+)", head)
        await reader.readexactly(int(length[1]) if length else 0)
        if head.startswith("GET "):
            size = f"HTTP/1.1 200 OK\r\nContent-Length: {len(READ)}\r\nContent-Type: application/json\r\n\r\n"
            writer.write(size.encode() + READ)
            return True
        self.seen.append(head.partition("\r\n")[0])
        writer.write(self.last_words)
        return False


@contextlib.asynccontextmanager
async def hanging_up(last_words: bytes = b"", *, resets: bool = False) -> AsyncIterator[HangsUp]:
    """Run such a server."""
    server = HangsUp(last_words, resets)
    listener = await asyncio.start_server(server.attend, "127.0.0.1", 0)
    server.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    try:
        yield server
    finally:
        listener.close()
        await asyncio.wait(server.attending)


@dataclass
class Clients:
    """The daemon's own clients, all for one server."""

    network: McfNetwork
    shipping: ReturnServicePostage
    easypost: EasyPostLabels
    portal: LoopPortal


@contextlib.asynccontextmanager
async def clients(url: str) -> AsyncIterator[Clients]:
    """Open them as the daemon does, over one session."""
    clock = SystemClock()
    async with open_session(USER_AGENT) as session:
        transport = Transport(session, vendor="vendor", timeout=5.0, on_call=lambda _call: None)
        tokens, limits = HeldTokens(), WatchedLimits()
        yield Clients(
            McfNetwork(transport, tokens, limits, endpoint=url, marketplace_id="M"),
            ReturnServicePostage(
                transport,
                tokens,
                limits,
                endpoint=url,
                business_id="B",
                service_id="S",
                label_format="PDF",
                currency="USD",
            ),
            EasyPostLabels(
                EasyPostConnection(transport, transport, clock, api_url=f"{url}/v2", api_key=lambda: "EZAK"),
                rules=RateRules(),
                asking=Asking(),
                hosts=allowed_hosts(("files.test",), url),
                api_key=lambda: "EZAK",
                fetch=transport,
                fetch_locally=transport,
            ),
            LoopPortal(
                transport,
                LoopLimits(clock),
                clock=clock,
                api_url=url,
                api_version="2026-10",
                api_key=lambda: "key",
                processor="mcfd@example.com",
                currency="USD",
            ),
        )


CALLS: dict[str, Callable[[Clients], Awaitable[object]]] = {
    "createFulfillmentReturn": lambda c: c.network.create_return("A", [UNIT]),
    "purchaseShipment": lambda c: c.shipping.buy(b"{}", "key-1"),
    "cancelShipment": lambda c: c.shipping.void("S1"),
    "create_shipment": lambda c: c.easypost.offer(ORDER),
    "rerate_shipment": lambda c: c.easypost.offer(replace(ORDER, handle="shp_1")),
    "buy_shipment": lambda c: c.easypost.buy(b'{"shipment": "shp_1", "rate": "rate_1"}', "key-1"),
    "deliver_label": lambda c: c.portal.deliver_label("7", LABEL),
    "report_refusal": lambda c: c.portal.report_refusal("7", "no"),
    "report_transit": lambda c: c.portal.report_transit("9", Transit.IN_TRANSIT),
    "write_note": lambda c: c.portal.write_note("8", "text"),
    "grade": lambda c: c.portal.grade(GRADES),
    "assess": lambda c: c.portal.assess(GRADES),
    "flag": lambda c: c.portal.flag("8"),
    "process": lambda c: c.portal.process("8", {"rma": "R"}),
    "remove": lambda c: c.portal.remove("8", ["1"]),
    "create_webhook": lambda c: c.portal.create_webhook("return", "return.created", "https://x.test"),
}


async def keep_a_connection(c: Clients) -> None:
    """Make a call that leaves its connection in the pool, whatever becomes of the answer."""
    with contextlib.suppress(McfdError):
        await c.network.order("A", Lane.SHOPPER)


@pytest.mark.parametrize("manner", [*HANGING_UP, "resets"])
@pytest.mark.parametrize("call", CALLS)
async def test_a_server_that_hangs_up_has_seen_one_request(call, manner):
    """On a new and on a kept connection the call arrives once, and the caller hears that its effect is unclear."""
    async with hanging_up(HANGING_UP.get(manner, b""), resets=manner == "resets") as server, clients(server.url) as c:
        for kept in (False, True):
            if kept:
                await keep_a_connection(c)
            before, connections = len(server.seen), server.connections
            with pytest.raises(Unavailable) as caught:
                await CALLS[call](c)

            assert caught.value.unclear
            assert len(server.seen) == before + 1
            assert server.connections == connections + (not kept)


@pytest.mark.parametrize("call", CALLS)
async def test_a_lease_that_ends_on_the_way_lets_no_byte_out(call):
    """The lease stood when the call was planned, and has ended when its connection is there: nothing is written."""
    async with hanging_up() as server, clients(server.url) as c:
        await keep_a_connection(c)
        looks = iter((0.0, 2.0))
        with Lease("main", "t", lambda: next(looks), 1.0).working(), pytest.raises(LeaseLost):
            await CALLS[call](c)

        assert server.seen == []
        with pytest.raises(Unavailable):
            await CALLS[call](c)
        assert len(server.seen) == 1


async def test_a_lease_that_ends_after_the_headers_lets_no_body_out():
    """aiohttp holds the headers back for the body, which it may write later: the look is taken then."""
    over: list[bool] = []
    traces = aiohttp.TraceConfig()

    async def end(*_) -> None:
        over.append(True)

    traces.on_request_headers_sent.append(end)
    traces.freeze()
    async with hanging_up() as server, open_session(USER_AGENT) as session:
        session.trace_configs.append(traces)
        transport = Transport(session, vendor="vendor", timeout=5.0, on_call=lambda _call: None)
        with Lease("main", "t", lambda: 2.0 if over else 0.0, 1.0).working(), pytest.raises(LeaseLost):
            await transport.send("PUT", server.url, operation="put", body=b"{}")

        assert over
        assert server.seen == []


async def test_a_session_of_aiohttps_own_does_send_again():
    """The server notices: an ordinary session's PUT on a kept connection arrives twice."""
    async with hanging_up() as server, aiohttp.ClientSession() as session:
        async with session.get(server.url) as answer:
            await answer.read()
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await session.put(server.url, data=b"{}")

        assert len(server.seen) == 2
