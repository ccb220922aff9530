"""Case 7, refusals: what Loop then sees, and what it does not."""

from dataclasses import replace

import pytest

from config.shop import Shop
from daemon.domain.returns import RequestState, State, UnitState
from daemon.errors import Refused
from tests.services.parcels import PAGE, TWO, actions, buying, errors, notes
from tests.services.stage import DAY, HOUR
from tests.support.builders import a_line, a_portal_request

REFUSE = replace(PAGE, hold_unmatched=False)
HOLD = replace(PAGE, hold_unmatched=True)


class TestAmazonRefuses:
    async def test_every_unit(self, open_with):
        """Case 7: one label request error with Amazon's words, no label, nothing bought; the return is over."""
        stage, source = await buying(open_with)
        stage.ship(SOCK=1, CAP=1)
        stage.network.refuse = {"SOCK": ("NotReturnable", "Window closed."), "CAP": ("InvalidValues", "Hazmat.")}
        await stage.submit(*TWO)
        ret = await stage.reach(State.CLOSED)
        await stage.pass_time(2 * DAY)
        assert errors(stage) == ("mcfd could not make a label: NotReturnable: Window closed.; InvalidValues: Hazmat.",)
        assert ret.requests[0].asked is RequestState.REFUSED
        assert (stage.portal.labels, source.calls, actions(stage)) == ({}, [], {})

    async def test_the_whole_call(self, stage):
        """Case 7: a call that Amazon refuses as a whole is a refusal of its units, told once."""
        stage.ship(SOCK=1)
        stage.network.fail("create_return", Refused("InvalidInput", "The order is too old."))
        await stage.submit()
        await stage.reach(State.CLOSED)
        assert errors(stage) == ("mcfd could not make a label: InvalidInput: The order is too old.",)

    async def test_some_units(self, open_with):
        """Case 7: the label is for what was accepted, the note names the rest, and no error is posted."""
        stage, source = await buying(open_with)
        stage.ship(SOCK=1, CAP=1)
        stage.network.refuse = {"CAP": ("NotReturnable", "Window closed.")}
        await stage.submit(*TWO)
        ret = await stage.reach(State.AWAITING_INSPECTION)
        await stage.work()
        assert errors(stage) == ()
        assert notes(stage, "Return created") == [
            "Return created in Amazon: 1 x SOCK. RMA RMA-A1. Not returnable: 1 x CAP."
        ]
        assert [u.standing for u in ret.units] == [UnitState.AUTHORIZED, UnitState.NOT_RETURNABLE]
        assert source.orders[0].skus == ("SOCK",)
        assert source.orders[0].value_cents == 1000

    async def test_a_unit_that_amazon_never_shipped(self, stage):
        """Case 7: more units than were shipped: one is labelled, the other is not returnable."""
        stage.ship(SOCK=1)
        await stage.submit(a_line("1", "SOCK"), a_line("2", "SOCK"))
        ret = await stage.reach(State.AWAITING_INSPECTION)
        assert sorted(u.standing for u in ret.units) == [UnitState.AUTHORIZED, UnitState.NOT_RETURNABLE]
        assert len(stage.network.all_items()) == 1

    async def test_a_second_request_that_is_refused(self, stage):
        """Case 7: the first label stays; only the second request gets an error; the inspection is still awaited."""
        await stage.sent()
        stage.portal.returns["77"].lines.append(a_line("2", "CAP"))
        stage.ship(SOCK=1, CAP=1)
        stage.network.refuse = {"CAP": ("NotReturnable", "Window closed.")}
        stage.portal.ask(a_portal_request("q2", return_id="77", skus=("CAP",)))
        await stage.polls.label_requests()
        await stage.reach(State.AWAITING_INSPECTION)
        assert (errors(stage, "q77"), len(errors(stage, "q2"))) == ((), 1)
        await stage.inspect(line="1")
        await stage.reach(State.IN_REVIEW)
        assert actions(stage) == {"flag": 1}


