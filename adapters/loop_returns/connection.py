"""One shop's connection to Loop: whose turn it is, who we are, and whether Loop still accepts that."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum

from adapters.loop_returns.limits import LoopLimits
from adapters.loop_returns.wire.errors import lacks_scope
from adapters.vendor_calls.circuit_breaker import CircuitBreaker
from adapters.vendor_calls.transport import Reply, Transport
from daemon.errors import RateLimited, Transient
from daemon.ports.host import Clock
from daemon.ports.vendors import Lane


class Scope(StrEnum):
    """What a key must be allowed to do, in the words of Loop's admin."""

    RETURNS = "Returns"
    DEVELOPER_TOOLS = "Developer Tools"
    DESTINATIONS = "Destinations (Read)"
    READ_LABEL_REQUESTS = "Label Requests (Read)"
    WRITE_LABEL_REQUESTS = "Label Requests (Write)"
    LABELS = "Labels (Write)"


ASIDE = frozenset({Scope.DEVELOPER_TOOLS, Scope.DESTINATIONS})
"""What only operators need: labels must not wait for a missing tick there."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One call of Loop's API: its name in metrics and errors, its method, the scope it needs, its lane."""

    name: str
    method: str
    scope: Scope
    lane: Lane = Lane.BACKGROUND

    @property
    def label(self) -> str:
        """How errors name it."""
        return f"Loop {self.name}"


Credential = Callable[[], Mapping[str, str]]
"""Returns the headers that say who we are to Loop; asked anew for each call."""


class LoopConnection:
    """Calls Loop's API for one shop. `base_url` has the version in it; `probe` is a GET that any good key may make.

    A 401 is answered with one repeat, then with the probe: the whole key is parked when that is refused, too. Else
    the key lacks a scope, which parks that scope alone; where the probe needs the same scope, nothing is parked.
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
        """Call and return the answer undecoded, 401 included; with `parked`, even while the credential is.

        Nothing is sent twice, but for the repeat after a 401, which has no effect. Raises Transient, ContractBroken, or
        CredentialsRefused without calling.
        """
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
        async with self._doubts:  # one call finds out, not each of fifty
            if CircuitBreaker.EVERYTHING in self.parking.refused:
                return reply
            await self._limits.acquire(lane)
            reply = await self._send(operation, path, body)
            if not _doubtful(operation.scope, reply):
                return self._learn(operation.scope, reply, age, whole=False)
            accepted = await self._accepts_key(operation, lane)
            if accepted and operation.scope is self._probe[0].scope:  # Loop does not like this very call
                return reply
            return self._learn(operation.scope, reply, age, whole=not accepted)

    async def _accepts_key(self, refused: Operation, lane: Lane) -> bool:
        """Whether Loop accepts the key for another call; no answer leaves that to the next one."""
        operation, path = self._probe
        if refused is operation:
            return False
        await self._limits.acquire(lane)
        with suppress(Transient):
            return (await self._send(operation, path, None)).status != 401
        return True

    def _learn(self, scope: Scope, reply: Reply, age: int, *, whole: bool) -> Reply:
        """Take note of an answer, unless it is to a key that has been replaced meanwhile."""
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
        headers = {"Accept": "application/json", **self._credential()}
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            reply = await self._transport.send(
                operation.method, self._base_url + path, operation=operation.name, headers=headers, body=body
            )
        except RateLimited as error:
            pause = self._limits.throttled(error.retry_after)
            raise RateLimited(str(error), retry_after=pause) from None
        self._limits.observe(reply.headers)
        return reply


def _doubtful(scope: Scope, reply: Reply) -> bool:
    """A 401 that does not say itself that it is about one scope."""
    return reply.status == 401 and scope not in ASIDE and not lacks_scope(reply.body)
