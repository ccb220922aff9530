"""Matching over true wires: the real client on the sandbox's sockets, with every id that has made trouble."""

from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import pytest

from adapters.amazon_mcf.auth import AccessTokens
from adapters.amazon_mcf.client import McfNetwork
from adapters.amazon_mcf.limits import AmazonLimits
from adapters.host.clock import SystemClock
from adapters.sandbox import Sandbox, SandboxOptions
from adapters.vendor_calls.transport import Transport, open_session
from daemon.domain.portal import PortalLine
from daemon.domain.returns import State, UnitState
from daemon.engine.account import ReasonCatalogue
from daemon.engine.order_index import OrderIndex
from daemon.errors import Refused
from daemon.ports.vendors import Lane
from tests.services.stage import HOUR, Stage
from tests.support.builders import a_line, a_unit
from tests.support.configured import a_policy

CLOCK = SystemClock()
USER_AGENT = "mcfd/0 (Language=Python/3)"
OPERATIONS = ("getFulfillmentOrder", "createFulfillmentReturn", "listReturnReasonCodes", "listAllFulfillmentOrders")
BY_NAME = a_policy(order_id_templates=("{order_name}",))
ODD_IDS = (
    "#1001",
    "a/b",
    "100%",
    "%231001",
    "x y",
    "Ölsocke ß 7",
    "靴下🧦",
    "a?b=c&d",
    "a;b,c",
    'say "hi"',
    "a\\b",
    "~'*!()",
)


@dataclass
class Wires:
    """Amazon's stand-in, and the client that talks to it."""

    sandbox: Sandbox
    network: McfNetwork


@asynccontextmanager
async def wires(**options):
    """Open a sandbox and the network's client."""
    options = {"enforce_limits": False, "amazon_limits": {"*": (500.0, 500)}, **options}
    async with Sandbox(SandboxOptions(**options), CLOCK) as sandbox, open_session(USER_AGENT) as session:
        tokens = AccessTokens(
            Transport(session, vendor="lwa", timeout=5.0, on_call=lambda _: None),
            CLOCK,
            endpoint=sandbox.lwa_url,
            client_id=sandbox.options.client_id,
            client_secrets=[sandbox.options.client_secret],
            refresh_token=lambda: sandbox.options.refresh_token,
            on_state=lambda _: None,
        )
        network = McfNetwork(
            Transport(session, vendor="amazon", timeout=5.0, on_call=lambda _: None),
            tokens,
            AmazonLimits(CLOCK, dict.fromkeys(OPERATIONS, (500, 500))),
            endpoint=sandbox.amazon_url,
            marketplace_id=sandbox.options.marketplace_id,
        )
        try:
            yield Wires(sandbox, network)
        finally:
            await tokens.close()


def connect(stage: Stage, network: McfNetwork) -> None:
    """Let the daemon talk to that network instead of the one in memory."""
    stage.index = OrderIndex(network, stage.store, stage.clock)
    for context in stage.contexts.values():
        context.account = replace(
            context.account,
            network=network,
            reasons=ReasonCatalogue(network, stage.clock),
            order_index=stage.index,
        )


async def returned(stage: Stage, order_name: str, *lines: PortalLine) -> State:
    """Submit a return of an order of that name, and let the daemon do what it can at once."""
    await stage.submit(*lines, order_name=order_name, order_number="", provider_order_id="")
    await stage.work()
    return (await stage.ret()).state


@pytest.mark.parametrize("order_id", ODD_IDS)
async def test_an_order_of_an_odd_id_is_found_and_returned(open_with, order_id):
    """`#`, `/`, `%`, blanks, quotes, UTF-8: encoded once on the way, in the read and in the return's own path."""
    async with wires() as w:
        w.sandbox.create_order(order_id, {"SOCK": 1})
        stage = await open_with(policy=BY_NAME)
        connect(stage, w.network)
        assert await returned(stage, order_id) is State.AWAITING_INSPECTION
        assert (await stage.unit()).order_id == order_id
        assert len(w.sandbox.network.known(order_id).items) == 1


@pytest.mark.parametrize("sku", ["A+B", "A B", "A&B=C", 'FIVE"', "SOCKE-Ü", "#1"])
async def test_the_reasons_of_an_odd_sku_are_asked_for(open_with, sku):
    """The SKU is encoded in the query: Amazon's answer is about this SKU, and its only code is the one sent."""
    async with wires() as w:
        w.sandbox.create_order("#1001", {sku: 1})
        w.sandbox.set_reason_codes(sku, ["CR-MISSING_PARTS"])
        stage = await open_with(policy=BY_NAME)
        connect(stage, w.network)
        assert await returned(stage, "#1001", a_line("1", sku)) is State.AWAITING_INSPECTION
        assert (await stage.unit()).reason_code == "CR-MISSING_PARTS"


async def test_two_blanks_in_a_row_are_refused_and_no_trouble_of_credentials(open_with):
    """Amazon's 403 for an odd id is an answer: the next id is tried, and nothing is parked."""
    async with wires() as w:
        w.sandbox.create_order("1001", {"SOCK": 1}, displayable_order_id="a  b")
        stage = await open_with(policy=BY_NAME)
        connect(stage, w.network)
        with pytest.raises(Refused):
            await w.network.order("a  b", Lane.SHOPPER)
        assert w.network.refused == ""
        assert await returned(stage, "a  b") is State.AWAITING_INSPECTION
        assert ((await stage.unit()).order_id, (await stage.ret()).attempts) == ("1001", 0)


