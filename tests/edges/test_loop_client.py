import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

import pytest
from aiohttp import web

from adapters.loop_returns.client import LoopPortal
from adapters.loop_returns.limits import LoopLimits
from adapters.loop_returns.wire.setup import Destination, Subscription
from adapters.vendor_calls.transport import Call, Transport, open_session
from daemon.domain.portal import Grade, PortalNote, PortalState, RequestStatus
from daemon.domain.returns import Label, Transit
from daemon.errors import ContractBroken, CredentialsRefused, ListCut, RateLimited, Refused, Unavailable
from daemon.ports.vendors import IssuedRequest, Lane, ReturnsPortal

KEY = "key-that-nobody-may-see"
UNAUTHORIZED = {"error": {"code": "401", "http_code": "GEN-UNAUTHORIZED", "message": "Unauthorized."}}
NO_SCOPE = {"errors": "Unauthorized."}
LABEL = Label(url="https://x/l.pdf", carrier="Amazon", tracking_number="RMA-1")
REQUEST = {"id": 7, "return_id": 8, "status": "issued"}
DETAILS = {"id": 8, "state": "open", "line_items": []}


class SteppingClock:
    """Time passes only by waiting, and then at once."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def now(self) -> float:
        return 1_800_000_000.0 + self.seconds

    def monotonic(self) -> float:
        return self.seconds

    async def wait(self, event: asyncio.Event, seconds: float | None) -> bool:
        if not event.is_set():
            self.seconds += seconds or 0.0
        return event.is_set()


class WatchedLimits(LoopLimits):
    """The real limits, which also remember who came in which lane and what was observed."""

    def __init__(self, clock: SteppingClock) -> None:
        super().__init__(clock)
        self.lanes: list[Lane] = []
        self.remaining: list[str | None] = []

    async def acquire(self, lane: Lane) -> None:
        self.lanes.append(lane)
        await super().acquire(lane)

    def observe(self, headers: Mapping[str, str], used: int | None = None) -> None:
        self.remaining.append(headers.get("x-ratelimit-remaining"))
        super().observe(headers, used)


@dataclass
class Loop:
    """A server that answers what it was told to, in turn, and remembers each request."""

    answers: list[web.Response] = field(default_factory=list)
    requests: list[tuple[str, str, object]] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)
    url: str = ""

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.requests.append((request.method, request.raw_path, json.loads(body) if body else None))
        self.headers.append(request.headers)
        return self.answers.pop(0)

    def say(self, value: object, status: int = 200, **headers: str) -> None:
        self.answers.append(web.json_response(value, status=status, headers=headers))

    def say_bytes(self, body: bytes, status: int = 200, **headers: str) -> None:
        self.answers.append(web.Response(body=body, status=status, headers=headers))


@dataclass
class Bench:
    """A portal, the server that it talks to, and what lies between."""

    portal: LoopPortal
    loop: Loop
    clock: SteppingClock
    limits: WatchedLimits
    calls: list[Call]


@pytest.fixture
async def loop() -> AsyncIterator[Loop]:
    """A server on a free port of this machine."""
    loop = Loop()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", loop.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    loop.url = "http://{}:{}/api".format(*runner.addresses[0])
    yield loop
    await runner.cleanup()


@pytest.fixture
async def bench(loop: Loop) -> AsyncIterator[Bench]:
    """A portal of API version 2026-10."""
    clock = SteppingClock()
    limits = WatchedLimits(clock)
    calls: list[Call] = []
    async with open_session("mcfd-tests") as session:
        transport = Transport(session, vendor="loop", timeout=5.0, on_call=calls.append)
        portal = LoopPortal(
            transport,
            limits,
            clock=clock,
            api_url=loop.url + "/",
            api_version="2026-10",
            api_key=lambda: KEY,
            processor="mcfd@example.net",
            currency="USD",
        )
        yield Bench(portal, loop, clock, limits, calls)


def _grades(count: int) -> list[Grade]:
    return [
        Grade(line_id=str(i), grade="grade_a", title="Grade A", disposition="donate", description="ok", inspected_at=0)
        for i in range(count)
    ]


def _conforms(portal: LoopPortal) -> ReturnsPortal:
    return portal


# ---- every call, as it goes over the line


async def test_a_label_request_is_read(bench):
    """The id is encoded once into the path, and the shopper's lane is used."""
    bench.loop.say({**REQUEST, "id": "7-a"}, **{"x-ratelimit-remaining": "299"})
    read = await _conforms(bench.portal).label_request("7-a", Lane.SHOPPER)
    assert (read.request_id, read.return_id, read.status) == ("7-a", "8", RequestStatus.ISSUED)
    assert bench.loop.requests == [("GET", "/api/2026-10/label-requests/7-a", None)]
    assert bench.limits.lanes == [Lane.SHOPPER]
    assert bench.limits.remaining == ["299"]
    assert [(call.operation, call.outcome) for call in bench.calls] == [("label_request", "ok")]


