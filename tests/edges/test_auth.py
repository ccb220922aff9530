"""Access tokens against a real token endpoint that refuses, stalls, lies and breaks."""

import asyncio
import contextlib
import gc
import json
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import pytest
from aiohttp import ClientTimeout, web
from aiohttp.test_utils import TestServer

from adapters.amazon_mcf.auth import AccessTokens
from adapters.vendor_calls.circuit_breaker import CircuitBreaker
from adapters.vendor_calls.transport import Transport, open_session
from daemon.errors import CredentialsRefused, McfdError, Refused, Unavailable
from tests.support.virtual_time import FakeClock, settle

TEXT = "Atza|access-canary"
REFRESH = "Atzr|refresh-canary"
SECRET = "secret-canary"


def good(number: int = 1, expires_in: object = 3600) -> web.Response:
    """A grant."""
    return web.json_response(
        {"access_token": f"{TEXT}{number}", "token_type": "bearer", "expires_in": expires_in, "refresh_token": REFRESH}
    )


def bad(error: str, status: int = 400) -> web.Response:
    """A refusal in LWA's own form."""
    return web.json_response({"error": error, "error_description": f"about {REFRESH}"}, status=status)


@dataclass
class TokenEndpoint:
    """Answers with what `answer(form)` returns, once `open` is set; keeps the forms."""

    answer: Callable[[dict], web.Response] | None = None
    forms: list[dict] = field(default_factory=list)
    open: asyncio.Event = field(default_factory=asyncio.Event)

    async def handle(self, request):
        assert request.headers["Content-Type"] == "application/x-www-form-urlencoded;charset=UTF-8"
        self.forms.append(dict(await request.post()))
        await self.open.wait()
        return self.answer(self.forms[-1]) if self.answer else good(len(self.forms))


@dataclass
class World:
    endpoint: TokenEndpoint
    clock: FakeClock
    tokens: AccessTokens
    secrets: list[str]
    states: list[str]
    calls: list
    refresh_token: str | None = REFRESH

    async def refused(self, error=McfdError):
        """Return the error that asking for a token ends with."""
        with pytest.raises(error) as caught:
            await self.tokens.token()
        return caught.value

    async def asked(self, times):
        """Wait until the endpoint has been asked so often, and the answer has been taken in."""
        async with asyncio.timeout(5):
            while len(self.endpoint.forms) < times or len(self.calls) < times:
                await settle(1)
        await settle()


@pytest.fixture
async def world(caplog) -> AsyncIterator[World]:
    """Tokens over a real endpoint and a clock that the test moves; afterwards no log line may hold a secret."""
    caplog.set_level(logging.DEBUG)
    endpoint, clock, calls, states = TokenEndpoint(), FakeClock(), [], []
    endpoint.open.set()
    secrets = [SECRET]
    app = web.Application()
    app.router.add_post("/auth/o2/token", endpoint.handle)
    async with TestServer(app) as server, open_session("mcfd/0.1 (Language=Python)") as session:
        tokens = AccessTokens(
            Transport(session, vendor="lwa", timeout=2, on_call=calls.append),
            clock,
            endpoint=str(server.make_url("/auth/o2/token")),
            client_id="client",
            client_secrets=secrets,
            refresh_token=lambda: world.refresh_token,
            on_state=states.append,
        )
        world = World(endpoint, clock, tokens, secrets, states, calls)
        yield world
        endpoint.open.set()
        await tokens.close()
    assert "canary" not in caplog.text


# --- a token ------------------------------------------------------------------------------------------------------


async def test_a_token_is_asked_for_once_and_used_until_it_is_renewed(world):
    """One form post in LWA's form; afterwards the same token comes without a call."""
    assert [await world.tokens.token() for _ in range(3)] == [f"{TEXT}1"] * 3
    assert world.endpoint.forms == [
        {"grant_type": "refresh_token", "refresh_token": REFRESH, "client_id": "client", "client_secret": SECRET}
    ]
    assert world.states == ["ok"]
    assert [(call.operation, call.outcome) for call in world.calls] == [("token", "ok")]