@pytest.mark.parametrize("other", [True, False])
async def test_a_plus_is_not_taken_for_a_blank(open_with, other):
    """Amazon reads `a+b` as `a b`: should there be such an order, it is not the one that was asked for."""
    async with wires() as w:
        w.sandbox.create_order("a+b", {"SOCK": 1})
        if other:
            w.sandbox.create_order("a b", {"SOCK": 1})
        stage = await open_with(policy=BY_NAME)
        connect(stage, w.network)
        assert await returned(stage, "a+b") is State.RECEIVED
        answers = [row.answer for row in (await stage.operator.match("77")).tried]
        assert answers == ["Amazon answers with another order, a b" if other else "Amazon knows no such order"]
        await stage.operator.link("77", ["a b"], "ann")
        await stage.pass_time(HOUR)
        assert (await stage.ret()).state is (State.AWAITING_INSPECTION if other else State.RECEIVED)


async def test_the_list_is_paged_into_the_index_without_addresses(open_with):
    """Over several pages the order is found by the name that shoppers know; only ids are kept of the rest."""
    async with wires(list_page_size=2) as w:
        for n in range(5):
            w.sandbox.create_order(f"Consumer-{n}", {"SOCK": 1}, displayable_order_id=f"#{n} Größe")
        stage = await open_with(policy=BY_NAME)
        connect(stage, w.network)
        assert await returned(stage, "#4 Größe") is State.AWAITING_INSPECTION
        assert (await stage.unit()).order_id == "Consumer-4"
        page = await w.network.orders_since(CLOCK.now() - HOUR, "")
        first = page.heads[0]
        assert (first.order_id, first.displayable_order_id) == ("Consumer-0", "#0 Größe")
        dump = await stage.sqlite._writer.read(lambda c: "\n".join(c.iterdump()))
        assert "Larch Row" not in dump


async def test_one_shopify_order_over_two_fulfillment_orders_and_shipments(open_with):
    """A bundle and a second line, cut into two fulfillment orders, one of them in two shipments: each unit its place."""
    policy = a_policy(
        order_id_templates=("{order_name_bare}-1", "{order_name_bare}-2"), sku_map={"SET": {"SOCK": 2, "CAP": 1}}
    )
    async with wires() as w:
        shipped = [{"lines": {"SOCK": 1}}, {"lines": {"SOCK": 2}}]
        w.sandbox.create_order("7-1", shipments=shipped)
        w.sandbox.create_order("7-2", {"CAP": 1})
        stage = await open_with(policy=policy)
        connect(stage, w.network)
        assert await returned(stage, "#7", a_line("1", "SET"), a_line("2", "SOCK")) is State.AWAITING_INSPECTION
        units = (await stage.ret()).units
        assert {u.standing for u in units} == {UnitState.AUTHORIZED}
        assert [u.order_id for u in units] == ["7-1", "7-1", "7-2", "7-1"]
        assert [len(w.sandbox.network.known(order_id).items) for order_id in ("7-1", "7-2")] == [3, 1]


async def test_an_order_that_has_not_shipped_yet_is_waited_for(open_with):
    """The shipment leaves later; nothing is refused meanwhile."""
    async with wires() as w:
        pending = [{"status": "PENDING", "lines": {"SOCK": 1}}]
        w.sandbox.create_order("#1001", {"SOCK": 1}, shipments=pending, status="PROCESSING")
        stage = await open_with(policy=BY_NAME)
        connect(stage, w.network)
        assert await returned(stage, "#1001") is State.RECEIVED
        (shipment,) = w.sandbox.network.known("#1001").shipments
        w.sandbox.set_shipment_status("#1001", shipment.shipment_id, "SHIPPED")
        await stage.reach(State.AWAITING_INSPECTION, within=HOUR)


async def test_a_unit_returned_by_hand_in_seller_central_is_not_asked_for_again(open_with):
    """Somebody else's return item, under an id that is not ours, holds its place: of two shipped units one is left."""
    async with wires() as w:
        w.sandbox.create_order("#1001", {"SOCK": 2})
        (shipment,) = w.sandbox.network.known("#1001").shipments
        theirs = replace(
            a_unit(),
            return_item_id="by-hand",
            order_item_id=next(iter(shipment.lines)),
            shipment_id=shipment.shipment_id,
            reason_code="CR-DEFECTIVE",
        )
        assert (await w.network.create_return("#1001", [theirs])).invalid_items == ()
        stage = await open_with(policy=BY_NAME)
        connect(stage, w.network)
        assert await returned(stage, "#1001", a_line("1"), a_line("2")) is State.AWAITING_INSPECTION
        standings = sorted(unit.standing for unit in (await stage.ret()).units)
        assert standings == [UnitState.AUTHORIZED, UnitState.NOT_RETURNABLE]


async def test_quantity_three_of_one_line_over_two_shipments(open_with):
    """Three Loop lines are three return items of one order line, each in the shipment that it came from."""
    async with wires() as w:
        w.sandbox.create_order("#1001", shipments=[{"lines": {"SOCK": 1}}, {"lines": {"SOCK": 2}}])
        stage = await open_with(policy=BY_NAME)
        connect(stage, w.network)
        lines = [a_line(str(n)) for n in (1, 2, 3)]
        assert await returned(stage, "#1001", *lines) is State.AWAITING_INSPECTION
        first, second = (s.shipment_id for s in w.sandbox.network.known("#1001").shipments)
        items = w.sandbox.network.known("#1001").items.values()
        assert sorted(item.shipment_id for item in items) == sorted([first, second, second])
        assert len({item.item_id for item in items}) == 1
