"""The Loop API over HTTP: key, scopes, limit, versions, and one small handler per operation."""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from aiohttp import web

from adapters.sandbox.limits import SlidingWindow
from adapters.sandbox.listener import Route, read_json
from adapters.sandbox.loop.actions import ReturnActions
from adapters.sandbox.loop.grading import GradingService
from adapters.sandbox.loop.labels import LabelService
from adapters.sandbox.loop.listing import ReturnReader
from adapters.sandbox.loop.webhooks import Subscriptions
from adapters.sandbox.options import SandboxOptions
from adapters.sandbox.refusals import Json, VendorError, loop_invalid, loop_not_found, loop_refused
from adapters.sandbox.stamps import whole
from daemon.ports.host import Clock

VERSIONS = ("2026-10", "2026-07", "v1", "latest", "unstable")
OLDEST = "2026-07"
LIMIT_PER_MINUTE = 300
Answer = Callable[[web.Request], Awaitable[object]]
UNAUTHORIZED: Json = {"error": {"code": "401", "http_code": "GEN-UNAUTHORIZED", "message": "Unauthorized."}}


@dataclass(frozen=True, kw_only=True)
class LoopServices:
    """The services of the shop behind the API."""

    reader: ReturnReader
    labels: LabelService
    actions: ReturnActions
    grading: GradingService
    subscriptions: Subscriptions
    destinations: list[Json]


@dataclass(frozen=True)
class Operation:
    """One row of the table of operations."""

    method: str
    path: str
    name: str
    scope: str
    answer: Answer
    status: int = 200


def too_many() -> VendorError:
    """Build the 429; its body is not documented."""
    return VendorError(429, {"message": "Too Many Attempts."})


