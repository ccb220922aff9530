"""How Loop shows label requests and labels: to the API and to the webhooks, which spell addresses differently."""

from adapters.sandbox.loop.returns import WAREHOUSE, Label, LabelRequest, LoopReturn
from adapters.sandbox.refusals import Json
from adapters.sandbox.stamps import amazon_time, loop_webhook_time


def request_view(request: LabelRequest, ret: LoopReturn, shop_id: int, *, in_list: bool) -> Json:
    """Show a label request to the API: `region` and `postal_code`, no phone; the list has its id as a string."""
    return {
        "id": str(request.request_id) if in_list else request.request_id,
        "return_id": ret.return_id,
        "shop_id": shop_id,
        "status": request.status,
        "addresses": {"origin": _api_address(ret.origin), "destination": _api_address(WAREHOUSE)},
        "parcel": ret.parcel,
        "products": [_product(product, "currency_code") for product in request.products],
        "errors": request.errors,
        "created_at": amazon_time(request.created_at),
    }


def request_webhook(request: LabelRequest, ret: LoopReturn, trigger: str, shop_id: int) -> Json:
    """Show a label request in its webhook: `state`, `zip` and `phone`."""
    addresses = {
        role: {name: value for name, value in address.items() if name != "region"}
        for role, address in (("origin", ret.origin), ("destination", WAREHOUSE))
    }
    return {
        "topic": "label.request",
        "trigger": trigger,
        "id": request.request_id,
        "return_id": ret.return_id,
        "shop_id": shop_id,
        "created_at": loop_webhook_time(request.created_at),
        "addresses": addresses,
        "parcel": ret.parcel,
        "products": [_product(product, "currency") for product in request.products],
    }


def label_view(label: Label) -> Json:
    """Show a label to its provider."""
    return {
        "id": label.label_id,
        "tracking_number": label.tracking_number,
        "tracking_url": label.tracking_url,
        "carrier": label.carrier,
        "label_url": label.label_url,
        "qrcode_url": label.qrcode_url,
        "rate": label.rate,
        "status": label.status,
        "created_at": amazon_time(label.created_at),
    }


def label_webhook(label: Label, ret: LoopReturn, trigger: str, shop_id: int) -> Json:
    """Show a label in a `label` webhook; ids are text there, except the provider's."""
    return {
        "topic": "label",
        "trigger": trigger,
        "shop_id": str(shop_id),
        "return_id": str(ret.return_id),
        "order_id": str(ret.return_id + 13_000_000),
        "provider_order_id": _number(ret.provider_order_id),
        "carrier": label.carrier,
        "tracking_number": label.tracking_number,
        "label_status": label.status,
        "label_updated_at": loop_webhook_time(label.updated_at),
    }


def _number(name: str) -> int | str:
    return int(name) if name.isdecimal() else name


def _api_address(address: Json) -> Json:
    names = ("name", "company", "address1", "address2", "city", "region")
    shown = {name: address[name] for name in names}
    return shown | {
        "postal_code": address["zip"],
        "country": address["country"],
        "country_code": address["country_code"],
    }


def _product(product: Json, currency: str) -> Json:
    """Show a product: the price in cents, its currency as `currency_code` (API) or `currency` (webhook)."""
    return product | {"price": {"amount": product["price"], currency: "USD"}}
