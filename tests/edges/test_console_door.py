"""The console's door, over real HTTP: who comes in, by which name, and what a browser may do with a page."""

import re
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from adapters.console.application import console
from adapters.console.door import ROOT, Access
from adapters.console.people import BURST, MOST_OF_ONE, MOST_SESSIONS, SESSION, Person, Role, Sessions
from daemon.errors import OperatorError, StoreUnavailable
from tests.support.virtual_time import FakeClock

TOKEN = "an-ops-token-of-some-length"
PROXY = {"X-Console-Proxy-Secret": "between-proxy-and-mcfd", "X-Forwarded-User": "ada"}
SHOWN = {
    "return": "acme/1",
    "state": "stuck",
    "problem": "no order <b>#1001</b>",
    "next": "Nothing",
    "due": None,
    "ends": None,
    "clock": "",
    "then": "",
    "opened": None,
    "changed": None,
    "closed": None,
    "can": ["retry", "cancel", "link"],
    "order": "#1001",
    "requests": [],
    "units": [],
    "parcels": [],
    "authorizations": [],
    "linked": [],
    "notes": [],
    "history": [],
}


class Office:
    """The verbs that the pages ask, and what they were asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict]] = []
        self.failure: Exception | None = None

    def desk(self):
        async def status(_):
            return {"returns": {}, "shops": [{"shop": "acme", "open": 0, "configured": True}], "quiet": []}

        async def show(given):
            if self.failure:
                raise self.failure
            return SHOWN

        async def connections(_):
            return {"accounts": ["main"], "connections": [], "credentials": []}

        async def trends(_):
            return {"days": []}

        async def calls(_):
            return {"return": "acme/1", "calls": []}

        def noting(name):
            async def note(given):
                self.asked.append((name, dict(given)))
                return {"return": "acme/1", "state": "received", "note": "it is tried now"}

            return note

        acting = {name: noting(name) for name in ("retry", "resolve", "cancel", "link", "unlink", "look")}
        return {"status": status, "show": show, "connections": connections, "calls": calls, "trends": trends, **acting}

    def done(self) -> list[tuple[str, dict]]:
        """What was really asked for, previews aside."""
        return [(name, given) for name, given in self.asked if "preview" not in given]


@pytest.fixture
def office() -> Office:
    return Office()


@asynccontextmanager
async def browser(office, clock=None, **access):
    """A browser before the console: its cookies, and the address of the first page."""
    allowed = Access(**{"token": TOKEN, "hosts": frozenset({"127.0.0.1"}), **access})
    app = web.Application()
    app.add_subapp(ROOT, console(verbs=office.desk(), access=allowed, clock=clock or FakeClock(), version="1"))
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    jar = aiohttp.CookieJar(unsafe=True)
    try:
        async with aiohttp.ClientSession(
            f"http://127.0.0.1:{runner.addresses[0][1]}", cookie_jar=jar, headers={"Accept-Encoding": "identity"}
        ) as session:
            yield session
    finally:
        await runner.cleanup()


async def get(session, path="", **how):
    async with session.get(f"/console/{path}", allow_redirects=False, **how) as answer:
        return answer, await answer.text()


async def post(session, path, data, **how):
    async with session.post(f"/console/{path}", data=data, allow_redirects=False, **how) as answer:
        return answer, await answer.text()


def hidden(page: str, name: str) -> str:
    return re.search(rf'name="{name}" value="([^"]*)"', page).group(1)


async def log_in(session, token=TOKEN, name="Ada", **how):
    _, page = await get(session, "login", **how)
    return await post(session, "login", {"form": hidden(page, "form"), "token": token, "name": name, "next": ""}, **how)


async def csrf(session) -> str:
    _, page = await get(session)
    return hidden(page, "csrf")


async def test_nothing_is_shown_without_a_session(office):
    """Every page and every action sends a stranger to the log-in, which alone, with its style, is open."""
    async with browser(office) as session:
        for path in ("", "returns", "returns/acme/1", "returns/acme/1/retry", "waiting", "help"):
            answer, text = await get(session, path)
            assert (answer.status, text) == (303, ""), path
            assert answer.headers["Location"].startswith("/console/login")
        answer, _ = await post(session, "returns/acme/1/retry", {})
        assert answer.status == 303
        assert office.asked == []
        for path in ("login", "static/console.css", "static/htmx.min.js", "static/htmx.LICENSE"):
            answer, _ = await get(session, path)
            assert answer.status == 200, path


async def test_the_token_opens_a_session_and_nothing_else_does(office):
    """The cookie is HttpOnly, SameSite=Strict and for the console alone, and holds no token; other tokens get 401."""
    async with browser(office) as session:
        for wrong in ("", TOKEN[:-1], TOKEN + "x"):
            answer, _ = await log_in(session, wrong)
            assert answer.status == 401
        answer, _ = await log_in(session)
        assert answer.status == 303
        cookie = answer.cookies["mcfd_console"]
        assert (cookie["httponly"], cookie["samesite"], cookie["path"], cookie["secure"]) == (True, "Strict", ROOT, "")
        assert TOKEN not in str(answer.cookies)
        answer, page = await get(session)
        assert answer.status == 200
        assert "Ada" in page


async def test_the_cookie_is_for_tls_where_a_trusted_proxy_says_so(office):
    """X-Forwarded-Proto counts from a trusted proxy, and from nobody else."""
    tls = {"X-Forwarded-Proto": "https"}
    async with browser(office, trusted_proxies=("127.0.0.1/32",)) as session:
        answer, _ = await get(session, "login", headers=tls)
        assert answer.cookies["mcfd_console_form"]["secure"]
    async with browser(office, trusted_proxies=("10.0.0.0/8",)) as session:
        answer, _ = await get(session, "login", headers=tls)
        assert not answer.cookies["mcfd_console_form"]["secure"]


async def test_a_session_ends(office):
    """By a log-out at once, and after twelve hours whatever happens."""
    clock = FakeClock()
    async with browser(office, clock) as session:
        await log_in(session)
        answer, _ = await post(session, "logout", {"csrf": await csrf(session)})
        assert answer.status == 303
        assert (await get(session))[0].status == 303
        await log_in(session)
        clock.advance(SESSION - 1)
        assert (await get(session))[0].status == 200
        clock.advance(2)
        assert (await get(session))[0].status == 303


def test_sessions_are_bounded():
    """One person has some at most, all together some more; the oldest ends first."""
    sessions = Sessions(FakeClock())
    own = [sessions.open(Person("ada", Role.ACT)) for _ in range(MOST_OF_ONE + 1)]
    assert sessions.of(own[0]) is None
    assert all(sessions.of(key) for key in own[1:])
    for number in range(MOST_SESSIONS):
        sessions.open(Person(f"p{number}", Role.READ))
    assert not any(sessions.of(key) for key in own)


async def test_attempts_are_limited_and_the_right_person_gets_in(office):
    """After a few wrong tokens even the right one waits; a browser that knew it before does not, nor anybody later."""
    clock = FakeClock()
    async with (
        browser(office, clock) as known,
        aiohttp.ClientSession(known._base_url, cookie_jar=aiohttp.CookieJar(unsafe=True)) as stranger,
    ):
        await log_in(known)
        await post(known, "logout", {"csrf": await csrf(known)})
        for _ in range(BURST):
            assert (await log_in(stranger, "guess"))[0].status == 401
        answer, _ = await log_in(stranger)
        assert answer.status == 429
        assert int(answer.headers["Retry-After"]) > 0
        assert (await log_in(known))[0].status == 303
        clock.advance(int(answer.headers["Retry-After"]))
        assert (await log_in(stranger))[0].status == 303


async def test_a_forged_mark_of_a_known_browser_counts_for_nothing(office):
    """Who makes up the cookie of a known browser shares the attempts of its address."""
    async with browser(office) as session:
        for number in range(BURST):
            session.cookie_jar.update_cookies({"mcfd_console_known": f"{number}.{'0' * 64}"})
            assert (await log_in(session, "guess"))[0].status == 401
        assert (await log_in(session, "guess"))[0].status == 429


async def test_an_action_needs_the_form_of_the_page(office):
    """Without our token, from another origin or from another site a POST does nothing."""
    async with browser(office) as session:
        await log_in(session)
        token = await csrf(session)
        good = {"csrf": token}
        for data, headers in (
            ({}, {}),
            ({"csrf": "x"}, {}),
            (good, {"Origin": "http://evil.test"}),
            (good, {"Origin": "null"}),
            (good, {"Sec-Fetch-Site": "cross-site"}),
            (good, {"Sec-Fetch-Site": "same-site"}),
        ):
            answer, _ = await post(session, "returns/acme/1/retry", data, headers=headers)
            assert answer.status == 403, (data, headers)
        assert office.done() == []
        answer, _ = await post(session, "returns/acme/1/retry", good)
        assert answer.status == 303
        assert office.done() == [("retry", {"by": "Ada", "return": "acme/1"})]


async def test_the_log_in_form_is_ours_as_well(office):
    """A log-in from a page elsewhere, without the cookie that came with our form, is none."""
    async with browser(office) as session:
        answer, _ = await post(session, "login", {"form": "x", "token": TOKEN, "name": "Ada"})
        assert answer.status == 403
        assert "mcfd_console" not in answer.cookies


async def test_another_host_is_refused(office):
    """A name that is not ours gets 421 and no page, however it is written."""
    async with browser(office) as session:
        for host in ("evil.test", "evil.test:80", "127.0.0.1.evil.test", "", "[::1", "127.0.0.1@evil.test"):
            answer, text = await get(session, "login", headers={"Host": host})
            assert answer.status in {400, 421}, host
            assert "<form" not in text
        assert (await get(session, "login", headers={"Host": "127.0.0.1:1"}))[0].status == 200


async def test_no_page_lets_anything_else_in(office):
    """Pages, redirects, refusals and files forbid scripts, frames and forms of others, caching and referrers."""
    async with browser(office) as session:
        answers = [(await get(session, path))[0] for path in ("login", "", "nowhere", "static/console.css")]
        answers.append((await get(session, "login", headers={"Host": "evil.test"}))[0])
        await log_in(session)
        answers += [(await get(session, path))[0] for path in ("", "returns/acme/1", "nowhere")]
        for answer in answers:
            policy = answer.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert "frame-ancestors 'none'" in policy
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["Referrer-Policy"] == "same-origin"
        assert answers[1].headers["Cache-Control"] == "no-store"
        _, page = await get(session, "returns/acme/1")
        assert "<b>#1001</b>" not in page
        assert "&lt;b&gt;#1001" in page
        assert not re.search(r"<script(?![^>]*src=)|\sstyle=|<style|\son\w+=", page)


async def test_a_person_of_the_proxy(office):
    """The header counts from a trusted proxy that knows the secret; its name is the history's, its role the file's."""
    signed = {"user_header": "X-Forwarded-User", "proxy_secret": PROXY["X-Console-Proxy-Secret"]}
    near = {"trusted_proxies": ("127.0.0.1/32",)}
    without = {"X-Forwarded-User": "ada"}
    async with browser(office, **signed, **near) as session:
        for headers in (without, PROXY | {"X-Console-Proxy-Secret": "guess"}, PROXY | {"X-Forwarded-User": " "}):
            assert (await get(session, headers=headers))[0].status == 303
        answer, page = await get(session, headers=PROXY)
        assert answer.status == 200
        await post(session, "returns/acme/1/cancel", {"csrf": hidden(page, "csrf")}, headers=PROXY)
        assert office.done() == [("cancel", {"by": "ada", "return": "acme/1"})]
        assert (await get(session))[0].status == 303  # the cookie alone is nobody
        _, other = await get(session, headers=PROXY | {"X-Forwarded-User": "eve"})
        assert hidden(other, "csrf") != hidden(page, "csrf")
    async with browser(office, **signed, trusted_proxies=("10.0.0.0/8",)) as session:
        assert (await get(session, headers=PROXY))[0].status == 303
    async with browser(office, **near, user_header=None, proxy_secret=PROXY["X-Console-Proxy-Secret"]) as session:
        assert (await get(session, headers=PROXY))[0].status == 303
    async with browser(office, **signed, **near, roles={"ada": "read"}) as session:
        _, page = await get(session, "returns/acme/1", headers=PROXY)
        assert "/retry" not in page
        office.asked.clear()
        for path in ("returns/acme/1/retry", "returns/acme/1/cancel"):
            assert (await get(session, path, headers=PROXY))[0].status == 403
            answer, _ = await post(session, path, {"csrf": hidden(page, "csrf")}, headers=PROXY)
            assert answer.status == 403
        assert office.asked == []


async def test_a_link_from_elsewhere_finds_its_session(office):
    """A link in a message comes without the cookie; the browser is asked to come again from a page of ours."""
    async with browser(office) as session:
        answer, page = await get(session, "returns/acme/1?all", headers={"Sec-Fetch-Site": "cross-site"})
        assert answer.status == 200
        assert 'content="0;url=/console/returns/acme/1?all"' in page


@pytest.mark.parametrize(
    "where", ["https://evil.test/", "//evil.test/console/", "/api/retry", "/console/\\evil", "javascript:alert(1)", "x"]
)
async def test_the_log_in_leads_to_our_pages_alone(office, where):
    """Whatever `next` says, nobody is sent elsewhere."""
    async with browser(office) as session:
        _, page = await get(session, "login")
        form = {"form": hidden(page, "form"), "token": TOKEN, "name": "Ada", "next": where}
        answer, _ = await post(session, "login", form)
        assert answer.headers["Location"] == ROOT


async def test_what_goes_wrong_is_told_in_words(office):
    """An unknown return is 404, a store that cannot be read 503, a bug 500; none shows a traceback."""
    async with browser(office) as session:
        await log_in(session)
        for failure, status in (
            (OperatorError("no return acme/1 is known"), 404),
            (StoreUnavailable("the database cannot be read"), 503),
            (ZeroDivisionError("secret words"), 500),
        ):
            office.failure = failure
            answer, page = await get(session, "returns/acme/1")
            assert answer.status == status
            assert "Traceback" not in page
            assert "secret words" not in page


async def test_a_page_that_renews_itself_after_the_session(office):
    """What a script asks for without a session makes the browser load the log-in, not a piece of it."""
    async with browser(office) as session:
        answer, text = await get(session, "waiting", headers={"HX-Request": "true"})
        assert (answer.status, text, answer.headers["HX-Refresh"]) == (401, "", "true")
