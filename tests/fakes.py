"""Both vendors in memory, a store that can fail, and metrics that remember.

The vendors keep state and obey their own rules, as the reference of each describes them. What shall go wrong is told
beforehand: `fail` and `meanwhile` hold for the next call of an operation, `outage` for every call.
"""

from collections import Counter, defaultdict, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TypeVar

from daemon.domain.orders import CreateAnswer, FulfillmentOrder, InvalidItem, ReturnAuthorization, ReturnItem
from daemon.domain.portal import Grade, PortalLabelRequest, PortalLine, PortalReturn, PortalState, RequestStatus
from daemon.domain.returns import Label, ReturnUnit, State, Transit
from daemon.errors import Refused
from daemon.ports import Clock, IssuedRequest, Lane, OrderHead, OrderPage, ReturnStore, UnitOfWork
from tests.builders import CENTER, a_portal_request
from tests.virtual_time import settle

T = TypeVar("T")
Action = Callable[[], Awaitable[object]]

NOTE_LIMIT = 250


class Killed(BaseException):
    """The process is gone; nothing in it can catch this."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call as a vendor saw it."""

    operation: str
    arguments: tuple[object, ...]
    at: float


class Vendor:
    """A journal of calls, and what shall go wrong. `watch` hears of every call, before and after its effect."""

    def __init__(self, clock: Clock) -> None:
        self.calls: list[Call] = []
        self.outage: Exception | None = None
        self.watch: Callable[[str], None] = lambda _point: None
        self._clock = clock
        self._before: defaultdict[str, deque[Action]] = defaultdict(deque)
        self._after: defaultdict[str, deque[Action]] = defaultdict(deque)

    def fail(self, operation: str, error: Exception, *, after: bool = False, times: int = 1) -> None:
        """Let the next calls fail, without effect or (`after`) with the effect done and the answer lost."""

        async def raise_it() -> None:
            raise error

        for _ in range(times):
            self.meanwhile(operation, raise_it, after=after)

    def meanwhile(self, operation: str, action: Action, *, after: bool = False) -> None:
        """Let something else happen while the next call is under way, before its effect or after it."""
        (self._after if after else self._before)[operation].append(action)

    def made(self, operation: str) -> list[Call]:
        """The calls of one operation, oldest first."""
        return [call for call in self.calls if call.operation == operation]

    def count(self, operation: str) -> int:
        """How often an operation was called."""
        return len(self.made(operation))

    @asynccontextmanager
    async def _call(self, operation: str, *arguments: object) -> AsyncIterator[None]:
        self.calls.append(Call(operation, arguments, self._clock.now()))
        self.watch(f"before {operation}")
        await settle(1)
        if self.outage is not None:
            raise self.outage
        if self._before[operation]:
            await self._before[operation].popleft()()
        yield
        if self._after[operation]:
            await self._after[operation].popleft()()
        self.watch(f"after {operation}")


@dataclass
class LoopReturn:
    """A return as the portal keeps it. `plan` is how processing will end: close, fail, bounce or lose."""

    return_id: str
    lines: list[PortalLine]
    state: PortalState = PortalState.OPEN
    order_name: str = "#1001"
    order_number: str = "1001"
    provider_order_id: str = "5001"
    destination_id: str = ""
    has_exchange: bool = False
    was_processed: bool = False
    flagged: bool = False
    plan: str = "close"
    ends_at: float | None = None
    changed_at: float = 0.0
    notes: list[str] = field(default_factory=list)
    label_urls: list[str] = field(default_factory=list)
    records: list[Mapping[str, str]] = field(default_factory=list)
    flags: int = 0
    grades: Counter[str] = field(default_factory=Counter)
    assessments: Counter[str] = field(default_factory=Counter)


