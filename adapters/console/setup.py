"""The page that leads through the setup: checks, and the steps that mcfd can do by itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from aiohttp import web

from adapters.console import words
from adapters.console.door import ROOT, SESSION
from adapters.console.people import Role
from adapters.console.site import Answer, Site, redirect
from daemon.errors import McfdError


@dataclass(frozen=True, slots=True)
class Step:
    """A step of the setup; with a verb it has a button."""

    path: str
    title: str
    about: str
    verb: str = ""
    label: str = ""
    of_account: bool = False


STEPS = (
    Step(
        "authorize",
        "Let mcfd into the seller's account at Amazon",
        "The link leads to Amazon's consent page. A private application does not need it: its token is the secret file "
        "`amazon_refresh_token`.",
        "authorize_amazon",
        "Make a link",
        of_account=True,
    ),
    Step(
        "webhooks",
        "Have Loop tell of returns",
        "Creates the webhooks that are missing, and never a second one. Loop shows their secret in its admin only: "
        "write it into the secret file `loop_webhook_secrets.SHOP`.",
        "webhooks_sync",
        "Create what is missing",
    ),
    Step(
        "notifications",
        "Have Amazon tell of inspections",
        "Names the queue of `amazon.notifications` to Amazon, and subscribes it. Without a queue Amazon is asked.",
        "notifications_sync",
        "Subscribe",
        of_account=True,
    ),
    Step(
        "notify",
        "Tell people",
        "Sends a test message to everybody that `notify:` names.",
        "notify_test",
        "Send a test",
    ),
    Step(
        "",
        "Make a pilot return",
        "Submit one return of a real order in Loop and search for it under Returns: its page says what happens next. "
        "`mcfd match RETURN` shows which orders were tried.",
    ),
)


@dataclass(frozen=True, slots=True)
class Change:
    """A form that has the store keep or forget something: its address, the page it is on, its verb and fields."""

    path: str
    page: str
    verb: str
    fields: tuple[str, ...]


CHANGES = (
    Change("/setup/credentials", "setup", "settings_set", ("name", "value")),
    Change("/setup/credentials/forget", "setup", "settings_unset", ("name",)),
    Change("/reasons/map", "reasons", "settings_map_reason", ("shop", "parent", "reason", "code")),
    Change("/reasons/unmap", "reasons", "settings_unmap_reason", ("shop", "parent", "reason")),
)


@dataclass(frozen=True, slots=True)
class Done:
    """What a step has done."""

    title: str
    lines: Sequence[str] = ()
    problem: str = ""
    link: str = ""


class Setup:
    """Runs the doctor and the steps when a person asks for it."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._checked: Sequence[Mapping[str, Any]] = ()
        self._checked_at = ""

    def routes(self) -> Sequence[web.RouteDef]:
        """The addresses, below the console's."""
        guarded = self._site.guarded
        return (
            web.get("/setup", guarded(self._show)),
            web.post("/setup/check", guarded(self._check, Role.ACT)),
            *(web.post(one.path, guarded(partial(self._change, one), Role.ADMIN)) for one in CHANGES),
            web.post("/setup/{step}", guarded(self._take, Role.ADMIN)),
        )

    async def _show(self, request: web.Request) -> web.StreamResponse:
        return await self._page(request)

    async def _page(self, request: web.Request, done: Done | None = None) -> web.Response:
        return self._site.page(
            request,
            "setup.html",
            checked=self._checked,
            checked_at=self._checked_at,
            steps=STEPS,
            done=done,
            settings=(await self._site.ask("settings_list"))["settings"] if self._site.knows("settings_list") else None,
            accounts=(await self._site.ask("connections"))["accounts"],
            admin=request[SESSION].person.may(Role.ADMIN),
        )

    async def _check(self, request: web.Request) -> web.StreamResponse:
        found = await self._site.ask("doctor")
        grave = {"fail": 0, "warn": 1, "ok": 2}
        self._checked = sorted(found["lines"], key=lambda line: grave[line["verdict"]])
        self._checked_at = datetime.fromtimestamp(self._site.now(), UTC).isoformat()
        return await self._page(request)

    # ---- what the store keeps

    async def _change(self, change: Change, request: web.Request) -> web.StreamResponse:
        """Have the store keep or forget a setting; nothing of it is shown."""
        session, form = request[SESSION], await request.post()
        given = {name: form.get(name, "") for name in change.fields}
        try:
            answer = await self._site.ask(change.verb, **given, by=session.person.name)
        except McfdError as error:
            session.say(words.sentence(str(error)), failed=True)
        else:
            what = answer.get("name") or answer.get("reason") or answer.get("parent", "")
            session.say(f"{what}: {answer.get('note', 'done')}.")
        return redirect(f"{ROOT}{change.page}")

    async def _take(self, request: web.Request) -> web.StreamResponse:
        step = next((one for one in STEPS if one.verb and one.path == request.match_info["step"]), None)
        if step is None:
            raise web.HTTPNotFound
        try:
            account = str((await request.post()).get("account", "")) if step.of_account else ""
            answer = await self._site.ask(step.verb, **({"account": account} if account else {}))
        except McfdError as error:
            return await self._page(request, Done(step.title, problem=words.sentence(str(error))))
        return await self._page(request, Done(step.title, lines=_lines(answer), link=answer.get("url", "")))


def _lines(answer: Answer) -> list[str]:
    """What an answer says, one line for each row of it."""
    told = []
    for name, value in answer.items():
        if isinstance(value, list):
            told += [_line(row) for row in value]
        elif name not in {"url", "expires_in"} and value not in {"", None}:
            told.append(f"{words.plain(name)}: {value}")
    return told or ["There was nothing to do."]


def _line(row: object) -> str:
    if isinstance(row, Mapping):
        return ", ".join(str(value) for value in row.values() if value not in {"", None})
    return str(row)
