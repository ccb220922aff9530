"""The website authorization behind a proxy that strips a path prefix."""

import pytest

from adapters.http.consent import COOKIE
from daemon.app.listeners import _consent_routes
from daemon.operations.authorization import CALLBACK, START, Begun


class Workflow:
    """Lets everybody in."""

    async def begin(self, _token: str) -> Begun:
        return Begun("https://amazon.example/consent", "biscuit")


class Request:
    """What the start page looks at."""

    query = {"t": "good"}  # noqa: RUF012 - it is never changed


@pytest.mark.parametrize(
    ("public_url", "path", "secure"),
    [
        ("https://example.com/mcfd", f"/mcfd{CALLBACK}", True),
        ("https://example.com", CALLBACK, True),
        ("http://localhost:8080/a/b", f"/a/b{CALLBACK}", False),
    ],
)
async def test_the_cookie_is_for_the_callback_as_the_browser_knows_it(public_url, path, secure):
    """The browser calls the callback below the prefix, so the cookie must be for that path; we are asked without it."""
    routes = {route.path: route for route in _consent_routes(Workflow(), public_url)}
    assert set(routes) == {START, CALLBACK}
    cookie = (await routes[START].handler(Request())).cookies[COOKIE]
    assert (cookie["path"], bool(cookie["secure"])) == (path, secure)
