"""What whoever plays the world may do on EasyPost's side: carriers, prices, money, refunds."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import Field

from adapters.sandbox.easypost.hooks import EasyPostHooks
from adapters.sandbox.easypost.http import EasyPostVendor
from adapters.sandbox.easypost.shipments import CarrierService, EasyPostService, EasyPostShipment, RefundStatus
from adapters.sandbox.easypost.trackers import TrackerStatus
from adapters.sandbox.options import SandboxOptions
from adapters.sandbox.refusals import ControlError
from adapters.sandbox.stamps import Seconds


class EasyPostControl:
    """The operations. What cannot be raises ControlError with a sentence that says why."""

    options: SandboxOptions
    easypost: EasyPostService
    easypost_hooks: EasyPostHooks
    easypost_api: EasyPostVendor

    def offer_rates(self, services: Sequence[CarrierService | Mapping[str, Any]]) -> None:
        """Replace what EasyPost's carriers sell; none at all offers nothing.

        Each has `carrier`, `service`, `cents`, and perhaps `account`, `currency`, `failure` (what the carrier says
        instead of a rate), `needs_phones`.
        """
        try:
            made = [one if isinstance(one, CarrierService) else CarrierService(**one) for one in services]
        except TypeError as error:
            raise ControlError(str(error)) from error
        self.easypost.services = tuple(made)

    def scan_easypost(self, tracking_code: str, status: TrackerStatus) -> None:
        """Let a carrier say something of a label that EasyPost sold."""
        self.easypost.scan(tracking_code, status)

    def send_back(self, tracking_code: str, *, arrives: bool = True) -> None:
        """Let a carrier return a parcel to its sender, who gets it unless `arrives` is false."""
        self.easypost.scan(tracking_code, "return_to_sender")
        if arrives:
            self.easypost.scan(tracking_code, "delivered")

    def set_funds(self, enough: bool) -> None:
        """Say whether the EasyPost account can pay."""
        self.easypost.funds = enough

    def set_easypost_key(self, active: bool) -> None:
        """Say whether EasyPost accepts its keys."""
        self.easypost_api.key_active = active

    def refuse_purchase(
        self,
        code: str = "SHIPMENT.POSTAGE.FAILURE",
        message: str = "The carrier refused.",
        status: Annotated[int, Field(ge=400, le=499)] = 422,
    ) -> None:
        """Let EasyPost refuse the next purchase with this code."""
        self.easypost.refused.append((status, code, message))

    def time_out_purchase(self, bought_after: Seconds | None = None) -> None:
        """Let the next purchase time out at the carrier; it may turn out bought so many seconds later."""
        self.easypost.timing_out.append(bought_after)

    def plan_refund(self, status: RefundStatus) -> None:
        """Say what the next refund is answered with; else it is `submitted`."""
        self.easypost.refund_answers.append(status)

    def settle_refund(self, shipment_id: str, status: RefundStatus) -> None:
        """Let the carrier decide on a refund that was asked for."""
        self.easypost.settle_refund(shipment_id, status)

    def print_pictures(self, on: bool) -> None:
        """Let EasyPost's labels be pictures, without text that a program could read."""
        self.easypost.pictures = on

    def set_easypost_webhook(self, url: str | None) -> None:
        """Send EasyPost's events there, signed, and nowhere else; None sends none."""
        self.easypost_hooks.rows.clear()
        if url is not None:
            for mode in ("production", "test"):
                self.easypost_hooks.add(url, mode, self.options.easypost_webhook_secret)

    def easypost_labels(self, reference: str = "") -> list[EasyPostShipment]:
        """List what was sold by EasyPost, oldest first."""
        sold = [s for s in self.easypost.shipments.values() if s.sale is not None]
        return [s for s in sold if not reference or s.reference == reference]