async def test_an_odd_id_stays_one_segment_of_the_path(bench):
    """Whatever an id holds, it arrives as it was encoded."""
    bench.loop.say({}, 404)
    with pytest.raises(Refused):
        await bench.portal.label_request("../labels?x#1 +é", Lane.SHOPPER)
    assert bench.loop.requests[0][1] == "/api/2026-10/label-requests/..%2Flabels%3Fx%231%20%2B%C3%A9"


async def test_the_headers_say_who_we_are(bench):
    """The key goes into Loop's own header; only a call with a body has a content type."""
    bench.loop.say(REQUEST)
    bench.loop.say(True)
    await bench.portal.label_request("7", Lane.SHOPPER)
    await bench.portal.write_note("8", "hello")
    reading, writing = bench.loop.headers
    for headers in (reading, writing):
        assert headers["X-Authorization"] == KEY
        assert headers["Accept"] == "application/json"
        assert headers["User-Agent"] == "mcfd-tests"
        assert "Authorization" not in headers
    assert writing["Content-Type"] == "application/json"
    assert reading.get("Content-Type") is None


@pytest.mark.parametrize("lane", list(Lane))
async def test_details_are_read_in_the_lane_of_the_caller(bench, lane):
    """Details serve shoppers and reconciliation alike."""
    bench.loop.say(DETAILS)
    assert (await bench.portal.details("8", lane)).state is PortalState.OPEN
    assert bench.loop.requests == [("GET", "/api/2026-10/warehouse/return/details?return_id=8", None)]
    assert bench.limits.lanes == [lane]


async def test_details_of_no_return_are_refused(bench):
    """Loop says with a good status that it knows no such return."""
    bench.loop.say({"error": {"message": "No return found with this ID."}})
    with pytest.raises(Refused) as refused:
        await bench.portal.details("8", Lane.SHOPPER)
    assert refused.value.code == "NOT_FOUND"


async def test_details_of_another_return_are_broken(bench):
    """Nothing is decided on the wrong return."""
    bench.loop.say(DETAILS)
    with pytest.raises(ContractBroken):
        await bench.portal.details("9", Lane.SHOPPER)


async def test_a_label_is_delivered(bench):
    """The label's id comes from the answer."""
    bench.loop.say({"id": 550771, "status": "new"}, 201)
    assert await bench.portal.deliver_label("7", LABEL) == "550771"
    assert bench.loop.requests == [
        (
            "POST",
            "/api/2026-10/labels",
            {
                "label_request_id": 7,
                "carrier": "Amazon",
                "tracking_number": "RMA-1",
                "label_url": "https://x/l.pdf",
                "rate": {"amount": 0, "currency_code": "USD"},
            },
        )
    ]
    assert bench.limits.lanes == [Lane.SHOPPER]


async def test_a_label_is_known_by_its_location(bench):
    """An answer without a body still names the label."""
    bench.loop.say_bytes(b"", 201, Location="/api/2026-10/labels/550772")
    assert await bench.portal.deliver_label("7", LABEL) == "550772"


