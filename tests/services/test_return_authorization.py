"""Units become return items at Amazon, each once, and their authorization is waited for."""

import asyncio
from itertools import pairwise

import pytest

from daemon.domain.copies import replace
from daemon.domain.label_times import AGAIN, PATIENCE, LabelTimes
from daemon.domain.portal import RequestCancelled, RequestIssued
from daemon.domain.returns import RequestState, State, UnitState
from daemon.engine.handlers.context import Readings
from daemon.engine.walker import try_again_now
from daemon.errors import CredentialsRefused, Refused, Unavailable
from daemon.ports.vendors import URGENCY
from tests.services.stage import DAY, HOUR, ORDER, ORDER_TEMPLATES
from tests.support.builders import a_line, a_portal_request
from tests.support.configured import a_policy, clocks

LOST = Unavailable("time-out")


async def asked(stage, *lines, **quantities):
    """A return whose units have their places, and whose create call is the next step."""
    stage.ship(**(quantities or {"SOCK": len(lines) or 1}))
    await stage.submit(*lines)
    await stage.step()
    await stage.step()


def listed(stage) -> list[str]:
    """Our ids of the return items that Amazon has."""
    return [item.return_item_id for item in stage.network.items(ORDER)]


def asked_for(stage) -> list[list[str]]:
    """Our ids of the units of each create call."""
    return [[u.return_item_id for u in call.arguments[1]] for call in stage.network.made("create_return")]


class TestTheAnswer:
    async def test_an_authorization_in_the_answer_needs_no_poll(self, stage):
        """Amazon usually answers with the authorization: the label follows at once, and the order is not read again."""
        await asked(stage, a_line("1"), a_line("2"))
        reads = stage.network.count("order")
        await stage.work()

        assert (await stage.ret()).state is State.AWAITING_INSPECTION
        assert stage.network.count("order") == reads
        assert stage.network.count("create_return") == 1
        assert len(listed(stage)) == 2

    async def test_an_absent_authorization_is_polled_for(self, stage):
        """The first look comes after `label_poll_first`, the next ones spaced by the budget, until it is there."""
        stage.network.authorization_delay = 9.0
        await asked(stage)
        start = stage.clock.now()
        reads = stage.network.count("order")
        await stage.reach(State.AWAITING_INSPECTION)

        assert [call.at - start for call in stage.network.made("order")[reads:]] == [2.0, 4.0, 6.0, 8.0, 10.0]
        assert stage.network.count("create_return") == 1

    async def test_a_label_that_cannot_be_there_yet_is_not_looked_for(self, stage):
        """Once it is known that labels take some twenty seconds, the first seconds are passed over."""
        learned = stage.contexts["acme"].account.learned
        for _ in range(100):
            learned.label_times = learned.label_times.learnt(19.0, 21.0)
        stage.network.authorization_delay = 20.5
        await asked(stage)
        start = stage.clock.now()
        reads = stage.network.count("order")
        await stage.reach(State.AWAITING_INSPECTION)

        looks = [call.at - start for call in stage.network.made("order")[reads:]]
        assert looks[0] > 4.0
        assert looks[-1] < 22.0
        assert learned.label_times.count == 101

    async def test_looks_that_wait_for_their_turn_make_turns_dear(self, stage, monkeypatch):
        """How urgent a look was when it got its turn decides when the next are due."""
        learned, order = stage.contexts["acme"].account.learned, stage.network.order
        for _ in range(100):
            learned.label_times = learned.label_times.learnt(19.0, 21.0)

        prices = []

        async def queued(*arguments):
            prices.append(learned.label_times.price)
            stage.clock.advance(15.0)
            URGENCY.get()()
            return await order(*arguments)

        stage.network.authorization_delay = 60.0
        await asked(stage)
        monkeypatch.setattr(stage.network, "order", queued)
        await stage.reach(State.AWAITING_INSPECTION)

        assert prices[0] == 0.0
        assert prices[1] > 0.5

    @pytest.mark.slow
    async def test_polls_grow_apart_with_the_wait(self, stage):
        """The longer a return waits, the rarer it looks; never more than 30 s apart in the first hour."""
        stage.network.authorization_delay = DAY
        await asked(stage)
        start = stage.clock.now()
        await stage.pass_time(HOUR)

        looks = [call.at for call in stage.network.made("order") if call.at > start + 2.0]
        apart = [b - a for a, b in pairwise(looks)]
        assert apart == sorted(apart)
        assert (min(apart), max(apart)) == (2.0, 30.0)

    @pytest.mark.slow
    async def test_polls_are_rarer_after_the_first_hour(self, stage):
        """What has not come by then is looked for every `label_poll_late`."""
        stage.network.authorization_delay = 30 * HOUR
        await asked(stage)
        await stage.pass_time(2 * HOUR)
        reads = stage.network.count("order")
        await stage.pass_time(HOUR)

        assert stage.network.count("order") - reads == 12

    async def test_several_authorizations_are_all_waited_for(self, stage):
        """Units that go to two fulfillment centers belong to two authorizations; one label covers the request."""
        stage.network.center_of = {"SOCK": "LEX1", "CAP": "RNO1"}
        stage.network.authorization_delay = 5.0
        await asked(stage, a_line("1", "SOCK"), a_line("2", "CAP"), SOCK=1, CAP=1)
        ret = await stage.reach(State.AWAITING_INSPECTION)

        assert {a.center for a in ret.authorizations} == {"LEX1", "RNO1"}
        assert len({u.authorization_id for u in ret.units}) == 2
        assert len(stage.portal.labels) == 1


