"""The Selling Partner API over HTTP: the gate, and Fulfillment Outbound 2020-07-01 with the RMA page."""

import html
import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from aiohttp import web

from adapters.sandbox.amazon.lwa import LoginWithAmazon
from adapters.sandbox.amazon.network import FulfillmentNetwork
from adapters.sandbox.amazon.orders import Order, ReturnItem
from adapters.sandbox.amazon.returns import ReturnsService
from adapters.sandbox.journal import Journal
from adapters.sandbox.limits import TokenBucket
from adapters.sandbox.listener import Route, read_json
from adapters.sandbox.refusals import VendorError, amazon_error, amazon_failure, invalid_input, quota_exceeded
from daemon.ports.host import Clock

BASE = "/fba/outbound/2020-07-01"
LIMIT_SHOWN_ON = frozenset({200, 400, 404})
NO_LIMITS: Mapping[str, tuple[float, int]] = MappingProxyType({})
USER_AGENT = re.compile(r"(?:[^/]|\\/)+/.+ \(.*\bLanguage=[^;)]+.*\)")


class AmazonGate:
    """Checks token and quota and writes the headers of every answer; shared by all of Amazon's APIs."""

    def __init__(
        self,
        lwa: LoginWithAmazon,
        journal: Journal,
        clock: Clock,
        *,
        enforce: bool,
        limits: Mapping[str, tuple[float, int]] = NO_LIMITS,
    ) -> None:
        self._lwa = lwa
        self._journal = journal
        self._clock = clock
        self._enforce = enforce
        self._limits = limits
        self._buckets: dict[str, TokenBucket] = {}
        self._requests = 0

    def admit(self, request: web.Request, operation: str, *, rate: float, burst: int, scope: str | None = None) -> None:
        """Refuse a caller without a good token, or over the limit of the options or, without one, Amazon's."""
        self._check_user_agent(request)
        if request.method == "GET" and "Content-Length" in request.headers:
            self._journal.warn("a GET must carry neither a body nor Content-Length")
        self._lwa.check(request.headers.get("x-amz-access-token"), scope)
        plan = self._limits.get(operation) or self._limits.get("*") or (rate, burst)
        bucket = self._buckets.setdefault(operation, TokenBucket(*plan))
        if self._enforce and not bucket.take(self._clock.monotonic()):
            raise quota_exceeded()

    def headers(self, operation: str, status: int) -> Mapping[str, str]:
        """Name the request; show the rate where Amazon documents it."""
        self._requests += 1
        headers = {"x-amzn-RequestId": f"5a17db0c-0000-4000-8000-{self._requests:012d}"}
        if status in LIMIT_SHOWN_ON and operation in self._buckets:
            headers["x-amzn-RateLimit-Limit"] = str(self._buckets[operation].rate)
        return headers

    def _check_user_agent(self, request: web.Request) -> None:
        agent = request.headers.get("User-Agent", "")
        if len(agent) > 500:
            raise invalid_input("The user agent is longer than 500 characters.")
        if not USER_AGENT.fullmatch(agent):
            self._journal.warn("the user-agent must read AppName/AppVersion (Language=...; Platform=...)")


class AmazonApi:
    """The headers and errors that all of Amazon's APIs share."""

    def __init__(self, gate: AmazonGate) -> None:
        self._gate = gate

    def headers(self, operation: str, status: int) -> Mapping[str, str]:
        """Return the gate's headers."""
        return self._gate.headers(operation, status)

    def contradiction(self) -> VendorError:
        """Build a 200 that carries an error."""
        return amazon_failure(200)

    def failure(self, status: int) -> VendorError:
        """Build Amazon's own error with that status."""
        return amazon_failure(status)


class FulfillmentVendor(AmazonApi):
    """Fulfillment Outbound and, as the last route, every path that Amazon does not know."""

    name = "amazon"

    def __init__(self, network: FulfillmentNetwork, service: ReturnsService, gate: AmazonGate) -> None:
        super().__init__(gate)
        self._network = network
        self._service = service

    def routes(self) -> Sequence[Route]:
        """List the routes."""
        order = f"{BASE}/fulfillmentOrders/{{order_id}}"
        return (
            Route("GET", f"{BASE}/fulfillmentOrders", "listAllFulfillmentOrders", self._list),
            Route("GET", order, "getFulfillmentOrder", self._get),
            Route("PUT", f"{order}/return", "createFulfillmentReturn", self._create_return),
            Route("GET", f"{BASE}/returnReasonCodes", "listReturnReasonCodes", self._reasons),
            Route("GET", f"{BASE}/tracking", "getPackageTrackingDetails", self._package),
            Route("GET", "/gp/orc/rml/{rma}", "rmaPage", self._rma_page),
            Route("*", "/{tail:.*}", "unknown", self._unknown),
        )

    def admit(self, request: web.Request, operation: str) -> None:
        """Let anyone see an RMA page; the API needs a token."""
        if operation != "rmaPage":
            self._gate.admit(request, operation, rate=2.0, burst=30)

    async def _list(self, request: web.Request) -> web.Response:
        page = self._network.list_orders(request.query.get("queryStartDate"), request.query.get("nextToken"))
        return web.json_response({"payload": page})

    async def _get(self, request: web.Request) -> web.Response:
        return web.json_response({"payload": self._network.read(_order_id(request))})

    async def _create_return(self, request: web.Request) -> web.Response:
        body = await read_json(request, invalid_input("The request body is not valid JSON."))
        return web.json_response({"payload": self._service.create(_order_id(request), body)})

    async def _reasons(self, request: web.Request) -> web.Response:
        query = request.query
        payload = self._network.reason_codes(
            query.get("sellerSku"), query.get("marketplaceId"), query.get("sellerFulfillmentOrderId")
        )
        return web.json_response({"payload": payload})

    async def _package(self, request: web.Request) -> web.Response:
        return web.json_response({"payload": self._network.package(request.query.get("packageNumber", ""))})

    async def _rma_page(self, request: web.Request) -> web.Response:
        for order in self._network.orders.values():
            units = [item for item in order.items.values() if item.authorization.rma == request.match_info["rma"]]
            if units:
                return web.Response(text=_page(order, units), content_type="text/html")
        return web.Response(status=404, text="<h1>Page not found</h1>", content_type="text/html")

    async def _unknown(self, _: web.Request) -> web.Response:
        raise amazon_error(403, "Unauthorized", "Access to requested resource is denied.")


def _order_id(request: web.Request) -> str:
    """Read the order id; Amazon has refused two blanks in a row as if they were forbidden."""
    order_id = request.match_info["order_id"]
    if "  " in order_id:
        raise amazon_error(403, "Unauthorized", "Access to requested resource is denied.")
    return order_id


def _page(order: Order, units: Sequence[ReturnItem]) -> str:
    rows = "".join(f"<li>{html.escape(order.sku_of(unit.item_id))}</li>" for unit in units)
    rma = html.escape(units[0].authorization.rma)
    return (
        f"<html><head><title>Return {rma}</title></head><body><h1>Return authorization {rma}</h1>"
        f"<p>Cut out this slip and lay it inside the parcel.</p><ul>{rows}</ul>"
        "<p>Mailing label: Returns Department. Postage is not included.</p></body></html>"
    )