async def test_a_label_may_be_refused_with_a_good_status(bench):
    """A 200 with an error inside delivers nothing."""
    bench.loop.say({"errors": {"message": "Cancelled.", "code": "UNPROCESSABLE_RETURN"}})
    with pytest.raises(Refused, match=r"^UNPROCESSABLE_RETURN$"):
        await bench.portal.deliver_label("7", LABEL)


async def test_a_refusal_is_reported(bench):
    """The echo of the error is not taken for an error."""
    bench.loop.say({"reason": "Other", "message": "no order", "created_at": "2026-11-03T17:20:55Z"}, 202)
    await bench.portal.report_refusal("7", "no order")
    path = "/api/2026-10/label-requests/7/errors"
    assert bench.loop.requests == [("POST", path, {"reason": "Other", "message": "no order"})]
    assert bench.limits.lanes == [Lane.SHOPPER]


async def test_transit_is_reported(bench):
    """A 204 has no body."""
    bench.loop.say_bytes(b"", 204)
    await bench.portal.report_transit("550771", Transit.IN_TRANSIT)
    assert bench.loop.requests == [("PUT", "/api/2026-10/labels/550771", {"status": "in_transit"})]


async def test_notes_are_read(bench):
    """Their texts come back; 422 with false means that there are none."""
    bench.loop.say([{"id": 1, "content": "one"}])
    bench.loop.say(False, 422)
    assert await bench.portal.notes("8") == [PortalNote(text="one")]
    assert await bench.portal.notes("8") == []
    assert bench.loop.requests[0] == ("GET", "/api/2026-10/warehouse/return/8/notes", None)


async def test_a_note_is_written(bench):
    """The text goes under its documented name."""
    bench.loop.say("true")
    await bench.portal.write_note("8", "hello")
    assert bench.loop.requests == [("POST", "/api/2026-10/warehouse/return/8/note", {"content": "hello"})]


async def test_grades_go_in_batches(bench):
    """Twenty-one lines make two calls, in the shape of the version."""
    bench.loop.say([])
    bench.loop.say([])
    await bench.portal.grade(_grades(21))
    paths = {path for _, path, _ in bench.loop.requests}
    items = [item for _, _, body in bench.loop.requests for item in body["items"]]
    assert paths == {"/api/2026-10/dispositioning/grade"}
    assert [item["line_item_id"] for item in items] == list(range(21))
    assert items[0]["condition_category"]["grade"] == "grade_a"
    assert items[0]["return_processor"] == "mcfd@example.net"


async def test_dispositions_go_in_batches(bench):
    """So do dispositions; no line, no call."""
    bench.loop.say([])
    await bench.portal.assess([])
    await bench.portal.grade([])
    await bench.portal.assess(_grades(1))
    ((method, path, body),) = bench.loop.requests
    assert (method, path) == ("POST", "/api/2026-10/dispositioning/assess")
    assert body["items"][0]["disposition_outcome"] == "donate"


async def test_a_refused_batch_stops_the_rest(bench):
    """After a refusal no further batch is sent."""
    bench.loop.say({"message": "Invalid.", "errors": {"items.0.line_item_id": ["Not yours."]}}, 422)
    with pytest.raises(Refused, match=r"^HTTP_422$"):
        await bench.portal.grade(_grades(21))
    assert len(bench.loop.requests) == 1


async def test_actions_on_a_return(bench):
    """Flag, process and remove by their own paths; a record is the body of process."""
    for answer in (True, "true", True, True):
        bench.loop.say(answer)
    await bench.portal.flag("8")
    await bench.portal.process("8", {"amazon_rma": "D7"})
    await bench.portal.process("8", {})
    await bench.portal.remove("8", ["5", "6"])
    assert bench.loop.requests == [
        ("POST", "/api/2026-10/warehouse/return/8/flag", None),
        ("POST", "/api/2026-10/warehouse/return/8/process", {"amazon_rma": "D7"}),
        ("POST", "/api/2026-10/warehouse/return/8/process", None),
        ("POST", "/api/2026-10/warehouse/return/8/remove?line_item_id=5,6", None),
    ]
    assert set(bench.limits.lanes) == {Lane.BACKGROUND}


