"""How Loop shows a return: to the list, the details and the webhooks, each with its own spelling of ids and times."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from adapters.sandbox.loop.returns import Exchange, Label, LineItem, LoopReturn
from adapters.sandbox.refusals import Json
from adapters.sandbox.stamps import loop_detail_time, loop_list_time, loop_webhook_time, whole

OBJECT_GRADES = frozenset({"2026-10", "latest", "unstable"})
STATUS_PAGE = "https://acme.loopreturns.com/#/return/{}"


def money(amount: Decimal) -> str:
    """Write an amount as a decimal string with cents."""
    return f"{amount:.2f}"


def list_view(ret: LoopReturn, version: str) -> Json:
    """Show a return in the list: ids are strings."""
    return {
        "id": str(ret.return_id),
        **_common(ret, loop_list_time, str, version),
        "updated_at": loop_list_time(ret.updated_at),
        "order_id": str(ret.return_id + 13_000_000),
        "provider_order_id": ret.provider_order_id,
        "provider_order_number": ret.order_name.lstrip("#"),
        "shopify_refund_object": [],
    }


def detail_view(ret: LoopReturn, version: str) -> Json:
    """Show a return's details: ids are integers, times have no zone."""
    return {
        "id": ret.return_id,
        **_common(ret, loop_detail_time, int, version),
        "updated_at": loop_detail_time(ret.updated_at),
        "order_id": ret.return_id + 13_000_000,
        "provider_order_id": whole(ret.provider_order_id) or ret.provider_order_id,
        "provider_order_number": ret.order_name.lstrip("#"),
        "exchange_order_id": None,
        "refunds": _refunds(ret),
    }


def webhook_view(ret: LoopReturn, trigger: str, shop_id: int) -> Json:
    """Show a return in a `return` webhook: ids are strings, without destination and policy."""
    view = {
        "topic": "return",
        "trigger": trigger,
        "shop_id": shop_id,
        "id": str(ret.return_id),
        **_common(ret, loop_webhook_time, str, "2026-07"),
        "order_id": str(ret.return_id + 13_000_000),
        "provider_order_id": ret.provider_order_id,
        "provider_order_number": whole(ret.order_name.lstrip("#")),
        "provider_order_external_id": ret.provider_order_id,
        "provider_order_sales_channel": "Online Store",
        "customer_detail": _customer(ret),
        "address": {name: value for name, value in ret.origin.items() if name != "region"},
        "is_gift_return": False,
        "refunds": _refunds(ret),
    }
    hidden = ("destination_id", "return_method", "was_processed", "refund_before_inspection", "outcomes_processed_at")
    view = {name: value for name, value in view.items() if name not in hidden}
    first = view["labels"][0] if view["labels"] else None
    view["carrier"] = first["carrier"] if first else "N/A"
    view["tracking_number"] = first["tracking_number"] if first else "N/A"
    view["label_status"] = first["status"] if first else "pending"
    return view


def _common(ret: LoopReturn, spell: Callable[[float], str], id_of: Callable[[int], Any], version: str) -> Json:
    return {
        "state": ret.state,
        "type": "standard",
        "outcome": ret.outcome,
        "created_at": spell(ret.created_at),
        "edited_at": spell(ret.edited_at) if ret.edited_at else None,
        "order_name": ret.order_name,
        "order_number": ret.order_number,
        "customer": ret.customer,
        "origin_country": ret.origin["country"],
        "origin_country_code": ret.origin["country_code"],
        "multi_currency": False,
        "currency": "USD",
        "presentment": None,
        **_totals(ret),
        "line_items": [_line(line, ret, spell, id_of, version) for line in ret.lines],
        "exchanges": [_exchange(exchange) for exchange in ret.exchanges],
        "exchange": bool(ret.exchanges),
        "exchange_order_name": None,
        "labels": [_label(label, spell) for label in ret.labels],
        **_first_label(ret, spell),
        "status_page_url": STATUS_PAGE.format(ret.return_id),
        "destination_id": ret.destination_id,
        "return_method": None,
        "package_reference": None,
        "was_processed": ret.processed_at is not None,
        "refund_before_inspection": ret.paid_before_inspection,
        "outcomes_processed_at": _processed_at(ret),
    }


