"""What the doctor concludes from faults that a healthy real world does not show."""

import math
from dataclasses import replace

import pytest

from daemon.domain.orders import FulfillmentOrder, OrderItem
from daemon.errors import (
    ContractBroken,
    CredentialsRefused,
    McfdError,
    RateLimited,
    Refused,
    StoreUnavailable,
    Unavailable,
)
from daemon.operations.doctor.amazon import (
    AmazonProbe,
    CheckStatus,
    examine_amazon,
    examine_clock,
    examine_store,
    trouble,
)
from daemon.ports.store import StoreSize
from daemon.ports.vendors import OrderHead, OrderPage
from tests.support.virtual_time import FakeClock

GIB = 1024**3


class Amazon:
    """Answers, or fails as told by the name of the call."""

    def __init__(self, **failures: Exception) -> None:
        self.failures = failures
        self.orders: list[OrderHead] = [OrderHead(order_id="#1", displayable_order_id="#1")]
        self.asked: list[str] = []

    def _answer(self, call: str) -> None:
        if call in self.failures:
            raise self.failures[call]

    async def token(self) -> str:
        self._answer("token")
        return "Atza|x"

    async def orders_since(self, since, next_token) -> OrderPage:
        self._answer("orders")
        return OrderPage(heads=self.orders, next_token="")

    async def order(self, order_id, lane) -> FulfillmentOrder:
        item = OrderItem(item_id="i", sku="SKU-OF-ORDER", quantity=1)
        return FulfillmentOrder(order_id=order_id, displayable_order_id=order_id, status="COMPLETE", items=(item,))

    async def reason_codes(self, sku) -> tuple[str, ...]:
        self.asked.append(sku)
        self._answer("reasons")
        return ("CR-UNWANTED_ITEM",)


def probe(amazon: Amazon, **changes) -> AmazonProbe:
    """A healthy account."""
    well = AmazonProbe(
        tokens=amazon,
        network=amazon,
        marketplace="ATVPDKIKX0DER",
        country="US",
        token_source="secret file",
        secret_days=1.0,
        authorization_days=1.0,
        buys_labels=True,
        has_service_id=True,
        page_wanted=False,
        holds=True,
    )
    return replace(well, **changes)


async def seen(amazon: Amazon, **changes) -> dict[str, CheckStatus]:
    """The verdict of each line."""
    return {line.what: line.verdict for line in await examine_amazon(probe(amazon, **changes), None, FakeClock())}


async def test_a_healthy_account():
    """Everything is ok, and the marketplace was tried with a SKU of some order."""
    amazon = Amazon()
    assert set((await seen(amazon)).values()) == {CheckStatus.OK}
    assert amazon.asked == ["SKU-OF-ORDER"]


async def test_a_missing_role_and_a_wrong_marketplace_are_told_apart():
    """Each refusal fails its own line; without a token nothing else is tried."""
    no = Refused("Unauthorized", "no")
    role = await seen(Amazon(orders=no))
    assert (role["token"], role["role"]) == (CheckStatus.OK, CheckStatus.FAIL)
    assert (await seen(Amazon(reasons=no)))["marketplace"] is CheckStatus.FAIL
    amazon = Amazon()
    amazon.orders = []
    assert (await seen(amazon))["marketplace"] is CheckStatus.WARN
    assert (await seen(Amazon(), country="DE"))["marketplace"] is CheckStatus.WARN
    assert set(await seen(Amazon(token=CredentialsRefused("no")))) == {"token", "return service id"}


async def test_credentials_that_grow_old():
    """A warning comes before the end of a client secret and of an authorization; unknown ages are no matter."""
    old = await seen(Amazon(), secret_days=151.0, authorization_days=331.0)
    assert (old["client secret"], old["authorization"]) == (CheckStatus.WARN, CheckStatus.WARN)
    assert not {"client secret", "authorization"} & set(await seen(Amazon(), secret_days=math.nan))


@pytest.mark.parametrize(
    ("has", "buys", "verdict"), [(True, True, "ok"), (True, False, "warn"), (False, False, "warn")]
)
async def test_the_return_service_id(has, buys, verdict):
    """An id that is in use is well; absent or unused, labels carry no postage, which may be meant."""
    assert (await seen(Amazon(), has_service_id=has, buys_labels=buys))["return service id"] == verdict
    meant = await seen(Amazon(), has_service_id=False, buys_labels=False, page_wanted=True)
    assert meant["return service id"] is CheckStatus.OK


@pytest.mark.parametrize(
    ("skews", "verdict"),
    [
        ({}, "warn"),
        ({"loop": 1.0, "amazon": -2.0}, "ok"),
        ({"loop": 31.0}, "warn"),
        ({"loop": 1.0, "lwa": -301.0}, "fail"),
    ],
)
def test_the_clock(skews, verdict):
    """The worst difference counts, in either direction."""
    assert examine_clock(skews).verdict == verdict


@pytest.mark.parametrize(
    ("size", "free", "finding", "verdicts"),
    [
        (GIB // 100, 10 * GIB, "", ["ok", "ok"]),
        (6 * GIB, 10 * GIB, "", ["ok", "warn"]),
        (GIB // 100, GIB // 20, "", ["ok", "fail"]),
        (GIB, 10 * GIB, "row 3 missing", ["fail"]),
    ],
)
async def test_the_store(size, free, finding, verdicts):
    """Damage fails; a disk without room for a backup warns, one that is nearly full fails."""

    class Store:
        async def sizes(self) -> StoreSize:
            return StoreSize(size=size, unused=0, log=0, disk_free=free, finding=finding)

    assert [line.verdict for line in await examine_store(Store())] == verdicts


async def test_a_store_that_cannot_be_read():
    """What the store says of itself is the line."""

    class Store:
        async def sizes(self) -> StoreSize:
            raise StoreUnavailable("disk I/O error")

    assert [(line.verdict, line.text) for line in await examine_store(Store())] == [("fail", "disk I/O error")]


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (RateLimited("busy"), "warn"),
        (Unavailable("away"), "fail"),
        (ContractBroken("HTML"), "fail"),
        (Refused("NO", "never"), "fail"),
    ],
)
def test_an_error_becomes_a_line_with_advice(error: McfdError, verdict):
    """Whoever must act next is told what to do."""
    line = trouble("acme", "x", error, "tick the scope")
    assert line.verdict == verdict
    assert line.todo
