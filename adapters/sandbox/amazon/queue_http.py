"""The queue's own API, between its reader and the stand-in of AWS, so that it can be ordered to fail."""

from collections.abc import Mapping, Sequence

from aiohttp import web

from adapters.sandbox.amazon.queue import TARGET, SqsQueue
from adapters.sandbox.listener import Route
from adapters.sandbox.refusals import VendorError

JSON = "application/x-amz-json-1.0"


class QueueVendor:
    """Passes every request on. A reader whose endpoint is this one meets the faults of the vendor `queue`."""

    name = "queue"

    def __init__(self, queue: SqsQueue) -> None:
        self._queue = queue

    def routes(self) -> Sequence[Route]:
        """List what it answers."""
        return (Route("POST", "/queue{tail:.*}", "queue", self._pass_on),)

    def admit(self, request: web.Request, operation: str) -> None:
        """Let everyone in: the stand-in of AWS knows whom it wants."""

    def headers(self, operation: str, status: int) -> Mapping[str, str]:  # noqa: ARG002 - none at all
        """Add nothing to what the stand-in says."""
        return {}

    def contradiction(self) -> VendorError:
        """Build a 200 that carries an error."""
        return self.failure(200)

    def failure(self, status: int) -> VendorError:
        """Build the error of SQS for that status."""
        kind = {403: "AccessDeniedException", 429: "RequestThrottled"}.get(status, "InternalFailure")
        return VendorError(status, {"__type": f"com.amazonaws.sqs#{kind}", "message": "on purpose"})

    async def _pass_on(self, request: web.Request) -> web.Response:
        headers = {name: request.headers[name] for name in (TARGET, "Content-Type") if name in request.headers}
        status, kind, body = await self._queue.forward(headers, await request.read())
        return web.Response(status=status or 503, body=body, content_type=kind or "text/plain")
