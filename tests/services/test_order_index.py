"""Amazon's list of orders: read beside everything else, page by page, and no further than it leads."""

import asyncio
from dataclasses import replace

import pytest

from daemon.domain.returns import State
from daemon.engine.order_index import AFTER_TROUBLE, MOST_EMPTY, OVERLAP
from daemon.errors import Refused, Unavailable
from daemon.ports.vendors import OrderHead, OrderPage
from tests.services.stage import DAY, HOUR, ORDER_TEMPLATES
from tests.support.builders import NOW, a_line, a_shipment, an_order
from tests.support.configured import a_policy, clocks
from tests.support.virtual_time import settle

REFUSE = a_policy(order_id_templates=ORDER_TEMPLATES, hold_unmatched=False)


def shown_as(order_id: str, name: str = "#1001", sku: str = "SOCK", **fields):
    """An order that only the list names as shoppers do."""
    return replace(an_order(order_id, a_shipment("S1", **{sku: 1})), displayable_order_id=name, **fields)


def asked(stage) -> list[tuple[float, str]]:
    """Since when, and with which token, the list was asked for."""
    return [call.arguments for call in stage.network.made("orders_since")]


def others(count: int):
    """Orders of other shoppers."""
    return [an_order(f"X{n}", a_shipment("S1", HAT=1)) for n in range(count)]


class TestReading:
    async def test_an_order_is_found_by_its_displayable_id(self, stage):
        """When no template fits, the list knows which orders go by the order's name."""
        stage.network.add(*others(5), shown_as("Consumer-9"))
        await stage.submit()
        await stage.reach(State.AWAITING_INSPECTION, within=60.0)

        assert (await stage.unit()).order_id == "Consumer-9"
        assert [token for _, token in asked(stage)] == ["", "2", "4"]

    async def test_no_step_reads_the_list(self, stage):
        """A step only asks for it: nobody's place is held while thousands of pages are read."""
        stage.network.add(shown_as("Consumer-9"))
        await stage.submit()
        await stage.step()
        await stage.step()

        assert asked(stage) == []

    async def test_a_page_is_used_as_soon_as_it_is_read(self, stage):
        """The return is brought forward with the page that names its order, while the list is still being read."""
        stage.network.add(shown_as("Consumer-9"), *others(5))
        await stage.submit()
        await stage.step()
        ret = await stage.step()
        assert ret.due_at > stage.clock.now()
        stage.network.meanwhile("orders_since", _nothing)
        stage.network.fail("orders_since", Unavailable("down"))
        with pytest.raises(Unavailable):
            await stage.index.round()

        assert (await stage.ret()).due_at == stage.clock.now()

    async def test_the_list_is_shared_and_read_at_most_once_a_minute(self, stage):
        """Ten returns that match no template cost one reading, not ten."""
        stage.network.add(an_order("X1", a_shipment("S1", HAT=1)))
        for n in range(10):
            await stage.submit(return_id=str(n))
        await stage.work()
        await stage.work()

        assert len(asked(stage)) == 1

    async def test_nobody_who_waits_is_no_reason_to_read(self, stage):
        """Where the templates fit, the list is never read."""
        stage.ship(SOCK=1)
        await stage.submit()
        await stage.pass_time(HOUR)

        assert asked(stage) == []

    async def test_a_return_that_waits_brings_the_next_reading_forward(self, stage):
        """An order that is made a minute after the reading gets its label in the minute after."""
        stage.network.add(shown_as("X1", "#9999", received_at=stage.clock.now() - HOUR))
        await stage.submit()
        await stage.work()
        stage.clock.advance(61.0)
        stage.network.add(shown_as("Consumer-9", received_at=stage.clock.now()))

        await stage.reach(State.AWAITING_INSPECTION, within=70.0)

    async def test_a_held_return_is_not_woken_by_an_order_that_it_knows(self, open_with):
        """The newest orders are on each reading; a request held because of one is tried ever more rarely all the same."""
        stage = await open_with(policy=a_policy(order_id_templates=(), sole_shop=False))
        stage.network.add(shown_as("Consumer-9"))
        await stage.submit()
        await stage.pass_time(2 * HOUR)
        assert (await stage.ret()).held
        reads = len(stage.network.made("order"))
        await stage.pass_time(12 * HOUR)

        assert len(stage.network.made("order")) - reads < 20

    async def test_a_known_order_that_has_changed_wakes_who_waits_for_it(self, stage):
        """It may be the one after all: what had not shipped when it was found first has shipped by then."""
        stage.network.add(shown_as("Consumer-9", received_at=stage.clock.now() - DAY))
        await stage.submit()
        await stage.index.find(await self._waiting(stage), ["#1001"])
        await stage.index.round()
        await stage.index.find(await self._waiting(stage), ["#1001"])
        stage.clock.advance(61.0)
        await stage.index.round()
        assert (await stage.ret()).due_at > stage.clock.now()

        stage.network.orders["Consumer-9"] = replace(stage.network.orders["Consumer-9"], received_at=stage.clock.now())
        stage.clock.advance(61.0)
        await stage.index.round()
        assert (await stage.ret()).due_at == stage.clock.now()

    @staticmethod
    async def _waiting(stage):
        """The return, due in an hour."""
        ret = await stage.ret()
        return await stage.store.transact(lambda uow: uow.defer(replace(ret, due_at=stage.clock.now() + HOUR)))

    async def test_a_later_reading_begins_at_the_newest_change_that_amazon_told(self, stage):
        """With an overlap, for a change may be listed late; the first one reaches back for the returns of holidays."""
        newest = stage.clock.now() - 3 * DAY
        stage.network.add(shown_as("X1", "#9999", received_at=newest), *others(2)[:1])
        stage.network.orders["X0"] = replace(stage.network.orders["X0"], received_at=newest - DAY)
        await stage.submit()
        await stage.work()
        await stage.pass_time(90.0)

        assert [since for since, _ in asked(stage)] == [NOW - 180 * DAY, newest - OVERLAP]

    async def test_what_amazon_dates_into_the_future_hides_no_order(self, stage):
        """One order with a date of next year does not make the next reading begin then."""
        stage.network.add(shown_as("X1", "#9999", received_at=stage.clock.now() + 365 * DAY))
        await stage.submit()
        await stage.work()
        at = stage.clock.now()
        await stage.pass_time(90.0)

        assert asked(stage)[1][0] == at - OVERLAP

    @pytest.mark.parametrize("ahead", [-3 * DAY, 3 * DAY])
    async def test_the_dates_are_amazons(self, stage, ahead):
        """A machine whose clock is days off asks for the same orders as one whose clock is right."""
        stage.network.ahead = ahead
        stage.network.add(shown_as("X1", "#9999"))
        await stage.submit()
        await stage.work()
        at = stage.network.time()
        await stage.pass_time(90.0)

        assert [since for since, _ in asked(stage)] == [at - 180 * DAY, at - OVERLAP]

    async def test_a_reading_goes_on_after_a_restart_at_the_page_it_had_reached(self, stage):
        """A long first reading that is interrupted does not begin anew."""
        stage.network.add(*others(6))
        await stage.submit()
        await stage.step()
        await stage.step()
        stage.network.meanwhile("orders_since", _nothing)
        stage.network.meanwhile("orders_since", _die)
        with pytest.raises(_Interrupted):
            await stage.index.round()
        await stage.restart()
        await stage.step()
        await stage.index.round()

        assert [token for _, token in asked(stage)] == ["", "2", "2", "4"]

    async def test_a_page_token_that_has_expired_begins_the_reading_anew(self, stage):
        """Tokens do not live for ever; a refused one costs the progress, not the return."""
        stage.network.add(*others(3), shown_as("Consumer-9"))
        stage.network.meanwhile("orders_since", _nothing)
        stage.network.fail("orders_since", Refused("InvalidInput", "nextToken"))
        await stage.submit()
        await stage.reach(State.AWAITING_INSPECTION, within=60.0)

        assert (await stage.unit()).order_id == "Consumer-9"

    async def test_a_list_that_is_refused_does_not_keep_a_named_order_from_its_label(self, stage):
        """Only returns that no template matches need it."""
        stage.network.outages["orders_since"] = Refused("Unauthorized", "no role")
        await stage.submit()
        await stage.work()
        stage.ship(SOCK=1)
        await stage.reach(State.AWAITING_INSPECTION, within=HOUR)


