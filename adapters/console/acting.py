"""The pages that act: each first says what it will do, and does it by a form of its own."""

from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus

from aiohttp import web

from adapters.console import words
from adapters.console.actions import ACTIONS, Action
from adapters.console.door import ROOT, SESSION
from adapters.console.people import Role
from adapters.console.site import Answer, Site, View, redirect, return_path
from daemon.errors import McfdError

PAGES_OF_ADOPTION = 4
"""Answers that are waited for; each takes 20 s at most."""


class Acting:
    """Has verbs change returns, in the person's name."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def routes(self) -> Sequence[web.RouteDef]:
        """The addresses, below the console's."""
        made = []
        for action in ACTIONS.values():
            where = f"/returns/{{shop}}/{{return_id}}/{action.verb}"
            view = self._site.guarded(_with(action, self._look_at), action.role)
            made += [web.get(where, view)]
            made += [web.post(where, self._site.guarded(_with(action, self._do), action.role))]
        adopt = "/returns/{shop}/{return_id}/adopt"
        guarded = self._site.guarded
        return [*made, web.get(adopt, guarded(self._adopt, Role.ACT)), web.post(adopt, guarded(self._adopt, Role.ACT))]

    async def _adopt(self, request: web.Request) -> web.StreamResponse:
        """Take over a return that mcfd does not know; a GET only says what would come of it."""
        try_only = request.method == "GET"
        given = {"returns": [_ref(request)], "by": request[SESSION].person.name, "dry_run": try_only}
        rows, after = [], 0
        for _ in range(PAGES_OF_ADOPTION):
            answer = await self._site.ask("adopt", **given, after=after)
            rows += answer["rows"]
            if answer["next"] is None:
                break
            after = answer["next"]
        if not try_only and any(row["result"] == "adopted" for row in rows):
            request[SESSION].say("Taken over, as Loop and Amazon show it.")
            return redirect(return_path(_ref(request)))
        return self._site.page(request, "adopt.html", ref=_ref(request), rows=rows, try_only=try_only)

    async def _look_at(self, request: web.Request, action: Action) -> web.StreamResponse:
        """Say what the action would do; one that needs to be told something asks for it first."""
        shown = await self._site.ask("show", **{"return": _ref(request)})
        given = _given(request.query.get(action.field, "")) if action.field else []
        if action.field and not given:
            return self._page(request, action, shown)
        return await self._previewed(request, action, shown, given)

    async def _previewed(
        self, request: web.Request, action: Action, shown: Answer, given: list[str], problem: str = ""
    ) -> web.StreamResponse:
        note = action.about
        if action.previewed:
            try:
                answer = await self._call(request, action, shown, given, preview=True)
                note = answer.get("note", "")
            except McfdError as error:
                return self._page(request, action, shown, given, problem=problem or str(error))
        return self._page(request, action, shown, given, note=note, problem=problem)

    async def _do(self, request: web.Request, action: Action) -> web.StreamResponse:
        shown = await self._site.ask("show", **{"return": _ref(request)})
        form = await request.post()
        given = _given(str(form.get(action.field, ""))) if action.field else []
        if action.field and not given:
            return self._page(request, action, shown, problem=f"{action.field_label} are missing.")
        try:
            answer = await self._call(request, action, shown, given)
        except McfdError as error:
            return self._page(request, action, shown, given, problem=str(error), status=HTTPStatus.CONFLICT)
        request[SESSION].say(words.sentence(f"{action.label}: done. {words.sentence(answer.get('note', ''))}"))
        return redirect(f"{ROOT}returns" if action.gone else return_path(shown["return"]))

    async def _call(
        self, request: web.Request, action: Action, shown: Answer, given: list[str], *, preview: bool = False
    ) -> Answer:
        arguments: dict[str, object] = {"by": request[SESSION].person.name}
        if action.verb == "look":
            arguments["orders"] = sorted({unit["order"] for unit in shown["units"] if unit["order"]})
        else:
            arguments |= {"return": shown["return"]} | ({action.field: given} if action.field else {})
        return await self._site.ask(action.verb, **arguments, **({"preview": True} if preview else {}))

    def _page(
        self,
        request: web.Request,
        action: Action,
        shown: Answer,
        given: Sequence[str] = (),
        *,
        note: str = "",
        problem: str = "",
        status: HTTPStatus = HTTPStatus.OK,
    ) -> web.StreamResponse:
        return self._site.page(
            request,
            "action.html",
            status=status,
            action=action,
            shown=shown,
            given=" ".join(given),
            note=note,
            problem=words.sentence(problem),
        )


ActionView = Callable[[web.Request, Action], Awaitable[web.StreamResponse]]


def _with(action: Action, view: ActionView) -> View:
    async def bound(request: web.Request) -> web.StreamResponse:
        return await view(request, action)

    return bound


def _ref(request: web.Request) -> str:
    return f"{request.match_info['shop']}/{request.match_info['return_id']}"


def _given(text: str) -> list[str]:
    return text.replace(",", " ").split()[:20]