async def test_a_thousand_callers_share_one_refresh(world):
    """However many wait, one call is made."""
    assert set(await asyncio.gather(*(world.tokens.token() for _ in range(1000)))) == {f"{TEXT}1"}
    assert len(world.endpoint.forms) == 1


async def test_a_token_is_renewed_at_80_percent_of_its_life_while_callers_go_on(world):
    """Past 80 % the old token is given out at once, and one refresh runs beside."""
    await world.tokens.token()
    world.clock.advance(2879)
    await world.tokens.token()
    assert len(world.endpoint.forms) == 1
    world.clock.advance(1)
    world.endpoint.open.clear()
    assert {await world.tokens.token() for _ in range(10)} == {f"{TEXT}1"}
    world.endpoint.open.set()
    await world.asked(2)
    assert await world.tokens.token() == f"{TEXT}2"
    assert len(world.endpoint.forms) == 2


async def test_a_token_near_its_end_is_not_given_out(world):
    """In the last minute callers wait for the new one."""
    await world.tokens.token()
    world.clock.advance(3541)
    assert await world.tokens.token() == f"{TEXT}2"


@pytest.mark.parametrize("jump", [-86400 * 365, 86400 * 365])
async def test_the_wall_clock_may_jump(world, jump):
    """The life of a token is measured on the monotonic clock."""
    await world.tokens.token()
    world.clock.jump(jump)
    assert await world.tokens.token() == f"{TEXT}1"


async def test_a_dropped_token_is_replaced_once(world):
    """All whose calls came back with 401 drop the token they used; the new one is asked for once and stays."""
    await world.tokens.token()
    for _ in range(3):
        world.tokens.drop(f"{TEXT}1")
        assert await world.tokens.token() == f"{TEXT}2"
    assert len(world.endpoint.forms) == 2


@pytest.mark.parametrize("cancelled", [[0], [1], [0, 1, 2]])
async def test_a_cancelled_waiter_does_not_end_the_refresh(world, cancelled):
    """Whoever gives up, the refresh goes on for the others, or for the next to come."""
    world.endpoint.open.clear()
    waiters = [asyncio.create_task(world.tokens.token()) for _ in range(3)]
    async with asyncio.timeout(5):
        while not world.endpoint.forms:
            await settle(1)
    for index in cancelled:
        waiters[index].cancel()
    await settle()
    world.endpoint.open.set()
    results = await asyncio.gather(*waiters, return_exceptions=True)
    assert [isinstance(result, asyncio.CancelledError) for result in results] == [i in cancelled for i in range(3)]
    assert await world.tokens.token() == f"{TEXT}1"
    assert len(world.endpoint.forms) == 1


async def test_a_refresh_that_fails_after_everybody_left_is_not_an_unretrieved_exception(world):
    """The failure is remembered instead, and the loop's exception handler hears nothing."""
    heard = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: heard.append(context))
    world.endpoint.answer = lambda _form: bad("invalid_grant")
    world.endpoint.open.clear()
    waiter = asyncio.create_task(world.tokens.token())
    await settle()
    waiter.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await waiter
    world.endpoint.open.set()
    await world.asked(1)
    gc.collect()
    assert heard == []
    await world.refused(CredentialsRefused)
    assert len(world.endpoint.forms) == 1


async def test_closing_ends_a_refresh_under_way(world):
    """Nothing is left running for the loop to complain about."""
    world.endpoint.open.clear()
    waiter = asyncio.create_task(world.tokens.token())
    await settle()
    await world.tokens.close()
    await asyncio.wait([waiter])
    assert waiter.cancelled()


# --- refused ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error", ["invalid_grant", "unauthorized_client", "invalid_client", "invalid_request", "unsupported_grant_type"]
)
@pytest.mark.parametrize("status", [200, 400, 401])
async def test_refused_credentials_are_probed_once_in_five_minutes(world, error, status):
    """A refusal parks: callers fail at once with the seconds left, and one probe per five minutes is made."""
    world.endpoint.answer = lambda _form: bad(error, status)
    assert error in str(await world.refused(CredentialsRefused))
    world.clock.advance(100)
    for _ in range(10):
        assert (await world.refused(CredentialsRefused)).retry_after == 200
    assert len(world.endpoint.forms) == 1
    assert world.tokens.state == "refused"
    world.clock.advance(200)
    await asyncio.gather(*(world.refused(CredentialsRefused) for _ in range(10)))
    assert len(world.endpoint.forms) == 2
    assert world.states == ["refused"]


