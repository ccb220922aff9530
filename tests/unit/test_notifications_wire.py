"""What Amazon's notifications say, read of messages as Amazon's pages and schemas show them."""

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.amazon_mcf.wire.notifications import decode_notification
from daemon.errors import ContractBroken
from daemon.ports.notifications import NewClientSecret, Origin, OtherNews, ReturnNews, SecretExpires

CLIENT = "amzn1.application-oa2-client.6XX"


def order_status(event="Return", **changes):
    told = {
        "SellerId": "A3TH9S8BH6GOGM",
        "EventType": event,
        "StatusUpdatedDateTime": "2026-09-14T17:20:00Z",
        "SellerFulfillmentOrderId": "SHOP-1001",
        "FulfillmentOrderStatus": "Complete",
        "FulfillmentReturnItem": {
            "ReceivedDateTime": "2026-09-14T17:20:00Z",
            "ReturnedQuantity": 1,
            "SellerSKU": "SKU-1",
        },
    } | changes
    return {
        "NotificationVersion": "1.0",
        "NotificationType": "FULFILLMENT_ORDER_STATUS",
        "PayloadVersion": "1.0",
        "EventTime": "2026-09-14T17:21:00Z",
        "Payload": {"FulfillmentOrderStatusNotification": {k: v for k, v in told.items() if v is not ...}},
        "NotificationMetadata": {
            "ApplicationId": "app-x",
            "SubscriptionId": "sub-x",
            "PublishTime": "2026-09-14T17:21:01Z",
            "NotificationId": "n-1",
        },
    }


def credential(kind, member, **told):
    return {
        "notificationVersion": "1.0",
        "notificationType": kind,
        "payloadVersion": "2023-11-30",
        "eventTime": "2024-01-10T22:09:17.456Z",
        "payload": {member: told},
        "notificationMetadata": {"applicationId": "a", "subscriptionId": "s", "publishTime": "", "notificationId": "n"},
    }


def new_secret(**changes):
    told = {
        "clientId": CLIENT,
        "newClientSecret": "amzn1.oa2-cs.v1.8b6XX",
        "newClientSecretExpiryTime": "2024-07-08T22:09:17.198Z",
        "oldClientSecretExpiryTime": "2024-01-17T22:09:17.180Z",
    }
    return credential("APPLICATION_OAUTH_CLIENT_NEW_SECRET", "applicationOAuthClientNewSecret", **told | changes)


def decode(document):
    return decode_notification(json.dumps(document).encode())


def test_a_return_names_the_order_and_whom_it_is_for():
    """A Return event gives the order, the seller and the subscription; nothing else of it is used."""
    found = decode(order_status())
    assert found == ReturnNews(origin=Origin(subscription_id="sub-x", seller_id="A3TH9S8BH6GOGM"), order_id="SHOP-1001")


@pytest.mark.parametrize("event", ["RETURN", "return", "Return"])
def test_the_event_is_compared_without_case(event):
    """Amazon's enums are spelled now so, now so."""
    assert isinstance(decode(order_status(event)), ReturnNews)


@pytest.mark.parametrize("event", ["Order", "Shipment", "TYPE3945"])
def test_other_events_are_none_of_ours(event):
    """Orders and shipments say nothing of returns."""
    assert decode(order_status(event)) == OtherNews()


@pytest.mark.parametrize("filler", [..., None, {}, {"ReceivedDateTime": "soon"}, "n/a"])
def test_the_return_item_is_not_looked_at(filler):
    """The schema demands it for every event, the page for Return alone: absent, null or filled, it decides nothing."""
    assert isinstance(decode(order_status(FulfillmentReturnItem=filler, FulfillmentShipment=filler)), ReturnNews)


def test_metadata_may_be_missing():
    """Without metadata the seller still says whom it is for."""
    message = order_status()
    del message["NotificationMetadata"]
    assert decode(message).origin == Origin(seller_id="A3TH9S8BH6GOGM")


def test_camel_case_is_read_as_well():
    """Newer types spell the same members in camelCase; should this one follow, it is read all the same."""
    text = json.dumps(order_status())
    for name in ("NotificationType", "Payload", "EventType", "SellerFulfillmentOrderId", "NotificationMetadata"):
        text = text.replace(f'"{name}"', f'"{name[0].lower()}{name[1:]}"')
    assert decode_notification(text.encode()).order_id == "SHOP-1001"


def test_a_new_secret():
    """The new client secret is taken as it is, and does not show."""
    found = decode(new_secret())
    assert found == NewClientSecret(client_id=CLIENT, secret="amzn1.oa2-cs.v1.8b6XX")
    assert "8b6XX" not in repr(found)


def test_a_secret_that_ends():
    """The warning says when, in Unix seconds."""
    member, at = "applicationOAuthClientSecretExpiry", "2024-03-03T22:06:39.224Z"
    kind = "APPLICATION_OAUTH_CLIENT_SECRET_EXPIRY"
    found = decode(credential(kind, member, clientId=CLIENT, clientSecretExpiryTime=at))
    assert found == SecretExpires(client_id=CLIENT, at=1709503599.224)


def test_other_types_are_none_of_ours():
    """Whatever else is subscribed to on the same queue is left alone."""
    assert decode({"NotificationType": "ANY_OFFER_CHANGED", "Payload": 7}) == OtherNews()


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        b"not json",
        b"[]",
        b"{}",
        b'{"NotificationType": "FULFILLMENT_ORDER_STATUS"}',
        json.dumps(order_status(SellerFulfillmentOrderId=None)).encode(),
        json.dumps(order_status(EventType=...)).encode(),
        json.dumps(new_secret(newClientSecret=None)).encode(),
        b"\xff\xfe",
    ],
)
def test_what_cannot_be_read_is_a_broken_contract(broken):
    """A message without what it is about is not guessed at."""
    with pytest.raises(ContractBroken):
        decode_notification(broken)


def test_a_secret_is_not_in_the_error():
    """A secret that cannot be one is refused without being repeated."""
    with pytest.raises(ContractBroken) as caught:
        decode(new_secret(newClientSecret="amzn1.oa2\ncs.v1.hidden"))
    assert "hidden" not in str(caught.value)


def test_the_schemas_own_example_is_read():
    """The example in Amazon's schema, with its unlisted event, is no return and no error."""
    sample = json.loads(
        (Path(__file__).parents[1] / "samples" / "amazon_mcf" / "order_status_notification.json").read_text()
    )
    assert decode(sample) == OtherNews()


@given(
    st.recursive(
        st.none() | st.booleans() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=2)
            | st.dictionaries(st.sampled_from(["NotificationType", "Payload", "x"]), inner, max_size=3)
        ),
    )
)
def test_whatever_it_is_it_is_read_or_refused(document):
    """No JSON document makes the reader crash."""
    with contextlib.suppress(ContractBroken):
        decode(document)
