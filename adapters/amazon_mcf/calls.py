"""How every call to the Selling Partner API is made: its turn, its token, one fresh token, its words for a refusal."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from adapters.amazon_mcf.envelope import UNAUTHORIZED, denial
from adapters.parking import Parking
from adapters.rate_limit import AmazonLimits
from adapters.transport import Reply, Transport
from daemon.errors import CredentialsRefused, RateLimited, Refused
from daemon.ports import Lane

T = TypeVar("T")
DENIED = frozenset({401, 403})


class Tokens(Protocol):
    """Where access tokens come from."""

    async def token(self) -> str:
        """Return a token that is believed to be good; raises Transient or CredentialsRefused."""

    def drop(self, token: str) -> None:
        """Forget this token, unless another has taken its place already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One call. `path` is percent-encoded, with its query; a body is JSON."""

    operation: str
    method: str
    path: str = field(repr=False)
    body: bytes | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


class SellingPartnerApi:
    """Makes calls for one seller to one of its APIs. `endpoint` is the region's host with its scheme.

    `probe` is a call that any seller with the role may make; None where no call holds anything that Amazon could find
    odd. Amazon answers 403 to odd ids as well as to a seller without the role, and only the probe tells which it was.
    """

    def __init__(
        self,
        transport: Transport,
        tokens: Tokens,
        limits: AmazonLimits,
        *,
        endpoint: str,
        user_agent: str,
        probe: Request | None = None,
    ) -> None:
        self._transport = transport
        self._tokens = tokens
        self._limits = limits
        self._endpoint = endpoint.rstrip("/")
        self._user_agent = user_agent
        self._probe = probe
        self._parking = Parking(limits.clock)

    @property
    def refused(self) -> str:
        """Why this API is parked; empty while it is not."""
        return self._parking.refused.get(Parking.EVERYTHING, "")

    async def call(self, request: Request, lane: Lane, decode: Callable[[int, bytes], T]) -> T:
        """Wait for a turn, send, and decode.

        Nothing is sent twice, but for one repeat with a fresh token after a 401 or 403, which have no effect. After
        that it is CredentialsRefused, which parks this API, or Refused when only this call was not liked.
        """
        self._parking.check()
        try:
            reply = await self._authorized(request, lane)
            return decode(reply.status, reply.body)
        except RateLimited as limited:
            self._limits.throttled(request.operation, limited.retry_after)
            raise

    async def _authorized(self, request: Request, lane: Lane) -> Reply:
        reply, token = await self._attempt(request, lane, admit=True)
        if reply.status in DENIED:
            self._tokens.drop(token)
            reply, _ = await self._attempt(request, lane)
        if reply.status not in DENIED:
            self._parking.lift()
            return reply
        words = denial(request.operation, reply.status, reply.body)
        if reply.status == 403 and await self._lets_us_in(lane):
            self._parking.lift()
            raise Refused(UNAUTHORIZED, words)
        self._parking.park(f"amazon {request.operation}: {words}")
        raise CredentialsRefused(self.refused)

    async def _lets_us_in(self, lane: Lane) -> bool:
        if self._probe is None:
            return False
        reply, _ = await self._attempt(self._probe, lane)
        return reply.status not in DENIED

    async def _attempt(self, request: Request, lane: Lane, *, admit: bool = False) -> tuple[Reply, str]:
        await self._limits.acquire(request.operation, lane)
        if admit:
            self._parking.admit()
        token = await self._tokens.token()
        reply = await self._transport.send(
            request.method,
            self._endpoint + request.path,
            operation=request.operation,
            headers=self._headers(request, token),
            body=request.body,
        )
        self._limits.observe(request.operation, reply.headers)
        return reply, token

    def _headers(self, request: Request, token: str) -> dict[str, str]:
        headers = {"x-amz-access-token": token, "user-agent": self._user_agent, "accept": "application/json"}
        if request.body is not None:
            headers["content-type"] = "application/json"
        return headers | dict(request.headers)