class FakePortal(Vendor):
    """One shop at Loop. Implements ReturnsPortal."""

    def __init__(self, clock: Clock, *, process_after: float = 30.0) -> None:
        super().__init__(clock)
        self.returns: dict[str, LoopReturn] = {}
        self.requests: dict[str, PortalLabelRequest] = {}
        self.labels: dict[str, Label] = {}
        self.transits: defaultdict[str, list[Transit]] = defaultdict(list)
        self.process_after = process_after

    def submit(self, ret: LoopReturn, request: PortalLabelRequest | None = None) -> None:
        """A shopper submits a return; by default one label request asks for all of its lines."""
        request = request or a_portal_request("q" + ret.return_id, skus=())
        ret.changed_at = self._clock.now()
        self.returns[ret.return_id] = ret
        self.ask(replace(request, return_id=ret.return_id, skus=request.skus or tuple(x.sku for x in ret.lines)))

    def ask(self, request: PortalLabelRequest) -> None:
        """Issue a label request."""
        self.requests[request.request_id] = request

    def withdraw(self, request_id: str) -> None:
        """Cancel a label request."""
        self.requests[request_id] = replace(self.requests[request_id], status=RequestStatus.CANCELLED)

    def set_state(self, return_id: str, state: PortalState, **changes: object) -> None:
        """What a person does to a return in the portal."""
        self._become(self.returns[return_id], state)
        for name, value in changes.items():
            setattr(self.returns[return_id], name, value)

    # ---- the port

    async def label_request(self, request_id: str) -> PortalLabelRequest:
        async with self._call("label_request", request_id):
            if request_id not in self.requests:
                raise Refused("NOT_FOUND", "label request not found")
            return self.requests[request_id]

    async def issued_requests(self) -> Sequence[IssuedRequest]:
        async with self._call("issued_requests"):
            issued = [r for r in self.requests.values() if r.status is RequestStatus.ISSUED]
            return [IssuedRequest(request_id=r.request_id, return_id=r.return_id) for r in issued]

    async def updated_returns(self, state: PortalState, since: float, until: float) -> Sequence[str]:
        async with self._call("updated_returns", state, since, until):
            for ret in self.returns.values():
                self._process_queue(ret)
            return [r.return_id for r in self.returns.values() if r.state is state and since <= r.changed_at <= until]

    async def details(self, return_id: str, lane: Lane) -> PortalReturn:
        async with self._call("details", return_id, lane):
            ret = self._find(return_id)
            return PortalReturn(
                return_id=return_id,
                state=ret.state,
                lines=tuple(ret.lines),
                order_name=ret.order_name,
                order_number=ret.order_number,
                provider_order_id=ret.provider_order_id,
                destination_id=ret.destination_id,
                has_exchange=ret.has_exchange,
                was_processed=ret.was_processed,
                label_urls=tuple(ret.label_urls),
            )

    async def deliver_label(self, request_id: str, label: Label) -> str:
        async with self._call("deliver_label", request_id, label):
            request = self.requests[request_id]
            if request.status is not RequestStatus.ISSUED:
                raise Refused("UNPROCESSABLE", f"the label request is {request.status}")
            self.requests[request_id] = replace(request, status=RequestStatus.FULFILLED)
            self.returns[request.return_id].label_urls.append(label.url)
            label_id = f"label-{len(self.labels) + 1}"
            self.labels[label_id] = label
            return label_id

    async def report_refusal(self, request_id: str, message: str) -> None:
        async with self._call("report_refusal", request_id, message):
            request = self.requests[request_id]
            self.requests[request_id] = replace(request, errors=(*request.errors, message))

    async def report_transit(self, label_id: str, transit: Transit) -> None:
        async with self._call("report_transit", label_id, transit):
            if label_id not in self.labels:
                raise Refused("NOT_FOUND", "label not found")
            self.transits[label_id].append(transit)

    async def notes(self, return_id: str) -> Sequence[str]:
        async with self._call("notes", return_id):
            return list(self._find(return_id).notes)

    async def write_note(self, return_id: str, text: str) -> None:
        async with self._call("write_note", return_id, text):
            if not 0 < len(text) <= NOTE_LIMIT:
                raise Refused("UNPROCESSABLE", "the note is empty or too long")
            self._find(return_id).notes.append(text)

    async def grade(self, grades: Sequence[Grade]) -> None:
        async with self._call("grade", tuple(grades)):
            for grade in grades:
                ret = self._change_line(grade.line_id, grade=grade.grade)
                ret.grades[grade.line_id] += 1

    async def assess(self, grades: Sequence[Grade]) -> None:
        async with self._call("assess", tuple(grades)):
            for grade in grades:
                ret = self._change_line(grade.line_id, disposition=grade.disposition)
                ret.assessments[grade.line_id] += 1

    async def flag(self, return_id: str) -> None:
        async with self._call("flag", return_id):
            ret = self._open(return_id, "flagged")
            ret.flags += 1
            ret.flagged = True
            self._become(ret, PortalState.REVIEW)

    async def process(self, return_id: str, record: Mapping[str, str]) -> None:
        async with self._call("process", return_id, record):
            ret = self._open(return_id, "processed")
            if ret.flagged:
                raise Refused("UNPROCESSABLE_FLAGGED_RETURN", "Return is flagged and therefore cannot be processed.")
            ret.records.append(record)
            ret.ends_at = self._clock.now() + self.process_after

    async def remove(self, return_id: str, line_ids: Sequence[str]) -> None:
        async with self._call("remove", return_id, tuple(line_ids)):
            ret = self._open(return_id, "modified")
            ret.lines = [line for line in ret.lines if line.line_id not in line_ids]
            ret.was_processed = bool(ret.lines)
            self._become(ret, PortalState.CLOSED if ret.lines else PortalState.CANCELLED)

    # ---- inside

    def _find(self, return_id: str) -> LoopReturn:
        if return_id not in self.returns:
            raise Refused("NOT_FOUND", "No return found with this ID.")
        self._process_queue(self.returns[return_id])
        return self.returns[return_id]

    def _open(self, return_id: str, verb: str) -> LoopReturn:
        ret = self._find(return_id)
        if ret.state is not PortalState.OPEN:
            raise Refused("UNPROCESSABLE_RETURN", f"Return is {ret.state} and therefore cannot be {verb}.")
        return ret

    def _process_queue(self, ret: LoopReturn) -> None:
        """What was queued ends as planned, when its time has come."""
        if ret.ends_at is None or ret.ends_at > self._clock.now():
            return
        ret.ends_at = None
        if ret.plan == "close" and not ret.flagged:
            ret.was_processed = True
            self._become(ret, PortalState.CLOSED)
        elif ret.plan == "bounce":
            self._become(ret, PortalState.REVIEW)

    def _become(self, ret: LoopReturn, state: PortalState) -> None:
        ret.state = state
        ret.changed_at = self._clock.now()

    def _change_line(self, line_id: str, **changes: str) -> LoopReturn:
        for ret in self.returns.values():
            for at, line in enumerate(ret.lines):
                if line.line_id == line_id:
                    ret.lines[at] = replace(line, **changes)  # type: ignore[arg-type]
                    return ret
        raise Refused("FORBIDDEN", "the line is not this shop's")


