"""Amazon's own word that an order has news: it brings the next look forward and decides nothing."""

from daemon.domain.returns import State
from tests.services.stage import HOUR, ORDER


async def test_a_hint_makes_amazon_be_read_at_once(stage):
    """An inspection of which something told us is seen now instead of half a day later."""
    waiting = await stage.sent()
    assert waiting.due_at > stage.clock.now() + HOUR
    await stage.inspect("Sellable")

    assert await stage.intake.order_changed(ORDER) == 1
    await stage.work()

    assert (await stage.unit()).finding is not None


async def test_a_hint_about_nothing_new_is_harmless(stage):
    """A wrong hint costs one reading: the return goes on waiting as before."""
    await stage.sent()

    await stage.intake.order_changed(ORDER)
    await stage.work()

    ret = await stage.ret()
    assert ret.state is State.AWAITING_INSPECTION
    assert ret.due_at > stage.clock.now() + HOUR


async def test_a_hint_about_a_stranger_concerns_nobody(stage):
    """Orders without returns, and returns that Amazon is not read for, are left alone."""
    await stage.sent()
    before = await stage.ret()

    assert await stage.intake.order_changed("#9999") == 0

    assert await stage.ret() == before


async def test_a_hint_that_comes_twice_is_one(stage):
    """What is due already is not brought forward again."""
    await stage.sent()

    assert [await stage.intake.order_changed(ORDER) for _ in range(2)] == [1, 0]


async def test_a_hint_during_a_look_is_not_lost(stage):
    """What was inspected after Amazon had answered is seen at once, not with the next look in half a day."""
    due = await stage.sent()
    stage.clock.advance(due.due_at - stage.clock.now())

    async def news_comes():
        stage.clock.advance(1.0)
        await stage.inspect("Sellable")
        await stage.intake.order_changed(ORDER)

    stage.network.meanwhile("order", news_comes, after=True)
    await stage.step()
    assert (await stage.unit()).finding is None
    await stage.work()

    assert (await stage.unit()).finding is not None