def _totals(ret: LoopReturn) -> Json:
    zero = Decimal(0)
    left = max(zero, ret.worth - ret.exchanged)
    credit = "credit" in ret.outcome and "refund" not in ret.outcome
    refund = zero if credit else left
    return {
        "total": money(refund),
        "return_product_total": money(ret.worth),
        "return_discount_total": money(zero),
        "return_tax_total": money(zero),
        "return_total": money(ret.worth),
        "return_credit_total": money(ret.worth),
        "refund_shipping_total": money(zero),
        "refund_shipping_tax_total": money(zero),
        "exchange_product_total": money(ret.exchanged),
        "exchange_discount_total": money(zero),
        "exchange_tax_total": money(zero),
        "exchange_total": money(ret.exchanged),
        "exchange_credit_total": money(ret.exchanged),
        "gift_card": money(left if credit else zero),
        "gift_card_order_name": None,
        "gift_card_order_id": None,
        "gift_card_presentment": None,
        "handling_fee": money(zero),
        "refund": money(refund),
        "upsell": money(max(zero, ret.exchanged - ret.worth)),
    }


def _line(
    line: LineItem, ret: LoopReturn, spell: Callable[[float], str], id_of: Callable[[int], Any], version: str
) -> Json:
    wanted = next((exchange.sku for exchange in ret.exchanges if exchange.line_item_id == line.line_item_id), "")
    return {
        "line_item_id": id_of(line.line_item_id),
        "provider_line_item_id": id_of(line.provider_line_item_id),
        "product_id": id_of(7_700_110),
        "variant_id": id_of(42_000_330),
        "sku": line.sku,
        "barcode": None,
        "title": line.title,
        "price": money(line.price),
        "discount": "0.00",
        "tax": "0.00",
        "refund": money(line.price),
        "refund_item": money(line.price),
        "refund_tax": "0.00",
        "returned_at": spell(ret.created_at),
        "exchange_variant": wanted,
        "return_reason": line.reason,
        "parent_return_reason": line.parent_reason,
        "return_comment": line.comment,
        "outcome": "default",
        "provider_restock_location_id": None,
        "consolidation_tracking": None,
        "consolidation_destination_id": None,
        "condition": condition_view(line.condition, version),
        "disposition": line.disposition,
    }


def condition_view(condition: Json | None, version: str) -> Json | None:
    """Show a grade as the version spells it: a string before 2026-10, an object since."""
    if condition is None:
        return None
    category = condition["condition_category"]
    if version in OBJECT_GRADES or category is None:
        return condition
    return condition | {"condition_category": category["grade"]}


def _exchange(exchange: Exchange) -> Json:
    return {
        "exchange_id": str(exchange.exchange_id),
        "exchange_order_id": None,
        "exchange_order_name": None,
        "product_id": "7700115",
        "variant_id": "42000401",
        "sku": exchange.sku,
        "type": "exchange",
        "title": exchange.sku,
        "price": money(exchange.price),
        "discount": "0.00",
        "tax": "0.00",
        "total": money(exchange.price),
        "out_of_stock": not exchange.in_stock,
        "out_of_stock_resolution": None,
        "consolidation_tracking": None,
    }


def _label(label: Label, spell: Callable[[float], str]) -> Json:
    return {
        "carrier": label.carrier,
        "tracking_number": label.tracking_number,
        "status": label.status,
        "url": label.label_url,
        "rate": label.rate["amount"],
        "updated_at": spell(label.updated_at),
        "line_items": label.line_item_ids,
    }


def _first_label(ret: LoopReturn, spell: Callable[[float], str]) -> Json:
    label = ret.labels[0] if ret.labels else None
    return {
        "carrier": label.carrier if label else None,
        "tracking_number": label.tracking_number if label else None,
        "label_status": label.status if label else None,
        "label_url": label.label_url if label else None,
        "label_rate": label.rate["amount"] if label else None,
        "label_updated_at": spell(label.updated_at) if label else None,
    }


def _processed_at(ret: LoopReturn) -> Json:
    names = ("return_processed", "refund_processed", "gift_card_processed", "exchange_processed", "shop_cash_processed")
    given = {"return_processed", *(f"{part}_processed" for part in ret.outcome.split("+"))}
    if ret.processed_at is None:
        return dict.fromkeys(names)
    moment = {"date": loop_detail_time(ret.processed_at) + ".000000", "timezone_type": 3, "timezone": "UTC"}
    return {name: moment if name in given else None for name in names}


def _refunds(ret: LoopReturn) -> list[Json]:
    if ret.processed_at is None or "refund" not in ret.outcome:
        return []
    amount = money(max(Decimal(0), ret.worth - ret.exchanged))
    return [{"gateway": "shopify_payments", "amount": amount, "currency": "USD", "provider_refund_id": "99001122"}]


def _customer(ret: LoopReturn) -> Json:
    first, _, last = str(ret.origin["name"]).partition(" ")
    return {"email": ret.customer, "first_name": first, "middle_name": None, "last_name": last}
