"""One port with the routes of one or more stand-ins; requests are journaled and may get a fault."""

import asyncio
import html
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Protocol

from aiohttp import web

from adapters.sandbox.faults import Fault, FaultProfile
from adapters.sandbox.journal import Journal
from adapters.sandbox.refusals import VendorError
from daemon.ports.host import Clock

Handler = Callable[[web.Request], Awaitable[web.Response]]
SAYING = ("x-amzn-RequestId", "x-request-id", "cf-ray", "Retry-After", "Location", "x-amzn-ErrorType")
BROKEN_PAGE = "<html><head><title>{status}</title></head><body><h1>{status}</h1>{says}</body></html>"


@dataclass(frozen=True)
class Route:
    """One operation of a vendor."""

    method: str
    path: str
    operation: str
    handle: Handler


class Vendor(Protocol):
    """A stand-in's HTTP side."""

    name: str

    def routes(self) -> Sequence[Route]:
        """List the routes."""

    def admit(self, request: web.Request, operation: str) -> None:
        """Raise VendorError when the caller may not ask this, or asks too often."""

    def headers(self, operation: str, status: int) -> Mapping[str, str]:
        """Return the headers of every such answer."""

    def contradiction(self) -> VendorError:
        """Build an answer with status 200 and an error in the body."""

    def failure(self, status: int) -> VendorError:
        """Build the vendor's own answer to an internal error or to too many requests."""


@dataclass(frozen=True, kw_only=True)
class Shared:
    """What all listeners of a sandbox share; `stopping` interrupts everything that waits."""

    clock: Clock
    journal: Journal
    faults: FaultProfile
    stopping: asyncio.Event
    ahead: float = 0.0

    def date(self) -> dict[str, str]:
        """Return the Date header by the vendors' clock."""
        at = datetime.fromtimestamp(self.clock.now() + self.ahead, tz=UTC)
        return {"Date": format_datetime(at, usegmt=True)}


def answer_of(refusal: VendorError) -> web.Response:
    """Turn a refusal into its answer."""
    return web.json_response(refusal.body, status=refusal.status)


async def read_json(request: web.Request, refusal: VendorError) -> object:
    """Read a JSON body; raise the given refusal when it is none."""
    try:
        return json.loads(await request.read())
    except ValueError as error:
        raise refusal from error


async def perform(vendor: Vendor, route: Route, request: web.Request) -> web.Response:
    """Answer as the vendor does without a fault."""
    try:
        vendor.admit(request, route.operation)
        return await route.handle(request)
    except VendorError as refusal:
        return answer_of(refusal)


def spoilt(vendor: Vendor, fault: Fault) -> web.Response:
    """Build the answer that a broken vendor gives instead of its own."""
    if fault.kind == "contradiction":
        return answer_of(_retold(vendor.contradiction(), fault))
    if fault.kind == "error":
        return answer_of(_retold(vendor.failure(fault.status), fault))
    if fault.kind == "empty":
        return web.Response(status=200)
    page = BROKEN_PAGE.format(status=fault.status, says=html.escape(fault.says))
    return web.Response(status=fault.status, text=page, content_type="text/html")


def told_by(fault: Fault | None) -> dict[str, str]:
    """Return the headers that a fault adds to the answer."""
    headers = dict.fromkeys(SAYING, fault.says) if fault and fault.says else {}
    return headers | ({"Retry-After": f"{fault.retry_after:.0f}"} if fault and fault.retry_after else {})


def _retold(error: VendorError, fault: Fault) -> VendorError:
    """Put the fault's code and words into the vendor's error."""

    def retell(value: object, name: str = "") -> object:
        if isinstance(value, dict):
            return {key: retell(inner, key) for key, inner in value.items()}
        if isinstance(value, list):
            return [retell(inner) for inner in value]
        if name in {"code", "error"}:
            return fault.code or value
        return fault.says or value

    body = retell(error.body)
    if fault.code and isinstance(body, dict) and not {"errors", "error"} & body.keys():
        body["code"] = fault.code
    return VendorError(error.status, body)  # type: ignore[arg-type] # of the shape it had


class Listener:
    """Serves vendors on one port; the first matching route answers."""

    def __init__(self, shared: Shared, vendors: Sequence[Vendor], *, host: str, port: int) -> None:
        self._shared = shared
        self._host = host
        self._port = port
        app = web.Application(client_max_size=4 * 2**20)
        for vendor in vendors:
            for route in vendor.routes():
                app.router.add_route(route.method, route.path, self._watched(vendor, route))
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)

    async def start(self) -> str:
        """Bind, and return the base URL."""
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self._port)
        await site.start()
        port = self._runner.addresses[0][1]
        return f"http://{self._host}:{port}"

    async def close(self) -> None:
        """Stop serving."""
        await self._runner.cleanup()

    def _watched(self, vendor: Vendor, route: Route) -> Handler:
        async def handle(request: web.Request) -> web.Response:
            call = self._shared.journal.open(vendor.name, route.operation, request.method, request.rel_url.raw_path)
            fault = self._shared.faults.pick(vendor.name, route.operation)
            call.fault = fault.kind if fault else None
            response = await self._respond(vendor, route, request, fault)
            if response is None:
                if request.transport is not None:
                    request.transport.abort()
                return web.Response(status=500)
            call.status = response.status
            response.headers.update(self._shared.date() | {**vendor.headers(route.operation, response.status)})
            response.headers.update(told_by(fault))
            return response

        return handle

    async def _respond(
        self, vendor: Vendor, route: Route, request: web.Request, fault: Fault | None
    ) -> web.Response | None:
        """Return the answer, or None to drop the connection."""
        if fault is None:
            return await perform(vendor, route, request)
        await request.read()  # the vendor is slow, not the network: a long body arrives first
        if fault.kind == "delay":
            await self._shared.clock.wait(self._shared.stopping, fault.seconds)
            return await perform(vendor, route, request)
        if fault.after_effect:
            await perform(vendor, route, request)
        if fault.kind == "hang":
            await self._shared.clock.wait(self._shared.stopping, fault.seconds or None)
        return None if fault.kind in {"hang", "drop"} else spoilt(vendor, fault)
