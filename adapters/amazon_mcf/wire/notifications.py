"""Reading Amazon's notifications. PURE.

Older types spell their members in PascalCase, newer ones in camelCase, so names are compared without case.
https://developer-docs.amazon/sp-api/docs/notification-type-values
"""

from adapters.vendor_calls.reading import JsonObject, parse
from daemon.ports.notifications import NewClientSecret, Notification, Origin, OtherNews, ReturnNews, SecretExpires

ORDER_STATUS = "FULFILLMENT_ORDER_STATUS"
NEW_SECRET = "APPLICATION_OAUTH_CLIENT_NEW_SECRET"  # noqa: S105 - a type's name
SECRET_EXPIRY = "APPLICATION_OAUTH_CLIENT_SECRET_EXPIRY"  # noqa: S105 - a type's name
RETURN = "return"


def decode_notification(body: bytes) -> Notification:
    """Read one message. Raises ContractBroken when it is not a notification or lacks its subject."""
    message = _caseless(parse("notification", body))
    kind = message.text("notificationtype")
    match kind.upper():
        case "FULFILLMENT_ORDER_STATUS":
            return _order_status(message)
        case "APPLICATION_OAUTH_CLIENT_NEW_SECRET":
            told = _payload(message, "applicationoauthclientnewsecret")
            return NewClientSecret(client_id=told.text("clientid"), secret=_secret(told))
        case "APPLICATION_OAUTH_CLIENT_SECRET_EXPIRY":
            told = _payload(message, "applicationoauthclientsecretexpiry")
            return SecretExpires(client_id=told.text("clientid"), at=told.time("clientsecretexpirytime"))
        case _:
            return OtherNews()


def _order_status(message: JsonObject) -> Notification:
    """Read only `Return` events; Amazon may fill or omit the schema's other members."""
    told = _payload(message, "fulfillmentorderstatusnotification")
    if told.text("eventtype").casefold() != RETURN:
        return OtherNews()
    metadata = message.optional_child("notificationmetadata")
    subscription = _caseless(metadata).optional_text("subscriptionid") if metadata else None
    origin = Origin(subscription_id=subscription or "", seller_id=told.optional_text("sellerid") or "")
    return ReturnNews(origin=origin, order_id=told.text("sellerfulfillmentorderid"))


def _payload(message: JsonObject, name: str) -> JsonObject:
    return _caseless(_caseless(message.child("payload")).child(name))


def _secret(told: JsonObject) -> str:
    """Read a secret that can be sent in a form. Its text must never get into an error."""
    secret = told.text("newclientsecret")
    if not secret.isascii() or not secret.isprintable() or len(secret) > LONGEST_SECRET:
        raise told.broken("newclientsecret", "is not a client secret")
    return secret


LONGEST_SECRET = 512


def _caseless(node: JsonObject) -> JsonObject:
    return JsonObject(node.path, {name.casefold(): value for name, value in node.members.items()})
