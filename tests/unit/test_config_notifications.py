"""The section amazon.notifications: what is derived, and what is refused with a sentence."""

import pytest
from pydantic import ValidationError

from config.amazon import Amazon
from config.notifications import Notifications

AWS = "https://sqs.us-east-1.amazonaws.com/123456789012/mcfd"


@pytest.mark.parametrize(
    ("url", "region", "arn"),
    [
        (AWS, "us-east-1", "arn:aws:sqs:us-east-1:123456789012:mcfd"),
        (
            "https://eu-west-1.queue.amazonaws.com/123456789012/a_b-c",
            "eu-west-1",
            "arn:aws:sqs:eu-west-1:123456789012:a_b-c",
        ),
        (
            "https://sqs.cn-north-1.amazonaws.com.cn/123456789012/q",
            "cn-north-1",
            "arn:aws-cn:sqs:cn-north-1:123456789012:q",
        ),
        (
            "https://sqs.us-gov-west-1.amazonaws.com/123456789012/q",
            "us-gov-west-1",
            "arn:aws-us-gov:sqs:us-gov-west-1:123456789012:q",
        ),
    ],
)
def test_a_url_at_aws_says_all(url, region, arn):
    """Region and ARN need not be written where the URL is AWS's own."""
    section = Notifications(queue_url=url)
    assert (section.aws_region(url), section.arn) == (region, arn)


def test_what_is_written_is_taken():
    """Region and ARN that are written go before what the URL says."""
    arn = "arn:aws:sqs:eu-central-1:999999999999:other"
    section = Notifications(queue_url=AWS, queue_arn=arn, region="eu-central-1")
    assert (section.aws_region(AWS), section.arn) == ("eu-central-1", arn)


def test_an_arn_names_the_region_of_another_url():
    """Behind a VPC endpoint the ARN says the region."""
    url = "http://localhost:4566/000000000000/q"
    section = Notifications(queue_url=url, queue_arn="arn:aws:sqs:us-west-2:123456789012:q")
    assert section.aws_region(url) == "us-west-2"


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"queue_url": AWS + ".fifo"}, "FIFO"),
        ({"queue_url": "http://localhost:4566/000000000000/q"}, "cannot be seen in queue_url"),
        ({"queue_url": "mcfd"}, "is not a URL"),
        ({"queue_url": AWS, "queue_arn": "mcfd"}, "is no queue's ARN"),
        ({"secrets_queue_url": AWS}, "queue_url: is missing"),
        ({"queue_url": AWS, "slower_looks": 0.5}, "greater than or equal to 1"),
        ({"queue_url": AWS, "slower_looks": 100}, "less than or equal to 24"),
    ],
)
def test_what_cannot_be_is_refused(wrong, words):
    """Each mistake is told with what to do."""
    with pytest.raises(ValidationError, match=words):
        Notifications.model_validate(wrong)


def test_a_new_secret_needs_a_queue_to_arrive_in():
    """Without a queue the secret would be replaced, and nobody would ever see the new one."""
    with pytest.raises(ValidationError, match="the new secret arrives in a queue"):
        Amazon(client_id="amzn1.application-oa2-client.x", rotate_client_secret=True)
