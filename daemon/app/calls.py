"""Part of the composition root: what is done with each finished call to a vendor."""

from collections.abc import Mapping

import structlog

from adapters.amazon_mcf.wire import journal as amazon
from adapters.easypost.wire import journal as easypost
from adapters.host.metrics import PrometheusMetrics
from adapters.loop_returns.wire import journal as loop
from adapters.vendor_calls.call_fields import AllowList
from adapters.vendor_calls.transport import Call
from daemon.app.vendors import naming
from daemon.engine.call_journal import CallJournal
from daemon.engine.clock_check import ClockCheck
from daemon.ports.host import Clock
from daemon.ports.store import VendorCall

log = structlog.get_logger(__name__)


def tell_of_call(metrics: PrometheusMetrics, account: str, call: Call) -> None:
    """Count a call, and log it (at debug level if it went well)."""
    metrics.call(account, call.vendor, call.operation, call.outcome, call.seconds)
    merely_tried = call.operation == "getFulfillmentOrder" and call.outcome == "refused"  # one name of an order of many
    tell = log.debug if call.outcome == "ok" or merely_tried else log.info
    tell(
        "vendor.called",
        vendor=call.vendor,
        operation=call.operation,
        outcome=call.outcome,
        status=call.status,
        request_id=call.request_id,
        seconds=round(call.seconds, 3),
        **naming(account),
    )


JOURNALED: Mapping[str, AllowList] = {
    "amazon": amazon.JOURNALED,
    "loop": loop.JOURNALED,
    "easypost": easypost.JOURNALED,
}
"""What the journal keeps of the calls to a vendor; of others it keeps nothing but that they were made."""

_NOTHING = AllowList(())


def journal_call(journal: CallJournal, clock: Clock, call: Call) -> None:
    """Note a call in the journal of the return that it was made for, if any. No call fails because of its journal."""

    def describe(shop: str, return_id: str) -> VendorCall:
        allowed, now = JOURNALED.get(call.vendor, _NOTHING), clock.now()
        return VendorCall(
            shop=shop,
            return_id=return_id,
            at=now,
            first_at=now,
            vendor=call.vendor,
            operation=call.operation,
            outcome=call.outcome,
            status=call.status,
            seconds=round(call.seconds, 3),
            request_id=call.request_id,
            why=call.why,
            asked=allowed.place(call.url) | allowed.fields(call.sent),
            answered=allowed.fields(call.answer),
        )

    try:
        journal.heard(describe)
    except Exception:
        log.exception("journal.failed", vendor=call.vendor, operation=call.operation)


def hear_of_call(  # noqa: PLR0917 - the last two are those of the call
    metrics: PrometheusMetrics, clock_check: ClockCheck, journal: CallJournal, clock: Clock, account: str, call: Call
) -> None:
    """Count, log and journal a call, and compare clocks."""
    if (at := call.answered_at) is not None:
        clock_check.heard(call.vendor, at)
    tell_of_call(metrics, account, call)
    journal_call(journal, clock, call)