async def test_an_action_refused_with_a_good_status(bench):
    """Loop says 200 and no."""
    bench.loop.say({"errors": {"message": "Return is closed.", "code": "UNPROCESSABLE_RETURN"}})
    with pytest.raises(Refused) as refused:
        await bench.portal.process("8", {})
    assert refused.value.code == "UNPROCESSABLE_RETURN"


async def test_an_action_answered_oddly_is_not_done(bench):
    """An answer that is neither true nor an error is broken."""
    bench.loop.say({"queued": "maybe"})
    with pytest.raises(ContractBroken):
        await bench.portal.remove("8", ["5"])


async def test_what_operators_set_up(bench):
    """Destinations and webhooks are read, made, and made active again."""
    hook = {"id": 9, "topic": "return", "trigger": "return.closed", "url": "https://x/w", "status": "inactive"}
    bench.loop.say({"destinations": [{"id": 6021, "type": "warehouse", "name": "MCF", "enabled": True}]})
    bench.loop.say({"webhooks": [hook]})
    bench.loop.say({**hook, "status": "active"}, 201)
    bench.loop.say_bytes(b"", 204)
    found = Subscription(webhook_id="9", topic="return", trigger="return.closed", url="https://x/w", active=False)
    assert await bench.portal.destinations() == [
        Destination(destination_id="6021", name="MCF", kind="warehouse", enabled=True)
    ]
    assert await bench.portal.webhooks() == [found]
    assert (await bench.portal.create_webhook("return", "return.closed", "https://x/w")).active
    await bench.portal.activate_webhook(found)
    body = {"topic": "return", "trigger": "return.closed", "url": "https://x/w", "status": "active"}
    assert bench.loop.requests == [
        ("GET", "/api/2026-10/destinations", None),
        ("GET", "/api/2026-10/webhooks", None),
        ("POST", "/api/2026-10/webhooks", body),
        ("PUT", "/api/2026-10/webhooks/9", body),
    ]


# ---- lists


async def test_issued_requests_are_paged_until_nothing_new_comes(bench):
    """All rows come back once each, in their order, also when Loop's pages are shorter than was asked for."""
    first = [{"id": i, "return_id": i} for i in range(100)]
    bench.loop.say({"data": first})
    bench.loop.say({"data": [{"id": 99, "return_id": 99}, {"id": "100", "return_id": "7"}]})
    bench.loop.say({"data": []})
    found = await bench.portal.issued_requests()
    assert [row.request_id for row in found] == [str(i) for i in range(101)]
    assert found[-1] == IssuedRequest(request_id="100", return_id="7")
    assert [path for _, path, _ in bench.loop.requests] == [
        "/api/2026-10/label-requests?status=issued&limit=250&offset=0",
        "/api/2026-10/label-requests?status=issued&limit=250&offset=100",
        "/api/2026-10/label-requests?status=issued&limit=250&offset=102",
    ]
    assert set(bench.limits.lanes) == {Lane.BACKGROUND}


async def test_cancelled_requests_are_asked_for_from_an_instant_on(bench):
    """Those made since then, paged like the others."""
    bench.loop.say({"data": [{"id": 7, "return_id": 77}]})
    bench.loop.say({"data": []})
    found = await bench.portal.cancelled_requests(1_800_000_000.9)
    assert found == [IssuedRequest(request_id="7", return_id="77")]
    asked = [path.partition("?")[2].split("&") for _, path, _ in bench.loop.requests]
    assert [query[0] for query in asked] == ["status=cancelled"] * 2
    assert {query[1] for query in asked} == {"from=2027-01-15T08%3A00%3A00.000Z"}
    assert [query[-1] for query in asked] == ["offset=0", "offset=1"]


async def test_a_list_that_repeats_itself_ends(bench):
    """A server that ignores the offset is not asked for ever."""
    for _ in range(2):
        bench.loop.say({"data": [{"id": i, "return_id": i} for i in range(250)]})
    assert len(await bench.portal.issued_requests()) == 250
    assert bench.loop.answers == []


