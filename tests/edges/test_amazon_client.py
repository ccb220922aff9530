"""The network's client against a real server: headers, turns, tokens, and nothing sent twice."""

import asyncio
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from structlog.testing import capture_logs

from adapters.amazon_mcf.client import McfNetwork
from daemon.domain.returns import ReturnUnit
from daemon.errors import ContractBroken, CredentialsRefused, RateLimited, Refused, SecretExpired, Unavailable
from daemon.ports.vendors import Lane
from tests.support.amazon_server import DROP, USER_AGENT, bench

SAMPLES = Path(__file__).parents[1] / "samples" / "amazon_mcf"
DENIED = b'{"errors": [{"code": "Unauthorized", "message": "Access to requested resource is denied."}]}'
UNIT = ReturnUnit(
    line_id="55",
    portal_sku="S",
    sku="S",
    return_item_id="r-1",
    order_item_id="line-A",
    shipment_id="D1",
    reason_code="CR-DEFECTIVE",
)


def sample(name):
    """Read a recorded answer."""
    return (SAMPLES / name).read_bytes()


@asynccontextmanager
async def network(*answers):
    """Open a network against a server that gives these answers."""

    def make(transport, tokens, limits, url):
        return McfNetwork(transport, tokens, limits, endpoint=url + "/", marketplace_id="ATVPDKIKX0DER")

    async with bench(make, *answers) as opened:
        yield opened


async def test_order_is_asked_for_by_its_encoded_id():
    """An odd id reaches the server percent-encoded once, and nothing normalises it on the way."""
    async with network((200, sample("order.json"))) as n:
        order = await n.client.order("#10 01/+ä%", Lane.BACKGROUND)
        (asked,) = n.server.asked
        assert order.order_id == "#1001"
        assert asked.target == "/fba/outbound/2020-07-01/fulfillmentOrders/%2310%2001%2F%2B%C3%A4%25"
        assert n.limits.turns == [("getFulfillmentOrder", Lane.BACKGROUND)]


async def test_get_has_the_documented_headers_and_no_body():
    """A GET carries token and user agent, and neither a body nor Content-Length nor Content-Type."""
    async with network((200, sample("order.json"))) as n:
        await n.client.order("A", Lane.SHOPPER)
        (asked,) = n.server.asked
        assert (asked.method, asked.body) == ("GET", b"")
        assert asked.headers["x-amz-access-token"] == "token-1"
        assert asked.headers.getall("User-Agent") == [USER_AGENT]
        assert asked.headers["accept"] == "application/json"
        assert not {"Content-Length", "Content-Type", "Transfer-Encoding"} & set(asked.headers)


async def test_unknown_order_is_none():
    """Amazon's 400 for an unknown id is an answer."""
    async with network((400, sample("order_unknown.json"))) as n:
        assert await n.client.order("#1001", Lane.SHOPPER) is None


@pytest.mark.parametrize("order_id", ["", "  "])
async def test_blank_id_is_not_asked_for(order_id):
    """A blank id would name the list, so nobody is asked."""
    async with network() as n:
        assert await n.client.order(order_id, Lane.SHOPPER) is None
        assert n.server.asked == []


async def test_list_goes_by_date_first_and_by_token_after():
    """The first page names the start, the second only the token; both wait in the background lane."""
    async with network((200, sample("orders_page.json")), (200, sample("orders_last_page.json"))) as n:
        first = await n.client.orders_since(1788343872.0, "")
        last = await n.client.orders_since(1788343872.0, first.next_token)
        assert [asked.target.partition("?")[2] for asked in n.server.asked] == [
            "queryStartDate=2026-09-02T10%3A11%3A12Z",
            "nextToken=bmV4dA%3D%3D%2B%2F1",
        ]
        assert last.next_token == ""
        assert n.limits.turns == [("listAllFulfillmentOrders", Lane.BACKGROUND)] * 2


async def test_reasons_are_asked_for_the_sku_and_the_marketplace():
    """Reasons depend on both, and a shopper waits for them."""
    async with network((200, sample("reasons.json"))) as n:
        assert (await n.client.reason_codes('A "b"'))[0] == "CR-UNWANTED_ITEM"
        assert n.server.asked[0].target.endswith("?sellerSku=A%20%22b%22&marketplaceId=ATVPDKIKX0DER")
        assert n.limits.turns == [("listReturnReasonCodes", Lane.SHOPPER)]


