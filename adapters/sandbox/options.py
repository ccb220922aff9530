"""The options of a sandbox. Durations are in seconds."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit


@dataclass(frozen=True, kw_only=True)
class SandboxOptions:
    """The vendors' settings; port 0 takes any free port.

    `queue_url`: the SQS queue, at an AWS stand-in, that gets notifications; without it none are sent.
    `reads_lag`: how long until a processed unit shows in reads; its notification is sent at once.
    `subscriptions`: whether a type of notification may have several. `filter_quotes`: which quotes its filter takes.
    `label_after`: how long until an authorization shows; 0 puts it into the answer of the create call.
    `documents_after`: how long until a bought label's PDF shows; `tracking_after`: until its tracking id does.
    `sale_shows_after`: how long until EasyPost's reads show a purchase.
    `process_after`: how long `process` stays queued.
    `retry_unit`: wait before the first webhook retry; it doubles each time.
    `vendors_ahead`: how far the vendors' clocks, and so the Date of their answers, are ahead of this machine's.
    `time_factor`: scales the documented durations (token lifetimes, the 10 minutes of a rate, Retry-After).
    `amazon_limits`: (rate per second, burst) by operation, `*` for all others; without it Amazon's published ones.
    `order_statuses`: how they are spelled; Amazon's older answers, and some of today's, use capitals.
    `bad_reason`: whether an unsuitable reason code refuses the whole request or its item.
    `item_value`: whether getRates requires a value for each item, as Amazon's FAQ says, or not, as its model says.
    `label_pdf`: the kind of a bought PDF: `locked` with an empty password, as some carriers do, or `blank`.
    `list_of_returns`: whether Loop's list `ends`, or `repeats` from its first page on.
    `list_of_orders`: whether Amazon's list `ends`, `repeats` its first page or sends `empty` ones, all
    with new tokens.
    `shipment_ids`: whether a return item must name a shipment that is `known`, or may invent one.
    `idempotency`: whether a purchase key alone, or only with the same body, finds the first shipment again.
    `notes_shape`, `api_scopes`, `allow_flagged`, `auto_process`: how this Loop shop is set up.
    """

    host: str = "127.0.0.1"
    amazon_port: int = 0
    loop_port: int = 0
    control_port: int = 0
    easypost_port: int = 0
    seed: int = 0

    client_id: str = "amzn1.application-oa2-client.sandbox"
    client_secret: str = "amzn1.oa2-cs.v1.sandbox"  # noqa: S105 - opens nothing but this sandbox
    refresh_token: str = "Atzr|sandbox-refresh"  # noqa: S105 - opens nothing but this sandbox
    application_id: str = "amzn1.sp.solution.sandbox"
    selling_partner_id: str = "ASANDBOX0SELLER"
    redirect_uri: str | None = None
    marketplace_id: str = "ATVPDKIKX0DER"
    return_service_id: str = "RS01-SANDBOX00000001"
    shipping_business_id: str = "AmazonShipping_US"

    easypost_api_key: str = "EZAKsandbox"
    easypost_test_key: str = "EZTKsandbox"
    easypost_webhook_secret: str = "sandbox-easypost-sécret"  # noqa: S105 - opens nothing but this sandbox
    easypost_webhook_url: str | None = None

    loop_api_key: str = "sandbox-loop-key"
    webhook_secret: str = "sandbox-webhook-secret"  # noqa: S105 - opens nothing but this sandbox
    webhook_url: str | None = None
    shop_id: int = 4410
    destination_id: int = 6021

    queue_url: str | None = None
    subscriptions: Literal["one", "many"] = "many"
    filter_quotes: Literal["any", "double", "backtick", "none"] = "double"

    reads_lag: float = 0.0
    label_after: float = 0.0
    documents_after: float = 0.0
    tracking_after: float = 0.0
    sale_shows_after: float = 0.0
    process_after: float = 0.0
    retry_unit: float = 10.0
    webhook_timeout: float = 10.0
    time_factor: float = 1.0
    vendors_ahead: float = 0.0

    enforce_limits: bool = True
    amazon_limits: Mapping[str, tuple[float, int]] = field(default_factory=dict)
    order_statuses: Literal["mixed", "capitals"] = "mixed"
    list_page_size: int = 50
    bad_reason: Literal["request", "item"] = "request"
    item_value: Literal["required", "optional"] = "required"
    label_pdf: Literal["plain", "locked", "blank"] = "plain"
    list_of_returns: Literal["ends", "repeats"] = "ends"
    list_of_orders: Literal["ends", "repeats", "empty"] = "ends"
    shipment_ids: Literal["known", "any"] = "known"
    idempotency: Literal["key", "key_and_body"] = "key"
    notes_shape: Literal["object", "array"] = "object"
    api_scopes: frozenset[str] = frozenset(
        {
            "returns",
            "developer_tools",
            "destinations:read",
            "label_requests:read",
            "label_requests:write",
            "labels:write",
        }
    )
    allow_flagged: bool = False
    auto_process: Literal["never", "in_transit", "delivered"] = "never"

    def __post_init__(self) -> None:
        for name in DURATIONS:
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} is 0 or more")
        for operation, (rate, burst) in self.amazon_limits.items():
            if not (rate > 0 and burst >= 1):
                raise ValueError(f"amazon_limits.{operation} is [calls a second above 0, burst of 1 or more]")
        for name in ("webhook_url", "easypost_webhook_url"):
            url = getattr(self, name)
            if url is not None and not is_url(url):
                raise ValueError(f"{name} {NO_URL}")
        if self.queue_url is not None and not is_url(self.queue_url):
            raise ValueError("queue_url is no URL; write one like http://127.0.0.1:5000/123456789012/mcfd")


DURATIONS = (
    *("label_after", "documents_after", "tracking_after", "process_after", "retry_unit", "webhook_timeout"),
    *("time_factor", "reads_lag", "sale_shows_after"),
)
NO_URL = "is no URL; write one like http://127.0.0.1:8080/webhooks/loop/acme"


def is_url(text: str) -> bool:
    """Whether this is a URL for webhooks."""
    try:
        parts = urlsplit(text)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # an invalid port or address
        return False
