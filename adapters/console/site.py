"""The pages' application: routes, templates, and the check of who may see and do what."""

from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import structlog
from aiohttp import web
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from adapters.console import words
from adapters.console.door import ROOT, SESSION, Door, same
from adapters.console.people import Role, Session
from daemon.errors import McfdError, OperatorError, StoreUnavailable
from daemon.ports.host import Clock

log = structlog.get_logger(__name__)

Ask = Callable[[Mapping[str, object]], Awaitable[dict[str, Any]]]
Verbs = Mapping[str, Ask]
"""Every verb by its path, as the daemon answers it."""
Answer = dict[str, Any]
View = Callable[[web.Request], Awaitable[web.StreamResponse]]

HERE = Path(__file__).parent
NAVIGATION = (
    ("", "Overview"),
    ("returns", "Returns"),
    ("waiting", "Needs a person"),
    ("reasons", "Reasons"),
    ("insights", "Insights"),
    ("setup", "Setup"),
)


class Site:
    """What all pages share."""

    def __init__(self, verbs: Verbs, door: Door, clock: Clock, version: str) -> None:
        self._verbs = verbs
        self._clock = clock
        self._version = version
        self.door = door
        self._templates = _templates(clock)

    async def ask(self, verb: str, **given: object) -> Answer:
        """Have a verb answer. Raises McfdError."""
        if verb not in self._verbs:
            raise OperatorError(f"this mcfd has no verb {verb}")
        return await self._verbs[verb](given)

    def now(self) -> float:
        """Unix seconds."""
        return self._clock.now()

    def knows(self, verb: str) -> bool:
        """Whether there is such a verb."""
        return verb in self._verbs

    def page(
        self, request: web.Request, template: str, *, status: HTTPStatus = HTTPStatus.OK, **values: object
    ) -> web.Response:
        """Draw a page."""
        session = request.get(SESSION)
        seen = session is not None and "HX-Request" not in request.headers  # what only refreshes a page shows no notice
        notice, failed = session.said() if session is not None and seen else ("", False)
        text = self._templates.get_template(template).render(
            session=session,
            person=session.person if session is not None else None,
            notice=notice,
            notice_failed=failed,
            navigation=NAVIGATION,
            here=request.path.removeprefix(ROOT).partition("/")[0],
            root=ROOT,
            version=self._version,
            path=return_path,
            **values,
        )
        return web.Response(text=text, content_type="text/html", status=status)

    def guarded(self, view: View, role: Role = Role.READ) -> View:
        """A view for people with that role; a POST also needs the token that our forms carry."""

        async def guarded(request: web.Request) -> web.StreamResponse:
            session, new_key = self.door.session(request)
            if session is None:
                return self._stranger(request)
            request[SESSION] = session
            answer = await self._checked(request, session, view, role)
            if new_key is not None:
                self.door.keep(request, answer, new_key)
            return answer

        return guarded

    async def _checked(self, request: web.Request, session: Session, view: View, role: Role) -> web.StreamResponse:
        if (refused := await self._refused(request, session, role)) is not None:
            return refused
        try:
            return await view(request)
        except McfdError as error:
            return self.problem(request, _status(error), words.sentence(str(error)))
        except web.HTTPException:
            raise
        except Exception:
            log.exception("console.failed", page=request.match_info.handler.__qualname__)
            return self.problem(request, HTTPStatus.INTERNAL_SERVER_ERROR, "The daemon failed; its log says why.")

    async def _refused(self, request: web.Request, session: Session, role: Role) -> web.Response | None:
        if not session.person.may(role):
            return self.problem(
                request, HTTPStatus.FORBIDDEN, f"Your role may not do this; it needs {role.name.lower()}."
            )
        if request.method == "POST" and not same(str((await request.post()).get("csrf", "")), session.csrf):
            return self.problem(
                request, HTTPStatus.FORBIDDEN, "This form is no longer valid. Nothing was done: open the page again."
            )
        return None

    def problem(self, request: web.Request, status: HTTPStatus, text: str) -> web.Response:
        """A page that says what is wrong."""
        return self.page(request, "problem.html", status=status, title=status.phrase, text=text)

    def _stranger(self, request: web.Request) -> web.StreamResponse:
        """Send somebody without a session to the log-in, or have the browser ask again with its cookies.

        A link from another site comes without our cookies, for they are SameSite=Strict; a second request, from a page
        of ours, brings them.
        """
        if request.headers.get("HX-Request"):
            return web.Response(status=HTTPStatus.UNAUTHORIZED, headers={"HX-Refresh": "true"})
        if request.method == "GET" and request.headers.get("Sec-Fetch-Site") == "cross-site":
            return self.page(request, "again.html", address=request.rel_url.raw_path_qs)
        where = request.rel_url.raw_path_qs if request.method == "GET" else ROOT
        query = "" if where == ROOT else "?" + urlencode({"next": where})
        return redirect(f"{ROOT}login{query}")


def _status(error: McfdError) -> HTTPStatus:
    match error:
        case OperatorError():
            return HTTPStatus.NOT_FOUND
        case StoreUnavailable():
            return HTTPStatus.SERVICE_UNAVAILABLE
        case _:
            return HTTPStatus.CONFLICT


def redirect(where: str) -> web.Response:
    """Go on there by a GET."""
    return web.Response(status=HTTPStatus.SEE_OTHER, headers={"Location": where})


def local(where: str) -> str:
    """An address below the console; the first page for whatever else it is."""
    parts = urlsplit(where)
    inside = not parts.scheme and not parts.netloc and parts.path.startswith(ROOT) and where.isascii()
    return where if inside and "\\" not in where and where.isprintable() else ROOT


def return_path(ref: str, *more: str) -> str:
    """The address of a return's page; `ref` is shop/id."""
    shop, _, return_id = ref.partition("/")
    return ROOT + "/".join(["returns", *(quote(part, safe="") for part in (shop, return_id, *more))])


def _templates(clock: Clock) -> Environment:
    made = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "state": words.state,
        "tone": words.tone,
        "plain": words.plain,
        "stamp": words.stamp,
        "sentence": words.sentence,
        "advice": words.advice,
        "condition": words.condition,
        "manual": lambda code: f"{ROOT}help#{code}",
        "age": lambda at: words.age(at, clock.now()),
        "path": return_path,
    }
    return made