class TestUnmatched:
    async def test_refusing(self, open_with):
        """Case 7: after the deadline one error names what was tried, and the return is over."""
        stage = await open_with(policy=REFUSE)
        await stage.submit()
        await stage.pass_time(HOUR - 60)
        assert (errors(stage), (await stage.ret()).state) == ((), State.RECEIVED)
        await stage.reach(State.CLOSED, within=HOUR)
        (error,) = errors(stage)
        assert "no fulfillment order holds the units; tried 5001" in error
        assert stage.network.count("create_return") == 0

    async def test_holding(self, open_with):
        """Case 7: after the deadline nothing is posted; the problem is shown, and the order is still looked for."""
        stage = await open_with(policy=HOLD)
        await stage.submit()
        await stage.pass_time(5 * HOUR)
        ret = await stage.ret()
        assert (ret.state, ret.held, errors(stage)) == (State.RECEIVED, True, ())
        assert "no fulfillment order" in ret.problem
        stage.ship(SOCK=1)
        ret = await stage.reach(State.AWAITING_INSPECTION)
        assert (ret.held, ret.problem) == (False, "")

    async def test_holding_ends_when_loop_ends(self, open_with):
        """Case 7: a held request that is withdrawn is over, without an error."""
        stage = await open_with(policy=HOLD)
        await stage.submit()
        await stage.pass_time(2 * HOUR)
        stage.portal.withdraw("q77")
        await stage.operator.cancel("77", "ann")
        assert (await stage.ret()).state is State.CANCELLED
        assert errors(stage) == ()

    @pytest.mark.parametrize(
        ("on_unmatched", "destinations", "then"),
        [
            ("auto", [], "hold"),
            ("auto", ["6021"], "refuse"),
            ("hold", ["6021"], "hold"),
            ("refuse", [], "refuse"),
        ],
    )
    def test_auto_is_the_shops_situation(self, on_unmatched, destinations, then):
        """Case 7: `auto` refuses where destinations say whose a request is, and holds where it may be another's."""
        assert Shop(on_unmatched=on_unmatched, destinations=destinations).unmatched == then


class TestAbroad:
    @pytest.mark.parametrize("bought", [False, True])
    async def test_it_is_refused_before_amazon_is_asked(self, open_with, bought):
        """Case 7: a parcel that starts outside the United States: one error that says so, no call to Amazon."""
        stage, source = await buying(open_with) if bought else (await open_with(), None)
        stage.ship(SOCK=1)
        await stage.submit(request=a_portal_request("q77", skus=(), origin_country="CA"))
        await stage.reach(State.CLOSED)
        assert errors(stage) == (
            "mcfd could not make a label: the parcel starts in CA; Amazon takes returns from the United States only",
        )
        assert stage.network.calls == []
        assert source is None or source.calls == []

    async def test_an_unnamed_country_is_home(self, stage):
        """Case 7: an address that names no country is taken for one at home."""
        stage.ship(SOCK=1)
        await stage.submit(request=a_portal_request("q77", skus=(), origin_country=""))
        await stage.reach(State.AWAITING_INSPECTION)
        assert errors(stage) == ()


async def test_an_error_is_posted_once_whatever_happens(open_with):
    """Case 7: the errors posted before are read first, so a lost answer repeats nothing."""
    stage = await open_with(policy=REFUSE)
    await stage.submit(request=a_portal_request("q77", skus=(), origin_country="MX"))
    await stage.step_to(State.REFUSED)
    message = (await stage.ret()).problem
    stage.portal.requests["q77"] = replace(
        stage.portal.requests["q77"], errors=(f"mcfd could not make a label: {message}",)
    )
    await stage.restart()
    await stage.reach(State.CLOSED)
    assert len(errors(stage)) == 1


async def test_words_are_cut_to_what_loop_takes(stage):
    """Case 7: a long refusal is cut, and still begins with what happened."""
    stage.ship(SOCK=1)
    stage.network.refuse = {"SOCK": ("NotReturnable", "because " * 60)}
    await stage.submit()
    await stage.reach(State.CLOSED)
    (error,) = errors(stage)
    assert len(error) == 255
    assert error.startswith("mcfd could not make a label: NotReturnable: because")
