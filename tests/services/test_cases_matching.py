"""What an operator is told about the matching, and what is remembered of it."""

from dataclasses import replace

from daemon.domain.returns import State
from daemon.errors import Unavailable
from tests.services.parcels import ask_again
from tests.services.stage import DAY, HOUR
from tests.support.builders import a_line, a_portal_request, a_shipment, an_order
from tests.support.configured import a_policy


async def told(stage, return_id="77"):
    """What `mcfd match` says of each id, in the order of the tries."""
    answer = await stage.operator.match(return_id)
    return {row.order: row.answer for row in answer.tried}


class TestMatchExplains:
    async def test_each_try_is_explained(self, stage):
        """Unknown, forbidden, without the right SKU, not shipped, and at last the one that holds all units."""
        shipment = a_shipment("S2", SOCK=1)
        waiting = replace(
            an_order("1001", shipment), status="Processing", shipments=(replace(shipment, shipped=False),)
        )
        ours = replace(an_order("Consumer-9", a_shipment("S3", SOCK=1, CAP=1)), displayable_order_id="#1001")
        hats = an_order("LINKED-1", a_shipment("S1", HAT=1))
        stage.network.add(hats, waiting, ours)
        stage.network.forbidden = {"#1001"}
        await stage.submit(a_line("1", "SOCK"), a_line("2", "CAP"))
        await stage.work()
        await stage.operator.link("77", ["LINKED-1"], "ann")
        assert await told(stage) == {
            "LINKED-1": "lacks CAP, SOCK",
            "5001": "Amazon knows no such order",
            "#1001": "refused: Unauthorized: Access to requested resource is denied.",
            "1001": "lacks CAP",
            "Consumer-9": "holds all units",
        }

    async def test_an_order_that_has_not_shipped_is_told_so(self, stage):
        """It is the right one, and nothing can come back yet."""
        shipment = a_shipment("S1", SOCK=1)
        order = an_order("5001", shipment, status="Processing")
        stage.network.add(replace(order, shipments=(replace(shipment, shipped=False),)))
        await stage.submit()
        await stage.step()
        assert (await told(stage))["5001"] == "holds all units, and nothing has shipped"

    async def test_before_the_request_is_read_nothing_is_judged(self, stage):
        """Its units are not known yet; what an operator linked is tried all the same."""
        stage.network.add(an_order("LINKED-1", a_shipment("S1", SOCK=1)))
        await stage.submit()
        await stage.operator.link("77", ["LINKED-1"], "ann")
        assert await told(stage) == {"LINKED-1": "is there; what is to come back is not known yet"}

    async def test_an_order_that_was_cancelled_is_told_so(self, stage):
        """It fits, and nothing of it can come back."""
        order = an_order("5001", a_shipment("S1", SOCK=1), status="Cancelled")
        stage.network.add(replace(order, shipments=()))
        await stage.submit()
        await stage.step()
        assert (await told(stage))["5001"] == "nothing of it has shipped, or will"

    async def test_a_list_that_was_not_read_yet_is_told_so(self, stage):
        """An order that only the list knows is not there before it was read: who asks is told to ask again."""
        stage.network.add(replace(an_order("Consumer-9", a_shipment("S1", SOCK=1)), displayable_order_id="#1001"))
        await stage.submit()
        await stage.step()
        assert "ask again" in (await stage.operator.match("77")).note
        await stage.work()
        assert (await told(stage))["Consumer-9"] == "holds all units"
        assert "read" in (await stage.operator.match("77")).note

    async def test_the_index_is_not_read_when_the_templates_fit(self, stage):
        """What explains itself costs no scan."""
        stage.ship(SOCK=1)
        await stage.submit()
        await stage.step()
        assert await told(stage) == {"5001": "holds all units", "#1001": UNKNOWN, "1001": UNKNOWN}
        assert stage.network.count("orders_since") == 0


UNKNOWN = "Amazon knows no such order"