async def test_a_parked_connection_resumes_by_itself(world):
    """The first probe that succeeds serves everybody again."""
    world.endpoint.answer = lambda _form: bad("invalid_grant")
    await world.refused(CredentialsRefused)
    world.endpoint.answer = None
    world.clock.advance(300)
    assert await world.tokens.token() == f"{TEXT}2"
    assert world.states == ["refused", "ok"]


async def test_a_probe_that_meets_an_outage_leaves_the_connection_parked(world):
    """A 503 says nothing about the credentials: still refused, and the next probe is five minutes away."""
    world.endpoint.answer = lambda _form: bad("invalid_grant")
    await world.refused(CredentialsRefused)
    world.endpoint.answer = lambda _form: web.Response(status=503)
    world.clock.advance(300)
    assert (await world.refused(CredentialsRefused)).retry_after == 300
    assert world.tokens.state == "refused"


async def test_a_new_refresh_token_is_tried_at_once(world):
    """An operator who authorizes again does not wait for the next probe."""
    world.endpoint.answer = lambda form: good() if form["refresh_token"] == "new" else bad("invalid_grant")
    await world.refused(CredentialsRefused)
    world.refresh_token = "new"
    assert world.tokens.state == "ok"
    assert await world.tokens.token() == f"{TEXT}1"
    assert world.states == ["refused", "ok"]


async def test_a_new_refresh_token_replaces_the_old_ones_access_token(world):
    """A token of the old authorization is not used for the new one, not even when it arrives late."""
    await world.tokens.token()
    world.refresh_token = "new"
    assert await world.tokens.token() == f"{TEXT}2"
    world.tokens.drop(f"{TEXT}2")
    world.endpoint.open.clear()
    waiter = asyncio.create_task(world.tokens.token())
    await settle()
    world.refresh_token = "newer"
    world.endpoint.open.set()
    assert await waiter == f"{TEXT}4"
    assert [form["refresh_token"] for form in world.endpoint.forms] == [REFRESH, "new", "new", "newer"]


async def test_a_new_client_secret_is_tried_at_once(world):
    """A secret added to the list lifts the hold, and costs nobody the token that is still good."""
    world.endpoint.answer = lambda form: good() if form["client_secret"] == "new" else bad("invalid_client", 401)
    await world.refused(CredentialsRefused)
    world.secrets.insert(0, "new")
    assert await world.tokens.token() == f"{TEXT}1"
    world.secrets.pop()
    assert await world.tokens.token() == f"{TEXT}1"
    assert len(world.endpoint.forms) == 2


async def test_an_early_renewal_that_is_refused_lets_the_old_token_live_out(world):
    """The alarm rings at 80 %, calls go on until the token's end, and only then the connection is parked."""
    await world.tokens.token()
    world.endpoint.answer = lambda _form: bad("invalid_grant")
    world.clock.advance(2900)
    assert await world.tokens.token() == f"{TEXT}1"
    await world.asked(2)
    assert world.states == ["ok", "refused"]
    assert {await world.tokens.token() for _ in range(5)} == {f"{TEXT}1"}
    assert len(world.endpoint.forms) == 2
    world.clock.advance(650)
    await world.refused(CredentialsRefused)


# --- client secrets -----------------------------------------------------------------------------------------------


async def test_the_other_client_secrets_are_tried_and_the_good_one_is_remembered(world):
    """During a rotation the older secret may be the one that works: next time it is tried first."""
    world.secrets[:] = ["newest", "older", "oldest"]
    world.endpoint.answer = lambda form: good() if form["client_secret"] == "older" else bad("invalid_client", 401)
    for _ in range(2):
        await world.tokens.token()
        world.tokens.drop(f"{TEXT}1")
    assert [form["client_secret"] for form in world.endpoint.forms] == ["newest", "older", "older"]
    world.endpoint.answer = lambda form: good() if form["client_secret"] == "newest" else bad("invalid_client", 401)
    await world.tokens.token()
    assert [form["client_secret"] for form in world.endpoint.forms[3:]] == ["older", "newest"]


