"""Turns one HTTP call into bytes or a classified error: bounded in time and size, sent once, never redirected."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from functools import partial
from types import SimpleNamespace

import aiohttp
import yarl
from aiohttp.abc import AbstractStreamWriter
from multidict import CIMultiDictProxy

from adapters.vendor_calls.public_addresses import PublicResolver
from adapters.vendor_calls.withheld import let_out
from daemon.errors import ContractBroken, McfdError, RateLimited, Unavailable

MAX_BODY = 8 * 1024 * 1024
MAX_RETRY_AFTER = 3600.0
CONNECT_TIMEOUT = 10.0
_REQUEST_ID = re.compile(r"[A-Za-z0-9=+/:._-]{1,128}")
Session = aiohttp.ClientSession
REQUEST_IDS = ("x-amzn-RequestId", "x-ep-request-uuid", "x-request-id", "cf-ray")


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer for a wire to read: any status but 3xx, 408, 429 and 5xx. Its repr shows neither headers nor body."""

    status: int
    headers: CIMultiDictProxy[str] = field(repr=False)
    body: bytes = field(repr=False)

    def header(self, name: str) -> str | None:
        """Return a header's first value; the case of its name does not matter."""
        return self.headers.get(name)


@dataclass(frozen=True, slots=True)
class Call:
    """One finished call, for metrics, the log, the journal and the clock check; `date` is the answer's header.

    `outcome`: ok (2xx), refused (another readable status), rate_limited, unavailable, broken or abandoned; `why` says
    why there is no answer. `url`, `sent` and `answer` went over the line: only allow-lists see them.
    """

    vendor: str
    operation: str
    outcome: str
    seconds: float
    status: int | None = None
    request_id: str | None = None
    date: str | None = None
    why: str = ""
    url: str = field(default="", repr=False)
    sent: bytes | None = field(default=None, repr=False)
    answer: bytes | None = field(default=None, repr=False)

    @property
    def answered_at(self) -> float | None:
        """When the vendor answered by its own clock (Unix seconds); None when it does not say."""
        try:
            return parsedate_to_datetime(self.date or "").timestamp()
        except ValueError:
            return None


def open_session(
    user_agent: str, *, connections: int = 200, fresh: bool = False, public_only: bool = False
) -> aiohttp.ClientSession:
    """Open a session fit for Transport; needs a running event loop, and the caller closes it.

    `connections` bounds the sockets in use, 0 does not; a call that waits for one may time out before anything is sent.
    `fresh` opens a new connection for each call; `public_only` refuses addresses of private networks and of this
    machine.
    """
    session = aiohttp.ClientSession(
        trace_configs=[_last_look()],
        # If the server has just closed a pooled connection, the next write fails and looks unclear though no server
        # saw it. Servers keep idle connections for about a minute; we drop ours well before.
        connector=aiohttp.TCPConnector(
            limit=connections,
            force_close=fresh,
            keepalive_timeout=None if fresh else 15,
            resolver=PublicResolver() if public_only else None,
        ),
        headers={"User-Agent": user_agent},
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        raise_for_status=False,
    )
    # aiohttp repeats GET, PUT and DELETE by itself when the peer drops the connection, and has no public switch for it.
    # createFulfillmentReturn is a PUT, and it must never be sent twice unnoticed.
    session._retry_connection = False
    return session


def _last_look() -> aiohttp.TraceConfig:
    """Calls what a request without a body was given for this, when it has its connection and before its first byte."""
    traces = aiohttp.TraceConfig()

    async def look(
        _session: Session, context: SimpleNamespace, _request: aiohttp.TraceRequestHeadersSentParams
    ) -> None:
        if context.trace_request_ctx is not None:
            context.trace_request_ctx()

    traces.on_request_headers_sent.append(look)
    return traces


class _Watched(aiohttp.BytesPayload):
    """A body that takes the last look: aiohttp keeps the headers back for it, and may write it a round later."""

    def __init__(self, body: bytes, look: Callable[[], None]) -> None:
        super().__init__(body)
        self._look = look

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        self._look()
        await super().write_with_length(writer, content_length)


