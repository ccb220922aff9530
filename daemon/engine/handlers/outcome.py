"""Turns findings into an outcome in the portal, and watches it until the return is closed."""

from daemon.domain import verdict
from daemon.domain.acts import Act, Duty
from daemon.domain.events import returns as ev
from daemon.domain.inspection import edits
from daemon.domain.portal import PortalReturn, PortalState
from daemon.domain.returns import Return, Settlement, State, UnitState
from daemon.domain.schedule import past_deadline
from daemon.domain.transitions.labels import LABEL_STATES
from daemon.domain.verdict import Treatment, processing_record, treat
from daemon.engine.handlers.complaints import problem_of
from daemon.engine.handlers.context import Decision, NotYet, Outcome, ShopContext, Step
from daemon.engine.handlers.readings import read_details, recent_details
from daemon.errors import ContractBroken, Refused, Unavailable
from daemon.ports.names import quiet_mark
from daemon.ports.store import UnitOfWork
from daemon.ports.vendors import Lane


async def conclude(step: Step, context: ShopContext) -> Outcome:
    """Read the return in the portal and judge it."""
    details = _with_lines(await read_details(step, context))
    if details.state is PortalState.UNKNOWN:
        raise _unknown(context)
    return verdict.conclude(step.ret, details, context.policy.verdict, context.clock.now())


def _with_lines(details: PortalReturn) -> PortalReturn:
    """The return from the portal; it must have lines to be judged or settled."""
    if not details.lines and details.state in _UNPROCESSED and not details.settled:
        raise ContractBroken("return details: an open return without a line")
    return details


async def settle(step: Step, context: ShopContext) -> Outcome:
    """Do what the verdict asks for, unless the portal shows that it is done or was already asked for.

    A later label request can bring the return here again while the portal still works on the first request.
    """
    ret = step.ret
    details = _with_lines(await recent_details(step, context))
    if (known := _settled_already(ret, details, context)) is not None:
        return known
    if ret.settlement is Settlement.FLAG or ret.processing_failed:
        return await _flag(ret, details, context)
    return await _pay_out(ret, details, context, step.resumed)


def _unknown(context: ShopContext) -> ContractBroken:
    """The portal's state is unknown: never pay or flag on a guess. If it stays unknown, a person has to look."""
    context.metrics.trouble("unknown_portal_state")
    return ContractBroken("details: Loop says a state of the return that mcfd does not know")


def _settled_already(ret: Return, details: PortalReturn, context: ShopContext) -> Outcome | None:
    now = context.clock.now()
    if details.settled:
        return ev.SettledElsewhere(at=now, how=details.state.value)
    if details.state is PortalState.REVIEW or ret.settlement is Settlement.NOTHING or ret.asked_for is Settlement.FLAG:
        return ev.ReviewFound(at=now)
    if details.state is PortalState.UNKNOWN:
        raise _unknown(context)
    if ret.asked_for is not Settlement.NOTHING and not ret.processing_failed:
        return ev.ProcessingRequested(at=now)
    return None


async def _pay_out(ret: Return, details: PortalReturn, context: ShopContext, resumed: bool) -> Outcome:
    """Processing and removing both pay for every remaining line, so each line must have been judged."""
    now = context.clock.now()
    judged = {u.line_id for u in ret.units if u.standing is not UnitState.REMOVED}
    if {line.line_id for line in details.lines} - judged:
        return ev.ProcessingFailed(at=now, message="an item was added after the verdict")
    if ret.settlement is Settlement.REMOVE:
        return await _remove(ret, details, context, resumed)
    return await _process(ret, context, resumed)


async def _flag(ret: Return, before: PortalReturn, context: ShopContext) -> Outcome:
    """Ask for a review. A return that expired in the portal may not allow one: then a person must be told."""
    try:
        await context.portal.flag(ret.return_id)
    except Refused:
        details = await context.portal.details(ret.return_id, Lane.BACKGROUND)
        if details.settled:
            return ev.SettledElsewhere(at=context.clock.now(), how=details.state.value)
        if details.state is not PortalState.REVIEW:
            if before.state is not PortalState.EXPIRED:
                raise
            context.metrics.trouble("unsettled")
            return ev.LeftUnsettled(at=context.clock.now(), how="it has expired in Loop, and Loop takes no flag")
    return ev.ReturnFlagged(at=context.clock.now())


async def _remove(ret: Return, details: PortalReturn, context: ShopContext, resumed: bool) -> Outcome:
    """Remove every discrepant line in one call, which processes the rest. Lines that are gone were already removed.

    After an unclear answer the portal gets `outcome_watch` to show an effect. A second unclear answer counts as a
    refusal: Loop documents the status 500 for returns that it cannot process.
    """
    now = context.clock.now()
    there = {line.line_id for line in details.lines}
    lines = _discrepant(ret, details, context)
    if not lines:
        return ev.ProcessingRequested(at=now)
    if there == set(lines):
        return ev.RemovalRefused(at=now, message="nothing else is left, so that would cancel the return")
    if resumed and (left := _time_to_show(ret, context)) > 0:
        return NotYet(delay=left)
    try:
        await context.portal.remove(ret.return_id, lines)
    except Refused as error:
        return ev.RemovalRefused(at=now, message=await problem_of(ret, error, context))
    except Unavailable as error:
        after = await context.portal.details(ret.return_id, Lane.BACKGROUND) if resumed and error.unclear else None
        if after is None or after.settled or _discrepant(ret, after, context) != lines:
            raise
        return ev.RemovalRefused(at=now, message="it answers with an error")
    return ev.ProcessingRequested(at=now)


