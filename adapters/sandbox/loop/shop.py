"""One Loop shop: its returns and label requests, and what shoppers and Loop itself do to them."""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from adapters.sandbox.loop.label_views import request_webhook
from adapters.sandbox.loop.returns import (
    ORIGIN,
    PARCEL,
    Exchange,
    LabelRequest,
    LineItem,
    LoopReturn,
    ReturnLine,
    line_from,
)
from adapters.sandbox.loop.views import webhook_view
from adapters.sandbox.options import SandboxOptions
from adapters.sandbox.refusals import ControlError, Json
from adapters.sandbox.stamps import amazon_time, whole
from daemon.ports.host import Clock

Emit = Callable[[str, str, Json], None]
OUTCOMES = frozenset({"refund", "credit", "exchange"})


def _running_number(order_name: str) -> str:
    """Return Shopify's order number. It counts from 1, names from 1001, so it can equal an older order's name."""
    bare = order_name.lstrip("#")
    return str(int(bare) - 1000) if bare.isdecimal() and int(bare) > 1000 else bare


class LoopShop:
    """Stores everything by id. `emit(topic, trigger, payload)` is called for each webhook event."""

    def __init__(self, options: SandboxOptions, clock: Clock, emit: Emit) -> None:
        self.returns: dict[int, LoopReturn] = {}
        self.requests: dict[int, LabelRequest] = {}
        self.shop_id = options.shop_id
        self._clock = clock
        self._emit = emit
        self._ids = 0

    def next_id(self, origin: int) -> int:
        """Return a new id; each kind of object has its own range."""
        self._ids += 1
        return origin + self._ids

    def submit(
        self,
        order_name: str,
        lines: Sequence[ReturnLine | Mapping[str, Any]],
        *,
        provider_order_id: str | None,
        order_number: str | None,
        outcome: str,
        destination_id: int | None,
        origin: Mapping[str, Any] | None,
        customer: str,
        parcels: Sequence[Sequence[int]] | None,
    ) -> LoopReturn:
        """Submit a return as a shopper; `parcels` are lists of line indexes, one label request each."""
        if not lines or any(not 0 <= index < len(lines) for parcel in parcels or () for index in parcel):
            raise ControlError("a return has lines, and its parcels name them by their indexes")
        now = self._clock.now()
        number = order_number or _running_number(order_name)
        ret = LoopReturn(
            return_id=self.next_id(58_120_000),
            order_name=order_name,
            order_number=number,
            provider_order_id=provider_order_id or f"61002200{order_name.lstrip('#').zfill(5)}",
            destination_id=destination_id,
            customer=customer,
            origin=ORIGIN | dict(origin or {}),
            parcel=dict(PARCEL),
            created_at=now,
            updated_at=now,
        )
        groups = [self.add_line(ret, line_from(line), outcome) for line in lines]
        self.returns[ret.return_id] = ret
        self.note_down(ret, "shopper: submitted")
        for parcel in parcels if parcels is not None else [range(len(groups))]:
            self.issue_request(ret, [line_id for index in parcel for line_id in groups[index]])
        self.announce(ret, "return.created")
        return ret

    def add_line(self, ret: LoopReturn, line: ReturnLine, outcome: str) -> list[int]:
        """Add a line's units to a return, one line item each; return their ids."""
        resolution = "exchange" if line.exchange_sku else line.outcome or outcome
        if resolution not in OUTCOMES:
            raise ControlError(f"an outcome is one of {', '.join(sorted(OUTCOMES))}, not {resolution!r}")
        provider_id = line.provider_line_item_id or self.next_id(1_520_000_000)
        items = [self._item(line, provider_id, resolution) for _ in range(line.quantity)]
        ret.lines.extend(items)
        if resolution == "exchange":
            wanted = line.exchange_sku or line.sku
            ret.exchanges.extend(
                Exchange(self.next_id(880_000), item.line_item_id, wanted, item.price, line.exchange_in_stock)
                for item in items
            )
        return [item.line_item_id for item in items]

    def remove_lines(self, ret: LoopReturn, line_item_ids: Sequence[int]) -> None:
        """Remove lines, and their exchanges, from a return."""
        gone = set(line_item_ids)
        ret.lines = [line for line in ret.lines if line.line_item_id not in gone]
        ret.exchanges = [exchange for exchange in ret.exchanges if exchange.line_item_id not in gone]

    def issue_request(self, ret: LoopReturn, line_item_ids: Sequence[int]) -> LabelRequest:
        """Ask the label provider for a label that covers these lines."""
        lines = [line for line in ret.lines if line.line_item_id in line_item_ids]
        request = LabelRequest(
            request_id=self.next_id(733_000),
            return_id=ret.return_id,
            line_item_ids=list(line_item_ids),
            created_at=self._clock.now(),
            products=[
                {
                    "name": line.title,
                    "sku": line.sku,
                    "hs_code": "61159500",
                    "country_of_origin": "PT",
                    "price": int(line.price * 100),
                }
                for line in lines
            ],
        )
        self.requests[request.request_id] = request
        self.note_down(ret, f"Loop: label request {request.request_id} issued")
        trigger = "label.request.issued"
        self._emit("label.request", trigger, request_webhook(request, ret, trigger, self.shop_id))
        return request

    def cancel_request(self, request: LabelRequest) -> None:
        """Withdraw a label request."""
        request.status = "cancelled"
        ret = self.returns[request.return_id]
        self.note_down(ret, f"Loop: label request {request.request_id} cancelled")
        trigger = "label.request.cancelled"
        self._emit("label.request", trigger, request_webhook(request, ret, trigger, self.shop_id))

    def cancel(self, ret: LoopReturn) -> None:
        """Cancel a return and its open label requests."""
        self._enter(ret, "cancelled")
        for request in self.requests_of(ret):
            if request.status == "issued":
                self.cancel_request(request)
        self.announce(ret, "return.updated")

    def edit(self, ret: LoopReturn, add: Sequence[ReturnLine | Mapping[str, Any]], remove: Sequence[int]) -> list[int]:
        """Add and remove lines as the merchant; return the ids of the added ones."""
        if unknown := [line_id for line_id in remove if ret.line(line_id) is None]:
            raise ControlError(f"return {ret.return_id} has no line {', '.join(map(str, unknown))}")
        self.remove_lines(ret, remove)
        added = [line_id for line in add for line_id in self.add_line(ret, line_from(line), "refund")]
        ret.edited_at = self._clock.now()
        self.note_down(ret, f"merchant: edited, {len(added)} added, {len(remove)} removed")
        self.announce(ret, "return.updated")
        return added

    def close(self, ret: LoopReturn, *, processed: bool) -> None:
        """Close a return, with or without its outcomes."""
        self._enter(ret, "closed")
        ret.flagged = False
        if processed:
            ret.processed_at = self._clock.now()
            self.note_down(ret, "Loop: outcomes given")
        self.announce(ret, "return.closed")

    def set_state(self, ret: LoopReturn, state: str) -> None:
        """Change a return's state and send the webhook."""
        self._enter(ret, state)
        self.announce(ret, "return.updated")

    def announce(self, ret: LoopReturn, trigger: str) -> None:
        """Stamp a return and send its webhook."""
        ret.updated_at = self._clock.now()
        self._emit("return", trigger, webhook_view(ret, trigger, self.shop_id))

    def announce_failure(self, ret: LoopReturn, message: str | None) -> None:
        """Send `return.processing.failed`."""
        self.note_down(ret, f"Loop: processing failed, {message}")
        payload: Json = {
            "topic": "return.processing",
            "trigger": "return.processing.failed",
            "return_id": ret.return_id,
            "return_state": ret.state,
            "message": message,
            "source": "api",
        }
        self._emit("return.processing", "return.processing.failed", payload)

    def announce_restock(self, ret: LoopReturn) -> None:
        """Send `restock.requested`; only its envelope and its return are documented."""
        self.note_down(ret, "Loop: restocked in Shopify")
        payload: Json = {
            "topic": "restock",
            "trigger": "restock.requested",
            "shop_id": self.shop_id,
            "return_id": str(ret.return_id),
        }
        self._emit("restock", "restock.requested", payload)

    def note_down(self, ret: LoopReturn, what: str) -> None:
        """Add a line to a return's history, which no API shows."""
        ret.history.append({"at": amazon_time(self._clock.now()), "what": what})

    def emit_label(self, trigger: str, payload: Json) -> None:
        """Send a `label` webhook."""
        self._emit("label", trigger, payload)

    def requests_of(self, ret: LoopReturn) -> list[LabelRequest]:
        """List a return's label requests, oldest first."""
        return [request for request in self.requests.values() if request.return_id == ret.return_id]

    def forget(self, over: Sequence[LoopReturn]) -> None:
        """Remove returns with their label requests."""
        for ret in over:
            for request in self.requests_of(ret):
                del self.requests[request.request_id]
            del self.returns[ret.return_id]

    def known(self, return_id: int | str) -> LoopReturn:
        """Find a return for a control operation."""
        ret = self.returns.get(whole(str(return_id)) or 0)
        if ret is None:
            raise ControlError(f"there is no return {return_id}")
        return ret

    def _enter(self, ret: LoopReturn, state: str) -> None:
        ret.state = state
        self.note_down(ret, f"Loop: {state}")

    def _item(self, line: ReturnLine, provider_id: int, resolution: str) -> LineItem:
        return LineItem(
            line_item_id=self.next_id(310_000_000),
            provider_line_item_id=provider_id,
            sku=line.sku,
            title=line.title or line.sku,
            price=Decimal(str(line.price)),
            reason=line.reason,
            parent_reason=line.parent_reason,
            comment=line.comment,
            resolution=resolution,
        )
