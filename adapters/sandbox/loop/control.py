"""Control operations on Loop's side: shoppers, merchants, and the faults of all vendors."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

from adapters.sandbox.faults import Fault, FaultProfile
from adapters.sandbox.loop.actions import ReturnActions
from adapters.sandbox.loop.returns import ReturnLine
from adapters.sandbox.loop.shop import LoopShop
from adapters.sandbox.loop.webhooks import Subscriptions
from adapters.sandbox.options import NO_URL, SandboxOptions, is_url
from adapters.sandbox.refusals import ControlError
from adapters.sandbox.stamps import Seconds

Ending = Literal["close", "fail", "bounce", "lose"]
Settlement = Literal["close", "process", "unflag", "cancel"]
PLANS: tuple[str, ...] = get_args(Ending)
SETTLEMENTS: tuple[str, ...] = get_args(Settlement)


class LoopControl:
    """The operations. An impossible one raises ControlError with a sentence that says why."""

    options: SandboxOptions
    shop: LoopShop
    actions: ReturnActions
    subscriptions: Subscriptions
    faults: FaultProfile

    def submit_return(
        self,
        order_name: str,
        lines: Sequence[ReturnLine | Mapping[str, Any]],
        *,
        provider_order_id: str | None = None,
        order_number: str | None = None,
        outcome: str = "refund",
        destination_id: int | None = None,
        origin: Mapping[str, Any] | None = None,
        customer: str = "rowan@example.org",
        parcels: Sequence[Sequence[int]] | None = None,
    ) -> int:
        """Let a shopper submit a return of a shop's order (`#1001`); return Loop's id.

        Each unit becomes a line item. One label request covers all lines, or one each of the `parcels` (lists of
        indexes of `lines`; an empty list asks for no label). `destination_id` defaults to the Amazon destination.
        """
        ret = self.shop.submit(
            order_name,
            lines,
            provider_order_id=provider_order_id,
            order_number=order_number,
            outcome=outcome,
            destination_id=self.options.destination_id if destination_id is None else destination_id,
            origin=origin,
            customer=customer,
            parcels=parcels,
        )
        return ret.return_id

    def cancel_return(self, return_id: int | str) -> None:
        """Cancel a return in Loop, with the label requests not yet answered."""
        ret = self.shop.known(return_id)
        if ret.state in {"closed", "cancelled"}:
            raise ControlError(f"return {return_id} is {ret.state} and cannot be cancelled")
        self.shop.cancel(ret)

    def cancel_label_request(self, request_id: int) -> None:
        """Withdraw one label request, whatever became of it."""
        if request_id not in self.shop.requests:
            raise ControlError(f"there is no label request {request_id}")
        self.shop.cancel_request(self.shop.requests[request_id])

    def reissue_label_request(self, return_id: int | str) -> int:
        """Ask for a label again, for all lines the return has now; return the new request's id."""
        ret = self.shop.known(return_id)
        return self.shop.issue_request(ret, [line.line_item_id for line in ret.lines]).request_id

    def edit_return(
        self,
        return_id: int | str,
        *,
        add: Sequence[ReturnLine | Mapping[str, Any]] = (),
        remove: Sequence[int] = (),
    ) -> list[int]:
        """Add lines, and remove others by line item id, as the merchant can; return the ids of the added ones."""
        return self.shop.edit(self.shop.known(return_id), add, remove)

    def settle_review(self, return_id: int | str, how: Settlement) -> None:
        """Do what a person does to a return in Needs Review: close, process, unflag or cancel."""
        ret = self.shop.known(return_id)
        if how not in SETTLEMENTS:
            raise ControlError(f"a review is settled by one of {', '.join(SETTLEMENTS)}, not {how!r}")
        if ret.state != "review":
            raise ControlError(f"return {return_id} is {ret.state}, not in review")
        ret.flagged = False
        if how == "cancel":
            self.shop.cancel(ret)
        elif how == "unflag":
            self.shop.set_state(ret, "open")
        else:
            self.shop.close(ret, processed=how == "process")

    def close_return(self, return_id: int | str, *, processed: bool = False) -> None:
        """Close a return as a person in the admin does, with or without its outcomes."""
        self.shop.close(self.shop.known(return_id), processed=processed)

    def flag_return(self, return_id: int | str) -> None:
        """Flag a return as a person or a workflow does."""
        ret = self.shop.known(return_id)
        ret.flagged = True
        self.shop.set_state(ret, "review")

    def expire(self, return_id: int | str) -> None:
        """Let a return expire, as after 28 days without a scan."""
        self.shop.set_state(self.shop.known(return_id), "expired")

    def restock(self, return_id: int | str) -> None:
        """Put a return's items back into Shopify's stock, as a shop can have Loop do by itself."""
        self.shop.announce_restock(self.shop.known(return_id))

    def plan_processing(self, return_id: int | str, ending: Ending, message: str | None = None) -> None:
        """Choose how the next processing ends: close, fail (webhook), bounce (to review) or lose (never ends)."""
        if ending not in PLANS:
            raise ControlError(f"processing ends by one of {', '.join(PLANS)}, not {ending!r}")
        ret = self.shop.known(return_id)
        ret.plan, ret.plan_message = ending, message

    def set_process_after(self, seconds: Seconds) -> None:
        """Change how long `process` stays queued."""
        self.actions.process_after = seconds

    def set_webhook_url(self, url: str | None) -> None:
        """Subscribe a URL to all core triggers, as a merchant does in the admin; None unsubscribes everything."""
        if url is not None and not is_url(url):
            raise ControlError(f"{url!r} {NO_URL}")
        self.subscriptions.subscribe_everything(url)

    def set_faults(self, faults: Sequence[Fault | Mapping[str, Any]] = ()) -> None:
        """Replace the fault profile; no faults for an empty list."""
        try:
            self.faults.replace([fault if isinstance(fault, Fault) else Fault(**fault) for fault in faults])
        except (TypeError, ValueError) as error:
            raise ControlError(str(error)) from error