def _page(ids: list[int], cursor: str | None) -> dict[str, object]:
    link = f"https://elsewhere.example/list?filter=updated_at&pageSize=250&cursor={cursor}" if cursor else None
    return {"returns": [{"id": str(i)} for i in ids], "nextPageUrl": link, "previousPageUrl": None}


async def test_updated_returns_are_paged_by_their_cursor(bench):
    """The link is not followed: its cursor goes back beside our own parameters."""
    bench.loop.say(_page([1, 2], "abc%3D"))
    bench.loop.say(_page([2, 3], None))
    found = await bench.portal.updated_returns(PortalState.REVIEW, 0.0, 60.0)
    assert found == ["1", "2", "3"]
    first = (
        "/api/2026-10/warehouse/return/list?from=1970-01-01T00%3A00%3A00.000Z&to=1970-01-01T00%3A01%3A00.000Z"
        "&filter=updated_at&state=review&paginate=true&pageSize=250"
    )
    assert [path for _, path, _ in bench.loop.requests] == [first, first + "&cursor=abc%3D"]


async def test_a_cursor_that_comes_again_ends_the_list(bench):
    """Neither the same cursor nor an older one is followed twice, and nobody takes what came for the whole list."""
    for cursor in ("a", "b", "a"):
        bench.loop.say(_page([1], cursor))
    with pytest.raises(ListCut, match="begins again") as cut:
        await bench.portal.updated_returns(PortalState.OPEN, 0.0, 60.0)
    assert cut.value.found == ["1"]
    assert bench.loop.answers == []


@pytest.mark.parametrize("listing", ["issued_requests", "updated_returns"])
async def test_a_list_has_an_end(bench, monkeypatch, listing):
    """However many pages a server makes up, so many are read and no more."""
    monkeypatch.setattr("adapters.loop_returns.client.MAX_PAGES", 3)
    for number in range(3):
        rows = [{"id": number * 250 + i, "return_id": 1} for i in range(250)]
        link = f"https://x/list?cursor=c{number}"
        bench.loop.say({"data": rows, "returns": rows, "nextPageUrl": link})
    if listing == "issued_requests":
        assert len(await bench.portal.issued_requests()) == 750
    else:
        with pytest.raises(ListCut, match="more than 3 pages") as cut:
            await bench.portal.updated_returns(PortalState.OPEN, 0.0, 1.0)
        assert len(cut.value.found) == 750
    assert bench.loop.answers == []


# ---- limits and failures


async def test_a_429_holds_everybody_back(bench):
    """The caller hears of the pause, and the next call waits for its end."""
    bench.loop.say({"message": "Too Many Attempts."}, 429, **{"Retry-After": "7"})
    bench.loop.say(REQUEST)
    before = bench.clock.seconds
    with pytest.raises(RateLimited) as limited:
        await bench.portal.label_request("7", Lane.SHOPPER)
    assert limited.value.retry_after is not None
    assert limited.value.retry_after >= 7
    assert bench.clock.seconds == before
    await bench.portal.label_request("7", Lane.SHOPPER)
    assert bench.clock.seconds >= before + 7


async def test_a_429_without_a_pause_gets_one(bench):
    """Loop documents none, so we choose."""
    bench.loop.say_bytes(b"", 429)
    with pytest.raises(RateLimited) as limited:
        await bench.portal.flag("8")
    assert limited.value.retry_after
    assert bench.portal.parked_scopes == ()


async def test_a_failing_server_is_unavailable_and_asked_once(bench):
    """A 500 may have had its effect: it is not repeated."""
    bench.loop.say({"code": "UNEXPECTED_ERROR"}, 500)
    with pytest.raises(Unavailable) as unavailable:
        await bench.portal.process("8", {})
    assert unavailable.value.unclear
    assert len(bench.loop.requests) == 1


async def test_a_page_of_html_is_broken(bench):
    """A page in between does not refuse anything for good, and its text is not repeated."""
    bench.loop.say_bytes(b"<html>Rowan Pike</html>", 403)
    with pytest.raises(ContractBroken) as broken:
        await bench.portal.label_request("7", Lane.SHOPPER)
    assert "Rowan" not in repr(broken.value)


