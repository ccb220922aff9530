"""The public listener: webhooks of Loop and EasyPost, labels for shoppers, and `extra_routes`.

A webhook is answered 200 only after the receiver has returned, that is, after its commit. If the sender disconnects
meanwhile, the delivery still counts. Clients learn nothing but a status: no versions, no reasons, no tracebacks.
"""

import asyncio
import math
import re
from collections.abc import Awaitable, Callable, Container, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from http import HTTPStatus
from types import MappingProxyType
from typing import Protocol

import structlog
from aiohttp import web

from adapters.http.guard import GuardedServer
from daemon.errors import BadSignature, Crowded, Encoded, StoreUnavailable, TooLarge, Transient, WebhookRejected
from daemon.ports.host import Clock

log = structlog.get_logger(__name__)

MOST_BYTES, SMALL = 64 * 1024 * 1024, 64 * 1024
"""Bytes of one vendor's unfinished deliveries, or of labels, held at most; and of a body that is always taken."""

_RETRY_AFTER = 60.0
_GONE = "This label is no longer kept here; please ask the shop that you bought from.\n"
_UNKNOWN = "There is no such label here; please ask the shop that you bought from.\n"
_PIECE = 64 * 1024
_DISCREET = {
    "Cache-Control": "no-store",
    "X-Robots-Tag": "noindex",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_PDF = {
    "Content-Type": "application/pdf",
    "Content-Disposition": 'inline; filename="return-label.pdf"',
    "Server": "mcfd",
}


class WebhookReceiver(Protocol):
    """Verifies a delivery and stores it."""

    async def receive(self, shop: str, signature: str | None, body: bytes) -> str:
        """Return the outcome for the metric once the delivery is durable; `shop` is one of the listener's.

        Raises WebhookRejected when it is not the sender's, StoreUnavailable, or Transient while there is no secret.
        """


class HostedLabels(Protocol):
    """The labels that shoppers can fetch."""

    async def open(self, token: str) -> bytes | None:
        """Read a label's PDF: b"" when its retention is over, None when there never was one."""


@dataclass(frozen=True)
class Route:
    """An additional route of the listener, for exactly this path."""

    method: str
    path: str
    handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


@dataclass
class Webhooks:
    """Answers the deliveries of one sender, whose signature is in `header`.

    `on_webhook(shop, outcome, seconds)` is called for each; the name gets the prefix `called`. Nobody knows who sends a
    body until all of it is there: beyond MOST_BYTES that are being received, those larger than SMALL are refused.

    Outcomes: what the receiver said, the kind of a WebhookRejected, `unknown_shop` (with shop ""), `incomplete`,
    `unavailable`, `failed`.
    """

    receiver: WebhookReceiver
    shops: Container[str]
    clock: Clock
    max_body: int
    on_webhook: Callable[[str, str, float], None]
    header: str = "X-Loop-Signature"
    called: str = ""
    receiving: int = 0

    async def post(self, request: web.BaseRequest, shop: str) -> web.Response:
        """Answer one delivery."""
        began = self.clock.monotonic()
        known = shop in self.shops
        outcome, answer = await self._take(request, shop) if known else ("unknown_shop", say(404))
        self.on_webhook(self.called + shop if known else "", outcome, self.clock.monotonic() - began)
        return answer

    async def _take(self, request: web.BaseRequest, shop: str) -> tuple[str, web.Response]:
        try:
            signature = self._signature(request)
            body = await self._body(request)
        except WebhookRejected as rejection:
            return rejection.kind, say(rejection.status)
        except (ConnectionError, web.RequestPayloadError):
            return "incomplete", say(400)
        return await self._receive(shop, signature, body)

    async def _receive(self, shop: str, signature: str | None, body: bytes) -> tuple[str, web.Response]:
        try:
            outcome = await self.receiver.receive(shop, signature, body)
        except WebhookRejected as rejection:
            return rejection.kind, say(rejection.status)
        except StoreUnavailable as error:
            log.warning("webhook.unavailable", shop=shop, reason=str(error))
            return "unavailable", say(503)
        except Transient as error:
            return "unavailable", say(503, retry_after=error.retry_after)
        except Exception:
            # Never a 4xx for a fault of ours: Loop does not retry after one.
            log.exception("webhook.failed", shop=shop)
            return "failed", say(503)
        return outcome, say(200)

    def _signature(self, request: web.BaseRequest) -> str | None:
        """Reject by the headers alone, before reading the body."""
        if (request.content_length or 0) > self.max_body:
            raise TooLarge
        if "Content-Encoding" in request.headers:
            raise Encoded
        signatures = request.headers.getall(self.header, [])
        if len(signatures) > 1 or not all(signature.isascii() for signature in signatures):
            raise BadSignature
        return signatures[0] if signatures else None

    async def _body(self, request: web.BaseRequest) -> bytes:
        if request.headers.get("Expect", "").lower() == "100-continue" and request.transport is not None:
            request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = bytearray()
        try:
            async for piece in request.content.iter_any():
                body += piece
                self.receiving += len(piece)
                if len(body) > self.max_body:
                    raise TooLarge
                if self.receiving > MOST_BYTES and len(body) > SMALL:
                    raise Crowded
            return bytes(body)
        finally:
            self.receiving -= len(body)


class Allowance:
    """Bounds requests that cost us more than the sender: `burst` at once, then `rate` a second.

    All clients share it, because the peer address is usually that of the proxy in front of us.
    """

    def __init__(self, clock: Clock, *, rate: float = 1.0, burst: int) -> None:
        self._clock = clock
        self._rate = rate
        self._burst = burst
        self._left = float(burst)
        self._at = clock.monotonic()

    def spend(self) -> bool:
        """Take one; False when none is left."""
        now = self._clock.monotonic()
        self._left = min(float(self._burst), self._left + (now - self._at) * self._rate)
        self._at = now
        granted = self._left >= 1
        self._left -= granted
        return granted


@dataclass
class LabelPages:
    """Answers shoppers. `on_label(outcome)`: `served`, `gone`, `missing`, `limited`, `unavailable`, `unread`.

    An existing label is served however often others guess. At most `max_lookups` run at once, so that guessing blocks
    neither the store nor all connections. At most `most_bytes` are being sent at once, because slow readers occupy
    memory; a reader who takes nothing for `patience` seconds is cut off and counted as `unread`.
    """

    labels: HostedLabels
    misses: Allowance
    max_lookups: int
    on_label: Callable[[str], None]
    most_bytes: int = MOST_BYTES
    patience: float = 10.0
    lookups: int = 0
    sending: int = 0

    async def get(self, request: web.BaseRequest, token: str) -> web.StreamResponse:
        """Answer with one label."""
        found = await self._find(token)
        if isinstance(found, bytes):
            outcome, answer = await self._send(request, found)
        else:
            outcome, answer = found
        self.on_label(outcome)
        return answer

    async def _send(self, request: web.BaseRequest, pdf: bytes) -> tuple[str, web.StreamResponse]:
        answer = web.StreamResponse(headers=_DISCREET | _PDF)
        answer.content_length = len(pdf)
        self.sending += len(pdf)
        try:
            await answer.prepare(request)
            for start in range(0, len(pdf) if request.method == "GET" else 0, _PIECE):
                async with asyncio.timeout(self.patience):
                    await answer.write(pdf[start : start + _PIECE])
        except TimeoutError:
            if request.transport is not None:
                request.transport.abort()
            return "unread", answer
        except ConnectionError:  # the reader went away
            return "unread", answer
        finally:
            self.sending -= len(pdf)
        return "served", answer

    async def _find(self, token: str) -> tuple[str, web.Response] | bytes:
        if self.lookups >= self.max_lookups or self.sending >= self.most_bytes:
            return "limited", say(429, retry_after=1.0)
        self.lookups += 1
        try:
            pdf = await self.labels.open(token)
        except StoreUnavailable as error:
            log.warning("label.unavailable", reason=str(error))
            return "unavailable", say(503)
        finally:
            self.lookups -= 1
        if pdf:
            return pdf
        if pdf is not None:
            return "gone", say(410, _GONE)
        return (
            ("missing", say(404, _UNKNOWN)) if self.misses.spend() else ("limited", say(429, retry_after=_RETRY_AFTER))
        )


@dataclass(frozen=True)
class _ByName:
    """Passes each delivery to the receiver of the shop in its path."""

    receivers: Mapping[str, WebhookReceiver]

    async def receive(self, shop: str, signature: str | None, body: bytes) -> str:
        """Pass the delivery on."""
        return await self.receivers[shop].receive(shop, signature, body)


def _of_parcels(webhooks: Webhooks, receivers: Mapping[str, WebhookReceiver]) -> Webhooks:
    """Return the same handler for EasyPost's events."""
    receiver = _ByName(receivers)
    return replace(webhooks, receiver=receiver, shops=receivers, header="X-Hmac-Signature", called="easypost/")


class PublicListener:
    """The listener itself: one socket behind GuardedServer. Durations are in seconds, `max_body` in bytes.

    `shops` are the names in the paths of Loop's webhooks, `parcels` those in EasyPost's. Handlers of `extra_routes` get
    undecoded requests and may raise aiohttp's HTTPException; any other exception is answered 503. Headers forbid
    caching, referrers and indexing.
    """

    def __init__(
        self,
        *,
        receiver: WebhookReceiver,
        parcels: Mapping[str, WebhookReceiver] = MappingProxyType({}),
        labels: HostedLabels,
        shops: Container[str],
        clock: Clock,
        max_body: int = 1024 * 1024,
        request_deadline: float = 10.0,
        keepalive_timeout: float = 75.0,
        max_connections: int = 1024,
        max_lookups: int = 32,
        misses: Allowance | None = None,
        label_patience: float = 10.0,
        extra_routes: Iterable[Route] = (),
        on_webhook: Callable[[str, str, float], None] = lambda _shop, _outcome, _seconds: None,
        on_label: Callable[[str], None] = lambda _outcome: None,
        on_turned_away: Callable[[str], None] = lambda _why: None,
    ) -> None:
        self._clock = clock
        webhooks = Webhooks(receiver, shops, clock, max_body, on_webhook)
        pages = LabelPages(labels, misses or Allowance(clock, burst=60), max_lookups, on_label, patience=label_patience)
        self._paths: list[tuple[re.Pattern[str], dict[str, Callable[..., Awaitable[web.StreamResponse]]]]] = [
            (re.compile(r"/webhooks/loop/(?P<shop>[^/]{1,100})/?"), {"POST": webhooks.post}),
            (re.compile(r"/webhooks/easypost/(?P<shop>[^/]{1,100})/?"), {"POST": _of_parcels(webhooks, parcels).post}),
            (re.compile(r"/labels/(?P<token>[A-Za-z0-9_-]{43})\.pdf"), {"GET": pages.get, "HEAD": pages.get}),
            (re.compile(r"/robots\.txt"), {"GET": _robots, "HEAD": _robots}),
            *((re.compile(re.escape(route.path)), {route.method: route.handler}) for route in extra_routes),
        ]
        self._make_server = partial(
            GuardedServer,
            self._answer,
            request_deadline=request_deadline,
            keepalive_timeout=keepalive_timeout,
            max_connections=max_connections,
            on_turned_away=on_turned_away,
        )
        self._server: GuardedServer | None = None
        self._socket: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> None:
        """Bind and listen; port 0 takes a free one. Raises OSError."""
        self._server = self._make_server()
        self._socket = await asyncio.get_running_loop().create_server(self._server, host, port, backlog=1024)

    @property
    def port(self) -> int:
        """The port that is bound."""
        if self._socket is None:
            raise RuntimeError("not started")
        return int(self._socket.sockets[0].getsockname()[1])

    async def stop(self, drain_seconds: float) -> None:
        """Accept no new connections, let running requests finish for `drain_seconds`, cut off the rest."""
        if self._socket is None or self._server is None:
            return
        self._socket.close()
        late = await self._server.drain(self._clock, drain_seconds)
        self._socket = self._server = None
        log.info("listener.stopped", listener="public", cut_off=late)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            answer = await self._dispatch(request)
        except web.HTTPException:
            raise
        except Exception:
            log.exception("request.failed")
            answer = say(503)
        answer.headers.update(_DISCREET)
        if not request.content.is_eof():  # do not wait for the rest of an unwanted body
            answer.force_close()
        return answer

    async def _dispatch(self, request: web.BaseRequest) -> web.StreamResponse:
        allowed: list[str] = []
        for path, methods in self._paths:
            if found := path.fullmatch(request.path):
                if handler := methods.get(request.method):
                    return await handler(request, **found.groupdict())
                allowed += methods
        if not allowed:
            return say(404)
        answer = say(405)
        answer.headers["Allow"] = ", ".join(allowed)
        return answer


def say(status: int, text: str | None = None, *, retry_after: float | None = None) -> web.Response:
    """Answer with a status and a short text; `retry_after` is in seconds, by default a minute for a 503."""
    answer = web.Response(status=status, text=text or f"{HTTPStatus(status).phrase.lower()}\n")
    wait = _RETRY_AFTER if retry_after is None and status == 503 else retry_after
    if wait is not None:
        answer.headers["Retry-After"] = str(max(1, math.ceil(wait)))
    return answer


async def _robots(_request: web.BaseRequest) -> web.Response:
    return say(200, "User-agent: *\nDisallow: /\n")
