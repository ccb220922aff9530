"""One shop's connection to Loop: rate limit, credential, and parking when Loop refuses the credential."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum

from adapters.loop_returns.limits import LoopLimits
from adapters.loop_returns.wire.errors import lacks_scope
from adapters.vendor_calls.circuit_breaker import CircuitBreaker
from adapters.vendor_calls.transport import Reply, Transport
from adapters.vendor_calls.withheld import let_out
from daemon.errors import RateLimited, Transient
from daemon.ports.host import Clock
from daemon.ports.vendors import Lane


class Scope(StrEnum):
    """A permission of an API key, named as in Loop's admin."""

    RETURNS = "Returns"
    DEVELOPER_TOOLS = "Developer Tools"
    DESTINATIONS = "Destinations (Read)"
    READ_LABEL_REQUESTS = "Label Requests (Read)"
    WRITE_LABEL_REQUESTS = "Label Requests (Write)"
    LABELS = "Labels (Write)"


ASIDE = frozenset({Scope.DEVELOPER_TOOLS, Scope.DESTINATIONS})
"""Scopes that only operators need. If one is missing, labels must not have to wait."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One call of Loop's API: name for metrics and errors, method, required scope, lane."""

    name: str
    method: str
    scope: Scope
    lane: Lane = Lane.BACKGROUND

    @property
    def label(self) -> str:
        """The name in error texts."""
        return f"Loop {self.name}"


Credential = Callable[[], Mapping[str, str]]
"""Returns the headers that authenticate us to Loop; called for each request. Raises CredentialsRefused without any."""


class LoopConnection:
    """Calls Loop's API for one shop. `base_url` includes the version; `probe` is a GET that any good key may make.

    After a 401 the call is repeated once. If it fails again, the probe decides: when that is refused, too, the whole
    key is parked. When it succeeds, the key lacks a scope, and that scope alone is parked; if the probe needs the same
    scope, nothing is parked.
    """

    def __init__(
        self,
        transport: Transport,
        limits: LoopLimits,
        clock: Clock,
        *,
        base_url: str,
        credential: Credential,
        probe: tuple[Operation, str],
    ) -> None:
        self._transport = transport
        self._limits = limits
        self._base_url = base_url
        self._credential = credential
        self._probe = probe
        self._doubts = asyncio.Lock()
        self.parking = CircuitBreaker(clock)

    async def call(
        self,
        operation: Operation,
        path: str,
        body: bytes | None = None,
        *,
        lane: Lane | None = None,
        parked: bool = False,
    ) -> Reply:
        """Call and return the answer undecoded, even a 401. With `parked`, call even while the credential is parked.

        A call is repeated only after a 401, which has no effect. Raises Transient or ContractBroken, and, without
        calling, CredentialsRefused.
        """
        self._credential()  # without one, it raises before anything is waited for
        if not parked:
            self.parking.check(operation.scope)
        lane = lane or operation.lane
        await self._limits.acquire(lane)
        trying = CircuitBreaker.EVERYTHING in self.parking.refused
        if not parked:
            self.parking.admit(operation.scope)
        age = self.parking.age
        reply = await self._send(operation, path, body)
        if not _doubtful(operation.scope, reply) or trying:
            return self._learn(operation.scope, reply, age, whole=trying)
        async with self._doubts:  # one call finds out, rather than each of fifty
            if CircuitBreaker.EVERYTHING in self.parking.refused:
                return reply
            await self._limits.acquire(lane)
            reply = await self._send(operation, path, body)
            if not _doubtful(operation.scope, reply):
                return self._learn(operation.scope, reply, age, whole=False)
            accepted = await self._accepts_key(operation, lane)
            if accepted and operation.scope is self._probe[0].scope:  # Loop objects to this call alone
                return reply
            return self._learn(operation.scope, reply, age, whole=not accepted)

    async def _accepts_key(self, refused: Operation, lane: Lane) -> bool:
        """Whether Loop accepts the key for another call. Without an answer, the next call has to find out."""
        operation, path = self._probe
        if refused is operation:
            return False
        await self._limits.acquire(lane)
        with suppress(Transient):
            return (await self._send(operation, path, None)).status != 401
        return True

    def _learn(self, scope: Scope, reply: Reply, age: int, *, whole: bool) -> Reply:
        """Record an answer, unless the key has been replaced meanwhile."""
        if age != self.parking.age:
            return reply
        if reply.status != 401:
            self.parking.lift(scope)
        elif whole and _doubtful(scope, reply):
            self.parking.park("Loop refused the API key")
        else:
            self.parking.park(f"Loop refused the API key ({scope})", scope)
        return reply

    async def _send(self, operation: Operation, path: str, body: bytes | None) -> Reply:
        let_out(operation.method, operation.label)
        headers = {"Accept": "application/json", **self._credential()}
        if body is not None:
            headers["Content-Type"] = "application/json"
        used = self._limits.used()
        try:
            reply = await self._transport.send(
                operation.method, self._base_url + path, operation=operation.name, headers=headers, body=body
            )
        except RateLimited as error:
            pause = self._limits.throttled(error.retry_after)
            raise RateLimited(str(error), retry_after=pause) from None
        self._limits.observe(reply.headers, used)
        return reply


def _doubtful(scope: Scope, reply: Reply) -> bool:
    """Whether this is a 401 that does not itself name a missing scope as the reason."""
    return reply.status == 401 and scope not in ASIDE and not lacks_scope(reply.body)