async def test_a_403_concerns_one_object(bench):
    """It refuses the call and parks nothing."""
    bench.loop.say({"errors": [{"message": "Not yours."}]}, 403)
    with pytest.raises(Refused):
        await bench.portal.grade(_grades(1))
    assert bench.portal.parked_scopes == ()


# ---- parking


async def test_a_refused_key_is_parked(bench):
    """After a 401, one repeat and a probe nothing is called for five minutes, whatever the scope."""
    for _ in range(3):
        bench.loop.say(UNAUTHORIZED, 401)
    with pytest.raises(CredentialsRefused):
        await bench.portal.label_request("7", Lane.SHOPPER)
    assert bench.portal.parked_scopes == ("",)
    bench.clock.seconds += 100
    for call in (bench.portal.notes("8"), bench.portal.label_request("7", Lane.SHOPPER), bench.portal.webhooks()):
        with pytest.raises(CredentialsRefused) as refused:
            await call
        assert refused.value.retry_after == pytest.approx(200)
        assert KEY not in str(refused.value)
    assert len(bench.loop.requests) == 3
    assert len(bench.limits.lanes) == 3


async def test_a_single_401_parks_nothing(bench):
    """The call is made once more, and its answer counts."""
    bench.loop.say(UNAUTHORIZED, 401)
    bench.loop.say([])
    assert await bench.portal.notes("8") == []
    assert bench.portal.parked_scopes == ()


async def test_a_key_that_is_good_for_other_calls_parks_a_scope(bench):
    """Two refusals of one call, while a call that any good key may make is answered."""
    bench.loop.say(UNAUTHORIZED, 401)
    bench.loop.say(UNAUTHORIZED, 401)
    bench.loop.say({"data": []})
    bench.loop.say(REQUEST)
    with pytest.raises(CredentialsRefused):
        await bench.portal.notes("8")
    assert bench.portal.parked_scopes == ("Returns",)
    await bench.portal.label_request("7", Lane.SHOPPER)


async def test_a_label_request_that_loop_does_not_like_parks_nothing(bench):
    """It is refused twice while another call of the same scope is answered: that concerns this one alone."""
    bench.loop.say(UNAUTHORIZED, 401)
    bench.loop.say(UNAUTHORIZED, 401)
    bench.loop.say({"data": []})
    with pytest.raises(CredentialsRefused):
        await bench.portal.label_request("7", Lane.SHOPPER)
    assert bench.portal.parked_scopes == ()


async def test_a_parked_scope_says_nothing_of_the_key(bench):
    """Another call's single 401 is repeated as ever while a scope is parked that only operators need."""
    bench.loop.say(UNAUTHORIZED, 401)
    with pytest.raises(CredentialsRefused):
        await bench.portal.destinations()
    bench.loop.say(UNAUTHORIZED, 401)
    bench.loop.say([])
    assert await bench.portal.notes("8") == []


async def test_fifty_refused_calls_ask_a_few_times_more(bench):
    """The first that knows that the key is good for nothing spares the others their repeat and their probe."""
    for _ in range(150):
        bench.loop.say(UNAUTHORIZED, 401)
    outcomes = await asyncio.gather(*(bench.portal.notes("8") for _ in range(50)), return_exceptions=True)
    assert all(isinstance(outcome, CredentialsRefused) for outcome in outcomes)
    assert bench.portal.parked_scopes == ("",)
    assert len(bench.loop.requests) == 52


async def test_a_probe_without_an_answer_leaves_the_refusal_certain(bench):
    """A 401 is no outage, whatever becomes of the question whose fault it was."""
    bench.loop.say(UNAUTHORIZED, 401)
    bench.loop.say(UNAUTHORIZED, 401)
    bench.loop.say({}, 503)
    with pytest.raises(CredentialsRefused):
        await bench.portal.notes("8")


