"""What nobody may find in anything that the daemon writes: log, terminal, metrics, answers, database, backup."""

import io
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from rich.console import Console

from adapters.sandbox import Fault, ReturnLine
from adapters.sandbox.loop.webhooks import signature
from daemon.demo.narrator import Narrator
from daemon.demo.stories import STORIES
from tests.e2e.world import CALM, MUG, SHOP, SOCK, World, everyone, pause, until, world

pytestmark = pytest.mark.timeout(240)

PATH = f"/webhooks/loop/{SHOP}"
LOUD = {"log": {"level": "debug"}}
SERVICE = "service-canary-1"
PERSON = {
    "name": "Canary Birdsong",
    "company": "Canary & Sons",
    "address1": "77 Canary Wharf",
    "address2": "Canary Floor",
    "city": "Canaryville",
    "zip": "CANARY-77",
    "phone": "12085550canary",
}
CUSTOMER = "canary.birdsong@example.org"
LINE = ReturnLine(sku=SOCK, comment="I, Canary, do not like it", title="Canary socks")
PRIVATE: dict[str, Any] = {"origin": PERSON, "customer": CUSTOMER}
# Marks of what the vendors made up: the shopper's data at Amazon, Amazon's return page, tokens, a PDF.
GIVEN_AWAY = ("canary", "rowan", "larch row", "/gp/orc/rml", "/labels/", "Atza|", "Atzr|", "%PDF")
SEALED_AWAY = ("canary", "rowan", "larch row", "/labels/", "Atza|", "Atzr|", "%PDF")
VERBS = (
    *(("status",), ("doctor",), ("webhooks", "list"), ("dead-letters",), ("replay", "all"), ("reasons",)),
    *(("export",), ("export", "--csv"), ("purge",), ("check",)),
)


@dataclass
class Told:
    """Everything that was seen of a daemon, and what may be nowhere in it."""

    w: World
    texts: list[str] = field(default_factory=list)
    stored: list[bytes] = field(default_factory=list)
    hidden: set[str] = field(default_factory=set)

    def look_at_files(self, *more: Path) -> None:
        """Read the state directory as it is now, with the write-ahead log while there is one."""
        self.stored += [path.read_bytes() for path in (*self.w.daemon.state.iterdir(), *more)]

    async def ask(self, returns: Iterable[int], verbs: Iterable[tuple[str, ...]] = VERBS) -> None:
        """Ask all that operators may ask, over HTTP and by the command."""
        daemon = self.w.daemon
        for return_id in returns:
            self.texts += [
                str(await daemon.verb(verb, **{"return": str(return_id)})) for verb in ("show", "match", "calls")
            ]
        self.texts += [str(await daemon.get(path)) for path in ("/metrics", "/healthz", "/readyz", "/nothing")]
        assert (await daemon.verb("show", "wrong-canary", **{"return": "1"}))[0] == 401
        for said in await everyone(*(daemon.cli(*arguments) for arguments in verbs)):
            self.texts += [said.stdout, said.stderr]

    async def deliver_trash(self) -> None:
        """Signed, forged and broken deliveries that name a person."""
        secret, daemon = self.w.sandbox.options.webhook_secret, self.w.daemon
        broken = b'{"topic": "label.request", "trigger": "label.request.issued", "customer": "' + CUSTOMER.encode()
        signed = signature(secret, broken)
        self.hidden |= {signed, signature("canary", broken)}
        assert await daemon.deliver(PATH, broken, signed) == 200
        assert await daemon.deliver(PATH, broken, signature("canary", broken)) == 401
        assert await daemon.deliver(f"{PATH}?email={CUSTOMER}", broken, secret) == 401
        assert await daemon.deliver("/webhooks/loop/canary", broken, signed) == 404
        assert await daemon.deliver(f"/{CUSTOMER}", broken, signed) == 404

    async def fetch_labels(self, returns: Iterable[int]) -> None:
        """Do what shoppers do, and what guessers do."""
        tokens = {"canary-canary-canary-canary-canary-canary-c"[:43]}
        for return_id in returns:
            urls = [label["label_url"] for label in self.w.portal(return_id)["delivered_labels"]]
            tokens |= {re.search(r"/labels/([\w-]{43})\.pdf$", url)[1] for url in urls if "/labels/" in url}
        async with aiohttp.ClientSession() as session:
            for token in tokens:
                url = f"http://127.0.0.1:{self.w.daemon.public_port}/labels/{token}.pdf?of={CUSTOMER}"
                async with session.get(url) as page:
                    assert page.status in ({404} if token.startswith("canary") else {200, 410})
        self.hidden |= tokens

    def judge(self) -> None:
        """Nothing private was told, nothing private is stored in clear, and there was something to look at."""
        lines, secrets = self.w.daemon.lines, self.w.daemon.secrets.values()
        assert len(lines) > 40
        given_away = [one.lower() for one in {*GIVEN_AWAY, *secrets, *self.hidden}]
        assert [text for text in (*lines, *self.texts) if any(one in text.lower() for one in given_away)] == []
        everything = b"".join(self.stored)
        assert b"SQLite format 3" in everything
        marks = {*PERSON.values(), CUSTOMER, *SEALED_AWAY, *secrets, *self.hidden}
        assert [one for one in marks if one.encode() in everything] == []


