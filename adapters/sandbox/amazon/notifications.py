"""Amazon's notifications: subscriptions, and messages when a unit is processed or a secret is replaced."""

import asyncio
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from aiohttp import web

from adapters.sandbox.amazon.http import AmazonApi, AmazonGate
from adapters.sandbox.amazon.lwa import NOTIFICATIONS_SCOPE, ROTATION_SCOPE, LoginWithAmazon
from adapters.sandbox.amazon.orders import Order, ReturnItem
from adapters.sandbox.amazon.queue import Queue, insist
from adapters.sandbox.background import Background
from adapters.sandbox.listener import Route, Shared, read_json
from adapters.sandbox.options import SandboxOptions
from adapters.sandbox.refusals import Json, amazon_error, invalid_input
from adapters.sandbox.stamps import amazon_time

DAY = 86400.0
SECRET_LIVES, OVERLAP = 180 * DAY, 7 * DAY
ORDER_STATUS = "FULFILLMENT_ORDER_STATUS"
NEW_SECRET = "APPLICATION_OAUTH_CLIENT_NEW_SECRET"  # noqa: S105 - a type's name
SECRET_EXPIRY = "APPLICATION_OAUTH_CLIENT_SECRET_EXPIRY"  # noqa: S105 - a type's name
KINDS = frozenset({ORDER_STATUS, "REPORT_PROCESSING_FINISHED", "ANY_OFFER_CHANGED"})
ARN = re.compile(r"arn:aws[a-z-]*:sqs:[a-z0-9-]+:\d{12}:[A-Za-z0-9_-]{1,80}")
FILTER = re.compile(r"FulfillmentOrderStatusNotification\.EventType == ([\"'`])(\w+)\1")
LONGEST_FILTER = 256
QUOTES: Mapping[str, str] = {"any": "\"'`", "double": '"', "backtick": "`", "none": ""}


@dataclass(frozen=True)
class Subscription:
    """One subscription of the seller; `event` is the type that its filter lets through, empty for all."""

    subscription_id: str
    kind: str
    destination_id: str
    directive: Json | None
    event: str

    def view(self, *, named: bool) -> Json:
        """Show it; in the list with its type (`named`)."""
        view = {"subscriptionId": self.subscription_id, "payloadVersion": "1.0", "destinationId": self.destination_id}
        view |= {"notificationType": self.kind} if named else {}
        return view | ({"processingDirective": self.directive} if self.directive else {})