async def test_another_refusal_is_not_a_matter_of_the_client_secret(world):
    """Only invalid_client leads to the next secret."""
    world.secrets[:] = ["newest", "older"]
    world.endpoint.answer = lambda _form: bad("invalid_grant")
    await world.refused(CredentialsRefused)
    assert len(world.endpoint.forms) == 1


# --- no refresh token ---------------------------------------------------------------------------------------------


async def test_without_a_refresh_token_the_operator_is_told_what_to_do(world):
    """No call is made; as soon as there is a refresh token, it is used."""
    world.refresh_token = None
    assert world.tokens.state == "no_token"
    for _ in range(2):
        text = str(await world.refused(CredentialsRefused))
    assert "mcfd authorize amazon" in text
    assert "amazon_refresh_token" in text
    assert world.endpoint.forms == []
    world.refresh_token = REFRESH
    assert await world.tokens.token() == f"{TEXT}1"
    assert world.states == ["no_token", "ok"]


# --- out of order -------------------------------------------------------------------------------------------------

UNUSABLE = {
    "500": lambda: web.json_response({"error": "ServerError"}, status=500),
    "503 html": lambda: web.Response(status=503, text="<html>", content_type="text/html"),
    "429": lambda: web.Response(status=429),
    "302": lambda: web.Response(status=302, headers={"Location": "/"}),
    "403 html": lambda: web.Response(status=403, text="<html>", content_type="text/html"),
    "400 unknown": lambda: bad("ServerError"),
    "400 list": lambda: web.json_response({"error": ["invalid_grant"]}, status=400),
    "200 html": lambda: web.Response(text="<html>", content_type="text/html"),
    "200 empty": web.Response,
    "200 binary": lambda: web.Response(body=b"\xff\xfe\x00"),
    "200 nested": lambda: web.Response(text="[" * 100_000),
    "200 list": lambda: web.json_response([TEXT]),
    "200 error": lambda: web.json_response({"error": "ServerError", "access_token": TEXT, "expires_in": 3600}),
    "200 no token": lambda: web.json_response({"expires_in": 3600}),
    "200 empty token": lambda: web.json_response({"access_token": "", "expires_in": 3600}),
    "200 number": lambda: web.json_response({"access_token": 7, "expires_in": 3600}),
    "200 injected": lambda: web.json_response({"access_token": f"{TEXT}\r\nX: y", "expires_in": 3600}),
    "200 no expiry": lambda: web.json_response({"access_token": TEXT}),
    **{
        f"200 expires {value!r}": lambda value=value: good(expires_in=value)
        for value in (0, -1, True, None, 1.5, "soon", "", "-5", "٣", [], "9" * 5000)
    },
    "201": lambda: web.json_response(json.loads(good().body), status=201),
}


@pytest.mark.parametrize("name", UNUSABLE)
async def test_an_unusable_answer_is_unavailable_and_never_unclear(world, name):
    """Success is status 200 and a readable body; all else means later, and that the call in question was not made."""
    world.endpoint.answer = lambda _form: UNUSABLE[name]()
    error = await world.refused(Unavailable)
    assert not error.unclear
    assert error.retry_after == 1
    assert error.__cause__ is None
    assert "canary" not in str(error)
    assert world.states == ["ok"]
    world.endpoint.answer = None
    world.clock.advance(1)
    assert await world.tokens.token() == f"{TEXT}2"


async def test_an_expiry_written_as_text_is_read(world):
    """Amazon's number may come in quotes."""
    world.endpoint.answer = lambda _form: good(expires_in="100")
    await world.tokens.token()
    world.clock.advance(96)
    await world.tokens.token()
    assert len(world.endpoint.forms) == 2


async def test_a_very_short_life_is_not_a_refresh_loop(world):
    """Even a token that lives a second serves the callers that waited for it."""
    world.endpoint.answer = lambda _form: good(expires_in=1)
    await asyncio.gather(*(world.tokens.token() for _ in range(10)))
    assert len(world.endpoint.forms) == 1