@pytest.mark.parametrize(
    "buys_labels", [True, "easypost", False], ids=["bought labels", "the merchant's carriers", "Amazon's pages"]
)
async def test_nothing_private_is_told_or_stored(tmp_path, buys_labels):
    """Of all the demo's returns, at the loudest level, no secret, person or link is in anything that was written."""
    shop = {"exchanges": {"auto_process": True}, "report_transit": "all"}
    how: dict[str, Any] = {"buys_labels": buys_labels, "config": LOUD, "shop": shop, "return_service_id": SERVICE}
    async with world(tmp_path, timings={"missing_sibling": "2s"}, **how) as w:
        told = Told(w)
        w.sandbox.submit_return = partial(w.sandbox.submit_return, **PRIVATE)
        teller = Narrator(w.sandbox, _States(w), Console(file=io.StringIO()), choose=lambda _source: None)
        stories = [story for title, story in STORIES if title not in _LEFT_OUT[buys_labels]]
        await everyone(*(story(teller) for story in stories))
        returns = [int(name) for name in w.sandbox.snapshot()["loop"]["returns"]]
        await told.fetch_labels(returns)
        await told.deliver_trash()
        await told.ask(returns)
        told.look_at_files()
        backup = tmp_path / "backup.db"
        assert (await w.daemon.cli("backup", str(backup))).status == 0
        assert await w.daemon.sigterm() == 0
        told.look_at_files(backup)
        told.judge()


async def test_nothing_private_is_told_when_things_go_wrong(tmp_path):
    """The same under a storm of faults of both vendors, refusals, a lost authorization, and a kill."""
    async with world(tmp_path, buys_labels=True, config=LOUD, return_service_id=SERVICE, seed=6) as w:
        told = Told(w)
        w.sandbox.set_faults(_storm())
        returns = [w.submit(f"#50{n:02}", LINE if n % 2 else MUG, **PRIVATE) for n in range(8)]
        await until("all kinds of faults", lambda: _seen(w) >= {fault.kind for fault in _storm()}, 60)
        w.sandbox.expire_access_tokens()
        await pause(1.0)
        told.look_at_files()
        await w.daemon.sigkill()
        told.look_at_files()
        await w.restart()
        w.sandbox.set_faults()

        w.sandbox.refuse_sku("HAT", "InvalidValues", "This hat cannot come back.")
        returns.append(w.submit("#5101", "HAT", **PRIVATE))
        await w.state(returns[-1], "closed")
        w.sandbox.offer_services([{"service_id": "OTHER", "name": "Other"}])
        returns.append(w.submit("#5102", SOCK, **PRIVATE))
        await w.state(returns[-1], "stuck")
        await told.deliver_trash()
        w.sandbox.revoke_access()
        returns.append(w.submit("#5103", LINE, **PRIVATE))
        await until("it is parked", lambda: w.daemon.heard("amazon.credentials_changed", state="refused"))
        await told.fetch_labels(returns)
        await told.ask(returns)
        assert await w.daemon.sigterm() == 0
        told.look_at_files()
        told.judge()


ECHO = f"{', '.join(PERSON.values())} <{CUSTOMER}> is invalid"


