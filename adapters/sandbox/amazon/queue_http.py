"""A proxy between the queue's reader and the AWS stand-in, which can be made to fail."""

from collections.abc import Mapping, Sequence

from aiohttp import web

from adapters.sandbox.amazon.queue import TARGET, SqsQueue
from adapters.sandbox.listener import Route
from adapters.sandbox.refusals import VendorError

JSON = "application/x-amz-json-1.0"


class QueueVendor:
    """Passes every request on. A reader that uses this endpoint meets the faults of the vendor `queue`."""

    name = "queue"

    def __init__(self, queue: SqsQueue) -> None:
        self._queue = queue

    def routes(self) -> Sequence[Route]:
        """List the routes."""
        return (Route("POST", "/queue{tail:.*}", "queue", self._pass_on),)

    def admit(self, request: web.Request, operation: str) -> None:
        """Let everyone in; the AWS stand-in does its own checks."""

    def headers(self, operation: str, status: int) -> Mapping[str, str]:  # noqa: ARG002 - none at all
        """Add no headers to those of the stand-in."""
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
