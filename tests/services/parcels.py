"""A stage on which labels are bought, and words for what its tests look at."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from daemon.domain.policy import ShopPolicy
from daemon.domain.portal import PortalLine, PortalState, RequestCancelled, RequestIssued, ReturnChanged
from daemon.domain.returns import LabelSourceName, Postage, Return, State
from tests.services.stage import ORDER_TEMPLATES, Stage
from tests.support.builders import a_line, a_portal_request
from tests.support.configured import a_policy, judgement
from tests.support.fake_postage import FakeLabelSource

PAGE = a_policy(order_id_templates=ORDER_TEMPLATES)
BOUGHT = replace(PAGE, label_source=LabelSourceName.AMAZON_SHIPPING, report_transit="all")
TWO = (a_line("1", "SOCK"), a_line("2", "CAP"))
CENTERS = {"SOCK": "LEX1", "CAP": "RNO1"}

Open = Callable[..., Awaitable[Stage]]


def judged(policy: ShopPolicy = BOUGHT, **verdict: Any) -> ShopPolicy:
    """A shop with its own judgement."""
    return replace(policy, verdict=replace(judgement(), **verdict))


async def buying(open_with: Open, **choices: Any) -> tuple[Stage, FakeLabelSource]:
    """A stage that buys its labels, and where it buys them; with the choices given."""
    stage = await open_with(**{"policy": BOUGHT, **choices})
    source = FakeLabelSource(stage.clock)
    stage.postage = source  # type: ignore[assignment]
    await stage.restart()
    return stage, source


async def two_parcels(stage: Stage, **fields: Any) -> Return:
    """A return of two units that go to two fulfillment centers, label delivered."""
    stage.network.center_of = dict(CENTERS)
    return await stage.sent(*TWO, **fields)


async def ask_again(stage: Stage, request_id: str, *lines: PortalLine, return_id: str = "77") -> None:
    """Loop issues one more label request for lines of a return, and delivers the webhook."""
    skus = tuple(line.sku for line in lines or stage.portal.returns[return_id].lines)
    stage.portal.ask(a_portal_request(request_id, return_id=return_id, skus=skus))
    await stage.tell(RequestIssued(return_id=return_id, request_id=request_id))


async def cancel_request(stage: Stage, request_id: str = "q77", return_id: str = "77") -> None:
    """Loop withdraws a label request, and delivers the webhook."""
    stage.portal.withdraw(request_id)
    await stage.tell(RequestCancelled(return_id=return_id, request_id=request_id))


async def cancel_return(stage: Stage, return_id: str = "77") -> None:
    """A person cancels the return in Loop: its unanswered requests go with it; the webhooks are delivered."""
    stage.portal.set_state(return_id, PortalState.CANCELLED)
    for request in [r for r in stage.portal.requests.values() if r.return_id == return_id and r.status == "issued"]:
        await cancel_request(stage, request.request_id, return_id)
    await stage.tell(ReturnChanged(return_id=return_id, state=PortalState.CANCELLED))
    await stage.work()


async def tell_state(stage: Stage, state: PortalState, return_id: str = "77") -> None:
    """Something happens to the return in Loop, and the webhook about it is delivered."""
    stage.portal.set_state(return_id, state)
    await stage.tell(ReturnChanged(return_id=return_id, state=state))
    await stage.work()


def notes(stage: Stage, words: str = "", return_id: str = "77") -> list[str]:
    """The timeline's notes that say this, without their markers."""
    texts = [note.partition("] ")[2] for note in stage.portal.returns[return_id].notes]
    return [text for text in texts if words in text]


def errors(stage: Stage, request_id: str = "q77") -> tuple[str, ...]:
    """The label request errors of a request."""
    return stage.portal.requests[request_id].errors


def actions(stage: Stage) -> dict[str, int]:
    """How often Loop was asked to settle something, by action."""
    counted = {name: stage.portal.count(name) for name in ("process", "flag", "remove")}
    return {name: count for name, count in counted.items() if count}


def postage(ret: Return, authorization_id: str = "A1") -> Postage:
    """The label of one parcel."""
    return next(p for p in ret.postage if p.authorization_id == authorization_id)


async def at_rest(stage: Stage, return_id: str = "77") -> State:
    """Do what is due, and say where that leaves the return."""
    await stage.work()
    return (await stage.ret(return_id)).state
