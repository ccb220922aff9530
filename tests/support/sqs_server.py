"""A real SQS API on localhost: moto's server over HTTP, and a test's access to its queues."""

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.request import Request, urlopen

from moto.server import ThreadedMotoServer
from moto.sqs.models import sqs_backends

REGION = "us-east-1"
HEADERS = {
    "Content-Type": "application/x-amz-json-1.0",
    "Authorization": f"AWS4-HMAC-SHA256 Credential=test/20260101/{REGION}/sqs/aws4_request, SignedHeaders=host, Signature=0",
}


@dataclass(frozen=True)
class TestQueue:
    """One queue of the server, used by plain HTTP, independently of the daemon."""

    endpoint: str
    url: str

    __test__ = False

    @property
    def arn(self) -> str:
        """Its ARN."""
        account, name = self.url.rsplit("/", 2)[1:]
        return f"arn:aws:sqs:{REGION}:{account}:{name}"

    def send(self, body: str | Mapping[str, Any]) -> None:
        """Put a message into it."""
        text = body if isinstance(body, str) else json.dumps(body)
        ask(self.endpoint, "SendMessage", QueueUrl=self.url, MessageBody=text)

    def send_many(self, bodies: list[str]) -> None:
        """Put many messages into it, ten in each request."""
        for start in range(0, len(bodies), 10):
            entries = [{"Id": str(n), "MessageBody": body} for n, body in enumerate(bodies[start : start + 10])]
            ask(self.endpoint, "SendMessageBatch", QueueUrl=self.url, Entries=entries)

    def left(self) -> tuple[int, int]:
        """How many messages wait, and how many were read but not deleted."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = ask(self.endpoint, "GetQueueAttributes", QueueUrl=self.url, AttributeNames=names)["Attributes"]
        return int(found[names[0]]), int(found[names[1]])

    def show_again(self) -> None:
        """Make undeleted messages visible again, as after the visibility time-out; the server runs in this process."""
        account, name = self.url.rsplit("/", 2)[1:]
        for message in sqs_backends[account][REGION].queues[name]._messages:
            message.change_visibility(0)

    def remove(self) -> None:
        """Delete the queue."""
        ask(self.endpoint, "DeleteQueue", QueueUrl=self.url)


def ask(endpoint: str, operation: str, **given: object) -> Any:
    """One call of the SQS API."""
    headers = HEADERS | {"X-Amz-Target": f"AmazonSQS.{operation}"}
    with urlopen(Request(endpoint, json.dumps(given).encode(), headers)) as answer:
        return json.loads(answer.read() or b"{}")


@contextmanager
def sqs_server() -> Iterator[str]:
    """Run the server on a free port; yield its URL."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
    finally:
        server.stop()


def make_queue(endpoint: str, name: str = "mcfd") -> TestQueue:
    """A new queue."""
    return TestQueue(endpoint, ask(endpoint, "CreateQueue", QueueName=name)["QueueUrl"])