class LoopVendor:
    """Serves the operations under each version, and without a version."""

    name = "loop"

    def __init__(self, rooms: LoopServices, options: SandboxOptions, clock: Clock) -> None:
        self._rooms = rooms
        self._options = options
        self._clock = clock
        self._window = SlidingWindow(LIMIT_PER_MINUTE, 60.0)
        self._operations = self._table()
        self._scopes = {operation.name: operation.scope for operation in self._operations}

    def routes(self) -> Sequence[Route]:
        """List every operation with and without a version, then the rest."""
        prefixes = (f"/api/{{version:{'|'.join(map(re.escape, VERSIONS))}}}", "/api")
        routes = [
            Route(operation.method, prefix + operation.path, operation.name, _handler(operation))
            for prefix in prefixes
            for operation in self._operations
        ]
        return [*routes, Route("*", "/{tail:.*}", "unknown", _unknown)]

    def admit(self, request: web.Request, operation: str) -> None:
        """Refuse a wrong key, a missing scope, too many calls."""
        if request.headers.get("X-Authorization") != self._options.loop_api_key:
            raise VendorError(401, UNAUTHORIZED)
        if self._options.enforce_limits and not self._window.take(self._clock.monotonic()):
            raise too_many()
        if self._scopes.get(operation, "") not in {"", *self._options.api_scopes}:
            raise VendorError(403 if operation == "regenerateLabel" else 401, {"errors": "Unauthorized."})

    def headers(self, operation: str, status: int) -> Mapping[str, str]:  # noqa: ARG002 - the same for all
        """Show the limit and the remaining calls."""
        if not self._options.enforce_limits:
            return {}
        left = self._window.remaining(self._clock.monotonic())
        return {"x-ratelimit-limit": str(LIMIT_PER_MINUTE), "x-ratelimit-remaining": str(left)}

    def contradiction(self) -> VendorError:
        """Build a 200 that carries an error."""
        return loop_refused("An unexpected error occurred.", "UNEXPECTED_ERROR")

    def failure(self, status: int) -> VendorError:
        """Build Loop's answer to too many requests or to an internal error."""
        return too_many() if status == 429 else VendorError(status, {"message": "Server Error"})

    def _table(self) -> tuple[Operation, ...]:
        ret, hook, ask = "/warehouse/return/{return_id}", "/webhooks/{webhook_id}", "/label-requests/{request_id}"
        own = "/returns/{return_id}/labels"
        return (
            Operation("GET", "/warehouse/return/list", "listReturns", "returns", self._list),
            Operation("GET", "/warehouse/return/details", "getReturnDetails", "returns", self._details),
            Operation("POST", f"{ret}/flag", "flagReturn", "returns", self._flag),
            Operation("POST", f"{ret}/process", "processReturn", "returns", self._process),
            Operation("POST", f"{ret}/remove", "removeLineItems", "returns", self._remove),
            Operation("POST", f"{ret}/close", "closeReturn", "returns", self._close),
            Operation("POST", f"{ret}/cancel", "cancelReturn", "returns", self._cancel),
            Operation("POST", f"{ret}/note", "addNote", "returns", self._note),
            Operation("GET", f"{ret}/notes", "listNotes", "returns", self._notes),
            Operation("POST", "/dispositioning/grade", "grade", "returns", self._grade),
            Operation("POST", "/dispositioning/assess", "assess", "returns", self._assess),
            Operation("GET", "/label-requests", "listLabelRequests", "label_requests:read", self._requests),
            Operation("GET", ask, "getLabelRequest", "label_requests:read", self._request),
            Operation("POST", f"{ask}/errors", "createLabelRequestError", "label_requests:write", self._give_up, 202),
            Operation("POST", "/labels", "createLabel", "labels:write", self._create_label, 201),
            Operation("PUT", "/labels/{label_id}", "updateLabel", "labels:write", self._update_label, 204),
            Operation("POST", own, "generateLabel", "returns", self._generate, 202),
            Operation("POST", f"{own}/regenerate", "regenerateLabel", "returns", self._regenerate, 202),
            Operation("GET", "/webhooks", "listWebhooks", "developer_tools", self._webhooks),
            Operation("POST", "/webhooks", "createWebhook", "developer_tools", self._create_webhook, 201),
            Operation("PUT", hook, "updateWebhook", "developer_tools", self._update_webhook, 204),
            Operation("DELETE", hook, "deleteWebhook", "developer_tools", self._delete_webhook, 204),
            Operation("GET", "/destinations", "listDestinations", "destinations:read", self._destinations),
            Operation("GET", "/destinations/{id}", "getDestination", "destinations:read", self._destination),
        )

    async def _list(self, request: web.Request) -> object:
        return self._rooms.reader.list_returns(request.query, _version(request))

    async def _details(self, request: web.Request) -> object:
        return self._rooms.reader.details(request.query, _version(request))

    async def _flag(self, request: web.Request) -> object:
        self._rooms.actions.flag(_number(request, "return_id"))
        return True

    async def _process(self, request: web.Request) -> object:
        body = await _body(request) if request.can_read_body else {}
        self._rooms.actions.process(_number(request, "return_id"), body)
        return True

    async def _remove(self, request: web.Request) -> object:
        ids = [whole(text.strip()) for text in request.query.get("line_item_id", "").split(",") if text.strip()]
        known = [line_id for line_id in ids if line_id is not None]
        if not ids or len(known) < len(ids):
            raise loop_invalid("line_item_id", "The line item id field is required.")
        self._rooms.actions.remove(_number(request, "return_id"), known)
        return True

    async def _close(self, request: web.Request) -> object:
        self._rooms.actions.close(_number(request, "return_id"))
        return True

    async def _cancel(self, request: web.Request) -> object:
        self._rooms.actions.cancel(_number(request, "return_id"))
        return True

    async def _note(self, request: web.Request) -> object:
        self._rooms.actions.add_note(_number(request, "return_id"), (await _body(request)).get("content"))
        return True

    async def _notes(self, request: web.Request) -> object:
        notes = self._rooms.actions.notes(_number(request, "return_id"))
        return notes if self._options.notes_shape == "array" else {"notes": notes}

    async def _grade(self, request: web.Request) -> object:
        return self._rooms.grading.grade(await _body(request), _version(request))

    async def _assess(self, request: web.Request) -> object:
        return self._rooms.grading.assess(await _body(request))

    async def _requests(self, request: web.Request) -> object:
        return self._rooms.labels.list_requests(request.query)

    async def _request(self, request: web.Request) -> object:
        return self._rooms.labels.read_request(_number(request, "request_id"))

    async def _give_up(self, request: web.Request) -> object:
        return self._rooms.labels.add_error(_number(request, "request_id"), await _body(request))

    async def _create_label(self, request: web.Request) -> object:
        return self._rooms.labels.create_label(await _body(request))

    async def _update_label(self, request: web.Request) -> object:
        self._rooms.labels.update_label(_number(request, "label_id"), (await _body(request)).get("status"))
        return None

    async def _generate(self, request: web.Request) -> object:
        return self._rooms.labels.generate(_number(request, "return_id"))

    async def _regenerate(self, request: web.Request) -> object:
        return self._rooms.labels.regenerate(_number(request, "return_id"))

    async def _webhooks(self, _: web.Request) -> object:
        return self._rooms.subscriptions.list_all()

    async def _create_webhook(self, request: web.Request) -> object:
        return self._rooms.subscriptions.create(await _body(request))

    async def _update_webhook(self, request: web.Request) -> object:
        self._rooms.subscriptions.update(_number(request, "webhook_id"), await _body(request))
        return None

    async def _delete_webhook(self, request: web.Request) -> object:
        self._rooms.subscriptions.delete(_number(request, "webhook_id"))
        return None

    async def _destinations(self, _: web.Request) -> object:
        return {"destinations": self._rooms.destinations}

    async def _destination(self, request: web.Request) -> object:
        wanted = _number(request, "id")
        for destination in self._rooms.destinations:
            if destination["id"] == wanted:
                return destination
        raise loop_not_found("Destination not found.")


def _handler(operation: Operation) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handle(request: web.Request) -> web.Response:
        body = await operation.answer(request)
        if operation.status == 204:
            return web.Response(status=204)
        response = web.json_response(body, status=operation.status)
        if operation.name == "createLabel" and isinstance(body, Mapping):
            response.headers["Location"] = f"{request.url.origin()}{request.path}/{body['id']}"
        return response

    return handle


async def _unknown(request: web.Request) -> web.Response:
    raise VendorError(404, {"message": f"The route {request.path} could not be found."})


def _version(request: web.Request) -> str:
    return request.match_info.get("version", OLDEST)


def _number(request: web.Request, name: str) -> int:
    number = whole(request.match_info[name])
    return -1 if number is None else number


async def _body(request: web.Request) -> Json:
    body = await read_json(request, loop_invalid("body", "The request body is not valid JSON."))
    if not isinstance(body, dict):
        raise loop_invalid("body", "The request body must be an object.")
    return body
