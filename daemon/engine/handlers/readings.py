"""Readings of the portal, of which one may stand in for the next one in the same walk."""

from daemon.domain.portal import PortalLabelRequest, PortalReturn
from daemon.engine.handlers.context import ShopContext, Step
from daemon.ports.vendors import Lane

FRESH = 3.0
"""Seconds for which a reading stands in for another; a call may wait longer than that for its turn."""


async def read_label_request(step: Step, request_id: str, context: ShopContext, lane: Lane) -> PortalLabelRequest:
    """Read a label request, also for the next steps of this walk."""
    asked_at = context.clock.monotonic()
    request = await context.portal.label_request(request_id, lane)
    step.readings.request = asked_at, request
    return request


async def recent_label_request(step: Step, request_id: str, context: ShopContext) -> PortalLabelRequest:
    """The label request as this walk has just read it. If the return's past is unclear, it is read again."""
    kept = step.readings.request
    if kept is None or kept[1].request_id != request_id or not _stands(kept[0], step, context):
        return await read_label_request(step, request_id, context, Lane.SHOPPER)
    return kept[1]


async def read_details(step: Step, context: ShopContext) -> PortalReturn:
    """Read the return, also for the next step of this walk."""
    asked_at = context.clock.monotonic()
    details = await context.portal.details(step.ret.return_id, Lane.BACKGROUND)
    step.readings.details = asked_at, details
    return details


async def recent_details(step: Step, context: ShopContext) -> PortalReturn:
    """The return as this walk has just read it, once: what the step then does may change it."""
    kept, step.readings.details = step.readings.details, None
    if kept is None or not _stands(kept[0], step, context):
        return await context.portal.details(step.ret.return_id, Lane.BACKGROUND)
    return kept[1]


def _stands(asked_at: float, step: Step, context: ShopContext) -> bool:
    """Whether no answer was lost since, nothing else is in doubt, and the portal has told of no change."""
    if step.resumed or step.ret.adopted_at is not None or step.ret.needs_read:
        return False
    return context.clock.monotonic() - asked_at <= FRESH
