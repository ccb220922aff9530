"""One shop's connection to Loop: whose turn it is, who we are, and whether Loop still accepts that."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from adapters.loop_returns.wire_errors import lacks_scope
from adapters.parking import Parking
from adapters.rate_limit import LoopLimits
from adapters.transport import Reply, Transport
from daemon.errors import RateLimited
from daemon.ports import Clock, Lane


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
    """Calls Loop's API for one shop. `base_url` has the version in it."""

    def __init__(
        self,
        transport: Transport,
        limits: LoopLimits,
        clock: Clock,
        *,
        base_url: str,
        credential: Credential,
    ) -> None:
        self._transport = transport
        self._limits = limits
        self._base_url = base_url
        self._credential = credential
        self.parking = Parking(clock)

    async def call(
        self,
        operation: Operation,
        path: str,
        body: bytes | None = None,
        *,
        lane: Lane | None = None,
        parked: bool = False,
    ) -> Reply:
        """Call once and return the answer undecoded, 401 included; with `parked`, even while the credential is.

        Raises Transient, ContractBroken, or CredentialsRefused without calling.
        """
        if not parked:
            self.parking.check(operation.scope)
        await self._limits.acquire(lane or operation.lane)
        if not parked:
            self.parking.admit(operation.scope)
        age = self.parking.age
        reply = await self._send(operation, path, body)
        self._limits.observe(reply.headers)
        if age == self.parking.age:  # else the answer is to a key that has been replaced meanwhile
            self._learn(operation.scope, reply)
        return reply

    def _learn(self, scope: Scope, reply: Reply) -> None:
        """Loop answers 401 for a key that lacks a scope, too; that parks the scope alone."""
        if reply.status != 401:
            self.parking.lift(scope)
        elif scope in ASIDE or lacks_scope(reply.body):
            self.parking.park(f"Loop refused the API key ({scope})", scope)
        else:
            self.parking.park("Loop refused the API key")

    async def _send(self, operation: Operation, path: str, body: bytes | None) -> Reply:
        headers = {"Accept": "application/json", **self._credential()}
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            return await self._transport.send(
                operation.method, self._base_url + path, operation=operation.name, headers=headers, body=body
            )
        except RateLimited as error:
            pause = self._limits.throttled(error.retry_after)
            raise RateLimited(str(error), retry_after=pause) from None
