"""A Transport that notices how far our clock is from the vendors'."""

from collections.abc import Mapping, MutableMapping
from email.utils import parsedate_to_datetime

import aiohttp

from adapters.transport import Reply, Transport
from daemon.ports import Clock


class DatedTransport(Transport):
    """`skews` gets, by vendor, the seconds by which our clock is ahead of the answer's Date header."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        *,
        clock: Clock,
        skews: MutableMapping[str, float],
        vendor: str,
        timeout: float,
    ) -> None:
        super().__init__(session, vendor=vendor, timeout=timeout, on_call=lambda _call: None)
        self._clock = clock
        self._skews = skews
        self._name = vendor

    async def send(
        self,
        method: str,
        url: str,
        *,
        operation: str,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> Reply:
        """Send as Transport does. Raises what it raises."""
        reply = await super().send(method, url, operation=operation, headers=headers, body=body)
        try:
            theirs = parsedate_to_datetime(reply.header("Date") or "").timestamp()
        except ValueError:
            return reply
        self._skews[self._name] = self._clock.now() - theirs
        return reply