@dataclass
class _Expected:
    """A return item and when it may be seen."""

    item: ReturnItem
    sku: str
    created_at: float
    authorization_at: float


class FakeNetwork(Vendor):
    """The seller's account at Amazon. Implements FulfillmentNetwork.

    `authorization_delay` is how long (s) an accepted unit has no authorization, `read_lag` how long it is not listed;
    `center_of` sends SKUs to other fulfillment centers, each with an authorization of its own per call.
    """

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.orders: dict[str, FulfillmentOrder] = {}
        self.forbidden: set[str] = set()
        self.refuse: dict[str, tuple[str, str]] = {}
        self.reasons: dict[str, Sequence[str]] = {}
        self.center_of: dict[str, str] = {}
        self.authorization_delay = 0.0
        self.read_lag = 0.0
        self.page_size = 2
        self._expected: defaultdict[str, dict[str, _Expected]] = defaultdict(dict)
        self._authorizations: dict[str, ReturnAuthorization] = {}

    def add(self, *orders: FulfillmentOrder) -> None:
        """Put orders into the network, or other readings in their places."""
        self.orders.update({order.order_id: order for order in orders})

    def items(self, order_id: str) -> list[ReturnItem]:
        """Every return item of an order, whether it can be seen by now or not."""
        return [expected.item for expected in self._expected[order_id].values()]

    def all_items(self) -> list[ReturnItem]:
        """Every return item of all orders."""
        return [item for order_id in self.orders for item in self.items(order_id)]

    def inspect(self, unit: ReturnUnit, condition: str | None = "Sellable", reason: str | None = None) -> None:
        """A fulfillment center processes a unit, or corrects what it said before."""
        expected = self._expected[unit.order_id][unit.return_item_id]
        expected.item = replace(
            expected.item,
            processed=True,
            condition=condition,
            reason=reason,
            center="LEX1",
            changed_at=self._clock.now(),
        )

    # ---- the port

    async def order(self, order_id: str, lane: Lane) -> FulfillmentOrder | None:
        async with self._call("order", order_id, lane):
            if order_id in self.forbidden:
                raise Refused("Unauthorized", "Access to requested resource is denied.")
            order = self.orders.get(order_id)
            return None if order is None else self._as_listed(order)

    async def orders_since(self, since: float, next_token: str) -> OrderPage:
        async with self._call("orders_since", since, next_token):
            start = int(next_token or 0)
            rows = list(self.orders.values())
            heads = [
                OrderHead(order_id=o.order_id, displayable_order_id=o.displayable_order_id)
                for o in rows[start : start + self.page_size]
            ]
            end = start + self.page_size
            return OrderPage(heads=heads, next_token=str(end) if end < len(rows) else "")

    async def reason_codes(self, sku: str) -> Sequence[str]:
        async with self._call("reason_codes", sku):
            return self.reasons.get(sku, ("CR-UNWANTED_ITEM", "CR-DEFECTIVE"))

    async def create_return(self, order_id: str, units: Sequence[ReturnUnit]) -> CreateAnswer:
        async with self._call("create_return", order_id, tuple(units)):
            if order_id not in self.orders:
                raise Refused("InvalidInput", "The requested order was not found.")
            accepted, invalid = [], []
            given: dict[str, ReturnAuthorization] = {}
            for unit in units:
                if refusal := self._refusal(self.orders[order_id], unit):
                    invalid.append(
                        InvalidItem(return_item_id=unit.return_item_id, code=refusal[0], description=refusal[1])
                    )
                else:
                    accepted.append(self._accept(order_id, unit, given))
            visible = () if self.authorization_delay else tuple(given.values())
            items = tuple(self._seen(expected) for expected in accepted)
            return CreateAnswer(return_items=items, invalid_items=tuple(invalid), authorizations=visible)

    # ---- inside

    def _as_listed(self, order: FulfillmentOrder) -> FulfillmentOrder:
        now = self._clock.now()
        listed = [e for e in self._expected[order.order_id].values() if e.created_at + self.read_lag <= now]
        items = tuple(self._seen(expected) for expected in listed)
        ids = dict.fromkeys(item.authorization_id for item in items if item.authorization_id)
        authorizations = tuple(self._authorizations[a] for a in ids)
        return replace(order, return_items=items, authorizations=authorizations)

    def _seen(self, expected: _Expected) -> ReturnItem:
        visible = expected.authorization_at <= self._clock.now()
        return expected.item if visible else replace(expected.item, authorization_id=None)

    def _refusal(self, order: FulfillmentOrder, unit: ReturnUnit) -> tuple[str, str] | None:
        expected = self._expected[order.order_id]
        if unit.return_item_id in expected:
            return "DuplicateRequest", "A return with this id was already requested."
        if not unit.reason_code:
            return "InvalidValues", "A reason code is required."
        if unit.sku in self.refuse:
            return self.refuse[unit.sku]
        shipment = next((s for s in order.shipments if s.shipment_id == unit.shipment_id), None)
        shipped = [i for i in shipment.items if i.item_id == unit.order_item_id] if shipment else []
        if shipment is None or not shipped:
            return "InvalidValues", "The item is not part of the shipment."
        if not shipment.shipped:
            return "NoCompletedShipItems", "The item has not shipped yet."
        place = unit.order_item_id, unit.shipment_id
        taken = sum((e.item.order_item_id, e.item.shipment_id) == place for e in expected.values())
        if taken >= sum(i.quantity for i in shipped):
            return "NoReturnableQuantity", "All returnable units are already assigned to return items."
        return None

    def _accept(self, order_id: str, unit: ReturnUnit, given: dict[str, ReturnAuthorization]) -> _Expected:
        center = self.center_of.get(unit.sku, "LEX1")
        if center not in given:
            number = len(self._authorizations) + 1
            given[center] = self._authorizations[f"A{number}"] = ReturnAuthorization(
                authorization_id=f"A{number}",
                rma_id=f"RMA-A{number}",
                page_url=f"https://rma.test/A{number}",
                center=center,
                ship_to=CENTER,
            )
        now = self._clock.now()
        item = ReturnItem(
            return_item_id=unit.return_item_id,
            order_item_id=unit.order_item_id,
            shipment_id=unit.shipment_id,
            processed=False,
            changed_at=now,
            authorization_id=given[center].authorization_id,
        )
        expected = _Expected(item, unit.sku, now, now + self.authorization_delay)
        self._expected[order_id][unit.return_item_id] = expected
        return expected


