"""The pages that only read."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from adapters.console import words
from adapters.console.actions import ACTIONS, ADOPT
from adapters.console.door import ROOT, SESSION
from adapters.console.drawings import of_insights, of_trends
from adapters.console.people import Role
from adapters.console.site import Answer, Site, redirect, return_path
from daemon.errors import McfdError, OperatorError

DAY = 86400.0
FEW_UNITS = 12


class Reading:
    """Draws what verbs tell."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def routes(self) -> Sequence[web.RouteDef]:
        """The addresses, below the console's."""
        view = self._site.guarded
        return (
            web.get("/", view(self._overview)),
            web.get("/returns", view(self._returns)),
            web.get("/returns/{shop}/{return_id}", view(self._one)),
            web.get("/waiting", view(self._waiting)),
            web.get("/reasons", view(self._reasons)),
            web.get("/insights", view(self._insights)),
            web.get("/help", view(self._help)),
        )

    # ---- overview

    async def _overview(self, request: web.Request) -> web.StreamResponse:
        counted, connected = await self._site.ask("status"), await self._site.ask("connections")
        return self._site.page(
            request,
            "overview.html",
            counted=counted,
            connected=connected,
            waiting=_people_needed(counted),
            plots=of_trends(await self._site.ask("trends")),
        )

    # ---- the list

    async def _returns(self, request: web.Request) -> web.StreamResponse:
        asked = _asked(request.query)
        shops = [row["shop"] for row in (await self._site.ask("status"))["shops"]]
        if asked["q"]:
            rows = (await self._site.ask("find", text=asked["q"]))["returns"]
            if len(rows) == 1:
                return redirect(return_path(rows[0]["return"]))
            more = None
        else:
            answer = await self._list(asked)
            rows, more = answer["rows"], answer["next"]
        kept = {name: value for name, value in asked.items() if value and name != "after"}
        return self._site.page(
            request,
            "returns.html",
            rows=rows,
            asked=asked,
            shops=shops,
            states=words.STATES,
            ages=words.AGES,
            older=f"{ROOT}returns?{urlencode(kept | {'after': more})}" if more else "",
            newest=f"{ROOT}returns?{urlencode(kept)}" if asked["after"] else "",
        )

    async def _list(self, asked: Mapping[str, str]) -> Answer:
        given: dict[str, object] = {name: asked[name] for name in ("state", "shop") if asked[name]}
        if asked["age"]:
            before = self._site.now() - int(asked["age"]) * DAY
            given["unchanged"] = datetime.fromtimestamp(before, UTC).isoformat()
        return await self._site.ask("list", **given, after=int(asked["after"] or 0))

    # ---- one return

    async def _one(self, request: web.Request) -> web.StreamResponse:
        ref = f"{request.match_info['shop']}/{request.match_info['return_id']}"
        try:
            shown = await self._site.ask("show", **{"return": ref})
        except OperatorError as error:
            return self._unknown(request, ref, words.sentence(str(error)))
        made = (await self._site.ask("calls", **{"return": ref}))["calls"]
        person = request[SESSION].person
        buttons = {**ACTIONS, ADOPT.verb: ADOPT}
        possible = [buttons[name] for name in shown["can"] if name in buttons and self._site.knows(name)]
        return self._site.page(
            request,
            "return.html",
            shown=shown,
            calls=list(reversed(made)),
            everything="all" in request.query,
            actions=[action for action in possible if person.may(action.role)],
            units=_summary(shown["units"]),
            folded=len(shown["units"]) > FEW_UNITS,
        )

    def _unknown(self, request: web.Request, ref: str, text: str) -> web.StreamResponse:
        may = request[SESSION].person.may(Role.ACT) and self._site.knows("adopt")
        return self._site.page(request, "unknown.html", status=HTTPStatus.NOT_FOUND, ref=ref, text=text, may_adopt=may)

    # ---- who waits for a person

    async def _waiting(self, request: web.Request) -> web.StreamResponse:
        status = await self._site.ask("status")
        return self._site.page(request, "waiting.html", waiting=_people_needed(status), quiet=status["quiet"])

    # ---- what shoppers say

    async def _reasons(self, request: web.Request) -> web.StreamResponse:
        sku, problem = request.query.get("sku", "").strip()[:100], ""
        kept = (await self._site.ask("settings_list"))["reasons"] if self._site.knows("settings_list") else None
        told, account = await self._site.ask("reasons"), request.query.get("account", "")
        accounts = (await self._site.ask("connections"))["accounts"]
        if sku:
            try:
                told = await self._site.ask("reasons", sku=sku, **({"account": account} if account else {}))
            except McfdError as error:
                problem = words.sentence(str(error))
        allowed = told.get("allowed", [])
        return self._site.page(
            request,
            "reasons.html",
            rows=told["reasons"],
            sku=sku,
            allowed=allowed,
            problem=problem,
            accounts=accounts,
            account=account,
            kept=kept,
            may_map=kept is not None and request[SESSION].person.may(Role.ADMIN),
        )

    async def _insights(self, request: web.Request) -> web.StreamResponse:
        days = request.query.get("days", "90")
        days = days if days in words.SPANS else "90"
        shops = [row["shop"] for row in (await self._site.ask("status"))["shops"]]
        shop = request.query.get("shop", "")
        since = datetime.fromtimestamp(self._site.now() - int(days) * DAY, UTC).isoformat()
        told = await self._site.ask("insights", since=since, **({"shop": shop} if shop in shops else {}))
        return self._site.page(
            request,
            "insights.html",
            told=told,
            plots=of_insights(told),
            days=days,
            spans=words.SPANS,
            shop=shop,
            shops=shops,
        )

    async def _help(self, request: web.Request) -> web.StreamResponse:
        told = await self._site.ask("advice")
        return self._site.page(request, "help.html", problems=told["problems"])


def _asked(query: Mapping[str, str]) -> dict[str, str]:
    """The search and the filters of an address; whatever cannot be one is left out."""
    state, age, after = query.get("state", ""), query.get("age", ""), query.get("after", "")
    return {
        "q": query.get("q", "").strip()[:200],
        "state": state if state in words.STATES else "",
        "shop": query.get("shop", "")[:40],
        "age": age if age in words.AGES else "",
        "after": after if after.isascii() and after.isdigit() and len(after) < 19 else "",
    }


def _people_needed(status: Answer) -> list[dict[str, Any]]:
    """What waits for a person, the oldest first."""
    rows = [row | {"kind": kind} for kind in ("stuck", "held", "in_review") for row in status.get(kind, ())]
    return sorted(rows, key=lambda row: row["since"] or "")


def _summary(units: Sequence[Mapping[str, Any]]) -> list[tuple[str, int]]:
    """How many units are how, the most frequent first."""
    how = Counter(unit["found"] or words.plain(unit["standing"]) for unit in units)
    return how.most_common()
