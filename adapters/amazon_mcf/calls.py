"""How every call to the Selling Partner API is made: rate limit, token, one retry with a fresh token, refusals."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import structlog

from adapters.amazon_mcf.limits import AmazonLimits
from adapters.amazon_mcf.wire.envelope import UNAUTHORIZED, Denial, denial
from adapters.vendor_calls.circuit_breaker import CircuitBreaker
from adapters.vendor_calls.transport import Reply, Transport
from adapters.vendor_calls.withheld import let_out
from daemon.errors import CredentialsRefused, McfdError, RateLimited, Refused, SecretExpired, Transient
from daemon.ports.vendors import Lane

log = structlog.get_logger(__name__)

T = TypeVar("T")
DENIED = frozenset({401, 403})
SECRET_PROBED_EVERY = 30.0
"""Seconds between tries while Amazon says that the client secret has expired; the error goes away by itself."""


class Tokens(Protocol):
    """Where access tokens come from."""

    async def token(self) -> str:
        """Return a token that should work; raises Transient or CredentialsRefused."""

    def drop(self, token: str) -> None:
        """Forget this token unless another has already replaced it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One call. `path` is percent-encoded, with its query; a body is JSON."""

    operation: str
    method: str
    path: str = field(repr=False)
    body: bytes | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


class SellingPartnerApi:
    """Makes calls for one seller to one of its APIs. `endpoint` is the region's host, with its scheme.

    `probe` is a call that any seller with the role may make. Amazon answers 403 both to malformed ids and to a seller
    without the role; only the probe tells the two apart.
    """

    def __init__(
        self,
        transport: Transport,
        tokens: Tokens,
        limits: AmazonLimits,
        *,
        endpoint: str,
        probe: Callable[[], Request],
    ) -> None:
        self._transport = transport
        self._tokens = tokens
        self._limits = limits
        self._endpoint = endpoint.rstrip("/")
        self._probe = probe
        self._parking = CircuitBreaker(limits.clock)

    @property
    def refused(self) -> str:
        """Why this API is parked; empty while it is not."""
        return self._parking.refused.get(CircuitBreaker.EVERYTHING, "")

    def unpark(self) -> None:
        """Let the next call try again at once."""
        self._parking.forget()

    async def call(self, request: Request, lane: Lane, decode: Callable[[int, bytes], T]) -> T:
        """Wait for a turn, send, and decode.

        A call is repeated only after a 401 or 403, which have no effect: once, with a fresh token. If that fails, too,
        it raises CredentialsRefused and parks this API, or Refused when Amazon objects to this call alone.
        """
        self._parking.check()
        reply = await self._authorized(request, lane)
        with self._heeding_limits(request.operation):
            return decode(reply.status, reply.body)

    async def _authorized(self, request: Request, lane: Lane) -> Reply:
        age = self._parking.age
        reply, token = await self._attempt(request, lane, admit=True)
        if reply.status in DENIED:
            self._tokens.drop(token)
            age = self._parking.age
            reply, _ = await self._attempt(request, lane)
        if reply.status not in DENIED:
            if age == self._parking.age:
                self._parking.lift()
            return reply
        denied = denial(request.operation, reply.status, reply.body)
        try:
            let_in = not denied.secret_expired and await self._lets_us_in(lane)
        except Transient:  # the call was certainly refused; the next one will find out whose fault it was
            raise CredentialsRefused(f"amazon {request.operation}: {denied.words}", retry_after=60.0) from None
        raise self._blamed(denied, age, request.operation, let_in=let_in)

    def _blamed(self, denied: Denial, age: int, operation: str, *, let_in: bool) -> McfdError:
        """Blame this call if the probe was accepted, else our credentials, and park unless they were replaced."""
        words_of_us = f"amazon {operation}: {denied.words}"
        if age != self._parking.age:
            return CredentialsRefused(words_of_us)
        if let_in:
            self._parking.lift()
            return Refused(UNAUTHORIZED, denied.words)
        if not denied.secret_expired:
            self._parking.park(words_of_us)
            return CredentialsRefused(words_of_us)
        if self.refused != denied.words:  # warn once, not at each try
            log.warning("amazon.secret_expired", operation=operation, cause=denied.words)
        self._parking.park(denied.words, seconds=SECRET_PROBED_EVERY)
        return SecretExpired(denied.words, retry_after=SECRET_PROBED_EVERY)

    async def _lets_us_in(self, lane: Lane) -> bool:
        """Count only a success as accepted: other answers, such as a 404, need no role."""
        reply, _ = await self._attempt(self._probe(), lane)
        return reply.status < 300

    async def _attempt(self, request: Request, lane: Lane, *, admit: bool = False) -> tuple[Reply, str]:
        await self._limits.acquire(request.operation, lane)
        if admit:
            self._parking.admit()
        token = await self._tokens.token()
        let_out(request.method, f"amazon {request.operation}")
        with self._heeding_limits(request.operation):
            reply = await self._transport.send(
                request.method,
                self._endpoint + request.path,
                operation=request.operation,
                headers=self._headers(request, token),
                body=request.body,
            )
        self._limits.observe(request.operation, reply.headers)
        return reply, token

    @contextmanager
    def _heeding_limits(self, operation: str) -> Iterator[None]:
        """Slow the operation down when Amazon says, by status or in the body, that it was called too often."""
        try:
            yield
        except RateLimited as limited:
            self._limits.throttled(operation, limited.retry_after)
            raise

    def _headers(self, request: Request, token: str) -> dict[str, str]:
        headers = {"x-amz-access-token": token, "accept": "application/json"}
        if request.body is not None:
            headers["content-type"] = "application/json"
        return headers | dict(request.headers)
