"""A paused shop hears everything and sends nothing, over restarts, until it is resumed."""

import asyncio
from itertools import pairwise

import pytest

from adapters.vendor_calls.withheld import let_out
from daemon.domain.acts import Act
from daemon.domain.duties import OUTWARD, reading_duty
from daemon.domain.portal import PortalState, ReturnChanged
from daemon.domain.returns import LabelSourceName, State
from daemon.engine.shop_pauses import ShopPauses
from daemon.engine.walker import try_again_now
from daemon.errors import OperatorError, ShopPaused, Unavailable
from daemon.operations.reading import ReturnsReader
from daemon.ports.vendors import PAUSED
from tests.services.stage import DAY, HOUR, ORDER_TEMPLATES
from tests.support.builders import NOW, a_return, a_unit, an_awaited_return, found
from tests.support.configured import a_policy

READS = {"label_request", "issued_requests", "cancelled_requests", "updated_returns", "details", "notes"}
READS |= {"order", "orders_since", "reason_codes", "document", "track"}


@pytest.fixture
async def pauses(stage):
    """The pauses of the stage's shop."""
    return await install(stage)


async def install(stage) -> ShopPauses:
    """As the composition root does at a start."""

    async def resumed() -> None:
        await try_again_now(stage.store, stage.clock)

    pauses = ShopPauses(stage.store, resumed)
    await pauses.recall(stage.contexts)
    for shop, context in stage.contexts.items():
        context.paused = lambda shop=shop: pauses.paused(shop)
    stage.operator._pauses = pauses
    stage.operator._shops = frozenset(stage.contexts)
    return pauses


def sent(stage) -> list[str]:
    """Every call that may have changed something at a vendor."""
    calls = [*stage.portal.calls, *stage.network.calls, *stage.postage.calls]
    return [call.operation for call in calls if call.operation not in READS]


@pytest.mark.slow
async def test_a_request_waits_for_the_resume(stage, pauses):
    """Paused, a shopper's request is read and matched, and no vendor is told anything; resumed, the label is made."""
    await stage.operator.pause("acme", by="operator")
    stage.ship(SOCK=1)
    await stage.submit()
    await stage.pass_time(2 * DAY)
    assert sent(stage) == []
    assert (await stage.ret()).state is State.RECEIVED
    assert (await stage.unit()).return_item_id

    await stage.operator.resume("acme", by="operator")
    await stage.work()
    assert (await stage.ret()).state is State.AWAITING_INSPECTION
    assert sent(stage).count("deliver_label") == 1


@pytest.mark.slow
async def test_the_wait_costs_no_deadline(stage, pauses):
    """A request that waits for its order is not refused because its shop was paused for hours."""
    await stage.submit()
    await stage.work()
    await stage.operator.pause(None, by="operator")
    await stage.pass_time(6 * HOUR)
    assert not (await stage.ret()).held
    await stage.operator.resume(None, by="operator")
    stage.ship(SOCK=1)
    await stage.reach(State.AWAITING_INSPECTION, within=HOUR)


@pytest.mark.slow
async def test_findings_are_read_and_told_after_the_resume(stage, pauses):
    """Amazon's findings are stored while the shop is paused, with their verdict; notes, grades and payment wait."""
    await stage.sent()
    before = sent(stage)
    await stage.operator.pause("acme", by="operator")
    await stage.inspect()
    await stage.pass_time(2 * DAY)
    assert sent(stage) == before
    assert (await stage.ret()).state is State.SETTLING

    await stage.operator.resume("acme", by="operator")
    await stage.reach(State.CLOSED)
    assert sent(stage).count("process") == 1
    assert sent(stage).count("grade") == 1


async def test_webhooks_are_heard(stage, pauses):
    """What Loop says while the shop is paused is stored, and known after the resume."""
    await stage.sent()
    await stage.operator.pause("acme", by="operator")
    stage.portal.set_state("77", PortalState.CANCELLED)
    assert await stage.tell(ReturnChanged(return_id="77", state=PortalState.CANCELLED))
    await stage.pass_time(HOUR)

    assert [row for row in await stage.history() if row == "LabelRequestCancelled"]