class TestLooks:
    """Which looks go first, and which teach how long labels take."""

    @pytest.fixture
    async def waiting(self, open_with):
        """A return whose label is awaited, of an account whose labels are known to take twenty seconds."""

        async def begin(made_after=DAY, **timings):
            stage = await open_with(timings=clocks(**timings))
            learned = stage.contexts["acme"].account.learned
            for _ in range(100):
                learned.label_times = learned.label_times.learnt(19.0, 21.0)
            stage.network.authorization_delay = made_after
            await asked(stage)
            await stage.step_to(State.AWAITING_LABEL)
            return stage

        return begin

    @pytest.mark.parametrize(("age", "longest"), [(2 * HOUR, 30.0), (600.0, 120.0)])
    async def test_a_look_that_nobody_remembers_does_not_go_before_fresh_ones(self, waiting, age, longest):
        """A walk does not outlast a pause of minutes; the next one is in no hurry, and not for ever behind."""
        stage = await waiting(label_poll_max=longest)
        await put_off(stage, -age)
        urgent = await urgencies(stage, 0.0, 25.0, 1000.0)

        assert urgent[0] < urgent[1] < known(stage).urgency(0.0, 25.0)
        assert urgent[2] > known(stage).urgency(0.0, PATIENCE + 1.0)

    async def test_a_deadline_that_was_moved_too_far_puts_no_look_off(self, waiting):
        """Refused credentials were forgiven for five minutes, and an operator mended them after half a minute."""
        stage = await waiting()
        stage.network.fail("order", CredentialsRefused("401", retry_after=300.0))
        stage.clock.advance(10.0)
        await stage.step()
        stage.clock.advance(30.0)
        await try_again_now(stage.store, stage.clock)
        await looked_at_once(stage)

    async def test_a_clock_that_was_set_back_puts_no_look_off(self, waiting):
        """The deadline is an hour too late then."""
        stage = await waiting()
        stage.clock.jump(-HOUR)
        await looked_at_once(stage)

    async def test_time_since_the_last_look_counts_even_if_it_was_forgiven(self, waiting):
        """Where turns are waited for, a deadline moves; whoever fell behind still goes before the others."""
        stage = await waiting()
        readings = Readings()
        stage.clock.advance(10.0)
        await stage.workflow.step(await stage.ret(), readings)
        stage.clock.advance(70.0)
        await put_off(stage, 68.0)
        urgent = await urgencies(stage, 0.0, readings=readings)

        assert urgent == [pytest.approx(HOUR * 70.0)]
        assert urgent[0] > HOUR * AGAIN

    async def test_an_outage_teaches_nothing_about_labels(self, waiting):
        """What was forgiven does not count as waiting, and labels were made all the while."""
        stage = await waiting(made_after=20.0)
        before = known(stage).count
        stage.network.outages["order"] = Unavailable("503")
        await stage.pass_time(600.0)
        del stage.network.outages["order"]
        await stage.reach(State.AWAITING_INSPECTION, within=60.0)

        assert known(stage).count == before

    async def test_a_label_that_was_waited_for_in_the_usual_way_teaches(self, waiting):
        """The first look finds what really was made within that time."""
        stage = await waiting(made_after=12.0)
        before = known(stage).count
        stage.clock.advance(15.0)
        await stage.step()

        assert known(stage).count == before + 1

    async def test_a_paused_shop_looks_for_labels(self, waiting):
        """Its waits begin anew at each step, so nothing is put off, and nothing is learnt from what is found."""
        stage = await waiting(made_after=12.0)
        context = stage.contexts["acme"]
        context.paused = lambda: True
        before, reads = known(stage), stage.network.count("order")
        stage.clock.advance(10.0)
        await stage.step()
        ret = await stage.step()
        assert stage.network.count("order") == reads + 2
        assert ret.due_at - stage.clock.now() == context.timings.label_poll_max

        stage.clock.advance(5.0)
        await stage.step()
        assert (await stage.ret()).authorizations
        assert known(stage) == before

    async def test_a_look_during_a_pause_is_remembered_after_it(self, waiting):
        """A walk goes on through a pause: at the resume nobody passes for not looked at since before it."""
        stage = await waiting()
        context, readings = stage.contexts["acme"], Readings()
        stage.clock.advance(10.0)
        await stage.workflow.step(await stage.ret(), readings)
        context.paused = lambda: True
        stage.clock.advance(HOUR)
        await stage.workflow.step(await stage.ret(), readings)
        context.paused = lambda: False
        stage.clock.advance(20.0)

        (urgent,) = await urgencies(stage, 0.0, readings=readings)
        assert urgent < HOUR * AGAIN


