"""One shop's connection to Loop: whose turn it is, who we are, and whether Loop still accepts that."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from adapters.loop_returns.wire_errors import lacks_scope
from adapters.rate_limit import LoopLimits
from adapters.transport import Reply, Transport
from daemon.errors import CredentialsRefused, RateLimited
from daemon.ports import Clock, Lane


class Scope(StrEnum):
    """What a key must be allowed to do, in the words of Loop's admin."""

    RETURNS = "Returns"
    DEVELOPER_TOOLS = "Developer Tools"
    DESTINATIONS = "Destinations (Read)"
    READ_LABEL_REQUESTS = "Label Requests (Read)"
    WRITE_LABEL_REQUESTS = "Label Requests (Write)"
    LABELS = "Labels (Write)"


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


class Credential(Protocol):
    """Who we are to Loop."""

    async def headers(self) -> Mapping[str, str]:
        """Return the headers that say so, good for the next call."""


class ApiKey:
    """A shop's API key; what `reveal` returns is read anew for each call, and shown to nobody else."""

    def __init__(self, key: str | Callable[[], str]) -> None:
        self._reveal = key if callable(key) else lambda: key

    async def headers(self) -> Mapping[str, str]:
        """Return Loop's own header, which is not `Authorization`."""
        return {"X-Authorization": self._reveal()}


class Parking:
    """Remembers a refused credential: no call for five minutes, then one that tries, and so on until one succeeds.

    Loop answers 401 for a key that lacks a scope, too. That parks the scope alone, and so does whatever is only needed
    by operators: labels must not wait for a missing tick at Developer Tools.
    """

    SECONDS = 300.0
    EVERYTHING = ""
    ASIDE = frozenset({Scope.DEVELOPER_TOOLS, Scope.DESTINATIONS})

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until: dict[str, float] = {}
        self.keys = 0

    def check(self, scope: Scope) -> None:
        """Raise CredentialsRefused while calls that need the scope are parked."""
        left = max(self._until.get(name, -math.inf) for name in (self.EVERYTHING, scope)) - self._clock.monotonic()
        if left > 0:
            raise CredentialsRefused(f"Loop refused the API key ({scope}); it will be tried again", retry_after=left)

    def admit(self, scope: Scope) -> None:
        """Check once more, and make everybody else wait for the call that now tries a parked credential."""
        self.check(scope)
        for name in {self.EVERYTHING, scope} & self._until.keys():
            self._until[name] = self._clock.monotonic() + self.SECONDS

    def park(self, scope: Scope, *, lacks_scope: bool) -> None:
        """Take note of a 401."""
        name = scope if lacks_scope or scope in self.ASIDE else self.EVERYTHING
        self._until[name] = self._clock.monotonic() + self.SECONDS

    def lift(self, scope: Scope) -> None:
        """Take note of an answer that is not a 401."""
        self._until.pop(self.EVERYTHING, None)
        self._until.pop(scope, None)

    def forget(self) -> None:
        """Take note of a new key: nothing is known against it."""
        self.keys += 1
        self._until.clear()

    @property
    def until(self) -> float | None:
        """When the last parked call may be tried again, in Unix seconds; None when none is parked."""
        if not self._until:
            return None
        return self._clock.now() + max(self._until.values()) - self._clock.monotonic()

    @property
    def parked(self) -> tuple[str, ...]:
        """The scopes that are parked; "" stands for the whole key."""
        return tuple(sorted(self._until))


class LoopConnection:
    """Calls Loop's API for one shop. `base_url` has the version in it; `user_agent` names us."""

    def __init__(
        self,
        transport: Transport,
        limits: LoopLimits,
        clock: Clock,
        *,
        base_url: str,
        credential: Credential,
        user_agent: str,
    ) -> None:
        self._transport = transport
        self._limits = limits
        self._base_url = base_url
        self._credential = credential
        self._user_agent = user_agent
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
        key = self.parking.keys
        reply = await self._send(operation, path, body)
        self._limits.observe(reply.headers)
        if key != self.parking.keys:  # a new one came while this call was under way: the answer says nothing of it
            return reply
        if reply.status == 401:
            self.parking.park(operation.scope, lacks_scope=lacks_scope(reply.body))
        else:
            self.parking.lift(operation.scope)
        return reply

    async def _send(self, operation: Operation, path: str, body: bytes | None) -> Reply:
        headers = {"Accept": "application/json", "User-Agent": self._user_agent, **await self._credential.headers()}
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            return await self._transport.send(
                operation.method, self._base_url + path, operation=operation.name, headers=headers, body=body
            )
        except RateLimited as error:
            pause = self._limits.throttled(error.retry_after)
            raise RateLimited(str(error), retry_after=pause) from None
