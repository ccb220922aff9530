"""One SQS queue: long polling, bounded in time, every failure classified. No message's text gets into an error."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore import exceptions as aws

from daemon.errors import ContractBroken, CredentialsRefused, McfdError, RateLimited, Refused, Unavailable
from daemon.ports.notifications import QueueMessage

LONG_POLL = 20
AT_ONCE = 10
HIDDEN = 60
"""Seconds until a message that was read comes again; far above the longest commit."""

CONNECT_TIMEOUT = 10.0
PATIENCE = 15.0
"""Seconds beyond the long poll until an answer is not waited for any more."""

THROTTLED = frozenset(
    {"Throttling", "ThrottlingException", "RequestThrottled", "OverLimit", "TooManyRequestsException"}
)
DENIED = frozenset(
    {
        *("AccessDenied", "AccessDeniedException", "ExpiredToken", "ExpiredTokenException", "IncompleteSignature"),
        *("InvalidAccessKeyId", "InvalidClientTokenId", "InvalidSecurity", "MissingAuthenticationToken"),
        *("NotAuthorized", "OptInRequired", "SignatureDoesNotMatch", "UnrecognizedClientException"),
        *("AuthFailure", "KmsAccessDenied", "KMS.AccessDeniedException"),
    }
)
NO_CREDENTIALS = (aws.NoCredentialsError, aws.PartialCredentialsError, aws.CredentialRetrievalError)
UNREACHABLE = (aws.HTTPClientError, aws.ConnectionError, aiohttp.ClientError, OSError)


@dataclass(frozen=True, slots=True, kw_only=True)
class AwsKey:
    """An access key; without one AWS's own chain finds the machine's role."""

    key_id: str
    secret: str = field(repr=False)


class SqsQueue:
    """Implements MessageQueue; to be entered as a context, which makes the client."""

    def __init__(
        self, url: str, *, region: str, endpoint: str | None, key: AwsKey | None, long_poll: int = LONG_POLL
    ) -> None:
        self._url = url
        self._region = region
        self._endpoint = endpoint
        self._key = key
        self._long_poll = long_poll
        self._exits = AsyncExitStack()
        self._client: Any = None

    async def open(self) -> None:
        """Make the client; nobody is asked for anything yet. Raises CredentialsRefused, ContractBroken."""
        config = AioConfig(
            connect_timeout=CONNECT_TIMEOUT,
            read_timeout=self._long_poll + PATIENCE,
            retries={"total_max_attempts": 1},
            max_pool_connections=4,
        )
        key = self._key
        with _classified("client"):
            self._client = await self._exits.enter_async_context(
                get_session().create_client(
                    "sqs",
                    region_name=self._region,
                    endpoint_url=self._endpoint,
                    aws_access_key_id=key.key_id if key else None,
                    aws_secret_access_key=key.secret if key else None,
                    config=config,
                )
            )

    async def close(self) -> None:
        """Close the client's connections."""
        await self._exits.aclose()

    async def receive(self) -> Sequence[QueueMessage]:
        """Wait at most the long poll for messages. Raises Transient, Refused, CredentialsRefused, ContractBroken."""
        answer = await self._ask(
            "ReceiveMessage", MaxNumberOfMessages=AT_ONCE, WaitTimeSeconds=self._long_poll, VisibilityTimeout=HIDDEN
        )
        return [
            QueueMessage(receipt=row["ReceiptHandle"], body=row.get("Body", "").encode(errors="replace"))
            for row in answer.get("Messages") or []
        ]

    async def delete(self, receipts: Sequence[str]) -> None:
        """Delete messages; what SQS could not delete comes again, and is heard again."""
        entries = [{"Id": str(n), "ReceiptHandle": receipt} for n, receipt in enumerate(receipts)]
        await self._ask("DeleteMessageBatch", Entries=entries)

    async def waiting(self) -> int:
        """About how many messages lie in the queue. Raises as `receive` does."""
        answer = await self._ask("GetQueueAttributes", AttributeNames=["ApproximateNumberOfMessages"])
        return int((answer.get("Attributes") or {}).get("ApproximateNumberOfMessages", 0))

    async def _ask(self, operation: str, **given: object) -> Any:  # noqa: ANN401 - an answer of the AWS library
        if self._client is None:
            await self.open()
        names = {
            "ReceiveMessage": "receive_message",
            "DeleteMessageBatch": "delete_message_batch",
            "GetQueueAttributes": "get_queue_attributes",
        }
        with _classified(operation):
            async with asyncio.timeout(self._long_poll + CONNECT_TIMEOUT + PATIENCE):
                answer = await getattr(self._client, names[operation])(QueueUrl=self._url, **given)
        _check_it_is_sqs(operation, answer)
        return answer


def _check_it_is_sqs(operation: str, answer: Any) -> None:  # noqa: ANN401 - an answer of the AWS library
    """The AWS library takes a page of HTML with status 200 for an empty queue."""
    headers = (answer.get("ResponseMetadata") or {}).get("HTTPHeaders") or {}
    if "json" not in headers.get("content-type", ""):
        raise Unavailable(f"sqs {operation}: the answer is not from SQS", unclear=False)


@contextmanager
def _classified(operation: str) -> Iterator[None]:
    """The AWS library's errors become ours, without its texts."""
    try:
        yield
    except (*NO_CREDENTIALS, *UNREACHABLE, aws.BotoCoreError, aws.ClientError, ValueError) as error:
        raise _classify(f"sqs {operation}", error) from None


def _classify(what: str, error: Exception) -> McfdError:
    match error:
        case aws.ClientError():
            return _refusal(what, error)
        case _ if isinstance(error, NO_CREDENTIALS):
            return CredentialsRefused(f"{what}: there are no usable AWS credentials ({type(error).__name__})")
        case _ if isinstance(error, UNREACHABLE):
            return Unavailable(f"{what}: {type(error).__name__}", unclear=False)
        case aws.ParamValidationError() | aws.InvalidRegionError() | ValueError():
            return ContractBroken(f"{what}: the queue's URL or region is not one that can be called")
        case _:
            return Unavailable(f"{what}: {type(error).__name__}", unclear=False)


def _refusal(what: str, error: aws.ClientError) -> McfdError:
    """SQS names the kind of its no; the long texts beside it may hold account numbers, and are left out."""
    answer: Any = error.response
    code = str((answer.get("Error") or {}).get("Code", ""))[:64]
    status = (answer.get("ResponseMetadata") or {}).get("HTTPStatusCode", 0)
    name = code.rpartition(".")[2].rpartition("#")[2]
    if name in THROTTLED or status == 429:
        return RateLimited(f"{what}: {code}")
    if code in DENIED or name in DENIED or status in {401, 403}:
        return CredentialsRefused(f"{what}: {code or status}: AWS does not let us")
    if status >= 500 or not status >= 400:
        return Unavailable(f"{what}: status {status}", unclear=False)
    return Refused(code or f"HTTP{status}", f"{what}: AWS refuses the request")
