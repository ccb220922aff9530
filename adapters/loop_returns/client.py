"""Loop Returns behind the ReturnsPortal port, and the calls that the operator's commands need."""

from collections.abc import Callable, Mapping, Sequence

import structlog

from adapters.loop_returns.connection import LoopConnection, Operation, Scope
from adapters.loop_returns.limits import LoopLimits
from adapters.loop_returns.wire import errors as wire_errors
from adapters.loop_returns.wire import labels as wire_labels
from adapters.loop_returns.wire import returns as wire_returns
from adapters.loop_returns.wire import setup as wire_setup
from adapters.loop_returns.wire import writes as wire_writes
from adapters.loop_returns.wire.setup import Destination, Subscription
from adapters.vendor_calls.transport import Transport
from daemon.domain.portal import Grade, PortalLabelRequest, PortalNote, PortalReturn, PortalRow, PortalState
from daemon.domain.returns import Label, Transit
from daemon.errors import CredentialsRefused, ListCut
from daemon.ports.host import Clock
from daemon.ports.vendors import IssuedRequest, Lane

log = structlog.get_logger(__name__)

MAX_PAGES = 1000

LABEL_REQUEST = Operation("label_request", "GET", Scope.READ_LABEL_REQUESTS)
ISSUED_REQUESTS = Operation("issued_requests", "GET", Scope.READ_LABEL_REQUESTS)
REQUESTS_OF = Operation("requests_of", "GET", Scope.READ_LABEL_REQUESTS)
CANCELLED_REQUESTS = Operation("cancelled_requests", "GET", Scope.READ_LABEL_REQUESTS)
PROBE = Operation("probe", "GET", Scope.READ_LABEL_REQUESTS), wire_writes.requests_path("issued", 1, 0)
REPORT_REFUSAL = Operation("report_refusal", "POST", Scope.WRITE_LABEL_REQUESTS, Lane.SHOPPER)
DELIVER_LABEL = Operation("deliver_label", "POST", Scope.LABELS, Lane.SHOPPER)
REPORT_TRANSIT = Operation("report_transit", "PUT", Scope.LABELS)
UPDATED_RETURNS = Operation("updated_returns", "GET", Scope.RETURNS)
RETURNS_MADE = Operation("returns_made", "GET", Scope.RETURNS)
DETAILS = Operation("details", "GET", Scope.RETURNS)
NOTES = Operation("notes", "GET", Scope.RETURNS)
WRITE_NOTE = Operation("write_note", "POST", Scope.RETURNS)
GRADE = Operation("grade", "POST", Scope.RETURNS)
ASSESS = Operation("assess", "POST", Scope.RETURNS)
FLAG = Operation("flag", "POST", Scope.RETURNS)
PROCESS = Operation("process", "POST", Scope.RETURNS)
REMOVE = Operation("remove", "POST", Scope.RETURNS)
DESTINATIONS = Operation("destinations", "GET", Scope.DESTINATIONS)
WEBHOOKS = Operation("webhooks", "GET", Scope.DEVELOPER_TOOLS)
CREATE_WEBHOOK = Operation("create_webhook", "POST", Scope.DEVELOPER_TOOLS)
ACTIVATE_WEBHOOK = Operation("activate_webhook", "PUT", Scope.DEVELOPER_TOOLS)


