"""Returns that mcfd must have worked on and does not know are counted and named, with the verb to run."""

import asyncio

from daemon.domain.portal import PortalState
from daemon.domain.returns import State
from daemon.engine.adoption import Adoption
from daemon.engine.strangers import Strangers, waiting_for_adopt
from daemon.errors import Unavailable
from daemon.operations.doctor.amazon import examine_returns
from daemon.operations.reading import ReturnsReader
from daemon.ports.leases import EveryAccount
from tests.services.parcels import PAGE
from tests.services.stage import DAY
from tests.services.test_lost_store import lose
from tests.support.builders import a_line
from tests.support.fake_loop import LoopReturn


def watch(stage):
    """The service of a start."""
    return Strangers(stage.sqlite, stage.contexts, stage.clock, EveryAccount())


async def test_a_lost_store_is_noticed(open_with, template):
    """After the loss `status`, the doctor and the metric count and name the return, and say what to run."""
    stage = await open_with(policy=PAGE)
    await stage.sent()
    await stage.work()
    stage.clock.advance(DAY)
    await lose(stage, template)
    strangers = watch(stage)
    await strangers.round()

    status = await ReturnsReader(stage.sqlite, stage.clock, stage.choices.timings, shops=["acme"]).status()
    (row,) = status.to_adopt
    assert (row.unknown, row.returns, row.run) == (1, ["acme/77"], "mcfd adopt --open")
    assert strangers.counts == {("main", "acme"): 1.0}
    lines = await examine_returns(stage.sqlite, ["acme"])
    assert [line.todo for line in lines if line.what == "taking over"] == ["mcfd adopt --open"]


async def test_what_was_taken_over_counts_no_more(open_with, template):
    """Once adopted, a return is no stranger."""
    stage = await open_with(policy=PAGE)
    await stage.sent()
    await stage.work()
    await lose(stage, template)
    strangers = watch(stage)
    await strangers.round()
    await Adoption(stage.contexts).adopt("acme", "77")
    await strangers.round()

    assert strangers.counts == {("main", "acme"): 0.0}
    assert await waiting_for_adopt(stage.sqlite, ["acme"]) == {}


async def test_others_returns_are_none_of_ours(stage):
    """A return without our label and notes, one that is known, and one that has ended are not counted."""
    await stage.sent()
    stage.portal.submit(LoopReturn(return_id="80", lines=[a_line("80")]))
    stage.portal.submit(LoopReturn(return_id="81", lines=[a_line("81")], notes=["[mcfd 0123abcd] Label delivered"]))
    stage.portal.set_state("81", PortalState.CLOSED)
    strangers = watch(stage)
    await strangers.round()

    assert strangers.counts == {("main", "acme"): 0.0}
    assert (await stage.ret()).state is State.AWAITING_INSPECTION


async def test_each_stranger_is_read_once_a_process(stage):
    """Later rounds count in the store alone, until the next day's list; and what was read stays read."""
    stage.portal.submit(LoopReturn(return_id="80", lines=[a_line("80")]))
    strangers = watch(stage)
    await strangers.round()
    calls = len(stage.portal.calls)
    for _ in range(20):
        await strangers.round()
    assert len(stage.portal.calls) == calls

    stage.clock.advance(DAY)
    await strangers.round()
    assert stage.portal.count("details") == 1


async def test_a_shop_that_does_not_answer_hinders_no_other(stage):
    """A refused list is tried again by the next round; the service goes on."""
    stage.portal.submit(LoopReturn(return_id="80", lines=[a_line("80")], notes=["[mcfd 0123abcd] Label delivered"]))
    strangers = watch(stage)
    stage.portal.fail("updated_returns", Unavailable("time-out"))
    await strangers.round()
    assert strangers.counts == {("main", "acme"): 0.0}
    await strangers.round()
    assert strangers.counts == {("main", "acme"): 1.0}
    stop = asyncio.Event()
    stop.set()
    await strangers.run(stop)