async def test_an_endpoint_that_stalls_is_unavailable(world):
    """The transport's time-out ends the refresh for everybody who waits."""
    world.tokens._transport._timeout = ClientTimeout(total=0.1)
    world.endpoint.open.clear()
    errors = await asyncio.gather(*(world.refused(Unavailable) for _ in range(5)))
    assert {error.unclear for error in errors} == {False}
    assert len(world.endpoint.forms) == 1


async def test_an_outage_is_asked_about_ever_more_rarely(world):
    """Callers in between fail without a call; the wait doubles up to 30 s, or follows Retry-After."""
    world.endpoint.answer = lambda _form: web.Response(status=503)
    waits = []
    for times in range(1, 8):
        waits.append((await world.refused(Unavailable)).retry_after)
        world.clock.advance(waits[-1] / 2)
        await world.refused(Unavailable)
        assert len(world.endpoint.forms) == times
        world.clock.advance(waits[-1] / 2)
    assert waits == [1, 2, 4, 8, 16, 30, 30]
    world.endpoint.answer = lambda _form: web.Response(status=429, headers={"Retry-After": "77"})
    assert (await world.refused(Unavailable)).retry_after == 77


async def test_an_outage_during_early_renewal_costs_nobody_anything(world):
    """The old token is given out, and the renewal is tried again after a while, not with every call."""
    await world.tokens.token()
    world.endpoint.answer = lambda _form: web.Response(status=500)
    world.clock.advance(2900)
    for _ in range(5):
        assert await world.tokens.token() == f"{TEXT}1"
    await world.asked(2)
    assert await world.tokens.token() == f"{TEXT}1"
    assert world.tokens._refreshing.done(), "the hold is not over, so nothing is under way"
    world.endpoint.answer = None
    world.clock.advance(1)
    await world.tokens.token()
    await world.asked(3)
    assert await world.tokens.token() == f"{TEXT}3"
    assert world.states == ["ok"]


# --- the consent page's code --------------------------------------------------------------------------------------


async def test_a_code_is_traded_for_a_refresh_token(world):
    """The form is that of the authorization code grant."""
    assert await world.tokens.trade_code("code", "https://returns.example.com/oauth/amazon/callback") == REFRESH
    assert world.endpoint.forms == [
        {
            "grant_type": "authorization_code",
            "code": "code",
            "redirect_uri": "https://returns.example.com/oauth/amazon/callback",
            "client_id": "client",
            "client_secret": SECRET,
        }
    ]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (lambda _form: bad("invalid_grant"), Refused),
        (lambda _form: bad("invalid_client", 401), CredentialsRefused),
        (lambda _form: web.Response(status=500), Unavailable),
        (lambda _form: web.json_response({"access_token": TEXT, "expires_in": 3600}), Unavailable),
    ],
)
async def test_a_code_that_is_not_accepted_parks_nothing(world, answer, error):
    """The trade fails by itself; the token of the existing authorization is not touched."""
    await world.tokens.token()
    world.endpoint.answer = answer
    with pytest.raises(error) as caught:
        await world.tokens.trade_code("code-canary", "https://returns.example.com/callback")
    assert "canary" not in str(caught.value)
    assert await world.tokens.token() == f"{TEXT}1"
    assert world.tokens.state == "ok"


@pytest.mark.parametrize("answer", [None, lambda _form: bad("invalid_grant"), lambda _form: web.Response(status=500)])
async def test_nothing_of_ours_prints_a_secret(world, answer):
    """Neither errors nor what a debugger or a log would print of the objects shows a token or a client secret."""
    world.endpoint.answer = answer
    texts = []
    try:
        await world.tokens.token()
    except McfdError as error:
        texts += [str(error), repr(error), repr(error.__context__), repr(error.__cause__)]
    texts += [repr(world.tokens), repr(world.tokens._token), repr(world.tokens._hold), repr(world.calls)]
    assert "canary" not in "".join(texts)


def test_the_last_instant_of_a_pause_is_no_instant():
    """The pause that is named is long enough to be seen in a Unix time."""
    clock = FakeClock()
    breaker = CircuitBreaker(clock)
    breaker.park("refused", seconds=300.0)
    clock.advance(300.0 - 1e-7)
    with pytest.raises(CredentialsRefused) as refused:
        breaker.check()
    assert clock.now() + refused.value.retry_after > clock.now()
