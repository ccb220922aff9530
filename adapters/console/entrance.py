"""Log-in and log-out, and the files that every page needs."""

import math
import secrets
from collections.abc import Sequence
from http import HTTPStatus
from pathlib import Path

import structlog
from aiohttp import web

from adapters.console.door import FORM, ROOT, plain_name, same
from adapters.console.site import Site, local, redirect

log = structlog.get_logger(__name__)

FOLDER = Path(__file__).parent / "static"
FILES = {
    "console.css": "text/css",
    "htmx.min.js": "text/javascript",
    "icon.svg": "image/svg+xml",
    "htmx.LICENSE": "text/plain",
}
A_DAY = "private, max-age=86400"


class Entrance:
    """What people without a session may reach."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._files = {name: (FOLDER / name).read_bytes() for name in FILES}

    def routes(self) -> Sequence[web.RouteDef]:
        """The addresses, below the console's."""
        return (
            web.get("/login", self._ask),
            web.post("/login", self._let_in),
            web.post("/logout", self._site.guarded(self._leave)),
            web.get("/static/{name}", self._file),
        )

    async def _file(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        if name not in self._files:
            raise web.HTTPNotFound
        headers = {"Cache-Control": A_DAY, "Content-Type": f"{FILES[name]}; charset=utf-8"}
        return web.Response(body=self._files[name], headers=headers)

    async def _ask(self, request: web.Request) -> web.StreamResponse:
        session, _ = self._site.door.session(request)
        if session is not None:
            return redirect(local(request.query.get("next", ROOT)))
        return self._form(request, local(request.query.get("next", ROOT)))

    def _form(
        self, request: web.Request, where: str, problem: str = "", status: HTTPStatus = HTTPStatus.OK, name: str = ""
    ) -> web.Response:
        value = secrets.token_urlsafe(24)
        answer = self._site.page(
            request, "login.html", status=status, where=where, problem=problem, form=value, name=name
        )
        self._site.door.offer_form(request, answer, value)
        return answer

    async def _let_in(self, request: web.Request) -> web.StreamResponse:
        given = {name: str(value) for name, value in (await request.post()).items()}
        where, name = local(given.get("next", ROOT)), plain_name(given.get("name", ""))
        cookie = request.cookies.get(FORM, "")
        if not cookie or not same(given.get("form", ""), cookie):
            return self._form(request, where, "Please try once more.", HTTPStatus.FORBIDDEN, name)
        door = self._site.door
        if wait := door.seconds_to_wait(request):
            text = f"Too many attempts. Try again in {math.ceil(wait)} seconds."
            answer = self._form(request, where, text, HTTPStatus.TOO_MANY_REQUESTS, name)
            answer.headers["Retry-After"] = str(math.ceil(wait))
            return answer
        key = door.log_in(request, given.get("token", ""), name)
        if key is None:
            log.warning("console.refused", peer=request.remote)
            return self._form(request, where, "That is not the ops token.", HTTPStatus.UNAUTHORIZED, name)
        log.info("console.entered", by=name or "console")
        arrived = redirect(where)
        door.keep(request, arrived, key)
        door.remember(request, arrived)
        return arrived

    async def _leave(self, request: web.Request) -> web.StreamResponse:
        left = redirect(f"{ROOT}login")
        self._site.door.log_out(request, left)
        return left
