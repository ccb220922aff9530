"""The demo's stories: eight returns, each from the shopper's request to its end."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from adapters.sandbox import ReturnLine
from daemon.demo.narrator import SHOP, Narrator, StoryFailed

Story = Callable[[Narrator], Awaitable[None]]


async def clean(narrator: Narrator) -> None:
    """A unit that comes back as it should is refunded."""
    return_id = await _until_label(narrator, "#1001", [ReturnLine(sku="SOCK-2P-M", reason="Too small")])
    await _carrier(narrator, return_id)
    await _inspect(narrator, return_id, "SOCK-2P-M", "Sellable", "APPAREL_TOO_SMALL")
    await narrator.expect(
        "Loop", "graded and assessed the line", lambda: _dispositions(narrator, return_id) == ["back_to_stock"]
    )
    await narrator.noted(return_id, "No discrepancy")
    await narrator.expect("Loop", "refunded the shopper and closed the return", narrator.in_portal(return_id, "closed"))
    await narrator.ends(return_id, "closed")


async def damaged(narrator: Narrator) -> None:
    """A damaged unit waits in Needs Review until a person decides."""
    return_id = await _until_label(narrator, "#1002", [ReturnLine(sku="MUG-BLUE", reason="Changed my mind")])
    await _inspect(narrator, return_id, "MUG-BLUE", "CustomerDamaged", "UNWANTED_ITEM")
    await narrator.noted(return_id, "Discrepancy")
    await narrator.expect("Loop", "shows it in Needs Review", narrator.in_portal(return_id, "review"))
    _never(narrator, return_id, "process")
    narrator.does("merchant", "looks at it and closes the return")
    narrator.sandbox.settle_review(return_id, "close")
    await narrator.ends(return_id, "closed")


async def missing(narrator: Narrator) -> None:
    """One of two units never arrives; its deadline passes, and a person is asked."""
    lines = [ReturnLine(sku="CAP-BLK", reason="Too big"), ReturnLine(sku="BELT-L", reason="Too big")]
    return_id = await _until_label(narrator, "#1003", lines)
    await _inspect(narrator, return_id, "CAP-BLK", "Sellable", "APPAREL_TOO_LARGE")
    narrator.does("clock", "days go by (here: two seconds), and the second unit does not come")
    await narrator.noted(return_id, "Missing: BELT-L")
    await narrator.expect("Loop", "shows it in Needs Review", narrator.in_portal(return_id, "review"))
    await narrator.ends(return_id, "in_review")


async def exchange(narrator: Narrator) -> None:
    """With auto-process on, the discrepant item is removed and the exchange goes out."""
    lines = [
        ReturnLine(sku="SHIRT-M", reason="Too small", exchange_sku="SHIRT-L"),
        ReturnLine(sku="SCARF", reason="Changed my mind", outcome="refund"),
    ]
    return_id = await _until_label(narrator, "#1004", lines, outcome="exchange+refund")
    await _inspect(narrator, return_id, "SHIRT-M", "Sellable", "APPAREL_TOO_SMALL")
    await _inspect(narrator, return_id, "SCARF", "CustomerDamaged", "UNWANTED_ITEM")
    await narrator.noted(return_id, "These items are removed")
    await narrator.expect(
        "Loop", "removed the scarf, sent the exchange, closed the return", narrator.in_portal(return_id, "closed")
    )
    await narrator.ends(return_id, "closed")


async def refused(narrator: Narrator) -> None:
    """Amazon does not take the item back; the merchant learns why, and the shopper gets no useless label."""
    narrator.sandbox.refuse_sku("HAZMAT-1", code="InvalidValues", description="This item cannot be returned.")
    return_id = _submit(narrator, "#1005", [ReturnLine(sku="HAZMAT-1", reason="Changed my mind")])
    narrator.does("Amazon", "does not take HAZMAT-1 back")
    await narrator.expect("Loop", "has a label request error: {}", lambda: _error(narrator, return_id))
    await narrator.ends(return_id, "closed")


async def two_parcels(narrator: Narrator) -> None:
    """The units go to two fulfillment centers: two labels in one document."""
    lines = [ReturnLine(sku="LAMP", reason="Defective"), ReturnLine(sku="RUG", reason="Changed my mind")]
    return_id = await _until_label(narrator, "#1006", lines, centers=("RNO1", "ABE8"))
    await narrator.expect("Amazon", "sold two return labels", lambda: len(narrator.parcels(return_id)) == 2)
    await _inspect(narrator, return_id, "LAMP", "Sellable", "DEFECTIVE")
    await _inspect(narrator, return_id, "RUG", "Sellable", "UNWANTED_ITEM")
    await narrator.expect("Loop", "refunded the shopper and closed the return", narrator.in_portal(return_id, "closed"))
    await narrator.ends(return_id, "closed")


async def cancelled(narrator: Narrator) -> None:
    """The shopper keeps the item after all: the unused label is voided."""
    return_id = await _until_label(narrator, "#1007", [ReturnLine(sku="VASE", reason="Changed my mind")])
    narrator.does("shopper", "keeps the vase; the merchant cancels the return in Loop")
    narrator.sandbox.cancel_return(return_id)
    await narrator.expect(
        "Amazon", "took the unused label back", lambda: all(p["cancelled"] for p in narrator.shipments(return_id))
    )
    await narrator.noted(return_id, "Label voided")
    await narrator.ends(return_id, "awaiting_inspection")


async def own_carrier(narrator: Narrator) -> None:
    """A merchant without a Return Service ID buys the label on a carrier account at EasyPost."""
    narrator.does("merchant", "has no Return Service ID: writes label_source: easypost, and reloads mcfd")
    narrator.choose("easypost")
    await narrator.expect(
        "mcfd", "buys labels from EasyPost now", lambda: narrator.app.label_source_of(SHOP) == "easypost"
    )
    return_id = await _until_label(narrator, "#1008", [ReturnLine(sku="KETTLE", reason="Changed my mind")])
    await narrator.expect("EasyPost", "sold one label, for {}", lambda: _price(narrator, return_id))
    await _carrier(narrator, return_id)
    await _inspect(narrator, return_id, "KETTLE", "Sellable", "UNWANTED_ITEM")
    await narrator.expect("Loop", "refunded the shopper and closed the return", narrator.in_portal(return_id, "closed"))
    await narrator.ends(return_id, "closed")


STORIES: Sequence[tuple[str, Story]] = (
    ("A clean return", clean),
    ("A damaged return", damaged),
    ("A missing unit", missing),
    ("An exchange, processed without the damaged item", exchange),
    ("Refused by Amazon", refused),
    ("Two parcels", two_parcels),
    ("Cancelled after the label", cancelled),
    ("A label on the merchant's own carrier account", own_carrier),
)


def _submit(narrator: Narrator, order_id: str, lines: list[ReturnLine], **how: Any) -> int:  # noqa: ANN401 - the sandbox's own options
    centers = how.pop("centers", ("RNO1",))
    narrator.sandbox.create_order(
        order_id, {line.sku: 1 for line in lines}, displayable_order_id=order_id, return_centers=centers
    )
    return_id: int = narrator.sandbox.submit_return(order_id, list(lines), **how)
    wishes = ", ".join(f"{line.sku} ({line.reason})" for line in lines)
    narrator.does("shopper", f"sends back {wishes} of order {order_id}: Loop return {return_id}")
    return return_id


async def _until_label(narrator: Narrator, order_id: str, lines: list[ReturnLine], **how: Any) -> int:  # noqa: ANN401 - as above
    """The beginning of every story: a shopper asks, Amazon authorizes, the label reaches the shopper."""
    return_id = _submit(narrator, order_id, lines, **how)

    def rma() -> str:
        return ", ".join(held["amazonRmaId"] for held in narrator.network(order_id)["returnAuthorizations"])

    def label() -> str:
        return ", ".join(
            f"{held['carrier']} {held['tracking_number']}" for held in narrator.portal(return_id)["delivered_labels"]
        )

    await narrator.expect("Amazon", "authorized the return: RMA {}", rma)
    await narrator.expect("Loop", "has the label for the shopper: {}", label)
    await narrator.noted(return_id, "Label delivered")
    return return_id


async def _carrier(narrator: Narrator, return_id: int) -> None:
    """The parcel travels, and Loop's timeline follows it."""
    for parcel in narrator.parcels(return_id):
        narrator.does("carrier", "scans the parcel, then delivers it to the fulfillment center")
        narrator.sandbox.scan(parcel, "InTransit")
        await narrator.expect("Loop", "knows: in transit", lambda: _label_status(narrator, return_id) == "in_transit")
        narrator.sandbox.scan(parcel, "Delivered")
        await narrator.expect("Loop", "knows: delivered", lambda: _label_status(narrator, return_id) == "delivered")


