"""How every call to EasyPost is made: its turn, its key, and what a refusal of the key or of the money means."""

import base64
from collections.abc import Callable
from dataclasses import dataclass

from adapters.easypost.wire.errors import complaint
from adapters.vendor_calls.circuit_breaker import CircuitBreaker
from adapters.vendor_calls.token_bucket import TokenBucket
from adapters.vendor_calls.transport import Reply, Transport
from adapters.vendor_calls.withheld import let_out
from daemon.errors import CredentialsRefused, RateLimited
from daemon.ports.host import Clock
from daemon.ports.vendors import Lane

FUNDS = "funds"
NO_FUNDS = "PAYMENT_REQUIRED"
FUNDS_PARKED = 3600.0
DENIED = frozenset({401, 403})
RATE, BURST = 5.0, 10.0
"""Calls a second, and at once. EasyPost tells no quota but that of its lists, five a second."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One kind of call: its name in metrics and errors, its method, its lane, and whether it costs money."""

    name: str
    method: str
    lane: Lane
    pays: bool = False


class EasyPostConnection:
    """Calls one EasyPost account. `patient` is the transport of the calls that sell, which take their time.

    401 and 403 park the account, 402 parks what costs money, for an hour. Nothing is sent twice.
    """

    def __init__(
        self, transport: Transport, patient: Transport, clock: Clock, *, api_url: str, api_key: Callable[[], str]
    ) -> None:
        self._transport = transport
        self._patient = patient
        self._api_url = api_url.rstrip("/")
        self._api_key = api_key
        self.clock = clock
        self._bucket = TokenBucket(clock, RATE, BURST)
        self.parking = CircuitBreaker(clock)

    async def call(self, operation: Operation, path: str, body: bytes | None = None) -> Reply:
        """Call and return the answer undecoded. Raises Transient, ContractBroken or CredentialsRefused."""
        scope = FUNDS if operation.pays else CircuitBreaker.EVERYTHING
        self.parking.check(scope)
        await self._bucket.acquire(operation.lane)
        self.parking.admit(scope)
        age = self.parking.age
        reply = await self._send(operation, path, body)
        if age == self.parking.age:
            self._learn(operation, reply, scope)
        return reply

    def close(self) -> None:
        """Give no more turns."""
        self._bucket.close()

    def level(self) -> float:
        """Return how many calls could go at once."""
        return self._bucket.level()

    def _learn(self, operation: Operation, reply: Reply, scope: str) -> None:
        if reply.status in DENIED:
            words = f"EasyPost refused the API key (status {reply.status})"
            self.parking.park(words)
            raise CredentialsRefused(words)
        if reply.status == 402 or (reply.status >= 400 and complaint(reply.body).code == NO_FUNDS):
            words = "the EasyPost account has no funds"
            self.parking.park(words, FUNDS, seconds=FUNDS_PARKED)
            raise CredentialsRefused(words, retry_after=FUNDS_PARKED)
        self.parking.lift(scope if operation.pays and reply.status < 300 else CircuitBreaker.EVERYTHING)

    async def _send(self, operation: Operation, path: str, body: bytes | None) -> Reply:
        let_out(operation.method, f"easypost {operation.name}")
        key = base64.b64encode(f"{self._api_key()}:".encode()).decode()
        headers = {"Accept": "application/json", "Authorization": f"Basic {key}"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        transport = self._patient if operation.pays else self._transport
        try:
            return await transport.send(
                operation.method, self._api_url + path, operation=operation.name, headers=headers, body=body
            )
        except RateLimited as limited:
            pause = self._bucket.pause(limited.retry_after or 0.0)
            raise RateLimited(str(limited), retry_after=pause) from None