class _Interrupted(BaseException):
    pass


async def _die():
    raise _Interrupted


async def _nothing():
    pass


class TestEndless:
    """Amazon is known to answer the same page, or an empty one, with a fresh token each time."""

    @pytest.fixture(params=["repeated", "empty"])
    async def endless(self, request, open_with):
        """A shop that refuses what it cannot match, and a list without end."""
        stage = await open_with(policy=REFUSE)
        rows = [] if request.param == "empty" else [OrderHead(order_id="X1", displayable_order_id="#9999")]
        tokens = iter(range(10**6))

        async def page(since: float, token: str) -> OrderPage:
            async with stage.network._call("orders_since", since, token):
                return OrderPage(heads=rows, next_token=f"fresh-{next(tokens)}")

        stage.network.orders_since = page
        return stage

    async def test_it_is_given_up_for_minutes_and_warned_of_once(self, endless, caplog):
        """The reading ends after some pages, the next one is minutes later, and the metric says so."""
        await endless.submit()
        await endless.work()
        first = len(asked(endless))
        assert first <= MOST_EMPTY
        await endless.pass_time(0.9 * AFTER_TROUBLE)
        assert len(asked(endless)) == first
        assert endless.metrics.troubles["order_list"] == 1

        await endless.pass_time(HOUR)
        assert 2 * first <= len(asked(endless)) <= 7 * first

    async def test_it_delays_no_answer_for_ever(self, endless):
        """What it lists is what Amazon shows: an order that is not on it is refused after the deadline."""
        await endless.submit()
        await endless.pass_time(1.5 * HOUR)

        assert len(endless.portal.requests["q77"].errors) == 1

    async def test_failures_between_its_pages_do_not_make_it_longer(self, endless):
        """The empty pages in a row are counted over failures and restarts: a list that is also shaky has an end, too."""
        sound, calls = endless.network.orders_since, iter(range(10**6))

        async def shaky(since: float, token: str) -> OrderPage:
            if next(calls) % 10 == 9:
                raise Unavailable("down")
            return await sound(since, token)

        endless.network.orders_since = shaky
        await endless.submit()
        await endless.pass_time(3 * HOUR)

        assert len(endless.portal.requests["q77"].errors) == 1

    async def test_fifty_empty_pages_are_no_end(self, stage):
        """Amazon is known to send empty pages before full ones."""
        full = stage.network.orders_since

        async def page(since: float, token: str) -> OrderPage:
            at = int(token or 0)
            return OrderPage(heads=(), next_token=str(at + 1)) if at < 50 else await full(since, "")

        stage.network.orders_since = page
        stage.network.add(shown_as("Consumer-9"))
        await stage.submit()
        await stage.reach(State.AWAITING_INSPECTION, within=60.0)


