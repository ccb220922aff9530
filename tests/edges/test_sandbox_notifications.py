"""The sandbox's notifications: set up as Amazon's pages say, sent to a real SQS API, going wrong as ordered."""

import json
from collections.abc import Iterator
from contextlib import asynccontextmanager

import pytest

from adapters.sandbox import Fault
from adapters.sandbox.control.operations import OPERATIONS
from tests.edges.test_sandbox_swagger import outside
from tests.support.sqs_server import ask, make_queue, sqs_server

TYPE = "FULFILLMENT_ORDER_STATUS"
PAGE = "/notifications/v1"
NOTIFICATIONS, ROTATION = "sellingpartnerapi::notifications", "sellingpartnerapi::client_credential:rotation"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with sqs_server() as url:
        yield url


@pytest.fixture
def queue(endpoint, request) -> Iterator:
    made = make_queue(endpoint, f"q{abs(hash(request.node.name))}")
    yield made
    made.remove()


@asynccontextmanager
async def amazon(queue, **options):
    async with outside(queue_url=queue.url, enforce_limits=False, **options) as out:
        yield out


async def grantless(out, scope: str):
    """A token for one scope."""
    options = out.sandbox.options
    form = {"grant_type": "client_credentials", "scope": scope}
    form |= {"client_id": options.client_id, "client_secret": options.client_secret}
    return await out.send("POST", out.sandbox.lwa_url, data=form)


async def call(out, method: str, path: str, body: object = None, *, token: str | None = None):
    """One call of Amazon's API with a token of one's own."""
    headers = {"x-amz-access-token": token or out.token}
    return await out.send(method, out.sandbox.amazon_url + path, headers=headers, json=body)


async def set_up(out, queue, **directive):
    """A destination and a subscription; the answer to the subscription."""
    token = (await grantless(out, NOTIFICATIONS)).body["access_token"]
    made = await call(out, "POST", f"{PAGE}/destinations", destination(queue.arn), token=token)
    body = {"payloadVersion": "1.0", "destinationId": made.body["payload"]["destinationId"]}
    body |= {"processingDirective": directive} if directive else {}
    return await call(out, "POST", f"{PAGE}/subscriptions/{TYPE}", body)


def destination(arn: str):
    return {"name": "mcfd", "resourceSpecification": {"sqs": {"arn": arn}}}


def read(queue) -> list[str]:
    """Everything in the queue."""
    found = ask(queue.endpoint, "ReceiveMessage", QueueUrl=queue.url, MaxNumberOfMessages=10, WaitTimeSeconds=0)
    return [row["Body"] for row in found.get("Messages", [])]


def a_return(out) -> int:
    out.sandbox.create_order("1001", {"SOCK": 2})
    ret = out.sandbox.submit_return("#1001", [{"sku": "SOCK"}])
    items = [
        {
            "sellerReturnItemId": f"{ret}-{n}",
            "sellerFulfillmentOrderItemId": "item-1",
            "amazonShipmentId": "DsX00001",
            "returnReasonCode": "CR-DEFECTIVE",
        }
        for n in (1, 2)
    ]
    out.sandbox._amazon_vendors()[-1]._service.create("1001", {"items": items})
    return ret


async def test_destinations_want_a_grantless_token(queue):
    """The seller's token opens no destination, and the grantless one no subscription."""
    async with amazon(queue) as out:
        token = (await grantless(out, NOTIFICATIONS)).body["access_token"]
        assert (await call(out, "POST", f"{PAGE}/destinations", destination(queue.arn))).status == 403
        assert (await call(out, "POST", f"{PAGE}/subscriptions/{TYPE}", {}, token=token)).status == 403
        assert (await call(out, "POST", f"{PAGE}/destinations", destination(queue.arn), token=token)).status == 200
        rows = (await call(out, "GET", f"{PAGE}/destinations", token=token)).body["payload"]
        assert [row["resource"]["sqs"]["arn"] for row in rows] == [queue.arn]


async def test_a_scope_that_is_none(queue):
    """Login with Amazon knows two grantless scopes, and a token is good for its own alone."""
    async with amazon(queue) as out:
        assert (await grantless(out, "profile")).body["error"] == "invalid_scope"
        token = (await grantless(out, ROTATION)).body["access_token"]
        assert (await call(out, "GET", f"{PAGE}/destinations", token=token)).status == 403


async def test_a_received_unit_is_told(queue):
    """Each processed unit is one Return message with the order and the SKU, and no condition."""
    async with amazon(queue) as out:
        await set_up(out, queue)
        ret = a_return(out)
        out.sandbox.receive(ret, sku="SOCK", condition="Defective")
        assert await out.sandbox.idle()
        (text,) = read(queue)
        told = json.loads(text)["Payload"]["FulfillmentOrderStatusNotification"]
        assert (told["EventType"], told["SellerFulfillmentOrderId"]) == ("Return", "1001")
        assert told["FulfillmentReturnItem"]["SellerSKU"] == "SOCK"
        assert "Defective" not in text


async def test_nobody_subscribed(queue):
    """Without a subscription nothing is sent."""
    async with amazon(queue) as out:
        out.sandbox.receive(a_return(out), sku="SOCK")
        assert await out.sandbox.idle()
        assert read(queue) == []


