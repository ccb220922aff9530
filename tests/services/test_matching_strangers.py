"""A wrong match would give a stranger's goods away, and the stranger's own return would be refused later."""

from dataclasses import replace

import pytest

from config.shop import Shop
from daemon.domain.portal import RequestIssued
from daemon.domain.returns import State
from daemon.engine.intake import Intake
from tests.services.stage import DAY, HOUR
from tests.support.builders import (
    NOW,
    SHOPPER,
    a_line,
    a_portal_request,
    a_return,
    a_shipment,
    a_unit,
    an_order,
    authorized,
    delivered,
)
from tests.support.configured import a_policy, clocks

DEFAULTS = a_policy(order_id_templates=Shop().order_id_templates, hold_unmatched=False)
ORDER_8078 = {"order_name": "#8078", "order_number": "7078", "provider_order_id": "58997314"}
"""How Loop names an order: Shopify counts from 1, and names from 1001."""


@pytest.fixture
async def shop(open_with):
    """A shop with the templates that a configuration has by default, which refuses what it cannot match."""
    return await open_with(policy=DEFAULTS)


class TestRunningNumber:
    async def test_the_running_number_is_another_shoppers_order(self, shop):
        """An order that Amazon has not shipped does not become the older one whose name its running number is."""
        shop.network.add(an_order("7078", a_shipment("S1", SOCK=1)))
        await shop.submit(**ORDER_8078)
        await shop.pass_time(2 * HOUR)

        assert (await shop.ret()).order_ids() == ()
        assert len(shop.portal.requests["q77"].errors) == 1

    async def test_the_rest_of_a_mixed_cart_is_not_taken_from_a_stranger(self, shop):
        """A line that Amazon did not ship keeps the search going, and still nothing of the older order is taken."""
        shop.network.add(an_order("8078", a_shipment("S1", SOCK=1)), an_order("7078", a_shipment("S9", HAT=1)))
        await shop.submit(a_line("1", "SOCK"), a_line("2", "HAT"), **ORDER_8078)
        await shop.pass_time(2 * HOUR)

        assert "7078" not in (await shop.ret()).order_ids()
        assert (await shop.ret()).state is State.CLOSED


NAMES = ("{order_name}", "{order_name_bare}")
SHARING = a_policy(
    order_id_templates=("{provider_order_id}", *NAMES),
    shared_templates=frozenset(NAMES),
    sole_shop=False,
    hold_unmatched=False,
)
"""A shop whose orders' names another shop of the account uses, too."""

ELSEWHERE = "10001"


def an_order_of(order_id: str, postal_code: str, name: str = "#1001", **fields):
    """An order of a shopper who lives there."""
    order = an_order(order_id, a_shipment("S1", SOCK=1), postal_code=postal_code, **fields)
    return replace(order, displayable_order_id=name)


HERE = SHOPPER.postal_code