async def _inspect(narrator: Narrator, return_id: int, sku: str, condition: str, reason: str) -> None:
    narrator.does("Amazon", f"receives and inspects {sku}: {condition}")
    narrator.sandbox.receive(return_id, sku=sku, condition=condition, amazon_reason=reason)
    await narrator.noted(return_id, f"inspected {sku}")


def _never(narrator: Narrator, return_id: int, action: str) -> None:
    if narrator.portal(return_id)["counts"].get(action):
        raise StoryFailed(f"the return was asked to {action}")


def _dispositions(narrator: Narrator, return_id: int) -> list[str]:
    return [
        (line["disposition"] or {}).get("disposition_outcome", "") for line in narrator.portal(return_id)["line_items"]
    ]


def _price(narrator: Narrator, return_id: int) -> str:
    """The price of a return's only label from EasyPost."""
    (number,) = narrator.parcels(return_id)
    sold = [s.sale for s in narrator.sandbox.easypost_labels() if s.sale and s.sale.tracker.code == number]
    return f"{sold[0].rate['rate']} USD" if len(sold) == 1 else ""


def _label_status(narrator: Narrator, return_id: int) -> str:
    return str(narrator.portal(return_id)["delivered_labels"][0]["status"])


def _error(narrator: Narrator, return_id: int) -> str:
    held = narrator.sandbox.snapshot()["loop"]
    for request_id in held["returns"][str(return_id)]["label_requests"]:
        for error in held["label_requests"][str(request_id)]["errors"]:
            return str(error["message"])
    return ""