async def test_create_puts_the_units():
    """A return is created by one PUT of JSON, in the shopper's lane."""
    async with network((200, sample("created.json"))) as n:
        created = await n.client.create_return("#1001", [UNIT])
        (asked,) = n.server.asked
        assert (asked.method, asked.target[-len("/%231001/return") :]) == ("PUT", "/%231001/return")
        assert asked.headers["Content-Type"] == "application/json"
        assert asked.body.count(b"sellerReturnItemId") == 1
        assert created.invalid_items[0].code == "NoReturnableQuantity"
        assert n.limits.turns == [("createFulfillmentReturn", Lane.SHOPPER)]


@pytest.mark.parametrize("failure", [DROP, (500, b"{}"), (503, b"<html>busy</html>")])
async def test_create_is_never_sent_twice(failure):
    """After a lost connection or a 5xx the server has seen one request, and the caller hears that it is unclear."""
    async with network(failure) as n:
        with pytest.raises(Unavailable) as unavailable:
            await n.client.create_return("A", [UNIT])
        assert unavailable.value.unclear
        assert len(n.server.asked) == 1


@pytest.mark.parametrize("status", [401, 403])
async def test_denied_call_is_repeated_once_with_a_fresh_token(status):
    """A 401 or 403 drops the token and asks again, in a turn of its own; also a create, for it had no effect."""
    async with network((status, DENIED), (200, sample("created.json"))) as n:
        created = await n.client.create_return("A", [UNIT])
        assert created.return_items
        assert [asked.headers["x-amz-access-token"] for asked in n.server.asked] == ["token-1", "token-2"]
        assert n.server.asked[0].body == n.server.asked[1].body
        assert n.tokens.dropped == ["token-1"]
        assert len(n.limits.turns) == 2


async def test_second_403_is_refused():
    """Amazon answers 403 to odd ids too: where another call is let in, this one is refused and nobody is blamed."""
    async with network((403, DENIED), (403, DENIED), (200, sample("orders_last_page.json"))) as n:
        with pytest.raises(Refused) as refused:
            await n.client.order("two  blanks", Lane.SHOPPER)
        assert (refused.value.code, refused.value.message) == (
            "Unauthorized",
            "Access to requested resource is denied (status 403)",
        )
        assert "/fulfillmentOrders?" in n.server.asked[2].target
        assert n.client.refused == ""


async def test_a_missing_role_parks_the_api_until_it_is_given():
    """Where nothing is let in, the API is parked: nobody calls it but one in five minutes, and it resumes by itself."""
    denied = [(403, DENIED)] * 3
    async with network(*denied, *denied, (200, sample("order.json")), (200, sample("order.json"))) as n:
        for pause, calls in ((0.0, 3), (299.0, 3), (1.0, 6)):
            n.limits.clock.advance(pause)
            with pytest.raises(CredentialsRefused):
                await n.client.order("A", Lane.SHOPPER)
            assert len(n.server.asked) == calls
            assert "getFulfillmentOrder" in n.client.refused
        n.limits.clock.advance(300.0)
        assert await n.client.order("A", Lane.SHOPPER) is not None
        assert n.client.refused == ""
        assert await n.client.order("A", Lane.SHOPPER) is not None


async def test_an_expired_client_secret_is_named_once_and_heals_within_a_minute():
    """Tokens are issued, calls are refused, and that passes by itself some time after the secret was replaced.

    It is told once, with what to do, tried again every 30 s however long it lasts, and no call is blamed for it.
    """
    expired = b'{"errors": [{"code": "Unauthorized", "message": "The LWA secret token you provided has expired."}]}'
    tries = 10
    with capture_logs() as lines:
        async with network(*[(403, expired)] * (2 * tries), (200, sample("order.json"))) as n:
            for number in range(tries):
                with pytest.raises(SecretExpired, match="amazon_client_secret") as refused:
                    await n.client.order("A", Lane.SHOPPER)
                assert refused.value.retry_after == 30.0
                assert len(n.server.asked) == 2 * (number + 1)
                n.limits.clock.advance(29.0)
                with pytest.raises(CredentialsRefused):
                    await n.client.reason_codes("S")
                assert "has expired" in n.client.refused
                n.limits.clock.advance(1.0)
            assert await n.client.order("A", Lane.SHOPPER) is not None
            assert n.client.refused == ""
    assert [line["event"] for line in lines].count("amazon.secret_expired") == 1


