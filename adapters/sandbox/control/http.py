"""The control API: how a person or a script controls the sandbox over HTTP.

`POST /control/{operation}` takes the keyword arguments of the Sandbox method of that name as a JSON object and answers
`{"result": …}`. Wrong arguments get a 400, an impossible operation a 409, an unknown one a 404, each `{"error": "…"}`.
`GET /control/snapshot` shows all data of the vendors, `GET /control/calls` every request to them,
`GET /control` lists the operations, `GET /openapi.json` describes all this, and `/` is a page that uses it.

Amazon
    create_order           an order with its lines, or with several shipments
    set_shipment_status    a shipment leaves, or is cancelled
    set_reason_codes       which return reasons a SKU allows
    refuse_sku             Amazon takes no unit of a SKU back
    set_label_after        seconds until an authorization shows
    offer_services         which shipping services are sold
    set_documents_after    seconds until a bought label's file shows
    scan                   a carrier scans a label
    carry                  a carrier scans all parcels of a return
    lose                   a carrier loses a return's parcels
    receive                a fulfillment center processes a unit, or corrects its condition
    revoke_access          the seller takes the consent back
    restore_access         and gives it again
    expire_access_tokens   all access tokens end now
    rotate_client_secret   the application gets a new secret
    set_reads_lag          seconds until a processed unit shows in reads
    announce               a notification is sent of an order
    warn_of_secret         a notification says that the client secret ends soon
Loop
    submit_return          a shopper returns something
    cancel_return          the return is cancelled
    edit_return            lines are added and removed
    reissue_label_request  a label is asked for again
    cancel_label_request   a label request is withdrawn
    settle_review          a person closes, processes, unflags or cancels what is in review
    flag_return            a person flags a return
    close_return           a person closes a return
    expire                 a return expires
    restock                the return's items go back into the shop's stock
    plan_processing        how the next processing ends
    set_process_after      seconds that `process` stays queued
    set_webhook_url        where all webhooks go
EasyPost
    offer_rates            what the merchant's carriers sell
    scan_easypost          a carrier says something of a label that EasyPost sold
    send_back              a carrier returns a parcel to its sender
    set_funds              whether the account can pay
    set_easypost_key       whether EasyPost accepts its keys
    refuse_purchase        the next purchase is refused
    time_out_purchase      the next purchase times out, and may turn out bought later
    plan_refund            what the next refund is answered with
    settle_refund          the carrier decides on a refund
    print_pictures         labels without text that a program could read
    set_easypost_webhook   where EasyPost's events go
Another integration
    answer_as_hosted       label requests are answered with items and labels of its own
All
    set_faults             what goes wrong from now on
Amazon and Loop
    forget_closed          forget what is over, so that a long run does not slow the sandbox down
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from importlib import resources
from typing import Any, Protocol

from aiohttp import web

from adapters.sandbox.control.openapi import describe
from adapters.sandbox.control.operations import OPERATIONS, WrongArguments
from adapters.sandbox.listener import Route, read_json
from adapters.sandbox.refusals import ControlError, Json, VendorError


class Controllable(Protocol):
    """What the control API shows beside the operations."""

    def snapshot(self) -> Json:
        """Show all data of the vendors."""

    def calls(self) -> list[Json]:
        """List every request."""


class ControlVendor:
    """Serves the operations of a sandbox, without limits, tokens or faults."""

    name = "control"

    def __init__(self, sandbox: Controllable) -> None:
        self._sandbox = sandbox

    def routes(self) -> Sequence[Route]:
        """List the routes."""
        posts = [Route("POST", f"/control/{name}", name, self._operation(name)) for name in OPERATIONS]
        return (
            Route("GET", "/", "page", self._page),
            Route("GET", "/openapi.json", "description", self._description),
            Route("GET", "/control", "operations", self._list),
            Route("GET", "/control/snapshot", "snapshot", self._snapshot),
            Route("GET", "/control/calls", "calls", self._calls),
            *posts,
            Route("*", "/{tail:.*}", "unknown", self._unknown),
        )

    def admit(self, request: web.Request, operation: str) -> None:
        """Let everyone in."""

    def headers(self, operation: str, status: int) -> Mapping[str, str]:  # noqa: ARG002 - none for any
        """Add no header."""
        return {}

    def contradiction(self) -> VendorError:
        """Build a 200 that carries an error."""
        return self.failure(200)

    def failure(self, status: int) -> VendorError:
        """Build a plain error with that status."""
        return VendorError(status, {"error": "this is no answer"})

    def _operation(self, name: str) -> Callable[[web.Request], Awaitable[web.Response]]:
        operation = OPERATIONS[name]

        async def handle(request: web.Request) -> web.Response:
            arguments = await _arguments(request)
            try:
                return web.json_response({"result": operation.perform(self._sandbox, arguments)})
            except WrongArguments as error:
                raise VendorError(400, {"error": str(error)}) from error
            except ControlError as error:
                raise VendorError(409, {"error": str(error)}) from error

        return handle

    async def _page(self, _: web.Request) -> web.Response:
        text = resources.files("adapters.sandbox.control").joinpath("page.html").read_text("utf-8")
        return web.Response(text=text, content_type="text/html")

    async def _description(self, _: web.Request) -> web.Response:
        return web.json_response(describe())

    async def _list(self, _: web.Request) -> web.Response:
        return web.json_response({"operations": list(OPERATIONS)})

    async def _snapshot(self, _: web.Request) -> web.Response:
        return web.json_response(self._sandbox.snapshot())

    async def _calls(self, _: web.Request) -> web.Response:
        return web.json_response(self._sandbox.calls())

    async def _unknown(self, _: web.Request) -> web.Response:
        raise VendorError(404, {"error": "there is no such operation; GET /control lists them"})


async def _arguments(request: web.Request) -> dict[str, Any]:
    refusal = VendorError(400, {"error": "the body is a JSON object of arguments"})
    body = await read_json(request, refusal) if request.can_read_body else {}
    if not isinstance(body, dict):
        raise refusal
    return body