async def test_a_filter_lets_only_its_event_through(queue):
    """The filter is a CEL expression on the event; without it orders and shipments are told as well."""
    async with amazon(queue) as out:
        made = await set_up(out, queue, filterExpression='FulfillmentOrderStatusNotification.EventType == "Return"')
        assert made.status == 200
        for event in ("Order", "Shipment", "Return"):
            out.sandbox.announce("1001", event)
        assert await out.sandbox.idle()
        assert len(read(queue)) == 1


@pytest.mark.parametrize(
    ("takes", "quote", "status"), [("double", "`", 400), ("backtick", "`", 200), ("none", '"', 400)]
)
async def test_quotes_that_this_amazon_does_not_take(queue, takes, quote, status):
    """Which quotes a filter wants is an unknown, so each can be played."""
    async with amazon(queue, filter_quotes=takes) as out:
        text = f"FulfillmentOrderStatusNotification.EventType == {quote}Return{quote}"
        assert (await set_up(out, queue, filterExpression=text)).status == status


async def test_several_subscriptions_of_a_type(queue):
    """Today a type may have several, one for each destination; before, a second one was a conflict."""
    other = destination(queue.arn + "-2")
    for mode, status in (("many", 200), ("one", 409)):
        async with amazon(queue, subscriptions=mode) as out:
            await set_up(out, queue)
            token = (await grantless(out, NOTIFICATIONS)).body["access_token"]
            made = (await call(out, "POST", f"{PAGE}/destinations", other, token=token)).body["payload"]
            body = {"payloadVersion": "1.0", "destinationId": made["destinationId"]}
            assert (await call(out, "POST", f"{PAGE}/subscriptions/{TYPE}", body)).status == status
            listed = await call(out, "GET", f"{PAGE}/subscriptions?notificationTypes={TYPE}")
            assert listed.status == (200 if mode == "many" else 403)
            assert (await call(out, "GET", f"{PAGE}/subscriptions/{TYPE}")).body["payload"]["payloadVersion"] == "1.0"


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("lose", 0), ("duplicate", 2), ("foreign", 2), ("malformed", 1), ("delay", 1), ("reorder", 1)],
)
async def test_what_goes_wrong_with_messages(queue, kind, expected):
    """A message is lost, doubled, preceded by another seller's, cut in half, or late, as ordered."""
    async with amazon(queue) as out:
        await set_up(out, queue)
        out.sandbox.set_faults([Fault(vendor="notification", kind=kind, seconds=0.01, count=1)])
        out.sandbox.announce("1001")
        assert await out.sandbox.idle()
        found = read(queue)
        assert len(found) == expected
        if kind == "malformed":
            with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
                json.loads(found[0])
        if kind == "foreign":
            sellers = {json.loads(text)["Payload"]["FulfillmentOrderStatusNotification"]["SellerId"] for text in found}
            assert sellers == {"AOTHER0SELLER", out.sandbox.options.selling_partner_id}


async def test_reads_lag_behind_messages(queue):
    """The message comes at once, and the order shows the unit as it was for a while."""
    async with amazon(queue, reads_lag=60.0) as out:
        await set_up(out, queue)
        out.sandbox.receive(a_return(out), sku="SOCK", condition="Sellable")
        assert await out.sandbox.idle()
        assert len(read(queue)) == 1
        first = (await out.order("1001")).body["payload"]["returnItems"][0]
        out.clock.shift += 61
        later = (await out.order("1001")).body["payload"]["returnItems"][0]
        assert (first["status"], later["status"]) == ("New", "Processed")
        assert "returnReceivedCondition" not in first


async def test_a_secret_is_replaced(queue):
    """The call answers nothing; the new secret arrives in the queue and works at once, the old one for a week."""
    async with amazon(queue) as out:
        token = (await grantless(out, ROTATION)).body["access_token"]
        answer = await call(out, "POST", "/applications/2023-11-30/clientSecret", token=token)
        assert (answer.status, answer.text) == (204, "")
        assert await out.sandbox.idle()
        told = json.loads(read(queue)[0])["payload"]["applicationOAuthClientNewSecret"]
        assert (await out.log_in(client_secret=told["newClientSecret"])).status == 200
        assert (await out.log_in()).status == 200
        out.clock.shift += 7 * 86400 + 1
        assert (await out.log_in()).status == 401
        assert (await out.log_in(client_secret=told["newClientSecret"])).status == 200


async def test_the_queue_can_be_read_through_the_sandbox(queue):
    """A reader whose endpoint is the sandbox's gets what the queue says, or a no, or silence, as ordered."""
    async with amazon(queue) as out:
        queue.send("hello")
        url = out.sandbox.queue_endpoint
        headers = {"X-Amz-Target": "AmazonSQS.ReceiveMessage", "Content-Type": "application/x-amz-json-1.0"}
        body = {"QueueUrl": queue.url, "WaitTimeSeconds": 0}
        out.sandbox.set_faults([Fault(vendor="queue", kind="error", status=403, count=1)])
        first = await out.send("POST", f"{url}/", headers=headers, data=json.dumps(body))
        second = await out.send("POST", f"{url}/", headers=headers, data=json.dumps(body))
        assert (first.status, second.status) == (403, 200)
        assert first.body["__type"].endswith("AccessDeniedException")
        assert second.body["Messages"][0]["Body"] == "hello"


async def test_whoever_plays_the_world_can_order_it():
    """The control API has the new operations."""
    assert {"announce", "warn_of_secret", "set_reads_lag"} <= set(OPERATIONS)