class Transport:
    """Calls one vendor. Errors name vendor, operation and kind; never a query, a header or a body.

    `room` bounds the calls under way for one account or shop, so that one whose vendor hangs takes no other's sockets.
    Calls that change something are for the node that works the account, but for those of a `free` transport.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        *,
        vendor: str,
        timeout: float,
        on_call: Callable[[Call], None],
        max_body: int = MAX_BODY,
        room: asyncio.Semaphore | None = None,
        free: bool = False,
    ) -> None:
        if session._retry_connection:
            raise ValueError("this session resends by itself; use open_session()")
        self._session = session
        self._vendor = vendor
        self._on_call = on_call
        self._max_body = max_body
        self._room = room
        self._free = free
        # shorter than the total, so that a time-out tells the two apart
        self._connect = connect = min(CONNECT_TIMEOUT, timeout / 2)
        self._timeout = aiohttp.ClientTimeout(total=timeout, connect=connect)

    async def send(
        self,
        method: str,
        url: str,
        *,
        operation: str,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> Reply:
        """Send one request, once. `url` is already percent-encoded and sent as it is.

        Raises RateLimited (429), Unavailable (no answer, 408, 5xx) or ContractBroken (3xx, too large).
        """
        attempt = _Attempt(f"{self._vendor} {operation}", asyncio.get_running_loop().time(), url, body)
        outcome = "abandoned"  # cancelled, or a bug of ours
        try:
            async with self._place(attempt.label):
                reply = await self._exchange(method, url, headers, body, attempt)
            outcome, attempt.answer = "ok" if reply.status < 300 else "refused", reply.body
        except (aiohttp.ClientError, OSError) as failure:  # TimeoutError is an OSError
            error = attempt.withheld or _classify(attempt.label, failure)
            outcome, attempt.why = _outcome(error), attempt.kind(error)
        except McfdError as unusable:
            outcome, attempt.why = _outcome(unusable), attempt.kind(unusable)
            raise
        else:
            return reply
        finally:
            self._report(operation, outcome, attempt)
        # Raised out here so that it has no cause: aiohttp's own texts contain the URL.
        raise error

    @asynccontextmanager
    async def _place(self, label: str) -> AsyncIterator[None]:
        """Wait for a place among the calls under way, as long as for a connection. Raises Unavailable."""
        if self._room is None:
            yield
            return
        try:
            async with asyncio.timeout(self._connect):
                await self._room.acquire()
        except TimeoutError:
            raise Unavailable(f"{label}: too many calls are still unanswered", unclear=False) from None
        try:
            yield
        finally:
            self._room.release()

    async def _exchange(
        self, method: str, url: str, headers: Mapping[str, str] | None, body: bytes | None, attempt: "_Attempt"
    ) -> Reply:
        target = yarl.URL(url, encoded=True)
        look = None if self._free else partial(attempt.look, method)
        async with self._session.request(
            method,
            target,
            headers=headers,
            data=body if look is None or body is None else _Watched(body, look),
            allow_redirects=False,
            timeout=self._timeout,
            trace_request_ctx=look if body is None else None,
        ) as response:
            attempt.status = response.status
            attempt.request_id = _request_id(response.headers)
            attempt.date = response.headers.get("Date")
            _reject_unusable(attempt.label, response)
            return Reply(
                response.status, response.headers, await _read_bounded(attempt.label, response, self._max_body)
            )

    def _report(self, operation: str, outcome: str, attempt: "_Attempt") -> None:
        seconds = asyncio.get_running_loop().time() - attempt.started
        self._on_call(
            Call(
                self._vendor,
                operation,
                outcome,
                seconds,
                attempt.status,
                attempt.request_id,
                attempt.date,
                attempt.why,
                attempt.url,
                attempt.sent,
                attempt.answer,
            )
        )


@dataclass(slots=True)
class _Attempt:
    label: str
    started: float
    url: str
    sent: bytes | None
    status: int | None = None
    request_id: str | None = None
    date: str | None = None
    why: str = ""
    answer: bytes | None = None
    withheld: McfdError | None = None

    def look(self, method: str) -> None:
        """Take the last look, whose error aiohttp may turn into one of its own."""
        try:
            let_out(method, self.label)
        except McfdError as error:
            self.withheld = error
            raise

    def kind(self, error: McfdError) -> str:
        """The error's own words, without the name of the call."""
        return str(error).removeprefix(f"{self.label}: ")


# aiohttp's exceptions; the first match gives the kind, and whether the request may have had its effect.
_FAILURES: tuple[tuple[type[Exception], str, bool], ...] = (
    (aiohttp.ClientConnectorDNSError, "the host name does not resolve", False),
    (aiohttp.ClientSSLError, "no trusted TLS connection", False),
    (aiohttp.ClientConnectorError, "cannot connect", False),
    (aiohttp.ConnectionTimeoutError, "timed out while connecting", False),
    (TimeoutError, "timed out while waiting for the answer", True),
    (aiohttp.ClientPayloadError, "the answer was cut short or garbled", True),
    (aiohttp.ClientResponseError, "the answer was not HTTP", True),
)


def _classify(label: str, failure: Exception) -> McfdError:
    if isinstance(failure, aiohttp.InvalidURL | aiohttp.NonHttpUrlClientError):
        return ContractBroken(f"{label}: the URL is not one that can be called")
    for kind, text, unclear in _FAILURES:
        if isinstance(failure, kind):
            return Unavailable(f"{label}: {text}", unclear=unclear)
    return Unavailable(f"{label}: the connection was lost")


def _outcome(error: McfdError) -> str:
    match error:
        case RateLimited():
            return "rate_limited"
        case Unavailable():
            return "unavailable"
        case _:
            return "broken"


def _reject_unusable(label: str, response: aiohttp.ClientResponse) -> None:
    """Raise for a status that is not an answer of the application, before reading the body."""
    status = response.status
    if status == 429:
        raise RateLimited(f"{label}: rate limited (429)", retry_after=_retry_after(response.headers))
    if status == 408 or status >= 500:
        raise Unavailable(f"{label}: status {status}", retry_after=_retry_after(response.headers))
    if 300 <= status < 400:
        raise ContractBroken(f"{label}: unexpected redirect (status {status})")


async def _read_bounded(label: str, response: aiohttp.ClientResponse, most: int) -> bytes:
    """Read the body, counting bytes after decompression."""
    chunks: list[bytes] = []
    size = 0
    async for chunk in response.content.iter_any():
        size += len(chunk)
        if size > most:
            raise ContractBroken(f"{label}: the answer is larger than {most} bytes")
        chunks.append(chunk)
    return b"".join(chunks)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Read Retry-After in seconds, at most an hour; a date is taken relative to the server's own clock."""
    value = headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdigit():
        return min(float(value), MAX_RETRY_AFTER)
    try:
        wait = (parsedate_to_datetime(value) - parsedate_to_datetime(headers.get("Date", ""))).total_seconds()
    except (ValueError, TypeError, OverflowError):  # unreadable, absent, of no calendar, or one without a time zone
        return None
    return min(max(wait, 0.0), MAX_RETRY_AFTER)


def _request_id(headers: Mapping[str, str]) -> str | None:
    found = next((headers[name] for name in REQUEST_IDS if name in headers), None)
    return found if found and _REQUEST_ID.fullmatch(found) else None
