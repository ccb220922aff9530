"""The reader of the queue against a real SQS API on localhost, and against an AWS that is slow, full or says no."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from adapters.sqs import queue as sqs
from adapters.sqs.queue import AwsKey, SqsQueue
from daemon.errors import CredentialsRefused, McfdError, RateLimited, Refused, Unavailable
from tests.support.sqs_server import REGION, TestQueue, make_queue, sqs_server

KEY = AwsKey(key_id="AKIATEST", secret="a-secret-that-nobody-sees")


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with sqs_server() as url:
        yield url


@pytest.fixture
def there(endpoint, request) -> Iterator[TestQueue]:
    queue = make_queue(endpoint, f"q{abs(hash(request.node.name))}")
    yield queue
    queue.remove()


@pytest.fixture
async def reader(there) -> AsyncIterator[SqsQueue]:
    reading = SqsQueue(there.url, region=REGION, endpoint=there.endpoint, key=KEY, long_poll=1)
    yield reading
    await reading.close()


async def test_what_was_sent_is_received_as_it_is(there, reader):
    """A message's text arrives byte for byte, whatever the alphabet."""
    there.send('{"order": "Größe 東"}')
    (message,) = await reader.receive()
    assert json.loads(message.body) == {"order": "Größe 東"}


async def test_ten_at_a_time(there, reader):
    """One read takes ten messages at most; the others wait for the next."""
    there.send_many([str(n) for n in range(25)])
    first = await reader.receive()
    assert len(first) == 10
    assert there.left() == (15, 10)


async def test_only_what_is_deleted_is_gone(there, reader):
    """A message that was read and not deleted comes again; a deleted one does not."""
    there.send_many(["kept", "done"])
    messages = {message.body: message.receipt for message in await reader.receive()}
    await reader.delete([messages[b"done"]])
    assert there.left() == (0, 1)


async def test_a_read_message_is_hidden_for_longer_than_any_commit(there, reader):
    """Nobody else sees a message for a minute after it was read."""
    there.send("x")
    await reader.receive()
    assert await reader.receive() == []
    assert sqs.HIDDEN >= 60


async def test_a_receipt_that_sqs_does_not_know_is_no_matter(there, reader):
    """Deleting what is gone already fails nothing: the message would only come again."""
    there.send("x")
    (message,) = await reader.receive()
    await reader.delete([message.receipt])
    await reader.delete([message.receipt])


async def test_how_many_wait(there, reader):
    """The doctor may ask how long the queue is."""
    there.send_many(["1", "2", "3"])
    assert await reader.waiting() == 3


async def test_a_queue_that_is_not_there_is_refused(endpoint):
    """A wrong name in queue_url is a no for good, with AWS's word for it."""
    reading = SqsQueue(f"{endpoint}/123456789012/other", region=REGION, endpoint=endpoint, key=KEY, long_poll=0)
    with pytest.raises(Refused, match="NonExistentQueue"):
        await reading.receive()
    await reading.close()


# ---- an AWS that has trouble


Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@pytest.fixture
async def aws() -> AsyncIterator[Callable[[Answer], Awaitable[SqsQueue]]]:
    open_ones: list[tuple[SqsQueue, TestServer]] = []

    async def serve(answer: Answer) -> SqsQueue:
        app = web.Application()
        app.router.add_post("/{tail:.*}", answer)
        server = TestServer(app)
        await server.start_server()
        base = str(server.make_url("")).rstrip("/")
        reading = SqsQueue(f"{base}/123456789012/mcfd", region=REGION, endpoint=base, key=KEY, long_poll=0)
        open_ones.append((reading, server))
        return reading

    yield serve
    for reading, server in open_ones:
        await reading.close()
        await server.close()


def refusal(status: int, kind: str, text: str = "User: arn:aws:iam::111122223333:user/x is not authorized") -> Answer:
    async def answer(_: web.Request) -> web.Response:
        body = {"__type": f"com.amazonaws.sqs#{kind}", "message": text}
        return web.json_response(body, status=status, headers={"x-amzn-RequestId": "1"})

    return answer


@pytest.mark.parametrize(
    ("status", "kind", "expected"),
    [
        (403, "AccessDeniedException", CredentialsRefused),
        (400, "AccessDenied", CredentialsRefused),
        (403, "InvalidClientTokenId", CredentialsRefused),
        (403, "SignatureDoesNotMatch", CredentialsRefused),
        (400, "KmsAccessDenied", CredentialsRefused),
        (403, "SomethingNew", CredentialsRefused),
        (400, "QueueDoesNotExist", Refused),
        (400, "InvalidAddress", Refused),
        (400, "RequestThrottled", RateLimited),
        (429, "TooMany", RateLimited),
        (500, "InternalFailure", Unavailable),
        (503, "ServiceUnavailable", Unavailable),
    ],
)
async def test_each_no_is_told_apart(aws, status, kind, expected):
    """What AWS says decides who must act: nobody, the operator, or time. Its texts, with account numbers, stay out."""
    reading = await aws(refusal(status, kind))
    with pytest.raises(expected) as caught:
        await reading.receive()
    assert "111122223333" not in str(caught.value)
    assert caught.value.__suppress_context__


async def test_an_answer_that_is_none(aws):
    """A page of HTML in place of an answer is no answer, and no crash."""

    async def page(_: web.Request) -> web.Response:
        return web.Response(text="<html>please log in</html>", content_type="text/html")

    reading = await aws(page)
    with pytest.raises(Unavailable):
        await reading.receive()


async def test_a_connection_that_drops(aws):
    """A dropped connection is asked once, and is told as unavailable."""
    seen = []

    async def drop(request: web.Request) -> web.Response:
        seen.append(1)
        request.transport.abort()
        return web.Response()

    reading = await aws(drop)
    with pytest.raises(Unavailable):
        await reading.receive()
    assert len(seen) == 1


async def test_silence_ends(aws, monkeypatch):
    """An AWS that never answers is waited for a bounded time."""
    monkeypatch.setattr(sqs, "PATIENCE", 0.2)
    monkeypatch.setattr(sqs, "CONNECT_TIMEOUT", 0.2)
    never = asyncio.Event()

    async def hang(_: web.Request) -> web.Response:
        await never.wait()
        return web.Response()

    reading = await aws(hang)
    with pytest.raises(Unavailable):
        await reading.receive()
    never.set()


async def test_nobody_listens():
    """A port where nobody is."""
    reading = SqsQueue("http://127.0.0.1:9/1/q", region=REGION, endpoint="http://127.0.0.1:9", key=KEY, long_poll=0)
    with pytest.raises(McfdError):
        await reading.receive()
    await reading.close()


def test_the_secret_key_is_not_told():
    """Neither the key nor a message shows what it must not."""
    assert "nobody" not in repr(KEY)