async def test_a_key_that_is_good_for_nothing_is_parked_whole(bench):
    """Two refusals of one call, and the call that any good key may make is refused as well."""
    for _ in range(3):
        bench.loop.say(UNAUTHORIZED, 401)
    with pytest.raises(CredentialsRefused):
        await bench.portal.notes("8")
    assert bench.portal.parked_scopes == ("",)
    assert len(bench.loop.requests) == 3


async def test_a_parked_key_is_tried_again_and_resumes(bench):
    """One call in five minutes tries; its success ends the parking for all."""
    for _ in range(4):
        bench.loop.say(UNAUTHORIZED, 401)
    bench.loop.say(REQUEST)
    bench.loop.say([])
    for _ in range(2):
        with pytest.raises(CredentialsRefused):
            await bench.portal.label_request("7", Lane.SHOPPER)
        bench.clock.seconds += 300
    await bench.portal.label_request("7", Lane.SHOPPER)
    assert await bench.portal.notes("8") == []
    assert bench.portal.parked_scopes == ()


async def test_only_one_call_tries_at_a_time(bench):
    """While one tries, the others are told to wait."""
    for _ in range(3):
        bench.loop.say(UNAUTHORIZED, 401)
    with pytest.raises(CredentialsRefused):
        await bench.portal.label_request("7", Lane.SHOPPER)
    bench.clock.seconds += 300
    bench.loop.say(UNAUTHORIZED, 401)
    outcomes = await asyncio.gather(*(bench.portal.notes("8") for _ in range(5)), return_exceptions=True)
    assert all(isinstance(outcome, CredentialsRefused) for outcome in outcomes)
    assert len(bench.loop.requests) == 4


async def test_a_missing_scope_parks_that_scope_alone(bench):
    """A key that may not read returns still reads label requests."""
    bench.loop.say(NO_SCOPE, 401)
    bench.loop.say(REQUEST)
    with pytest.raises(CredentialsRefused):
        await bench.portal.notes("8")
    await bench.portal.label_request("7", Lane.SHOPPER)
    assert bench.portal.parked_scopes == ("Returns",)
    with pytest.raises(CredentialsRefused, match="Returns"):
        await bench.portal.flag("8")
    assert len(bench.loop.requests) == 2


@pytest.mark.parametrize("call", ["webhooks", "destinations"])
async def test_what_only_operators_need_parks_nothing_else(bench, call):
    """A shopper's label does not wait for a scope that only operators use."""
    bench.loop.say(UNAUTHORIZED, 401)
    bench.loop.say(REQUEST)
    with pytest.raises(CredentialsRefused):
        await getattr(bench.portal, call)()
    await bench.portal.label_request("7", Lane.SHOPPER)
    with pytest.raises(CredentialsRefused):
        await getattr(bench.portal, call)()
    assert len(bench.loop.requests) == 2


async def test_an_operator_may_try_at_any_time(bench):
    """The probe calls while the key is parked, and lifts that when Loop accepts it."""
    for _ in range(3):
        bench.loop.say(UNAUTHORIZED, 401)
    bench.loop.say({"data": []})
    for _ in range(2):
        with pytest.raises(CredentialsRefused):
            await bench.portal.probe()
    await bench.portal.probe()
    assert bench.portal.parked_scopes == ()
    path = "/api/2026-10/label-requests?status=issued&limit=1&offset=0"
    assert bench.loop.requests == [("GET", path, None)] * 4


async def test_the_key_is_hidden(bench):
    """The key shows in no repr."""
    portal = LoopPortal(
        Transport(bench.portal._loop._transport._session, vendor="loop", timeout=5.0, on_call=bench.calls.append),
        bench.limits,
        clock=bench.clock,
        api_url=bench.loop.url,
        api_version="2026-07",
        api_key=lambda: KEY,
        processor="p",
        currency="USD",
    )
    bench.loop.say([])
    await portal.grade(_grades(1))
    assert bench.loop.headers[0]["X-Authorization"] == KEY
    assert bench.loop.requests[0][1] == "/api/2026-07/dispositioning/grade"
    assert bench.loop.requests[0][2]["items"][0]["condition_category"] == "grade_a"
    assert KEY not in repr(portal) + repr(portal._loop) + repr(portal._loop._credential)