async def test_only_one_call_finds_out_whether_a_parked_api_is_open_again():
    """Whoever comes while it is being found out is not let through."""
    async with network(*[(403, DENIED)] * 3, (200, sample("order.json"))) as n:
        with pytest.raises(CredentialsRefused) as parked:
            await n.client.order("A", Lane.SHOPPER)
        n.limits.clock.advance(parked.value.retry_after)
        answers = await asyncio.gather(*(n.client.order("A", Lane.SHOPPER) for _ in range(5)), return_exceptions=True)
        assert len(n.server.asked) == 4
        assert sum(isinstance(answer, CredentialsRefused) for answer in answers) == 4


async def test_second_401_blames_the_credentials():
    """A fresh token that gets nobody in is the operator's business."""
    async with network((403, DENIED), (401, b"<html>"), (401, b"<html>")) as n:
        with pytest.raises(CredentialsRefused, match="getFulfillmentOrder: status 401"):
            await n.client.order("A", Lane.SHOPPER)
        assert len(n.server.asked) == 3


async def test_the_probe_lists_the_orders_of_the_minute_before():
    """However long the daemon runs, the probe asks for next to nothing."""
    async with network((403, DENIED), (403, DENIED), (200, sample("orders_last_page.json"))) as n:
        n.limits.clock.advance(90 * 86400)
        with pytest.raises(Refused):
            await n.client.order("A", Lane.SHOPPER)
        asked_since = parse_qs(urlsplit(n.server.asked[2].target).query)["queryStartDate"][0]
        assert datetime.fromisoformat(asked_since).timestamp() == int(n.limits.clock.now()) - 60


async def test_what_was_put_right_is_tried_at_once():
    """Other credentials end the five minutes."""
    async with network(*[(403, DENIED)] * 3, (200, sample("order.json"))) as n:
        with pytest.raises(CredentialsRefused):
            await n.client.order("A", Lane.SHOPPER)
        n.client.unpark()
        assert n.client.refused == ""
        assert await n.client.order("A", Lane.SHOPPER) is not None


@pytest.mark.parametrize("probed", [(403, DENIED), (200, sample("orders_last_page.json"))])
async def test_an_answer_to_replaced_credentials_says_nothing(probed):
    """A denial that was under way when they were replaced neither parks the new ones nor ends the call for good."""
    async with network((403, DENIED), (403, DENIED), probed, (200, sample("order.json"))) as n:
        n.server.when_asked[2] = n.client.unpark
        with pytest.raises(CredentialsRefused):
            await n.client.order("A", Lane.SHOPPER)
        assert n.client.refused == ""
        assert await n.client.order("A", Lane.SHOPPER) is not None


async def test_429_pauses_the_operation_for_everybody():
    """A 429 is not repeated; the bucket of that operation alone is drained and paused."""
    async with network((429, b"", {"Retry-After": "7"})) as n:
        with pytest.raises(RateLimited) as limited:
            await n.client.order("A", Lane.SHOPPER)
        assert limited.value.retry_after == 7.0
        assert n.limits.pauses == ["getFulfillmentOrder"]
        assert n.limits.levels()["getFulfillmentOrder"] == 0.0
        assert n.limits.levels()["createFulfillmentReturn"] > 1
        assert len(n.server.asked) == 1


async def test_quota_in_a_200_pauses_too():
    """QuotaExceeded counts as a 429 whatever the status it comes with."""
    async with network((200, b'{"errors": [{"code": "QuotaExceeded", "message": ""}]}')) as n:
        with pytest.raises(RateLimited):
            await n.client.reason_codes("S")
        assert n.limits.pauses == ["listReturnReasonCodes"]


async def test_applied_rate_is_taken_over():
    """The rate that Amazon names in its header becomes ours: more per second leaves less of the burst to keep."""
    async with network((200, sample("order.json"), {"x-amzn-RateLimit-Limit": "20"})) as n:
        assert n.limits.levels()["getFulfillmentOrder"] == 29.0
        await n.client.order("A", Lane.SHOPPER)
        assert n.limits.levels()["getFulfillmentOrder"] == 20.0


async def test_html_with_status_200_is_no_answer():
    """A page of a proxy is never read as an order without returns."""
    async with network((200, b"<html>hello</html>")) as n:
        with pytest.raises(ContractBroken, match="HTML"):
            await n.client.order("A", Lane.SHOPPER)


async def test_no_error_shows_the_token():
    """Whatever goes wrong, the text of the error holds no token."""
    for answers in ([(403, DENIED)] * 2, [(401, b"")] * 2, [(429, b"")], [(200, b"")], [(400, b"{}")], [DROP]):
        async with network(*answers) as n:
            with pytest.raises(Exception) as failure:  # noqa: PT011 - all of them
                await n.client.create_return("A", [UNIT])
            assert "token-" not in f"{failure.value!s}{failure.value!r}"