class TestRemembered:
    async def test_what_was_found_is_tried_first_for_the_next_request(self, stage):
        """A second label request of the return does not go through all templates and the index again."""
        ours = replace(an_order("Consumer-9", a_shipment("S1", SOCK=1, CAP=1)), displayable_order_id="#1001")
        stage.network.add(ours)
        await stage.submit(a_line("1"), a_line("2", "CAP"), request=a_portal_request("q77", skus=("SOCK",)))
        await stage.reach(State.AWAITING_INSPECTION)
        stage.network.calls.clear()
        await ask_again(stage, "q2", a_line("2", "CAP"))
        await stage.reach(State.AWAITING_INSPECTION)
        assert [call.arguments[0] for call in stage.network.made("order")] == ["Consumer-9"]
        assert stage.network.count("orders_since") == 0

    async def test_a_link_to_several_orders_is_remembered(self, open_with):
        """One Shopify order that a connector cut in two under names of its own: an operator says which."""
        stage = await open_with(policy=a_policy(order_id_templates=("{order_name}",)))
        await stage.submit(a_line("1"), a_line("2", "CAP"))
        await stage.pass_time(3 * HOUR)
        assert (await stage.ret()).held
        stage.network.add(an_order("ODD-1", a_shipment("S1", SOCK=1)), an_order("ODD-2", a_shipment("S2", CAP=1)))
        await stage.operator.link("77", ["ODD-1", "ODD-2"], "ann")
        await stage.reach(State.AWAITING_INSPECTION, within=DAY)
        assert (await stage.ret()).order_ids() == ("ODD-1", "ODD-2")

    async def test_the_scan_goes_on_where_it_stood_and_keeps_no_address(self, stage):
        """Incremental, by page tokens; of each order two ids and a date are kept, and nothing else."""
        stage.network.add(*(an_order(f"X{n}", a_shipment("S1", HAT=1)) for n in range(5)))
        await stage.submit()
        await stage.work()
        assert [call.arguments[1] for call in stage.network.made("orders_since")] == ["", "2", "4"]
        rows = await stage.sqlite._writer.read(lambda c: c.execute("SELECT * FROM order_index").fetchall())
        assert {type(row[3]) for row in rows} == {float}
        assert sorted(row[:3] for row in rows) == [("main", f"#X{n}", f"X{n}") for n in range(5)]


class TestLinked:
    """What an operator is told of a link."""

    async def test_an_order_that_amazon_does_not_know_is_told_so(self, stage):
        """It is remembered all the same, for it may appear yet, and a slip shows at once."""
        await stage.submit()
        await stage.work()
        note = (await stage.operator.link("77", ["NOSUCH-1"], "ann")).note
        assert "it is tried now" in note
        assert "Amazon knows no order NOSUCH-1" in note

    async def test_an_order_that_lacks_the_units_is_told_so(self, stage):
        """Another shopper's order, for example."""
        stage.network.add(an_order("HATS-1", a_shipment("S1", HAT=1)))
        await stage.submit()
        await stage.work()
        assert "HATS-1 lacks SOCK" in (await stage.operator.link("77", ["HATS-1"], "ann")).note

    async def test_an_order_that_will_do_needs_no_word(self, stage):
        """Only what is wrong is told."""
        stage.network.add(an_order("ODD-1", a_shipment("S1", SOCK=1)))
        await stage.submit()
        await stage.work()
        assert (await stage.operator.link("77", ["ODD-1"], "ann")).note == "it is tried now"

    async def test_an_order_that_cannot_be_read_now_is_linked(self, stage):
        """Amazon is away: the link is kept, and nothing is claimed of the order."""
        await stage.submit()
        await stage.work()
        stage.network.outage = Unavailable("down")
        assert "could not be read" in (await stage.operator.link("77", ["ODD-1"], "ann")).note
        stage.network.outage = None
        stage.network.add(an_order("ODD-1", a_shipment("S1", SOCK=1)))
        await stage.reach(State.AWAITING_INSPECTION, within=HOUR)