def known(stage) -> LabelTimes:
    """What is known about this account's labels."""
    return stage.contexts["acme"].account.learned.label_times


async def put_off(stage, seconds: float) -> None:
    """Move the deadline of the return, as what is forgiven does, and look now."""
    ret = await stage.ret()
    moved = replace(ret, deadline_at=ret.deadline_at + seconds, due_at=stage.clock.now())
    await stage.store.transact(lambda uow: uow.defer(moved))


async def looked_at_once(stage) -> None:
    """The next step asks Amazon, and the one after it comes soon."""
    reads = stage.network.count("order")
    ret = await stage.step()
    assert stage.network.count("order") == reads + 1
    assert 0.0 < ret.due_at - stage.clock.now() < 10.0


async def urgencies(stage, *waits: float, readings: Readings | None = None) -> list[float]:
    """How urgent the return's next look is after it has waited for its turn so long."""
    found: list[float] = []

    async def queued() -> None:
        urgency, before = URGENCY.get(), 0.0
        for wait in waits:
            stage.clock.advance(wait - before)
            found.append(urgency())
            before = wait

    stage.network.meanwhile("order", queued)
    await stage.workflow.step(await stage.ret(), readings)
    return found


class TestUnclearAnswers:
    async def test_a_time_out_after_the_effect_is_read_back(self, stage):
        """Amazon made the return and its answer was lost: it is found by our ids, and asked for once in all."""
        stage.network.fail("create_return", LOST, after=True)
        await asked(stage, a_line("1"), a_line("2"))
        await stage.reach(State.AWAITING_INSPECTION, within=60.0)

        assert stage.network.count("create_return") == 1
        assert len(listed(stage)) == 2
        assert all(u.standing is UnitState.AUTHORIZED for u in (await stage.ret()).units)

    async def test_a_time_out_before_the_effect_is_asked_again_under_the_same_ids(self, stage):
        """Nothing is there when the order is read back: the call is repeated with the same units and ids."""
        stage.network.fail("create_return", LOST)
        await asked(stage, a_line("1"), a_line("2"))
        await stage.reach(State.AWAITING_INSPECTION, within=60.0)

        first, second = asked_for(stage)
        assert first == second == listed(stage)

    async def test_what_amazon_lists_late_is_still_adopted(self, stage):
        """The order does not show the new items at once: the duplicate is recognised when it does."""
        stage.network.read_lag = 4.0
        stage.network.fail("create_return", LOST, after=True)
        await asked(stage, a_line("1"), a_line("2"))
        await stage.reach(State.AWAITING_INSPECTION, within=HOUR)

        assert len(listed(stage)) == 2
        assert stage.portal.requests["q77"].errors == ()

    async def test_an_answer_that_names_nothing_is_read_back(self, stage):
        """A success without a word about our units is no success: the order says what became of them."""
        stage.network.silent_answers = 1
        await asked(stage)
        await stage.reach(State.AWAITING_INSPECTION, within=HOUR)

        assert len(listed(stage)) == 1

    async def test_a_crash_between_the_call_and_the_save_reads_back(self, stage):
        """The intention was saved before the call; the next process looks before it asks."""
        await asked(stage)
        stage.network.meanwhile("create_return", _die, after=True)
        with pytest.raises(_Death):
            await stage.step()
        await stage.restart()
        await stage.reach(State.AWAITING_INSPECTION)

        assert stage.network.count("create_return") == 1

    @pytest.mark.slow
    async def test_an_outage_is_waited_out(self, stage):
        """While Amazon is away no attempt is spent; afterwards the return goes on."""
        await asked(stage)
        stage.network.outage = Unavailable("503", unclear=False)
        await stage.pass_time(6 * HOUR)
        ret = await stage.ret()
        assert (ret.state, ret.attempts) == (State.RECEIVED, 0)

        stage.network.outage = None
        await stage.reach(State.AWAITING_INSPECTION, within=120.0)


