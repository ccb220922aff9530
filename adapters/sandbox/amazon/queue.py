"""Sending to a queue: a minimal client of SQS' JSON protocol, for AWS stand-ins that check no signature."""

import json
from typing import Protocol
from urllib.parse import urlsplit

import aiohttp

from adapters.sandbox.listener import Shared
from adapters.sandbox.refusals import Json

ATTEMPTS = 5
TIMEOUT = 10.0
CREDENTIAL = "Credential=sandbox/20260101/us-east-1/sqs/aws4_request"
TARGET = "X-Amz-Target"


class Queue(Protocol):
    """A queue that accepts messages."""

    async def send(self, body: str) -> bool:
        """Put a message into the queue; False when that could not be done."""

    async def close(self) -> None:
        """Close the connections."""


class SqsQueue:
    """A queue of a stand-in such as moto's server, LocalStack or ElasticMQ."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.endpoint = f"{parts.scheme}://{parts.netloc}"
        self._url = url
        self._session: aiohttp.ClientSession | None = None

    async def send(self, body: str) -> bool:
        """Put a message into the queue; False when that could not be done."""
        headers = {TARGET: "AmazonSQS.SendMessage", "Content-Type": "application/x-amz-json-1.0"}
        status, _, _ = await self.forward(headers, {"QueueUrl": self._url, "MessageBody": body})
        return status == 200

    async def forward(self, headers: dict[str, str], body: Json | bytes) -> tuple[int, str, bytes]:
        """Forward a request to the stand-in. Return status, content type and body; status 0: no answer."""
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT + 20))
        signed = {"Authorization": f"AWS4-HMAC-SHA256 {CREDENTIAL}, SignedHeaders=host, Signature=0"} | headers
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        try:
            async with self._session.post(self.endpoint, headers=signed, data=data) as answer:
                return answer.status, answer.content_type, await answer.read()
        except (aiohttp.ClientError, TimeoutError, OSError):
            return 0, "", b""

    async def close(self) -> None:
        """Close the connections."""
        if self._session:
            await self._session.close()


async def insist(queue: Queue, body: str, shared: Shared) -> None:
    """Send; on failure repeat after one second, then after two, then after four."""
    for attempt in range(ATTEMPTS):
        if await queue.send(body) or await shared.clock.wait(shared.stopping, 2.0**attempt):
            return
    shared.journal.warn("a notification could not be put into the queue")