class LoopPortal:
    """Implements ReturnsPortal for one shop. `api_url` has no version in it, `processor` signs the grades,
    `currency` is that of what labels cost.

    `api_key` is called for each request; its result goes to Loop alone.

    After a 401 the credential is parked: calls raise CredentialsRefused at once, and one in five minutes tries again.
    """

    def __init__(
        self,
        transport: Transport,
        limits: LoopLimits,
        *,
        clock: Clock,
        api_url: str,
        api_version: str,
        api_key: Callable[[], str],
        processor: str,
        currency: str,
    ) -> None:
        self._api_version = api_version
        self._api_key = api_key
        self._processor = processor
        self._currency = currency
        self._loop = LoopConnection(
            transport,
            limits,
            clock,
            base_url=f"{api_url.rstrip('/')}/{wire_writes.segment(api_version)}",
            credential=lambda: {"X-Authorization": api_key()},
            probe=PROBE,
        )

    @property
    def keyless(self) -> str:
        """Why there is no key to call with; empty if there is one."""
        try:
            self._api_key()
        except CredentialsRefused as error:
            return str(error)
        return ""

    @property
    def parked_scopes(self) -> tuple[str, ...]:
        """The parked scopes in Loop's words; "" stands for the whole key."""
        return tuple(self._loop.parking.refused)

    def unpark(self) -> None:
        """Let the next call try again at once."""
        self._loop.parking.forget()

    async def label_request(self, request_id: str, lane: Lane) -> PortalLabelRequest:
        """Read one label request."""
        value = await self._ask(LABEL_REQUEST, wire_writes.label_request_path(request_id), lane=lane)
        return wire_labels.read_label_request(value, request_id)

    async def issued_requests(self) -> Sequence[IssuedRequest]:
        """Page through the issued label requests."""
        return await self._requests(ISSUED_REQUESTS, "issued")

    async def cancelled_requests(self, since: float) -> Sequence[IssuedRequest]:
        """Page through the cancelled label requests that were created since a Unix time."""
        return await self._requests(CANCELLED_REQUESTS, "cancelled", since)

    async def _requests(self, operation: Operation, status: str, since: float | None = None) -> list[IssuedRequest]:
        """Ask until a page brings nothing new, because Loop may return less than a full page."""
        requests: dict[str, IssuedRequest] = {}
        offset = 0
        for _ in range(MAX_PAGES):
            known = len(requests)
            path = wire_writes.requests_path(status, wire_writes.PAGE_SIZE, offset, since)
            value = await self._ask(operation, path)
            page = wire_labels.read_request_page(value)
            requests |= {request.request_id: request for request in page.requests}
            offset += page.size
            if len(requests) == known:
                break
        else:
            log.warning("loop.list_cut", operation=operation.name, pages=MAX_PAGES)
        return list(requests.values())

    async def requests_of(self, return_id: str) -> Sequence[PortalLabelRequest]:
        """Page through the label requests of one return."""
        found: dict[str, PortalLabelRequest] = {}
        offset = 0
        for _ in range(MAX_PAGES):
            path = wire_writes.requests_of_path(return_id, wire_writes.PAGE_SIZE, offset)
            requests, size = wire_labels.read_requests_of(await self._ask(REQUESTS_OF, path), return_id)
            known = len(found)
            found |= {request.request_id: request for request in requests}
            offset += size
            if size < wire_writes.PAGE_SIZE or len(found) == known:
                break
        return sorted(found.values(), key=lambda r: (r.created_at or 0.0, len(r.request_id), r.request_id))

    async def updated_returns(self, state: PortalState, since: float, until: float) -> Sequence[str]:
        """Page through the returns of a state that changed between two Unix times, at most 120 days apart.

        Raises ListCut when a cursor repeats, or after a thousand pages.
        """
        try:
            rows = await self._list(UPDATED_RETURNS, "updated_at", state, since, until)
        except ListCut as cut:
            raise ListCut(str(cut), [row.return_id for row in cut.found]) from None
        return [row.return_id for row in rows]

    async def returns_made(self, state: PortalState, since: float, until: float) -> Sequence[PortalRow]:
        """Page through the returns of a state that were made between two Unix times, at most 120 days apart.

        Raises as `updated_returns` does.
        """
        return await self._list(RETURNS_MADE, "created_at", state, since, until)

    async def _list(
        self, operation: Operation, by: str, state: PortalState, since: float, until: float
    ) -> list[PortalRow]:
        rows: dict[str, PortalRow] = {}
        cursor = ""
        seen = {cursor}
        for _ in range(MAX_PAGES):
            value = await self._ask(operation, wire_writes.list_path(by, state, since, until, cursor))
            page = wire_returns.read_return_page(value)
            rows |= {row.return_id: row for row in page.rows}
            cursor = page.cursor
            if not cursor:
                return list(rows.values())
            if cursor in seen:
                raise ListCut(f"{operation.label}: the list begins again after {len(seen)} pages", list(rows.values()))
            seen.add(cursor)
        raise ListCut(f"{operation.label}: the list has more than {MAX_PAGES} pages", list(rows.values()))

    async def details(self, return_id: str, lane: Lane) -> PortalReturn:
        """Read one return; raises Refused with NOT_FOUND when Loop does not know it."""
        reply = await self._loop.call(DETAILS, wire_writes.details_path(return_id), lane=lane)
        value = wire_errors.found(DETAILS.label, reply.status, reply.body)
        return wire_returns.read_return(value, return_id)

    async def deliver_label(self, request_id: str, label: Label) -> str:
        """Post the label and return its id, which no other call returns."""
        reply = await self._loop.call(
            DELIVER_LABEL, "/labels", wire_writes.label_body(request_id, label, self._currency)
        )
        value = wire_errors.answer(DELIVER_LABEL.label, reply.status, reply.body)
        return wire_labels.read_label_id(value, reply.header("Location"))

    async def report_refusal(self, request_id: str, message: str) -> None:
        """Post a label request error; the request stays issued."""
        path = f"{wire_writes.label_request_path(request_id)}/errors"
        await self._write(REPORT_REFUSAL, path, wire_writes.error_body(message))

    async def report_transit(self, label_id: str, transit: Transit) -> None:
        """Set a label's status."""
        await self._write(REPORT_TRANSIT, wire_writes.label_path(label_id), wire_writes.transit_body(transit))

    async def notes(self, return_id: str) -> Sequence[PortalNote]:
        """Read the lines of the timeline."""
        reply = await self._loop.call(NOTES, wire_writes.return_path(return_id, "notes"))
        return wire_returns.read_notes(wire_errors.listed_or_none(NOTES.label, reply.status, reply.body))

    async def write_note(self, return_id: str, text: str) -> None:
        """Add one line to the timeline."""
        await self._write(WRITE_NOTE, wire_writes.return_path(return_id, "note"), wire_writes.note_body(text))

    async def grade(self, grades: Sequence[Grade]) -> None:
        """Write conditions, twenty lines per call."""
        for body in wire_writes.grade_bodies(grades, self._api_version, self._processor):
            await self._write(GRADE, "/dispositioning/grade", body)

    async def assess(self, grades: Sequence[Grade]) -> None:
        """Write dispositions, twenty lines per call."""
        for body in wire_writes.assess_bodies(grades, self._processor):
            await self._write(ASSESS, "/dispositioning/assess", body)

    async def flag(self, return_id: str) -> None:
        """Put the return into Needs Review."""
        await self._act(FLAG, wire_writes.return_path(return_id, "flag"))

    async def process(self, return_id: str, record: Mapping[str, str]) -> None:
        """Queue the return's outcome."""
        await self._act(PROCESS, wire_writes.return_path(return_id, "process"), wire_writes.record_body(record))

    async def remove(self, return_id: str, line_ids: Sequence[str]) -> None:
        """Remove lines and process the rest."""
        await self._act(REMOVE, wire_writes.remove_path(return_id, line_ids))

    async def destinations(self) -> Sequence[Destination]:
        """Read the shop's possible destinations of returns."""
        return wire_setup.read_destinations(await self._ask(DESTINATIONS, "/destinations"))

    async def webhooks(self) -> Sequence[Subscription]:
        """Read the shop's webhook subscriptions, including those of other programs."""
        return wire_setup.read_subscriptions(await self._ask(WEBHOOKS, "/webhooks"))

    async def create_webhook(self, topic: str, trigger: str, url: str) -> Subscription:
        """Subscribe to one trigger. Not idempotent: check `webhooks` first."""
        body = wire_writes.subscription_body(topic, trigger, url)
        return wire_setup.read_subscription(await self._ask(CREATE_WEBHOOK, "/webhooks", body))

    async def activate_webhook(self, subscription: Subscription) -> None:
        """Activate an inactive subscription."""
        body = wire_writes.subscription_body(subscription.topic, subscription.trigger, subscription.url)
        await self._write(ACTIVATE_WEBHOOK, wire_writes.webhook_path(subscription.webhook_id), body)

    async def probe(self) -> None:
        """Make a call that any good key may make, even while the credential is parked; success unparks it."""
        reply = await self._loop.call(*PROBE, parked=True)
        wire_errors.answer(PROBE[0].label, reply.status, reply.body)

    async def _ask(
        self, operation: Operation, path: str, body: bytes | None = None, *, lane: Lane | None = None
    ) -> object:
        reply = await self._loop.call(operation, path, body, lane=lane)
        return wire_errors.told(operation.label, reply.status, reply.body)

    async def _write(self, operation: Operation, path: str, body: bytes) -> None:
        reply = await self._loop.call(operation, path, body)
        wire_errors.accepted(operation.label, reply.status, reply.body)

    async def _act(self, operation: Operation, path: str, body: bytes | None = None) -> None:
        reply = await self._loop.call(operation, path, body)
        wire_errors.done(operation.label, reply.status, reply.body)