class TestRefusals:
    async def test_partial_success_goes_on_with_what_was_accepted(self, stage):
        """One unit refused: the other gets its label, and the refused one is not returnable with Amazon's reason."""
        stage.network.refuse = {"CAP": ("InvalidValues", "too old")}
        await asked(stage, a_line("1", "SOCK"), a_line("2", "CAP"), SOCK=1, CAP=1)
        ret = await stage.reach(State.AWAITING_INSPECTION)

        assert [(u.sku, u.standing) for u in ret.units] == [
            ("SOCK", UnitState.AUTHORIZED),
            ("CAP", UnitState.NOT_RETURNABLE),
        ]
        assert "too old" in ret.units[1].problem
        assert stage.portal.requests["q77"].errors == ()
        assert any("Not returnable: 1 x CAP" in note for note in stage.portal.returns["77"].notes)

    async def test_all_refused_is_one_label_request_error(self, stage):
        """Nothing can come back: Loop is told why, once, and the return is over."""
        stage.network.refuse = {"SOCK": ("InvalidValues", "too old")}
        await asked(stage)
        await stage.pass_time(DAY)

        (error,) = stage.portal.requests["q77"].errors
        assert "too old" in error
        ret = await stage.ret()
        assert (ret.state, ret.requests[0].asked) == (State.CLOSED, RequestState.REFUSED)
        assert stage.portal.labels == {}

    async def test_the_whole_call_refused_is_one_label_request_error(self, stage):
        """A 400 for the call as such is final for its units."""
        stage.network.fail("create_return", Refused("InvalidInput", "no inventory"))
        await asked(stage)
        await stage.pass_time(DAY)

        (error,) = stage.portal.requests["q77"].errors
        assert "no inventory" in error
        assert stage.network.count("create_return") == 1

    async def test_a_duplicate_that_is_not_ours_is_read_back_twice_then_refused(self, stage):
        """DuplicateRequest may mean ours: the order is read after 5 s and after 60 s more, then the unit is refused."""
        stage.network.refuse = {"SOCK": ("DuplicateRequest", "")}
        await asked(stage)
        start = stage.clock.now()
        reads = stage.network.count("order")
        await stage.pass_time(DAY)

        assert [call.at - start for call in stage.network.made("order")[reads:]] == [5.0, 65.0]
        assert stage.network.count("create_return") == 1
        assert len(stage.portal.requests["q77"].errors) == 1

    async def test_a_duplicate_that_is_ours_is_adopted(self, stage):
        """A unit that Amazon says it has, and lists under our id by the time of the read back, is a success."""
        await asked(stage)
        await stage.network.create_return(ORDER, (await stage.ret()).units)
        stage.network.calls.clear()
        await stage.reach(State.AWAITING_INSPECTION, within=HOUR)

        assert stage.network.count("create_return") == 1
        assert len(listed(stage)) == 1

    async def test_an_unsuitable_answer_for_one_unit_does_not_hold_up_its_siblings(self, stage):
        """A doubtful unit is settled by reading back while the accepted one keeps its authorization."""
        stage.network.refuse = {"CAP": ("NoReturnableQuantity", "")}
        await asked(stage, a_line("1", "SOCK"), a_line("2", "CAP"), SOCK=1, CAP=1)
        ret = await stage.reach(State.AWAITING_INSPECTION, within=HOUR)

        assert [u.standing for u in ret.units] == [UnitState.AUTHORIZED, UnitState.NOT_RETURNABLE]
        assert len(listed(stage)) == 1


