"""The vendors' HTTP sides without sockets: routes, handlers and faults run in this loop."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from urllib.parse import parse_qsl, unquote

from aiohttp import web
from multidict import CIMultiDict, MultiDict
from yarl import URL

from adapters.sandbox.listener import Route, Shared, Vendor, answer_of, spoilt, told_by
from adapters.sandbox.refusals import VendorError

FORM = "application/x-www-form-urlencoded"
_PLACE = re.compile(r"\{(\w+)(?::([^{}]+))?\}")


@dataclass
class Request:
    """The part of aiohttp's request that the vendors' handlers use."""

    method: str
    url: URL
    headers: CIMultiDict[str]
    body: bytes
    match_info: Mapping[str, str] = field(default_factory=dict)

    @property
    def rel_url(self) -> URL:
        return self.url.relative()

    @property
    def path(self) -> str:
        return self.url.path

    @property
    def query(self) -> Mapping[str, str]:
        return self.url.query

    @property
    def content_type(self) -> str:
        return self.headers.get("Content-Type", "application/octet-stream").partition(";")[0]

    @property
    def can_read_body(self) -> bool:
        return self.body != b""

    async def read(self) -> bytes:
        return self.body

    async def post(self) -> MultiDict[str]:
        return MultiDict(parse_qsl(self.body.decode(), keep_blank_values=True))


@cache
def _pattern(path: str) -> re.Pattern[str]:
    text, end = "", 0
    for place in _PLACE.finditer(path):
        text += re.escape(path[end : place.start()]) + f"(?P<{place[1]}>{place[2] or '[^/]+'})"
        end = place.end()
    return re.compile(text + re.escape(path[end:]))


class Switchboard:
    """The vendors of one host. `busy` counts every step of every exchange."""

    def __init__(self, shared: Shared, vendors: Sequence[Vendor]) -> None:
        self._shared = shared
        self._vendors = vendors
        self._routes = [(vendor, route, _pattern(route.path)) for vendor in vendors for route in vendor.routes()]

    async def serve(self, request: Request) -> web.Response | None:
        """Answer an arriving request; None means that the connection drops."""
        vendor, route, request.match_info = self._find(request)
        call = self._shared.journal.open(vendor.name, route.operation, request.method, request.url.raw_path)
        fault = self._shared.faults.pick(vendor.name, route.operation)
        call.fault = fault.kind if fault else None
        if fault and fault.kind == "delay":
            await self._shared.clock.wait(self._shared.stopping, fault.seconds)
        if fault is None or fault.kind == "delay":
            response = await _perform(vendor, route, request)
        else:
            if fault.after_effect:
                await _perform(vendor, route, request)
            if fault.kind == "hang":
                await self._shared.clock.wait(self._shared.stopping, fault.seconds or None)
            if fault.kind in {"hang", "drop"}:
                return None
            response = spoilt(vendor, fault)
        call.status = response.status
        response.headers.update(self._shared.date() | {**vendor.headers(route.operation, response.status)})
        response.headers.update(told_by(fault))
        return response

    def _find(self, request: Request) -> tuple[Vendor, Route, Mapping[str, str]]:
        path = request.url.raw_path
        for vendor, route, pattern in self._routes:
            if route.method in {request.method, "*"} and (match := pattern.fullmatch(path)):
                return vendor, route, {name: unquote(text) for name, text in match.groupdict().items()}
        raise LookupError(f"nobody answers {request.method} {path}")


async def _perform(vendor: Vendor, route: Route, request: Request) -> web.Response:
    try:
        vendor.admit(request, route.operation)  # type: ignore[arg-type]
        return await route.handle(request)  # type: ignore[arg-type]
    except VendorError as refusal:
        return answer_of(refusal)