async def test_a_pause_survives_a_restart(stage, pauses):
    """The next process is paused as well; `status` says since when."""
    await stage.operator.pause("acme", by="operator")
    at = stage.clock.now()
    await stage.restart()
    again = await install(stage)
    stage.ship(SOCK=1)
    await stage.submit()
    await stage.pass_time(HOUR)

    assert again.since == {"acme": at}
    assert sent(stage) == []
    reader = ReturnsReader(stage.sqlite, stage.clock, stage.choices.timings, shops=["acme"])
    assert [shop.shop for shop in (await reader.status()).paused] == ["acme"]


async def test_only_the_named_shop_pauses(open_with):
    """Another shop of the same account goes on."""
    stage = await open_with(shops=("acme", "zeta"), policy=a_policy(order_id_templates=ORDER_TEMPLATES))
    await install(stage)
    await stage.operator.pause("zeta", by="operator")
    await stage.sent()

    assert (await stage.ret()).state is State.AWAITING_INSPECTION
    with pytest.raises(OperatorError, match="no shop other"):
        await stage.operator.pause("other", by="operator")


async def test_a_pause_in_the_middle_holds_the_next_call(stage, pauses):
    """Between any two calls of a label the pause holds: nothing more is sent, and the resume finishes it, once each."""
    stage.contexts["acme"].policy = a_policy(
        order_id_templates=ORDER_TEMPLATES, label_source=LabelSourceName.AMAZON_SHIPPING
    )
    stage.ship(SOCK=1)
    await stage.submit()
    counts = []
    for _ in range(40):
        await stage.operator.pause("acme", by="operator")
        before = sent(stage)
        await stage.step()
        assert sent(stage) == before
        await stage.operator.resume("acme", by="operator")
        stage.clock.advance(1.0)
        await stage.step()
        counts.append(len(sent(stage)))
        if (await stage.ret()).state is State.AWAITING_INSPECTION:
            break
    await stage.work()
    assert all(after - before <= 1 for before, after in pairwise(counts))
    for once in ("create_return", "buy", "deliver_label"):
        assert sent(stage).count(once) == 1


@pytest.mark.slow
async def test_a_failing_reading_is_no_hot_loop(stage, pauses):
    """A reading that fails while the shop is paused is tried again minutes later, and costs no attempt."""
    await stage.sent()
    await stage.operator.pause("acme", by="operator")
    stage.network.fail("order", Unavailable("time-out"), times=10_000)
    await stage.pass_time(2 * DAY)
    ret = await stage.ret()

    assert (ret.state, ret.attempts) == (State.AWAITING_INSPECTION, 0)
    assert ret.due_at is not None
    assert ret.due_at > stage.clock.now()


def test_every_act_either_reads_or_is_held():
    """A paused return is only ever given duties that read."""
    returns = [
        a_return(),
        an_awaited_return(amazon_due_at=NOW),
        an_awaited_return(found(a_unit()), state=State.SETTLING),
        an_awaited_return(found(a_unit()), state=State.INSPECTED),
    ]
    owed = [reading_duty(ret, NOW) for ret in returns]

    assert not {duty.act for duty in owed if duty is not None} & OUTWARD
    assert {Act.SETTLE, Act.DELIVER_LABEL, Act.BUY_POSTAGE, Act.AUTHORIZE_UNITS} <= OUTWARD


async def test_the_last_look_stops_a_call_under_way():
    """A call that was decided before the pause is stopped before its bytes are written; readings pass."""

    async def decided() -> None:
        PAUSED.set(lambda: True)
        let_out("GET", "loop details")
        with pytest.raises(ShopPaused):
            let_out("POST", "loop process")

    await asyncio.create_task(decided())
    let_out("POST", "loop process")
