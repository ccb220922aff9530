"""The section `amazon.notifications`: the queue of Amazon's notifications."""

import re
from typing import Annotated, NamedTuple

from pydantic import AfterValidator, Field, model_validator

from config.fields import Contradiction, Flag, Section, Url, printable

_AWS_QUEUE = re.compile(
    r"https://(?:sqs\.(?P<region>[a-z0-9-]+)|(?P<legacy>[a-z0-9-]+)\.queue)\.amazonaws\.com(?P<china>\.cn)?"
    r"/(?P<account>\d{12})/(?P<name>[A-Za-z0-9_-]{1,80})"
)
_ARN = re.compile(r"arn:aws(?:-[a-z-]+)?:sqs:(?P<region>[a-z0-9-]+):\d{12}:[A-Za-z0-9_-]{1,80}")


class _Queue(NamedTuple):
    region: str
    arn: str


def _not_fifo(url: str) -> str:
    if url.endswith(".fifo"):
        raise ValueError("is a FIFO queue, to which Amazon does not send; make a standard one")
    return url


def _arn(text: str) -> str:
    if not _ARN.fullmatch(text.strip()):
        raise ValueError("is no queue's ARN; write one like arn:aws:sqs:us-east-1:123456789012:mcfd")
    return text.strip()


_QueueUrl = Annotated[Url, AfterValidator(_not_fifo)]


class Notifications(Section):
    """Amazon says by itself that a return was received or inspected; without it mcfd asks by `timings`."""

    queue_url: _QueueUrl | None = None
    """URL of a standard SQS queue of yours, https://sqs.REGION.amazonaws.com/ACCOUNT/NAME. Default null, off,
    because it needs an account at AWS."""

    queue_arn: Annotated[str, AfterValidator(_arn)] | None = None
    """Its ARN. Default null: derived from a URL at amazonaws.com."""

    secrets_queue_url: _QueueUrl | None = None
    """The queue of the application's own notifications, client secrets. Default null: the same queue."""

    region: Annotated[str, printable(32, blanks=False)] | None = None
    """Its AWS region. Default null: derived from a URL at amazonaws.com, or from the ARN."""

    endpoint: Url | None = None
    """Another SQS endpoint than AWS's: a VPC endpoint, tests. URL. Default null."""

    filter: Flag = True
    """Subscribe to returns alone: true | false. Default true, because orders and shipments send far more messages."""

    slower_looks: Annotated[float, Field(strict=True, ge=1, le=24, allow_inf_nan=False)] = 4.0
    """How many times as far apart timings.inspection_* are while the queue works, 1 to 24. Default 4: Amazon's word
    comes first, and a look is only for what was lost. They are as configured again at once when it does not work."""

    @model_validator(mode="after")
    def _a_region_is_known(self) -> "Notifications":
        if self.queue_url and self.aws_region(self.queue_url) is None:
            raise Contradiction(("region", "cannot be seen in queue_url; write it, like us-east-1"))
        if self.secrets_queue_url and not self.queue_url:
            raise Contradiction(("queue_url", "is missing, but secrets_queue_url is there; one queue serves for both"))
        return self

    def aws_region(self, url: str) -> str | None:
        """Return the AWS region of a queue."""
        found = _at_aws(url)
        arn = _ARN.fullmatch(self.queue_arn) if self.queue_arn else None
        return self.region or (found.region if found else None) or (arn["region"] if arn else None)

    @property
    def arn(self) -> str | None:
        """The ARN of the queue, if it is known."""
        found = _at_aws(self.queue_url) if self.queue_url else None
        return self.queue_arn or (found.arn if found else None)


def _at_aws(url: str) -> _Queue | None:
    found = _AWS_QUEUE.fullmatch(url)
    if not found:
        return None
    region = found["region"] or found["legacy"]
    partition = "aws-cn" if found["china"] else "aws-us-gov" if region.startswith("us-gov-") else "aws"
    return _Queue(region, f"arn:{partition}:sqs:{region}:{found['account']}:{found['name']}")