@dataclass
class NotificationService:
    """Destinations, subscriptions and messages. Without a queue everything can be set up, but nothing is sent."""

    options: SandboxOptions
    shared: Shared
    background: Background
    queue: Queue | None
    destinations: dict[str, Json] = field(default_factory=dict)
    subscriptions: dict[str, Subscription] = field(default_factory=dict)
    sent: list[Json] = field(default_factory=list)
    _ids: int = 0
    _passed: asyncio.Event = field(default_factory=asyncio.Event)

    # ---- what callers set up

    def create_destination(self, body: object) -> Json:
        """Answer createDestination."""
        given = body if isinstance(body, dict) else {}
        name, resource = given.get("name"), given.get("resourceSpecification")
        sqs = resource.get("sqs") if isinstance(resource, dict) else None
        arn = sqs.get("arn") if isinstance(sqs, dict) else None
        if not isinstance(name, str) or not 0 < len(name) <= 256:
            raise invalid_input("name is required.")
        if not isinstance(arn, str) or not ARN.fullmatch(arn):
            raise invalid_input("resourceSpecification.sqs.arn is not an ARN of a standard queue.")
        if any(row["resource"]["sqs"]["arn"] == arn for row in self.destinations.values()):
            raise amazon_error(409, "Conflict", "A destination with this resource exists already.")
        made = self._next("destination")
        row: Json = {"name": name, "destinationId": made, "resource": {"sqs": {"arn": arn}}}
        self.destinations[made] = row
        return row

    def subscribe(self, kind: str, body: object) -> Json:
        """Answer createSubscription."""
        given = body if isinstance(body, dict) else {}
        if kind not in KINDS:
            raise invalid_input(f"The notification type {kind} is not supported.")
        if given.get("payloadVersion") != "1.0" or given.get("destinationId") not in self.destinations:
            raise invalid_input("payloadVersion or destinationId is not valid.")
        directive = given.get("processingDirective")
        event = self._event(directive) if directive is not None else ""
        if any(self._clashes(row, kind, given) for row in self.subscriptions.values()):
            raise amazon_error(409, "Conflict", "A subscription for this notification type exists already.")
        made = Subscription(self._next("subscription"), kind, given["destinationId"], directive, event)
        self.subscriptions[made.subscription_id] = made
        return made.view(named=False)

    def of_kind(self, kind: str) -> list[Subscription]:
        """Return the subscriptions of a type."""
        return [row for row in self.subscriptions.values() if row.kind == kind]

    def _clashes(self, row: Subscription, kind: str, given: Json) -> bool:
        same = row.destination_id == given["destinationId"]
        return row.kind == kind and (same or self.options.subscriptions == "one")

    def _event(self, directive: object) -> str:
        """Read the filter; refuse one whose quotes the options do not accept."""
        text = directive.get("filterExpression") if isinstance(directive, dict) else None
        found = FILTER.fullmatch(text) if isinstance(text, str) and len(text) <= LONGEST_FILTER else None
        if found is None or found[1] not in QUOTES[self.options.filter_quotes]:
            raise invalid_input("processingDirective.filterExpression is not a valid expression.")
        return found[2]

    def _next(self, what: str) -> str:
        self._ids += 1
        return f"{what}-0000-4000-8000-{self._ids:012d}"

    # ---- what Amazon sends

    def unit_processed(self, order: Order, item: ReturnItem) -> None:
        """Notify all subscribers that a unit of an order was received."""
        self.order_status(order.order_id, "Return", sku=order.sku_of(item.item_id))

    def order_status(self, order_id: str, event: str, *, sku: str = "SKU") -> None:
        """Notify all subscribers of an event of an order."""
        for row in self.of_kind(ORDER_STATUS):
            if not row.event or row.event == event:
                self._send(ORDER_STATUS, self._order_status(row, order_id, event, sku))

    def new_secret(self, secret: str) -> None:
        """Send the new client secret, as configured in the developer console."""
        now = self.shared.clock.now()
        told = {
            "clientId": self.options.client_id,
            "newClientSecret": secret,
            "newClientSecretExpiryTime": amazon_time(now + SECRET_LIVES),
            "oldClientSecretExpiryTime": amazon_time(now + OVERLAP),
        }
        self._send(NEW_SECRET, self._of_application(NEW_SECRET, {"applicationOAuthClientNewSecret": told}))

    def secret_expires(self, days: float) -> None:
        """Warn that the client secret ends in so many days."""
        told = {
            "clientId": self.options.client_id,
            "clientSecretExpiryTime": amazon_time(self.shared.clock.now() + days * DAY),
            "clientSecretExpiryReason": "PERIODIC_ROTATION",
        }
        self._send(SECRET_EXPIRY, self._of_application(SECRET_EXPIRY, {"applicationOAuthClientSecretExpiry": told}))

    def _order_status(self, row: Subscription, order_id: str, event: str, sku: str) -> Json:
        now = amazon_time(self.shared.clock.now())
        told: Json = {
            "SellerId": self.options.selling_partner_id,
            "EventType": event,
            "StatusUpdatedDateTime": now,
            "SellerFulfillmentOrderId": order_id,
            "FulfillmentOrderStatus": "Complete",
        }
        if event == "Return":
            told["FulfillmentReturnItem"] = {"ReceivedDateTime": now, "ReturnedQuantity": 1, "SellerSKU": sku}
        return {
            "NotificationVersion": "1.0",
            "NotificationType": ORDER_STATUS,
            "PayloadVersion": "1.0",
            "EventTime": now,
            "Payload": {"FulfillmentOrderStatusNotification": told},
            "NotificationMetadata": {
                "ApplicationId": self.options.application_id,
                "SubscriptionId": row.subscription_id,
                "PublishTime": now,
                "NotificationId": self._next("notification"),
            },
        }

    def _of_application(self, kind: str, payload: Json) -> Json:
        now = amazon_time(self.shared.clock.now())
        return {
            "notificationVersion": "1.0",
            "notificationType": kind,
            "payloadVersion": "2023-11-30",
            "eventTime": now,
            "payload": payload,
            "notificationMetadata": {
                "applicationId": self.options.application_id,
                "subscriptionId": "of-the-developer-console",
                "publishTime": now,
                "notificationId": self._next("notification"),
            },
        }

    def _send(self, kind: str, message: Json) -> None:
        self.sent.append(message)
        if self.queue is not None:
            self.background.start(self._deliver(self.queue, kind, message))

    async def _deliver(self, queue: Queue, kind: str, message: Json) -> None:
        """Put a message into the queue, with the faults in force."""
        fault = self.shared.faults.pick("notification", kind)
        wrong = fault.kind if fault else ""
        seconds = fault.seconds if fault else 0.0
        if wrong == "lose":
            return
        if wrong == "delay":
            await self.shared.clock.wait(self.shared.stopping, seconds)
        if wrong == "reorder":
            await self.shared.clock.wait(self._passed, seconds or 1.0)
        for body in _bodies(message, wrong):
            await insist(queue, body, self.shared)
        self._passed.set()
        self._passed = asyncio.Event()


