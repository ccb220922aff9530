"""One Loop shop in memory. It keeps state and obeys Loop's rules as the reference describes them."""

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from daemon.domain.portal import (
    Grade,
    PortalLabel,
    PortalLabelRequest,
    PortalLine,
    PortalNote,
    PortalReturn,
    PortalRow,
    PortalState,
    RequestStatus,
)
from daemon.domain.returns import Label, Transit
from daemon.errors import Refused
from daemon.ports.host import Clock
from daemon.ports.vendors import IssuedRequest, Lane
from tests.support.builders import a_portal_request
from tests.support.fake_vendor import Vendor

NOTE_LIMIT = 250


@dataclass
class LoopReturn:
    """A return in the portal. `plan` is how its processing will end: close, fail, bounce or lose."""

    return_id: str
    lines: list[PortalLine]
    state: PortalState = PortalState.OPEN
    order_name: str = "#1001"
    order_number: str = "1"
    provider_order_id: str = "5001"
    submitted_at: float | None = None
    destination_id: str = ""
    has_exchange: bool = False
    was_processed: bool = False
    flagged: bool = False
    plan: str = "close"
    ends_at: float | None = None
    changed_at: float = 0.0
    notes: list[str] = field(default_factory=list)
    """One by one, also those that were written in one text."""
    as_written: dict[str, str] = field(default_factory=dict)
    label_urls: list[str] = field(default_factory=list)
    labels: list[PortalLabel] = field(default_factory=list)
    noted_at: dict[str, float] = field(default_factory=dict)
    made_at: float = 0.0
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
        """Submit a return as a shopper; by default one label request covers all of its lines."""
        request = request or a_portal_request("q" + ret.return_id, skus=())
        ret.changed_at = ret.made_at = self._clock.now()
        self.returns[ret.return_id] = ret
        self.ask(replace(request, return_id=ret.return_id, skus=request.skus or tuple(x.sku for x in ret.lines)))

    def ask(self, request: PortalLabelRequest) -> None:
        """Issue a label request."""
        self.requests[request.request_id] = replace(request, created_at=request.created_at or self._clock.now())

    def withdraw(self, request_id: str) -> None:
        """Cancel a label request."""
        self.requests[request_id] = replace(self.requests[request_id], status=RequestStatus.CANCELLED)

    def set_state(self, return_id: str, state: PortalState, **changes: object) -> None:
        """Change a return as a person in the portal does."""
        self._become(self.returns[return_id], state)
        for name, value in changes.items():
            setattr(self.returns[return_id], name, value)

    # ---- the port

    async def label_request(self, request_id: str, lane: Lane) -> PortalLabelRequest:
        async with self._call("label_request", request_id):
            if request_id not in self.requests:
                raise Refused("NOT_FOUND", "label request not found")
            return self.requests[request_id]

    async def issued_requests(self) -> Sequence[IssuedRequest]:
        async with self._call("issued_requests"):
            issued = [r for r in self.requests.values() if r.status is RequestStatus.ISSUED]
            return [IssuedRequest(request_id=r.request_id, return_id=r.return_id) for r in issued]

    async def cancelled_requests(self, since: float) -> Sequence[IssuedRequest]:
        async with self._call("cancelled_requests", since):
            cancelled = [r for r in self.requests.values() if r.status is RequestStatus.CANCELLED]
            return [IssuedRequest(request_id=r.request_id, return_id=r.return_id) for r in cancelled]

    async def requests_of(self, return_id: str) -> Sequence[PortalLabelRequest]:
        async with self._call("requests_of", return_id):
            return [request for request in self.requests.values() if request.return_id == return_id]

    async def returns_made(self, state: PortalState, since: float, until: float) -> Sequence[PortalRow]:
        async with self._call("returns_made", state, since, until):
            return [
                PortalRow(return_id=r.return_id, order_name=r.order_name, skus=tuple(line.sku for line in r.lines))
                for r in self.returns.values()
                if r.state is state and since <= r.made_at <= until
            ]

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
                submitted_at=ret.submitted_at,
                provider_order_id=ret.provider_order_id,
                destination_id=ret.destination_id,
                has_exchange=ret.has_exchange,
                was_processed=ret.was_processed,
                label_urls=tuple(ret.label_urls),
                labels=tuple(ret.labels),
            )

    async def deliver_label(self, request_id: str, label: Label) -> str:
        async with self._call("deliver_label", request_id, label):
            request = self.requests[request_id]
            if request.status is not RequestStatus.ISSUED:
                raise Refused("UNPROCESSABLE", f"the label request is {request.status}")
            self.requests[request_id] = replace(request, status=RequestStatus.FULFILLED)
            self.returns[request.return_id].label_urls.append(label.url)
            self.returns[request.return_id].labels.append(
                PortalLabel(
                    url=label.url,
                    carrier=label.carrier,
                    tracking_number=label.tracking_number,
                    rate_cents=label.rate_cents,
                )
            )
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

    async def notes(self, return_id: str) -> Sequence[PortalNote]:
        async with self._call("notes", return_id):
            ret = self._find(return_id)
            texts = dict.fromkeys(ret.as_written.get(note, note) for note in ret.notes)
            return [PortalNote(text=text, at=ret.noted_at.get(text)) for text in texts]

    async def write_note(self, return_id: str, text: str) -> None:
        async with self._call("write_note", return_id, text):
            if not 0 < len(text) <= NOTE_LIMIT:
                raise Refused("UNPROCESSABLE", "the note is empty or too long")
            ret = self._find(return_id)
            apart = re.split(r" (?=\[mcfd )", text)
            ret.notes += apart
            ret.as_written |= dict.fromkeys(apart, text)
            ret.noted_at[text] = self._clock.now()

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
        """End a queued processing as planned, once its time has come."""
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
        for ret in reversed(self.returns.values()):  # mostly of a recent one
            for at, line in enumerate(ret.lines):
                if line.line_id == line_id:
                    ret.lines[at] = replace(line, **changes)  # type: ignore[arg-type]
                    return ret
        raise Refused("FORBIDDEN", "the line is not this shop's")