def _discrepant(ret: Return, details: PortalReturn, context: ShopContext) -> list[str]:
    """The lines to remove that are still there."""
    there = {line.line_id for line in details.lines}
    bad = dict.fromkeys(u.line_id for u in ret.units if treat(u, context.policy.verdict) is Treatment.FLAG)
    return [line_id for line_id in bad if line_id in there]


def _time_to_show(ret: Return, context: ShopContext) -> float:
    """The seconds that the portal still has to show the effect of an unclear call."""
    return ret.changed_at + context.timings.outcome_watch - context.clock.now()


async def _process(ret: Return, context: ShopContext, resumed: bool) -> Outcome:
    """Process the return. After an unclear answer, wait up to `outcome_watch` for an effect before asking again."""
    now = context.clock.now()
    if resumed:
        left = _time_to_show(ret, context)
        return NotYet(delay=left) if left > 0 else ev.CallHadNoEffect(at=now, call=Duty(Act.SETTLE))
    try:
        await context.portal.process(ret.return_id, processing_record(ret))
    except Refused as error:
        return ev.ProcessingFailed(at=now, message=await problem_of(ret, error, context))
    return ev.ProcessingRequested(at=now)


async def read_return(step: Step, context: ShopContext) -> Outcome:
    """Read the return after a hint, or to watch its outcome."""
    now = context.clock.now()
    details = await context.portal.details(step.ret.return_id, Lane.BACKGROUND)
    if details.state is PortalState.UNKNOWN and step.ret.state is State.PROCESSING:
        raise _unknown(context)
    event = _meaning(step.ret, details, now)
    if isinstance(event, ev.ReturnRead) and event.note_key == PAID_EARLY:
        context.metrics.trouble("processed_before_inspection")
        return _quieted(step.ret.shop, event)
    return event


def _quieted(shop: str, event: ev.ReturnRead) -> Decision:
    """A label's progress may have made the portal pay, so none is reported until a person has checked."""

    def decide(uow: UnitOfWork, _: Return) -> ev.Event:
        if not uow.mark(quiet_mark(shop)):
            uow.set_mark(quiet_mark(shop), repr(event.at))
        return event

    return decide


def _meaning(ret: Return, details: PortalReturn, now: float) -> ev.Event:
    """The event that the portal's state causes in our return's state."""
    if ret.state is State.PROCESSING and details.state is PortalState.REVIEW:
        return ev.ReviewFound(at=now)
    if ret.state is State.PROCESSING and details.state in _UNPROCESSED and past_deadline(ret, now):
        return ev.ProcessingFailed(at=now, message="nothing was heard of it for days")  # its only message may get lost
    if ret.state is State.IN_REVIEW and ret.flagged and details.state is PortalState.OPEN:
        return ev.FlagLifted(at=now)
    if details.settled:
        return _ending(ret, details, now)
    edited = edits(ret, details, now) if ret.state is State.AWAITING_INSPECTION else None
    return edited or ev.ReturnRead(at=now)


def _ending(ret: Return, details: PortalReturn, now: float) -> ev.Event:
    if ret.state is State.PROCESSING:
        return ev.ReturnProcessed(at=now)
    if ret.state is State.IN_REVIEW:
        return ev.ReviewSettled(at=now, how=details.state.value)
    if ret.state not in _UNENDED:
        return ev.ReturnRead(at=now)
    if details.state is PortalState.CANCELLED:
        return ev.LabelRequestCancelled(at=now)
    return _settled_early(details, now) if ret.state is State.AWAITING_INSPECTION else ev.ClosedInPortal(at=now)


PAID_EARLY = "processed-early"
_UNPROCESSED = frozenset({PortalState.OPEN, PortalState.EXPIRED})
_UNENDED = LABEL_STATES | {State.AWAITING_INSPECTION, State.EXPIRED, State.STUCK}


def _settled_early(details: PortalReturn, now: float) -> ev.Event:
    if not details.was_processed:
        words = (
            "Closed in Loop before Amazon inspected it. If nobody did that by hand, turn off automatic processing in "
            "the return policy. The inspection is still noted here."
        )
        return ev.ReturnRead(at=now, note_key="closed-early", note=words)
    words = (
        "Processed before Amazon inspected it. To wait for the inspection, turn off automatic processing in the "
        "return policy. The inspection is still noted here."
    )
    return ev.ReturnRead(at=now, note_key=PAID_EARLY, note=words)