class TestDeadline:
    """Nobody is refused on a reading that began before the deadline."""

    @pytest.fixture
    async def hasty(self, open_with):
        """A shop that gives an order 20 seconds to appear."""
        return await open_with(policy=REFUSE, timings=clocks(unmatched_deadline=20.0))

    async def test_an_order_that_came_after_the_last_reading_is_found(self, hasty):
        """The list was read at once and is not to be read for a minute: the answer waits for it."""
        await hasty.submit()
        await hasty.work()
        hasty.clock.advance(10.0)
        hasty.network.add(shown_as("Consumer-9"))
        await hasty.reach(State.AWAITING_INSPECTION, within=90.0)

    async def test_a_restart_between_reading_and_deadline_changes_nothing(self, hasty):
        """When the last reading began is remembered."""
        await hasty.submit()
        await hasty.work()
        hasty.clock.advance(10.0)
        hasty.network.add(shown_as("Consumer-9"))
        await hasty.restart()
        await hasty.reach(State.AWAITING_INSPECTION, within=90.0)

    async def test_one_reading_after_the_deadline_is_enough(self, hasty):
        """The refusal is posted in the minute after the deadline."""
        await hasty.submit()
        await hasty.pass_time(100.0)
        assert len(hasty.portal.requests["q77"].errors) == 1

    @pytest.mark.slow
    async def test_a_list_that_cannot_be_read_refuses_nobody(self, hasty):
        """Amazon is away for half a day: no answer is made up, and the order is found afterwards."""
        hasty.network.outages["orders_since"] = Unavailable("down")
        await hasty.submit()
        await hasty.pass_time(DAY / 2)
        assert hasty.portal.requests["q77"].errors == ()
        hasty.network.outages.clear()
        hasty.network.add(shown_as("Consumer-9"))
        await hasty.reach(State.AWAITING_INSPECTION, within=0.2 * HOUR)


async def test_the_second_line_of_an_order_waits_for_the_list_as_well(stage):
    """A line that the named order does not hold may be in one that only the list knows."""
    stage.ship(SOCK=1)
    stage.network.add(shown_as("Consumer-9", "#1001", "CAP"))
    await stage.submit(a_line("1"), a_line("2", "CAP"))
    await stage.reach(State.AWAITING_INSPECTION, within=60.0)

    assert (await stage.ret()).order_ids() == ("5001", "Consumer-9")


class TestService:
    """The service that reads, alive."""

    @pytest.fixture
    async def living(self, stage):
        """The service over a stage, and what it counted."""
        stop, beats, failures = asyncio.Event(), [], []
        running = asyncio.ensure_future(
            stage.index.run(stop, beat=lambda: beats.append(1), on_failure=lambda _, error: failures.append(error))
        )
        await settle(200)
        stage.failures, stage.beats = failures, beats
        yield stage
        stop.set()
        await settle(200)
        assert running.done()

    async def test_it_reads_as_soon_as_a_return_asks(self, living):
        """And not before; it rests for minutes while nobody does."""
        living.network.add(shown_as("Consumer-9"))
        assert asked(living) == []
        await living.submit()
        await living.step()
        await living.step()
        await settle(200)

        assert len(asked(living)) == 1
        assert (await living.ret()).due_at == living.clock.now()

    async def test_a_failure_ends_nothing(self, living):
        """It is counted, and a minute later the list is read."""
        living.network.fail("orders_since", Unavailable("down"))
        await living.submit()
        await living.step()
        await living.step()
        await settle(200)
        assert [type(error) for error in living.failures] == [Unavailable]

        living.clock.advance(61.0)
        await settle(200)
        assert len(asked(living)) == 2
