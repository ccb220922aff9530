"""The two pages of the website authorization: one that the operator opens, one that Amazon redirects to."""

from collections.abc import Mapping
from typing import Protocol

from aiohttp import web

from daemon.errors import StoreUnavailable

COOKIE = "mcfd_authorization"
_ANEW = "Run `mcfd authorize amazon` again and open the link that it prints.\n"
_PAGES: Mapping[str, tuple[int, str]] = {
    "done": (200, "Amazon is connected. You can close this page.\n"),
    "stale": (400, f"This link is wrong, was used already, or has expired. {_ANEW}"),
    "refused": (400, f"Amazon did not accept the authorization. {_ANEW}"),
    "later": (503, "mcfd cannot use its database just now. Load this page again in a minute.\n"),
    "unavailable": (503, f"Amazon could not be asked just now. {_ANEW}"),
}


class ConsentRedirect(Protocol):
    """Where a valid invitation leads."""

    @property
    def consent_url(self) -> str:
        """The page of Amazon that the browser is sent to."""

    @property
    def cookie(self) -> str:
        """The cookie by which the browser is recognized later."""


class ConsentWorkflow(Protocol):
    """Makes the decisions; these pages only speak HTTP."""

    async def begin(self, token: str) -> ConsentRedirect | None:
        """Begin with an invitation; None when it is not valid. Raises StoreUnavailable."""

    async def finish(self, *, cookie: str, state: str, code: str, seller: str) -> str:
        """Trade the code; one of `done`, `stale`, `refused`, `unavailable`. Raises StoreUnavailable."""


class ConsentPages:
    """Pages of plain text; the listener forbids caching and referrers. `secure`: browsers use https."""

    def __init__(self, workflow: ConsentWorkflow, *, callback_path: str, secure: bool) -> None:
        self._workflow = workflow
        self._callback_path = callback_path
        self._secure = secure

    async def start(self, request: web.BaseRequest) -> web.StreamResponse:
        """Bind the browser by a cookie and send it to Amazon."""
        try:
            redirect = await self._workflow.begin(request.query.get("t", ""))
        except StoreUnavailable:
            return _page("later")
        if redirect is None:
            return _page("stale")
        answer = web.Response(status=302, headers={"Location": redirect.consent_url})
        answer.set_cookie(
            COOKIE,
            redirect.cookie,
            max_age=600,
            path=self._callback_path,
            httponly=True,
            secure=self._secure,
            samesite="Lax",  # not Strict: Amazon's redirect is a navigation from another site
        )
        return answer

    async def callback(self, request: web.BaseRequest) -> web.StreamResponse:
        """Pass the parameters of Amazon's redirect to the workflow, and delete the cookie."""
        given = request.query
        try:
            ending = await self._workflow.finish(
                cookie=request.cookies.get(COOKIE, ""),
                state=given.get("state", ""),
                code=given.get("spapi_oauth_code", ""),
                seller=given.get("selling_partner_id", ""),
            )
        except StoreUnavailable:
            return _page("later")
        answer = _page(ending)
        answer.del_cookie(COOKIE, path=self._callback_path)
        return answer


def _page(ending: str) -> web.Response:
    status, text = _PAGES[ending]
    return web.Response(status=status, text=text)