class TestOneUnitOneReturn:
    async def test_two_returns_on_one_order_never_share_a_unit(self, stage):
        """Two returns of one order are matched and authorized at the same time: each gets another shipped unit."""
        stage.ship(SOCK=2)
        await stage.submit(a_line("1"), return_id="1")
        await stage.submit(a_line("2"), return_id="2")
        for _ in range(6):
            await asyncio.gather(stage.step("1"), stage.step("2"))

        assert len(listed(stage)) == 2
        assert {(await stage.ret(n)).state for n in ("1", "2")} == {State.AWAITING_INSPECTION}

    async def test_the_last_unit_goes_to_one_of_two_returns(self, stage):
        """Only one unit was shipped: one return gets it, the other is refused, and Amazon is not asked twice."""
        stage.ship(SOCK=1)
        await stage.submit(a_line("1"), return_id="1")
        await stage.submit(a_line("2"), return_id="2")
        for _ in range(6):
            await asyncio.gather(stage.step("1"), stage.step("2"))
        await stage.work()

        assert len(listed(stage)) == 1
        assert {(await stage.ret(n)).state for n in ("1", "2")} == {State.AWAITING_INSPECTION, State.CLOSED}
        assert stage.network.count("create_return") == 1

    async def test_create_calls_of_one_order_are_serial(self, stage):
        """While one return's call is under way the other's waits, so that each sees what the first has done."""
        stage.ship(SOCK=2)
        under_way, together = 0, 0

        async def enter():
            nonlocal under_way, together
            under_way += 1
            together = max(together, under_way)
            for _ in range(20):
                await asyncio.sleep(0)  # noqa: TID251 - gives the other every chance

        async def leave():
            nonlocal under_way
            under_way -= 1

        for return_id in ("1", "2"):
            await stage.submit(a_line(return_id), return_id=return_id)
            stage.network.meanwhile("create_return", enter)
            stage.network.meanwhile("create_return", leave, after=True)
        for _ in range(6):
            await asyncio.gather(stage.step("1"), stage.step("2"))

        assert (stage.network.count("create_return"), together) == (2, 1)

    async def test_units_that_came_back_before_are_not_promised_again(self, stage):
        """An earlier return's items occupy their places in the shipment for ever."""
        await stage.sent(a_line("1"), return_id="1")
        await stage.submit(a_line("2"), return_id="2")
        await stage.pass_time(60)

        assert (await stage.ret("2")).state is State.CLOSED
        assert len(stage.portal.requests["q2"].errors) == 1


class TestReasons:
    @pytest.mark.parametrize(
        ("mapped", "allowed", "sent"),
        [
            ({("", "too small"): "CR-SIZE"}, ("CR-SIZE", "CR-UNWANTED_ITEM"), "CR-SIZE"),
            ({("fit", "too small"): "CR-FIT", ("", "too small"): "CR-SIZE"}, ("CR-FIT", "CR-SIZE"), "CR-FIT"),
            ({("fit", ""): "CR-FIT"}, ("CR-FIT",), "CR-FIT"),
            ({}, ("CR-A", "CR-UNWANTED_ITEM"), "CR-UNWANTED_ITEM"),
            ({("", "too small"): "CR-SIZE"}, ("CR-A", "CR-UNWANTED_ITEM"), "CR-UNWANTED_ITEM"),
            ({("", "too small"): "CR-SIZE"}, ("CR-A", "CR-B"), "CR-A"),
            ({("", "too small"): "CR-SIZE"}, (), "CR-UNWANTED_ITEM"),
        ],
    )
    async def test_the_reason_is_the_mapped_one_if_amazon_allows_it(self, open_with, mapped, allowed, sent):
        """(parent, reason), reason, parent, default; not allowed: the default, then the first allowed."""
        stage = await open_with(policy=a_policy(order_id_templates=ORDER_TEMPLATES, reasons=mapped))
        stage.network.reasons = {"SOCK": allowed}
        await asked(stage, a_line(reason=" Too  SMALL", parent_reason="Fit"))
        await stage.work()

        (call,) = stage.network.made("create_return")
        assert [u.reason_code for u in call.arguments[1]] == [sent]

    async def test_a_refused_list_of_reasons_fails_no_return(self, stage):
        """When Amazon will not say what it allows, the default goes."""
        stage.network.fail("reason_codes", Refused("InvalidInput", "sku"))
        await asked(stage)
        await stage.reach(State.AWAITING_INSPECTION)

        assert (await stage.unit()).reason_code == "CR-UNWANTED_ITEM"

    async def test_the_reasons_of_an_sku_are_read_once_a_day(self, stage):
        """Two returns of one SKU cost one call; the next day it is read anew."""
        stage.ship(SOCK=9)
        for return_id in ("1", "2"):
            await stage.submit(a_line(return_id), return_id=return_id)
            await stage.work()
        assert stage.network.count("reason_codes") == 1

        await stage.pass_time(DAY)
        await stage.submit(a_line("3"), return_id="3")
        await stage.work()
        assert stage.network.count("reason_codes") == 2


