"""Label requests and labels, as a label provider reads and writes them in Loop."""

from collections.abc import Mapping

from adapters.sandbox.loop.actions import ReturnActions
from adapters.sandbox.loop.label_views import label_view, label_webhook, request_view
from adapters.sandbox.loop.returns import Label, LabelRequest, LoopReturn
from adapters.sandbox.loop.shop import LoopShop
from adapters.sandbox.options import SandboxOptions
from adapters.sandbox.refusals import Json, VendorError, loop_invalid, loop_not_found
from adapters.sandbox.stamps import amazon_time, parse_time, whole
from daemon.ports.host import Clock

REQUEST_STATUSES = ("issued", "cancelled", "fulfilled")
LABEL_STATUSES = ("new", "pre_transit", "in_transit", "out_for_delivery", "delivered")
ERROR_REASONS = ("INSUFFICIENT_FUNDS", "INVALID_ADDRESS", "Other")
TEXTS = {"tracking_number": 256, "carrier": 32}
OPTIONAL_TEXTS = {"label_url": 2048, "tracking_url": 2048, "qrcode_url": 512}


class LabelService:
    """Answers the label API."""

    def __init__(self, shop: LoopShop, actions: ReturnActions, options: SandboxOptions, clock: Clock) -> None:
        self._shop = shop
        self._actions = actions
        self._options = options
        self._clock = clock

    def list_requests(self, query: Mapping[str, str]) -> Json:
        """Answer GET /label-requests."""
        status, limit, offset = query.get("status"), _whole(query, "limit", 50), _whole(query, "offset", 0)
        if limit > 250:
            raise loop_invalid("limit", "The limit must not be greater than 250.")
        if status is not None and status not in REQUEST_STATUSES:
            raise loop_invalid("status", "The selected status is invalid.")
        start, end = _moment(query, "from"), _moment(query, "to")
        found = [
            request
            for request in self._shop.requests.values()
            if (status is None or request.status == status)
            and (start is None or request.created_at >= start)
            and (end is None or request.created_at < end)
            and query.get("return_id", str(request.return_id)) == str(request.return_id)
        ]
        return {"data": [self._view(request, in_list=True) for request in found[offset : offset + limit]]}

    def read_request(self, request_id: int) -> Json:
        """Answer GET /label-requests/{id}."""
        return self._view(self._find(request_id), in_list=False)

    def add_error(self, request_id: int, body: Mapping[str, object]) -> Json:
        """Record the provider's error; the request stays as it is."""
        request = self._find(request_id)
        message = body.get("message")
        if body.get("reason") not in ERROR_REASONS or not isinstance(message, str | None):
            raise VendorError(400, {"code": "BAD_REQUEST", "message": "The reason is not valid."})
        error = {"reason": body["reason"], "message": message, "created_at": amazon_time(self._clock.now())}
        request.errors.append(error)
        self._shop.note_down(self._shop.returns[request.return_id], f"provider: no label, {message}")
        return error

    def create_label(self, body: Mapping[str, object]) -> Json:
        """Store a label, which fulfils an issued request."""
        request_id = body.get("label_request_id")
        if not isinstance(request_id, int) or isinstance(request_id, bool):
            raise loop_invalid("label_request_id", "The label request id must be an integer.")
        _check_label(body)
        request = self._find(request_id)
        if request.status != "issued":
            raise loop_invalid("label_request_id", f"The label request is {request.status}.")
        ret = self._shop.returns[request.return_id]
        label = self._label(request, body)
        request.status = "fulfilled"
        ret.labels.append(label)
        self._shop.note_down(ret, f"provider: label {label.label_id}, {label.carrier} {label.tracking_number}")
        self._shop.emit_label("label.created", label_webhook(label, ret, "label.created", self._shop.shop_id))
        self._shop.announce(ret, "return.updated")
        return label_view(label)

    def update_label(self, label_id: int, status: object) -> None:
        """Store a label's new status, which may trigger the shop's automatic processing."""
        ret, label = self._find_label(label_id)
        if status not in LABEL_STATUSES:
            raise loop_invalid("status", "The selected status is invalid.")
        label.status = str(status)
        label.updated_at = self._clock.now()
        ret.timeline.append(f"label {label_id}: {status}")
        self._shop.note_down(ret, f"provider: label {label_id} is {status}")
        self._shop.emit_label("label.updated", label_webhook(label, ret, "label.updated", self._shop.shop_id))
        self._shop.announce(ret, "return.updated")
        if status == self._options.auto_process and ret.state == "open":
            ret.paid_before_inspection = True
            self._actions.queue(ret)

    def generate(self, return_id: int) -> Json:
        """Answer POST /returns/{id}/labels: asks for a label again, unless there is one or a request for one."""
        ret = self._known(return_id)
        requests = [request for request in self._shop.requests_of(ret) if request.status == "issued"]
        if ret.labels:
            raise _label_error(409, "label_already_exists")
        if ret.state != "open":
            raise _label_error(422, "return_cannot_receive_label")
        if any(request.errors for request in requests):
            raise _label_error(422, "label_generation_failed")
        if not requests:
            self._shop.issue_request(ret, [line.line_item_id for line in ret.lines])
        return {"message": "Label generation was queued.", "returnId": return_id}

    def regenerate(self, return_id: int) -> Json:
        """Answer POST /returns/{id}/labels/regenerate, which refuses third-party labels, the only kind here."""
        self._known(return_id)
        raise _label_error(422, "return_cannot_receive_label")

    def _known(self, return_id: int) -> LoopReturn:
        if return_id not in self._shop.returns:
            raise _label_error(404, "return_not_found")
        return self._shop.returns[return_id]

    def _label(self, request: LabelRequest, body: Mapping[str, object]) -> Label:
        rate = body["rate"]
        amount = rate["amount"] if isinstance(rate, Mapping) else 0
        currency = rate.get("currency_code", "USD") if isinstance(rate, Mapping) else "USD"
        now = self._clock.now()
        return Label(
            label_id=self._shop.next_id(550_000),
            request_id=request.request_id,
            carrier=str(body["carrier"]),
            tracking_number=str(body["tracking_number"]),
            rate={"amount": amount, "currency_code": currency},
            line_item_ids=list(request.line_item_ids),
            created_at=now,
            updated_at=now,
            label_url=_text(body, "label_url"),
            tracking_url=_text(body, "tracking_url"),
            qrcode_url=_text(body, "qrcode_url"),
        )

    def _find(self, request_id: int) -> LabelRequest:
        if request_id not in self._shop.requests:
            raise loop_not_found("Label request not found.")
        return self._shop.requests[request_id]

    def _find_label(self, label_id: int) -> tuple[LoopReturn, Label]:
        for ret in self._shop.returns.values():
            for label in ret.labels:
                if label.label_id == label_id:
                    return ret, label
        raise VendorError(403, {"code": "FORBIDDEN", "message": "The label does not belong to this provider."})

    def _view(self, request: LabelRequest, *, in_list: bool) -> Json:
        return request_view(request, self._shop.returns[request.return_id], self._shop.shop_id, in_list=in_list)