async def test_vendors_that_repeat_the_shopper(tmp_path):
    """What a vendor says is told and kept without the shopper, wherever and whenever it repeats them.

    In messages, details, codes, headers and pages, of every step of a return; the code and the other words are kept.
    """
    how: dict[str, Any] = {"buys_labels": True, "config": LOUD, "return_service_id": SERVICE}
    async with world(tmp_path, timings={"outcome_watch": "300ms", **CALM}, **how) as w:
        told = Told(w)
        returns = [await _refused(w, number, fault) for number, fault in enumerate(_echoes())]
        w.sandbox.set_faults()
        w.sandbox.refuse_sku("HAT", "InvalidValues", ECHO)
        returns.append(w.submit("#6101", "HAT", **PRIVATE))
        await w.state(returns[-1], "closed")
        returns.append(w.submit("#6102", SOCK, **PRIVATE))
        w.sandbox.plan_processing(returns[-1], "fail", ECHO)
        await w.receive(returns[-1], SOCK)
        await w.state(returns[-1], "in_review")

        words = [str(await w.daemon.show(str(one))) for one in returns]
        assert any("InvalidInput: [" in text and "is invalid" in text for text in words)
        for vendor in ("amazon", "shipping", "loop", "lwa"):
            w.sandbox.set_faults([Fault(vendor=vendor, kind="error", status=403, code="Unauthorized", says=ECHO)])
            w.sandbox.expire_access_tokens()
            returns.append(w.submit(f"#62{len(returns)}", SOCK, **PRIVATE))
            await pause(1.0)
            told.texts += [str(await w.daemon.verb("status")), str(await w.daemon.get("/readyz"))]
        w.sandbox.set_faults()
        await told.ask(returns, [("status",), ("export",), ("export", "--csv"), ("reasons",)])
        loop = w.sandbox.snapshot()["loop"]
        told.texts += [note for one in loop["returns"].values() for note in one["notes"]]
        told.texts += [str(request["errors"]) for request in loop["label_requests"].values()]
        assert await w.daemon.sigterm() == 0
        told.look_at_files()
        told.judge()


def _echoes() -> list[Fault]:
    """A refusal of everything that is written or asked for in the life of a return."""
    refused = {
        "amazon": ("createFulfillmentReturn", "listReturnReasonCodes"),
        "shipping": ("getRates", "purchaseShipment", "getTracking"),
        "loop": ("createLabel", "addNote", "grade", "processReturn", "getReturnDetails", "createLabelRequestError"),
    }
    often: dict[str, Any] = {"status": 400, "says": ECHO}
    spoken = [
        Fault(vendor=vendor, operation=operation, kind="error", code="InvalidInput", count=1, **often)
        for vendor, operations in refused.items()
        for operation in operations
    ]
    create: dict[str, Any] = {"vendor": "amazon", "operation": "createFulfillmentReturn", "count": 1}
    coded = Fault(kind="error", status=400, code=ECHO, says=ECHO, **create)
    return [*spoken, coded, Fault(kind="status", **often, **create), Fault(kind="contradiction", says=ECHO, **create)]


async def _refused(w: World, number: int, fault: Fault) -> int:
    """A return that meets a fault and goes as far as it can."""
    sku = f"SKU-{number}"  # Amazon is asked for the reasons of each
    w.sandbox.set_faults([fault])
    return_id = w.submit(f"#60{number:02}", sku, **PRIVATE)
    if fault.operation == "createLabelRequestError":
        w.sandbox.refuse_sku("CUP", "InvalidValues", ECHO)
        return_id = w.submit(f"#61{number:02}", "CUP", **PRIVATE)

    def settled() -> bool:
        held, requests = w.portal(return_id), w.sandbox.snapshot()["loop"]["label_requests"]
        return bool(held["delivered_labels"] or any(requests[str(one)]["errors"] for one in held["label_requests"]))

    async def known() -> bool:
        return settled() or (await w.daemon.show(str(return_id)))["state"] in {"stuck", "closed"}

    await until(f"{fault.operation} of {return_id} has had its effect", known)
    if settled() and w.portal(return_id)["delivered_labels"]:
        w.sandbox.receive(return_id, sku=sku)
    await until(f"{fault.operation} has said it", lambda: not w.sandbox.faults.left())
    return return_id


_OWN = "A label on the merchant's own carrier account"
_LEFT_OUT: dict[object, tuple[str, ...]] = {
    True: (_OWN,),
    "easypost": ("Two parcels",),
    False: ("A clean return", "Two parcels", "Cancelled after the label", _OWN),
}
"""Stories that are told of labels which are bought elsewhere, or not at all."""


@dataclass
class _States:
    """What the teller asks of a daemon."""

    w: World

    def label_source_of(self, _shop: str) -> str:
        return str(self.w.daemon.config["amazon"]["label_source"])

    async def state_of(self, _shop: str, return_id: str) -> str:
        return str((await self.w.daemon.show(return_id))["state"])


def _storm() -> list[Fault]:
    """Something of everything that goes wrong with an answer."""
    vendors = ("lwa", "amazon", "shipping", "loop")
    often: dict[str, Any] = {"probability": 0.07}
    storm = [Fault(vendor=vendor, kind="status", status=status, **often) for vendor in vendors for status in (500, 429)]
    storm += [Fault(vendor=v, kind=k, **often) for v in vendors for k in ("empty", "contradiction", "drop")]
    storm += [Fault(vendor=v, kind="drop", after_effect=True, **often) for v in vendors]
    return storm + [Fault(vendor=v, kind=k, seconds=0.2, **often) for v in vendors for k in ("delay", "hang")]


def _seen(w: World) -> set[str]:
    return {str(call["fault"]) for call in w.sandbox.calls() if call["fault"]}