class WatchedStore:
    """A real store whose commits can be watched and made to fail. Implements ReturnStore."""

    def __init__(self, store: ReturnStore) -> None:
        self.store = store
        self.watch: Callable[[str], None] = lambda _point: None
        self._failures: deque[tuple[int, Exception, bool]] = deque()
        self.commits = 0

    def fail(self, error: Exception, *, skip: int = 0, after: bool = False) -> None:
        """Let a coming transaction fail, the next but `skip`: at its end, so that it is undone, or (`after`) once done."""
        self._failures.append((self.commits + skip, error, after))

    async def transact(self, work: Callable[[UnitOfWork], T]) -> T:
        number, self.commits = self.commits, self.commits + 1
        failure = next((f for f in self._failures if f[0] == number), None)
        self.watch("before commit")
        if failure and not failure[2]:
            return await self.store.transact(lambda uow: _undo(work(uow), failure[1]))
        result = await self.store.transact(work)
        if failure:
            raise failure[1]
        self.watch("after commit")
        return result

    async def read(self, work: Callable[[UnitOfWork], T]) -> T:
        return await self.store.read(work)


def _undo(_: T, error: Exception) -> T:
    raise error


class RecordingMetrics:
    """Remembers everything that was counted. Implements Metrics."""

    def __init__(self) -> None:
        self.webhooks: Counter[tuple[str, str]] = Counter()
        self.steps: Counter[tuple[str, str]] = Counter()
        self.moves: list[tuple[State | None, State]] = []
        self.stocks: list[Mapping[str, int]] = []
        self.label_seconds: list[float] = []
        self.rounds: list[tuple[str, float]] = []
        self.troubles: Counter[str] = Counter()

    def webhook(self, shop: str, outcome: str, now: float) -> None:
        self.webhooks[shop, outcome] += 1

    def step(self, act: str, outcome: str) -> None:
        self.steps[act, outcome] += 1

    def moved(self, before: State | None, after: State) -> None:
        self.moves.append((before, after))

    def stock(self, counts: Mapping[str, int]) -> None:
        self.stocks.append(counts)

    def label_delivered(self, seconds: float) -> None:
        self.label_seconds.append(seconds)

    def service_round(self, service: str, oldest_due_seconds: float) -> None:
        self.rounds.append((service, oldest_due_seconds))

    def trouble(self, kind: str) -> None:
        self.troubles[kind] += 1
