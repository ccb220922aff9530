"""The Notifications API v1 and the call that replaces a client secret: paths, bodies, answers. PURE.

https://developer-docs.amazon/sp-api/docs/notifications-api-v1-use-case-guide
"""

import json
from collections.abc import Sequence

from adapters.amazon_mcf.wire.envelope import read
from adapters.amazon_mcf.wire.notifications import ORDER_STATUS
from adapters.vendor_calls.reading import JsonObject, parse
from daemon.errors import ContractBroken, Refused
from daemon.ports.notifications import Destination, Subscription

CREATE_DESTINATION = "createDestination"
GET_DESTINATIONS = "getDestinations"
CREATE_SUBSCRIPTION = "createSubscription"
GET_SUBSCRIPTIONS = "getSubscriptions"
GET_SUBSCRIPTION = "getSubscription"
ROTATE = "rotateApplicationClientSecret"

BASE = "/notifications/v1"
DESTINATIONS = f"{BASE}/destinations"
SUBSCRIPTION = f"{BASE}/subscriptions/{ORDER_STATUS}"
SUBSCRIPTIONS = f"{BASE}/subscriptions?notificationTypes={ORDER_STATUS}"
CLIENT_SECRET = "/applications/2023-11-30/clientSecret"  # noqa: S105 - a path

FILTERS = (
    'FulfillmentOrderStatusNotification.EventType == "Return"',
    "FulfillmentOrderStatusNotification.EventType == `Return`",
)
"""The filter in CEL's own grammar, and as the example in Amazon's model quotes it."""


def encode_destination(name: str, arn: str) -> bytes:
    """Write the body that registers a queue."""
    return json.dumps({"name": name, "resourceSpecification": {"sqs": {"arn": arn}}}).encode()


def encode_subscription(destination_id: str, filter_expression: str) -> bytes:
    """Write the body that subscribes a destination; an empty filter lets everything through."""
    body: dict[str, object] = {"payloadVersion": "1.0", "destinationId": destination_id}
    if filter_expression:
        body["processingDirective"] = {"filterExpression": filter_expression}
    return json.dumps(body).encode()


def decode_destinations(status: int, body: bytes) -> Sequence[Destination]:
    """Read every destination of the application that is a queue."""
    rows = _rows(GET_DESTINATIONS, status, body, "destinations")
    return [found for row in rows if (found := _destination(row)) is not None]


def decode_destination(status: int, body: bytes) -> Destination:
    """Read the created destination."""
    made = _destination(read(CREATE_DESTINATION, status, body).accept())
    if made is None:
        raise ContractBroken(f"{CREATE_DESTINATION}: the destination that was made is no queue")
    return made


def decode_subscriptions(status: int, body: bytes) -> Sequence[Subscription]:
    """Read every subscription of the type. How the list is wrapped inside the payload is not documented."""
    return [_subscription(row) for row in _rows(GET_SUBSCRIPTIONS, status, body, "subscriptions")]


def decode_one_subscription(status: int, body: bytes) -> Sequence[Subscription]:
    """Read the single subscription of the type, the older answer from when there could be only one."""
    answer = read(GET_SUBSCRIPTION, status, body)
    return [] if answer.unknown else [_subscription(answer.accept())]


def decode_subscription(status: int, body: bytes) -> Subscription:
    """Read the created subscription."""
    return _subscription(read(CREATE_SUBSCRIPTION, status, body).accept())


def decode_rotated(status: int, body: bytes) -> None:
    """Accept success, which has no body; raises the error that any other answer stands for."""
    if status != 204:
        raise read(ROTATE, status, body).failure()


def filter_refused(error: Refused) -> bool:
    """Whether Amazon refused the request itself, so that it may accept it without the filter."""
    return error.code.casefold() in {"invalidinput", "badrequest", "http400", "invalidparameter"}


def _rows(operation: str, status: int, body: bytes, name: str) -> tuple[JsonObject, ...]:
    """Read a list that is the payload itself or one of its members."""
    document = parse(operation, body)
    if status < 300 and isinstance(document.members.get("payload"), list):
        return document.children("payload")
    return read(operation, status, body).accept().children(name)


def _destination(row: JsonObject) -> Destination | None:
    resource = row.optional_child("resource") or JsonObject(row.path, {})
    sqs = resource.optional_child("sqs")
    if sqs is None:
        return None
    return Destination(destination_id=row.text("destinationId"), arn=sqs.text("arn"))


def _subscription(row: JsonObject) -> Subscription:
    directive = row.optional_child("processingDirective")
    return Subscription(
        subscription_id=row.text("subscriptionId"),
        destination_id=row.text("destinationId"),
        filtered=directive is not None and directive.optional_text("filterExpression") is not None,
    )