def _label_error(status: int, code: str) -> VendorError:
    return VendorError(status, {"code": code, "message": code.replace("_", " ").capitalize() + "."})


def _check_label(body: Mapping[str, object]) -> None:
    for name, longest in TEXTS.items():
        value = body.get(name)
        if not isinstance(value, str) or not 1 <= len(value) <= longest:
            raise loop_invalid(name, f"The {name} field is required and has at most {longest} characters.")
    for name, longest in OPTIONAL_TEXTS.items():
        value = body.get(name)
        if not isinstance(value, str | None) or len(value or "") > longest:
            raise loop_invalid(name, f"The {name} must be a string of at most {longest} characters.")
    if "label_url" not in body or (not body["label_url"] and not body.get("qrcode_url")):
        raise loop_invalid("label_url", "The label url field is required.")
    rate = body.get("rate")
    amount = rate.get("amount") if isinstance(rate, Mapping) else None
    if not isinstance(amount, int) or isinstance(amount, bool) or amount < 0:
        raise loop_invalid("rate", "The rate must be an object with an integer amount in cents.")


def _text(body: Mapping[str, object], name: str) -> str | None:
    return None if body.get(name) is None else str(body[name])


def _whole(query: Mapping[str, str], name: str, default: int) -> int:
    number = whole(query[name]) if name in query else default
    if number is None:
        raise loop_invalid(name, f"The {name} must be an integer.")
    return number


def _moment(query: Mapping[str, str], name: str) -> float | None:
    try:
        return parse_time(query[name]) if name in query else None
    except ValueError as error:
        raise loop_invalid(name, f"The {name} is not a valid date.") from error
