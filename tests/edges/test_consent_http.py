"""The two pages of the website authorization, over real sockets, as browsers and proxies see them."""

import aiohttp

from adapters.host.clock import SystemClock
from adapters.http.consent import COOKIE, ConsentPages
from adapters.http.public import PublicListener, Route
from daemon.errors import StoreUnavailable
from daemon.operations.authorization import CALLBACK, START, Begun


class Workflow:
    """Lets in whoever brings "good", and remembers what came back."""

    def __init__(self) -> None:
        self.given: dict[str, str] = {}
        self.ending = "done"
        self.store_is_there = True

    async def begin(self, token: str) -> Begun | None:
        self._look()
        return Begun("https://amazon.example/consent?a=1&b=2", "biscuit") if token == "good" else None

    async def finish(self, *, cookie: str, state: str, code: str, seller: str) -> str:
        self._look()
        self.given = {"cookie": cookie, "state": state, "code": code, "seller": seller}
        return self.ending

    def _look(self) -> None:
        if not self.store_is_there:
            raise StoreUnavailable("the disk is full")


class Nobody:
    """Neither receives nor hosts."""

    async def receive(self, shop: str, signature: str | None, body: bytes) -> str: ...

    async def open(self, token: str) -> None: ...


async def test_the_pages_behind_tls():
    """The cookie is for this callback alone, unreadable for scripts and sent by https only; nothing is cached."""
    workflow = Workflow()
    pages = ConsentPages(workflow, callback_path=CALLBACK, secure=True)
    routes = (Route("GET", START, pages.start), Route("GET", CALLBACK, pages.callback))
    listener = PublicListener(receiver=Nobody(), labels=Nobody(), shops=(), clock=SystemClock(), extra_routes=routes)
    await listener.start("127.0.0.1", 0)
    url = f"http://127.0.0.1:{listener.port}"
    try:
        async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
            async with session.get(f"{url}{START}?t=good", allow_redirects=False) as page:
                assert (page.status, page.headers["Location"]) == (302, "https://amazon.example/consent?a=1&b=2")
                cookie = page.cookies[COOKIE]
                assert cookie.value == "biscuit"
                assert (cookie["secure"], cookie["httponly"], cookie["samesite"]) == (True, True, "Lax")
                assert (cookie["path"], cookie["max-age"]) == (CALLBACK, "600")
                assert page.headers["Cache-Control"] == "no-store"
                assert page.headers["Referrer-Policy"] == "no-referrer"
            for path, status in ((f"{START}?t=bad", 400), (START, 400)):
                async with session.get(url + path) as page:
                    assert (page.status, COOKIE in page.cookies) == (status, False)
            back = f"{url}{CALLBACK}?state=S&spapi_oauth_code=C&selling_partner_id=A&more=1"
            for ending, status in (("done", 200), ("stale", 400), ("refused", 400), ("unavailable", 503)):
                workflow.ending = ending
                async with session.get(back, headers={"Cookie": f"{COOKIE}=biscuit"}) as page:
                    assert page.status == status
                    assert page.cookies[COOKIE].value == ""
            workflow.store_is_there = False
            for path in (f"{START}?t=good", f"{CALLBACK}?state=S&spapi_oauth_code=C"):
                async with session.get(url + path) as page:  # and the cookie stays, so that it can be loaded again
                    assert (page.status, COOKIE in page.cookies) == (503, False)
                    assert "again in a minute" in await page.text()
                    assert page.headers["Cache-Control"] == "no-store"
                    assert page.headers["X-Robots-Tag"] == "noindex"
            assert workflow.given == {"cookie": "biscuit", "state": "S", "code": "C", "seller": "A"}
    finally:
        await listener.stop(1.0)