class TestShopsOfOneAccount:
    """Two shops may both have an order #1001, and Amazon cannot tell them apart."""

    @pytest.fixture
    async def sharing(self, open_with):
        """One of two such shops."""
        return await open_with(shops=("acme", "zeta"), policy=SHARING)

    async def test_a_name_is_confirmed_by_where_the_order_was_sent(self, sharing):
        """The postal code is the shopper's: it is read at Loop, compared, and not kept."""
        sharing.network.add(an_order_of("#1001", HERE))
        await sharing.submit()
        await sharing.reach(State.AWAITING_INSPECTION, within=HOUR)

        assert (await sharing.ret()).order_ids() == ("#1001",)
        kept = await sharing.sqlite._writer.read(lambda connection: "\n".join(connection.iterdump()))
        assert HERE not in kept

    async def test_another_shops_order_is_not_taken(self, sharing):
        """It is held for a person, with the candidate named, and nothing is asked of Amazon or told in Loop."""
        sharing.network.add(an_order_of("#1001", ELSEWHERE))
        await sharing.submit()
        await sharing.pass_time(3 * HOUR)

        ret = await sharing.ret()
        assert (ret.state, ret.held, ret.order_ids()) == (State.RECEIVED, True, ())
        assert "#1001" in ret.problem.partition("another shopper's")[2]
        assert sharing.network.count("create_return") == 0
        assert sharing.portal.requests["q77"].errors == ()

    async def test_a_person_settles_the_doubt(self, sharing):
        """What was linked is taken as it is."""
        sharing.network.add(an_order_of("#1001", ELSEWHERE))
        await sharing.submit()
        await sharing.pass_time(3 * HOUR)
        await sharing.operator.link("77", ["#1001"], "ann")
        await sharing.reach(State.AWAITING_INSPECTION, within=HOUR)

    async def test_of_two_orders_of_one_name_the_shoppers_is_taken(self, sharing):
        """Both are only in the list; the first in the alphabet is a stranger's."""
        sharing.network.add(an_order_of("C-1", ELSEWHERE), an_order_of("C-2", HERE))
        await sharing.submit()
        await sharing.reach(State.AWAITING_INSPECTION, within=HOUR)

        assert (await sharing.ret()).order_ids() == ("C-2",)

    async def test_the_shop_systems_id_needs_no_confirmation(self, sharing):
        """No other shop's order has it: a gift that was sent elsewhere is found by it."""
        sharing.network.add(an_order_of("5001", ELSEWHERE))
        await sharing.submit()
        await sharing.reach(State.AWAITING_INSPECTION, within=HOUR)

    async def test_a_prefix_that_no_other_shop_has_confirms(self, open_with):
        """So an order that only the list knows is the shop's."""
        policy = replace(SHARING, order_id_prefix="AC-", own_prefix=True)
        stage = await open_with(shops=("acme", "zeta"), policy=policy)
        stage.network.add(an_order_of("AC-9", ELSEWHERE))
        await stage.submit()
        await stage.reach(State.AWAITING_INSPECTION, within=HOUR)

    async def test_a_label_request_without_a_postal_code_confirms_nothing(self, sharing):
        """Neither vendor tells one: two empty codes are not the same place."""
        sharing.network.add(an_order_of("#1001", ""))
        await sharing.submit(request=a_portal_request("q77", origin=None))
        await sharing.pass_time(3 * HOUR)

        assert (await sharing.ret()).order_ids() == ()

    async def test_match_names_the_doubt(self, sharing):
        """Who asks sees which order it may be, and what to do."""
        sharing.network.add(an_order_of("#1001", ELSEWHERE))
        await sharing.submit()
        await sharing.work()
        rows = (await sharing.operator.match("77")).tried

        assert [row.order for row in rows if "mcfd link" in row.answer] == ["#1001"]


class TestOneName:
    async def test_of_two_orders_of_one_name_in_one_shop_the_shoppers_is_taken(self, shop):
        """The list names two that were sent to two places: where Loop's parcel starts decides."""
        shop.network.add(an_order_of("C-1", ELSEWHERE), an_order_of("C-2", HERE))
        await shop.submit()
        await shop.reach(State.AWAITING_INSPECTION, within=HOUR)

        assert (await shop.ret()).order_ids() == ("C-2",)

    async def test_if_neither_is_the_shoppers_a_person_decides(self, shop):
        """Both are named."""
        shop.network.add(an_order_of("C-1", ELSEWHERE), an_order_of("C-2", "90210"))
        await shop.submit()
        await shop.pass_time(3 * HOUR)

        assert (await shop.ret()).held
        assert "C-1, C-2" in (await shop.ret()).problem

    async def test_an_order_that_was_made_after_the_return_is_not_its_order(self, shop):
        """Amazon received it two days after the shopper had asked to return something."""
        shop.network.add(an_order_of("5001", HERE, received_at=NOW + 2 * DAY))
        await shop.submit(submitted_at=NOW)
        await shop.pass_time(3 * HOUR)

        assert (await shop.ret()).order_ids() == ()

    async def test_an_order_that_shoppers_know_by_another_number_is_not_its_order(self, shop):
        """The id fits by chance, and the name on it is another."""
        shop.network.add(an_order_of("1001", HERE, name="#2047"))
        await shop.submit()
        await shop.pass_time(3 * HOUR)

        assert (await shop.ret()).order_ids() == ()


class TestAccounts:
    async def test_two_sellers_may_both_have_an_order_of_one_id(self, stage):
        """What a return of another account holds on an order of the same id takes nothing from this one's."""
        stage.ship(SOCK=1)
        theirs = authorized(a_unit("9"), order_id="5001")
        other = a_return(shop="zeta", return_id="9", account="other", units=(theirs,), requests=(delivered(),))
        await stage.store.transact(lambda uow: uow.add(other))
        await stage.submit()
        await stage.reach(State.AWAITING_INSPECTION)

    async def test_a_return_is_opened_in_the_account_of_its_shop(self, stage):
        """Its orders are that seller's from the first moment."""
        intake = Intake(stage.store, stage.clock, clocks(), stage.metrics, lambda: None, accounts={"zeta": "other"})
        await intake.hear("zeta", [RequestIssued(return_id="1", request_id="q1")])
        await intake.hear("acme", [RequestIssued(return_id="1", request_id="q1")])

        assert (await stage.ret("1", "zeta")).account == "other"
        assert (await stage.ret("1")).account == "main"
