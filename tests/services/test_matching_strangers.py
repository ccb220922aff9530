"""A wrong match would give a stranger's goods away, and the stranger's own return would be refused later."""

import pytest

from config.shop import Shop
from daemon.domain.policy import ShopPolicy
from daemon.domain.returns import State
from tests.services.stage import HOUR
from tests.support.builders import a_line, a_shipment, an_order

DEFAULTS = ShopPolicy(order_id_templates=Shop().order_id_templates, hold_unmatched=False)
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