@pytest.mark.slow
class TestDeadline:
    async def test_no_authorization_in_time_needs_a_person(self, stage):
        """After `label_deadline` the return is STUCK: one note, one label request error, and both say why."""
        stage.network.authorization_delay = 90 * DAY
        await asked(stage)
        await stage.reach(State.STUCK, within=1.1 * DAY)
        await stage.pass_time(DAY)

        (error,) = stage.portal.requests["q77"].errors
        notes = [n for n in stage.portal.returns["77"].notes if "No label could be made" in n]
        assert "authorization" in error
        assert len(notes) == 1
        assert stage.portal.labels == {}

    async def test_the_deadline_is_not_reached_early(self, stage):
        """An authorization that comes just in time is used."""
        stage.network.authorization_delay = 23.9 * HOUR
        await asked(stage)
        await stage.reach(State.AWAITING_INSPECTION, within=1.1 * DAY)

    async def test_a_retried_return_gets_a_new_deadline(self, open_with):
        """A person may send it back: the units are adopted, and the wait begins anew."""
        stage = await open_with(timings=clocks(label_deadline=HOUR))
        stage.network.authorization_delay = 2.5 * HOUR
        await asked(stage)
        await stage.reach(State.STUCK)
        stage.clock.advance(HOUR)

        await stage.operator.retry("77", "ann")
        await stage.reach(State.AWAITING_INSPECTION)

        assert len(listed(stage)) == 1


class TestRaces:
    async def test_a_cancel_during_the_create_call_is_not_undone(self, stage):
        """The webhook was stored first: the answer does not bring the return back, and what Amazon has is watched."""
        await asked(stage)
        cancel = RequestCancelled(return_id="77", request_id="q77")
        stage.network.meanwhile("create_return", lambda: stage.tell(cancel), after=True)
        stage.portal.withdraw("q77")
        await stage.work()

        ret = await stage.ret()
        assert ret.state is State.CANCELLED
        assert stage.portal.labels == {}
        assert ret.amazon_due_at is not None

        await stage.inspect("Sellable")
        await stage.pass_time(8 * DAY)
        assert any("Amazon inspected SOCK" in note for note in stage.portal.returns["77"].notes)
        assert stage.portal.returns["77"].flags == 0

    async def test_a_cancel_during_a_create_call_that_fails_ends_the_return(self, stage):
        """Amazon did nothing, and nobody asks any more: nothing is created afterwards."""
        await asked(stage)
        stage.portal.withdraw("q77")

        async def cancel_and_fail():
            await stage.tell(RequestCancelled(return_id="77", request_id="q77"))
            raise LOST

        stage.network.meanwhile("create_return", cancel_and_fail)
        await stage.pass_time(DAY)

        assert (await stage.ret()).state is State.CANCELLED
        assert stage.network.count("create_return") == 1
        assert listed(stage) == []

    async def test_a_second_request_during_the_create_call_loses_nothing(self, stage):
        """A re-issue that comes while Amazon is asked: both facts are kept, and one return item is made per unit."""
        await asked(stage)
        stage.portal.ask(a_portal_request("q2"))
        again = RequestIssued(return_id="77", request_id="q2")
        stage.network.meanwhile("create_return", lambda: stage.tell(again), after=True)
        await stage.reach(State.AWAITING_INSPECTION, within=HOUR)

        assert len(listed(stage)) == 1


class _Death(BaseException):
    pass


async def _die():
    raise _Death
