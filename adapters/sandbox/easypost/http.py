"""EasyPost's API v2 over HTTP, and the files of its labels."""

import base64
from collections.abc import Mapping, Sequence

from aiohttp import web

from adapters.sandbox.easypost.hooks import EasyPostHooks
from adapters.sandbox.easypost.shipments import EasyPostService, easypost_error
from adapters.sandbox.listener import Route, read_json
from adapters.sandbox.options import SandboxOptions
from adapters.sandbox.refusals import VendorError

BASE = "/v2"
OPEN = frozenset({"labelFile", "unknown"})


class EasyPostVendor:
    """The operations that return labels need. Which mode a call is in, its key says."""

    name = "easypost"

    def __init__(self, service: EasyPostService, hooks: EasyPostHooks, options: SandboxOptions) -> None:
        self._service = service
        self._hooks = hooks
        self._options = options
        self._requests = 0
        self.key_active = True

    def routes(self) -> Sequence[Route]:
        """List what it answers."""
        shipment = f"{BASE}/shipments/{{shipment_id}}"
        return (
            Route("POST", f"{BASE}/shipments", "create_shipment", self._create),
            Route("GET", f"{BASE}/shipments", "list_shipments", self._list),
            Route("GET", shipment, "read_shipment", self._read),
            Route("POST", f"{shipment}/rerate", "rerate_shipment", self._rerate),
            Route("POST", f"{shipment}/buy", "buy_shipment", self._buy),
            Route("POST", f"{shipment}/refund", "refund_shipment", self._refund),
            Route("GET", f"{BASE}/trackers/{{tracker_id}}", "read_tracker", self._tracker),
            Route("GET", f"{BASE}/carrier_accounts", "list_carrier_accounts", self._accounts),
            Route("POST", f"{BASE}/webhooks", "create_webhook", self._add_hook),
            Route("GET", f"{BASE}/webhooks", "list_webhooks", self._list_hooks),
            Route("DELETE", f"{BASE}/webhooks/{{hook_id}}", "delete_webhook", self._remove_hook),
            Route("GET", "/files/postage_label/{day}/{name}", "labelFile", self._file),
            Route("*", "/{tail:.*}", "unknown", self._unknown),
        )

    def admit(self, request: web.Request, operation: str) -> None:
        """Let anyone who has its address read a label; the API wants a key."""
        if operation not in OPEN:
            self._mode(request)

    def headers(self, operation: str, status: int) -> Mapping[str, str]:  # noqa: ARG002 - the same for all
        """Name the request."""
        self._requests += 1
        return {"x-ep-request-uuid": f"{self._requests:032x}"}

    def contradiction(self) -> VendorError:
        """Build a 200 that carries an error."""
        return easypost_error(200, "INTERNAL_SERVER_ERROR", "An error has occurred.")

    def failure(self, status: int) -> VendorError:
        """Build EasyPost's own error of that status."""
        codes = {429: "RATE_LIMITED", 402: "PAYMENT_REQUIRED", 403: "APIKEY.INACTIVE", 401: "UNAUTHORIZED"}
        return easypost_error(status, codes.get(status, "INTERNAL_SERVER_ERROR"), "An error has occurred.")

    def _mode(self, request: web.Request) -> str:
        scheme, _, shown = request.headers.get("Authorization", "").partition(" ")
        key = _basic_user(shown) if scheme.casefold() == "basic" else shown
        modes = {self._options.easypost_api_key: "production", self._options.easypost_test_key: "test"}
        if key not in modes:
            raise easypost_error(401, "UNAUTHORIZED", "The API key is not known.")
        if not self.key_active:
            raise easypost_error(403, "APIKEY.INACTIVE", "This api key is no longer active.")
        return modes[key]

    async def _create(self, request: web.Request) -> web.Response:
        return web.json_response(self._service.create(await _json(request), self._mode(request)), status=201)

    async def _list(self, request: web.Request) -> web.Response:
        return web.json_response(self._service.list_all(request.query, self._mode(request)))

    async def _read(self, request: web.Request) -> web.Response:
        return web.json_response(self._service.read(request.match_info["shipment_id"], self._mode(request)))

    async def _rerate(self, request: web.Request) -> web.Response:
        return web.json_response(self._service.rerate(request.match_info["shipment_id"], self._mode(request)))

    async def _buy(self, request: web.Request) -> web.Response:
        body = await _json(request)
        return web.json_response(self._service.buy(request.match_info["shipment_id"], body, self._mode(request)))

    async def _refund(self, request: web.Request) -> web.Response:
        return web.json_response(self._service.refund(request.match_info["shipment_id"], self._mode(request)))

    async def _tracker(self, request: web.Request) -> web.Response:
        return web.json_response(self._service.read_tracker(request.match_info["tracker_id"], self._mode(request)))

    async def _accounts(self, _: web.Request) -> web.Response:
        accounts = dict.fromkeys((service.account, service.carrier) for service in self._service.services)
        return web.json_response(
            [{"id": a, "object": "CarrierAccount", "type": f"{c}Account", "readable": c} for a, c in accounts]
        )

    async def _add_hook(self, request: web.Request) -> web.Response:
        return web.json_response(self._hooks.create(await _json(request), self._mode(request)), status=201)

    async def _list_hooks(self, _: web.Request) -> web.Response:
        return web.json_response({"webhooks": self._hooks.listed()})

    async def _remove_hook(self, request: web.Request) -> web.Response:
        self._hooks.remove(request.match_info["hook_id"])
        return web.json_response({})

    async def _file(self, request: web.Request) -> web.Response:
        content, kind = self._service.file(request.match_info["name"])
        return web.Response(body=content, content_type=kind)

    async def _unknown(self, _: web.Request) -> web.Response:
        raise easypost_error(404, "NOT_FOUND", "The requested resource could not be found.")


async def _json(request: web.Request) -> object:
    if not await request.read():  # kept by aiohttp, for whoever reads it again
        return {}
    return await read_json(request, easypost_error(400, "BAD_REQUEST", "The body is not JSON."))


def _basic_user(shown: str) -> str:
    try:
        return base64.b64decode(shown, validate=True).decode().partition(":")[0]
    except ValueError:
        return ""