def _bodies(message: Json, wrong: str) -> Iterable[str]:
    """Replace a message by a faulty delivery: twice the same, another seller's first, or an unreadable half."""
    text = json.dumps(message)
    if wrong == "malformed":
        return [text[: len(text) // 2]]
    if wrong == "foreign":
        other = json.loads(text)
        for payload in other.get("Payload", {}).values():
            payload |= {"SellerId": "AOTHER0SELLER", "SellerFulfillmentOrderId": "of-another-seller"}
        other.get("NotificationMetadata", {})["SubscriptionId"] = "subscription-of-another-seller"
        return [json.dumps(other), text]
    return [text, text] if wrong == "duplicate" else [text]


class NotificationVendor(AmazonApi):
    """The Notifications API v1 and the Application Management API over HTTP."""

    name = "notifications"

    def __init__(self, service: NotificationService, lwa: LoginWithAmazon, gate: AmazonGate) -> None:
        super().__init__(gate)
        self._service = service
        self._lwa = lwa

    def routes(self) -> Sequence[Route]:
        """List the routes."""
        base = "/notifications/v1"
        return (
            Route("POST", f"{base}/destinations", "createDestination", self._create_destination),
            Route("GET", f"{base}/destinations", "getDestinations", self._destinations),
            Route("POST", f"{base}/subscriptions/{{kind}}", "createSubscription", self._subscribe),
            Route("GET", f"{base}/subscriptions/{{kind}}", "getSubscription", self._subscription),
            Route("GET", f"{base}/subscriptions", "getSubscriptions", self._subscriptions),
            Route("POST", "/applications/2023-11-30/clientSecret", "rotateApplicationClientSecret", self._rotate),
        )

    def admit(self, request: web.Request, operation: str) -> None:
        """Require a token of its scope for a grantless operation, the seller's for others."""
        rotates = operation == "rotateApplicationClientSecret"
        scope = ROTATION_SCOPE if rotates else NOTIFICATIONS_SCOPE if operation.endswith("tination") else None
        scope = NOTIFICATIONS_SCOPE if operation == "getDestinations" else scope
        rate, burst = (1 / 60, 1) if rotates else (1.0, 5)
        self._gate.admit(request, operation, rate=rate, burst=burst, scope=scope)

    async def _create_destination(self, request: web.Request) -> web.Response:
        body = await read_json(request, invalid_input("The request body is not valid JSON."))
        return web.json_response({"payload": self._service.create_destination(body)})

    async def _destinations(self, _: web.Request) -> web.Response:
        return web.json_response({"payload": list(self._service.destinations.values())})

    async def _subscribe(self, request: web.Request) -> web.Response:
        body = await read_json(request, invalid_input("The request body is not valid JSON."))
        return web.json_response({"payload": self._service.subscribe(request.match_info["kind"], body)})

    async def _subscription(self, request: web.Request) -> web.Response:
        found = self._service.of_kind(request.match_info["kind"])
        if not found:
            raise amazon_error(404, "NotFound", "There is no subscription of this notification type.")
        return web.json_response({"payload": found[0].view(named=False)})

    async def _subscriptions(self, request: web.Request) -> web.Response:
        if self._service.options.subscriptions == "one":  # an Amazon that does not have the operation yet
            raise amazon_error(403, "Unauthorized", "Access to requested resource is denied.")
        kinds = request.query.get("notificationTypes", "").split(",")
        rows = [row.view(named=True) for kind in kinds for row in self._service.of_kind(kind)]
        return web.json_response({"payload": {"subscriptions": rows}})

    async def _rotate(self, _: web.Request) -> web.Response:
        self._service.new_secret(self._lwa.next_secret(OVERLAP))
        return web.Response(status=204)
