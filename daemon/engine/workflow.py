"""One step of one return: perform its duty, apply the event, save.

The effect comes first and the guarded save second, so a crash between the two repeats the effect; each handler makes
that harmless. For the calls in `ONCE` the intention is saved before the call: found after a crash, it tells the handler
to verify first.
"""

from collections.abc import Callable, Mapping, Sequence

import structlog

from daemon.domain.acts import Act, Duty
from daemon.domain.copies import replace
from daemon.domain.duties import duty, reading_duty
from daemon.domain.events import returns as ev
from daemon.domain.inspection import calls_missing, edits, inspect, may_be_spared, newly_processed, told_all
from daemon.domain.orders import FulfillmentOrder
from daemon.domain.returns import Return
from daemon.domain.schedule import Timings, begun_anew, forgive_failure, forgive_lateness, undecided
from daemon.domain.switches import up_to_date
from daemon.engine.failures import OVERTAKEN, Failure, Response, VendorHealth, respond
from daemon.engine.handlers.authorization import authorize_units, look_for_authorization, match_order, read_request
from daemon.engine.handlers.complaints import problem_of
from daemon.engine.handlers.context import Handler, NotYet, Outcome, Readings, ShopContext, Step
from daemon.engine.handlers.labels import deliver_label, issue_label, report_refusal
from daemon.engine.handlers.orders import others_on, read_orders
from daemon.engine.handlers.outcome import conclude, read_return, settle
from daemon.engine.handlers.postage import buy_postage, fetch_label, quote_postage, track_parcels, void_postage
from daemon.engine.handlers.reports import grade_lines, report_transit, write_notes
from daemon.engine.recorder import Recorder
from daemon.errors import (
    CredentialsRefused,
    LeaseLost,
    McfdError,
    Refused,
    StaleReturn,
    StoreUnavailable,
    TooEarly,
    Transient,
    Unavailable,
)
from daemon.ports.leases import LEASE, ONLY_LOOKING
from daemon.ports.store import UnitOfWork
from daemon.ports.vendors import PAUSED, RETURN_AT_HAND, Lane

log = structlog.get_logger(__name__)

HANDLERS: Mapping[Act, Handler] = {
    Act.READ_REQUEST: read_request,
    Act.MATCH_ORDER: match_order,
    Act.AUTHORIZE_UNITS: authorize_units,
    Act.LOOK_FOR_AUTHORIZATION: look_for_authorization,
    Act.QUOTE_POSTAGE: quote_postage,
    Act.BUY_POSTAGE: buy_postage,
    Act.FETCH_LABEL: fetch_label,
    Act.VOID_POSTAGE: void_postage,
    Act.TRACK_PARCELS: track_parcels,
    Act.ISSUE_LABEL: issue_label,
    Act.DELIVER_LABEL: deliver_label,
    Act.REPORT_REFUSAL: report_refusal,
    Act.WRITE_NOTES: write_notes,
    Act.GRADE_LINES: grade_lines,
    Act.REPORT_TRANSIT: report_transit,
    Act.CONCLUDE: conclude,
    Act.SETTLE: settle,
    Act.READ_RETURN: read_return,
}

ONCE = frozenset(
    {Act.AUTHORIZE_UNITS, Act.BUY_POSTAGE, Act.DELIVER_LABEL, Act.WRITE_NOTES, Act.GRADE_LINES, Act.SETTLE}
)
"""Calls whose intention is saved before they are made."""

_READ_THEMSELVES = frozenset({Act.CONCLUDE, Act.SETTLE})
"""Acts that follow a hint by their own reading of the return (`readings.recent_details`)."""

PARKED_FOR = 3600.0
"""Seconds until a return of a shop without a context is tried again."""

PAUSED_FOR = 300.0
"""The same for a shop that is paused. A resume brings forward what waits."""


class Workflow:
    """Steps returns. One context per shop; a shop without one was removed from the configuration.

    So was a shop that is now another account's: what was begun with one seller is not continued with another.
    """

    def __init__(
        self, contexts: Mapping[str, ShopContext], recorder: Recorder, *, attempts: int, jitter: Callable[[], float]
    ) -> None:
        self._contexts = contexts
        self._recorder = recorder
        self._attempts = attempts
        self._jitter = jitter
        self._health = VendorHealth()

    async def step(self, ret: Return, readings: Readings | None = None) -> Return:
        """Perform the return's current duty; returns the return as stored afterwards.

        Raises only StoreUnavailable and LeaseLost.

        `readings` are those of the steps before, if this one follows them in one walk.
        """
        at_hand = RETURN_AT_HAND.set((ret.shop, ret.return_id))
        try:
            return await self._step(ret, readings or Readings())
        finally:
            RETURN_AT_HAND.reset(at_hand)

    async def _step(self, ret: Return, readings: Readings) -> Return:
        context = self._context_of(ret)
        if context is None:
            return await self._park(ret)
        PAUSED.set(context.paused)
        ret = up_to_date(ret, context.policy.switches)
        if context.paused():
            return await self._read_only(ret, context, readings)
        owed = duty(ret, context.clock.now())
        if owed is None:
            return await self._recorder.rest(ret)
        try:
            return await self._perform(ret, owed, context, readings)
        except (StoreUnavailable, LeaseLost):
            raise
        except StaleReturn:
            return await self._recorder.fresh(ret)
        except Exception as error:  # noqa: BLE001 - a bug in one step must not stop its neighbours
            return await self._failed(ret, owed, error, context)

    def _context_of(self, ret: Return) -> ShopContext | None:
        context = self._contexts.get(ret.shop)
        return context if context is not None and context.account.name == ret.account else None

    async def _read_only(self, ret: Return, context: ShopContext, readings: Readings) -> Return:
        """Step a return of a paused shop. A reading that fails is judged when the shop goes on."""
        now = context.clock.now()
        ret = begun_anew(ret, now, context.timings)
        owed = reading_duty(ret, now)
        try:
            if owed is not None:
                return await self._perform(ret, owed, context, readings)
        except (StoreUnavailable, LeaseLost):
            raise
        except StaleReturn:
            return await self._recorder.fresh(ret)
        except Exception as error:  # noqa: BLE001 - as in `step`
            words = str(error) if isinstance(error, McfdError) else type(error).__name__
            log.info("step.postponed", ref=ret.ref, act=owed and owed.act, error=words, seconds=PAUSED_FOR)
            ret = begun_anew(await self._recorder.fresh(ret), now, context.timings)
        return await self._park(ret, PAUSED_FOR)

    async def _failed(self, ret: Return, owed: Duty, error: Exception, context: ShopContext) -> Return:
        """Decide what to do about the failure, and do it."""
        missing = isinstance(error, Unavailable) and self._health.missing(ret, owed, context.clock.monotonic())
        if isinstance(error, Refused):
            self._health.given(ret, owed, context.clock.monotonic())
        failure = Failure(
            ret=await self._recorder.fresh(ret),
            duty=owed,
            error=error,
            now=context.clock.now(),
            jitter=self._jitter(),
            resumed=owed in ret.pending_calls,
            singled_out=missing,
        )
        response = respond(failure, attempts=self._attempts, rest=context.timings.late_look)
        self._tell(failure, response, context)
        if response.event is None:
            return response.ret if response.ret is failure.ret else await self._recorder.defer(response.ret)
        event = response.event
        if isinstance(event, ev.GaveUp):
            event = replace(event, problem=await problem_of(response.ret, error, context))
        return await self._recorder.record(response.ret, event)

    def _tell(self, failure: Failure, response: Response, context: ShopContext) -> None:
        """Log and count a failure, once."""
        context.metrics.step(failure.duty.act, response.outcome)
        if response.trouble:
            context.metrics.trouble(response.trouble)
        if response.outcome == OVERTAKEN:
            return
        what = {"ref": failure.ret.ref, "act": failure.duty.act, "attempts": response.ret.attempts}
        if not isinstance(failure.error, McfdError):
            context.metrics.trouble("bug")
            log.error("step.crashed", **what, exc_info=failure.error)
        elif isinstance(failure.error, Transient | CredentialsRefused):
            seconds = round((response.ret.due_at or failure.now) - failure.now, 1)
            log.info("step.postponed", **what, error=str(failure.error), seconds=seconds)
        elif isinstance(failure.error, Refused):
            log.warning("step.refused", **what, code=failure.error.code)
        else:
            log.warning("step.failed", **what, error=str(failure.error))

    async def _perform(self, ret: Return, owed: Duty, context: ShopContext, readings: Readings) -> Return:
        if owed.act is Act.LOOK_FOR_INSPECTION:
            return await self._look(ret, context)
        ret = forgive_lateness(ret, context.clock.now())
        resumed = owed in ret.pending_calls
        if owed.act in ONCE and not resumed:
            ret = await self._recorder.begin(ret, ev.CallBegun(at=context.clock.now(), call=owed))
        step = Step(ret=ret, duty=owed, resumed=resumed, readings=readings)
        early = LEASE.get().repeats_from - context.clock.now() if resumed else 0.0
        outcome = await (_only_look(step, context, early) if early > 0 else HANDLERS[owed.act](step, context))
        ret = self._heard(_followed(ret, owed), owed, outcome, context)
        saved = await self._saved(ret, outcome)
        if isinstance(saved, Return):
            context.metrics.step(owed.act, "done")
            return saved
        context.metrics.step(owed.act, "not_yet")
        now = context.clock.now()
        waiting = replace(
            forgive_lateness(ret, now),
            due_at=now + saved.delay,
            verifications=saved.verifications or ret.verifications,
        )
        return await self._recorder.defer(waiting)

    async def _saved(self, ret: Return, outcome: Outcome) -> Return | NotYet:
        if isinstance(outcome, NotYet):
            return outcome
        if callable(outcome):
            return await self._recorder.decide(ret, outcome)
        return await self._recorder.record(ret, outcome)

    def _heard(self, ret: Return, owed: Duty, outcome: Outcome, context: ShopContext) -> Return:
        """Reset the failures in a row. That an unclear call has had no effect, or none yet, is no answer to it.

        Else a call that keeps failing while the readings between are answered would be made every few seconds for ever.
        Nor is it an answer that a request still stands, or that nobody was asked.
        """
        asked = not isinstance(outcome, NotYet) or outcome.asked
        unclear = owed.act in ONCE and isinstance(outcome, NotYet | ev.CallHadNoEffect)
        if isinstance(outcome, ev.RequestStands) or unclear or not asked:
            return ret
        self._health.given(ret, owed, context.clock.monotonic())
        return _answered(ret)

    async def _look(self, ret: Return, context: ShopContext) -> Return:
        """Read the orders once, for this return and for all others whose units are on them.

        A deadline is judged only by a reading begun after it, so the reading counts at the time of asking.
        """
        now = context.clock.now()
        push = context.account.push
        if push and may_be_spared(ret, now, _clocks(context), push.spacing):
            context.metrics.step(Act.LOOK_FOR_INSPECTION, "spared")
            return await self._recorder.rest(ret, looked=True)
        orders = await read_orders(ret, context, Lane.BACKGROUND)
        self._health.given(ret, Duty(Act.LOOK_FOR_INSPECTION), context.clock.monotonic())
        read = {order.order_id for order in orders}
        for sibling in await context.store.read(lambda uow: _siblings(uow, ret, read)):
            # Its carrier was not asked, so if there is one, its own reading is still owed.
            tracked = not any(postage.travelling for postage in sibling.postage)
            theirs = self._context_of(sibling)
            event = inspect(sibling, orders, now, _clocks(theirs)) if theirs else None
            if theirs is not None and not calls_missing(sibling, event):  # that needs its own reading, too
                await self._seen(replace(sibling, looked_at=now), event, theirs, looked=tracked)
        ret = await self._edited(replace(_answered(ret), looked_at=now), orders, now, context)
        return await self._seen(ret, inspect(ret, orders, now, _clocks(context)), context, looked=True)

    async def _edited(
        self, ret: Return, orders: Sequence[FulfillmentOrder], now: float, context: ShopContext
    ) -> Return:
        """Read the portal before a unit is called missing: it may no longer be part of the return."""
        if not calls_missing(ret, inspect(ret, orders, now, _clocks(context))):
            return ret
        details = await context.portal.details(ret.return_id, Lane.BACKGROUND)
        edited = edits(ret, details, context.clock.now())
        return ret if edited is None else await self._recorder.record(ret, edited)

    async def _seen(self, ret: Return, event: ev.Event | None, context: ShopContext, *, looked: bool) -> Return:
        context.metrics.step(Act.LOOK_FOR_INSPECTION, "not_yet" if event is None else "done")
        if event is None:
            return await self._recorder.rest(ret, looked=looked)
        settled = replace(ret, announced_at=None) if told_all(ret, event) else ret
        saved = await self._recorder.record(settled, event, looked=looked)
        await self._count_findings(ret, event, context)
        return saved

    async def _count_findings(self, ret: Return, event: ev.Event, context: ShopContext) -> None:
        """Count how long findings took from Amazon to us, and whether Amazon had announced them."""
        found = newly_processed(ret, event)
        for unit in found:
            context.metrics.inspection_seen(max(0.0, context.clock.now() - (unit.processed_at or 0.0)))
        if found and context.account.push is not None:
            await context.account.push.found([ret.announced_at is not None] * len(found))

    async def _park(self, ret: Return, seconds: float = PARKED_FOR) -> Return:
        later = max(ret.due_at or 0.0, self._recorder.clock.now()) + seconds
        return await self._recorder.defer(
            replace(forgive_failure(ret, later), due_at=later, transient_failures=ret.transient_failures + 1)
        )


async def _only_look(step: Step, context: ShopContext, early: float) -> Outcome:
    """Look for the effect of a call that another node had begun: for `early` seconds it may still come."""
    looking = ONLY_LOOKING.set(True)
    try:
        outcome = await HANDLERS[step.duty.act](step, context)
    except TooEarly:
        return NotYet(delay=early)
    finally:
        ONLY_LOOKING.reset(looking)
    return NotYet(delay=early) if isinstance(outcome, ev.CallHadNoEffect) else outcome


def _clocks(context: ShopContext) -> Timings:
    """The timings; without deadlines while the machine's clock is in doubt."""
    return context.timings if context.clock_check.trusted else undecided(context.timings)


def _followed(ret: Return, owed: Duty) -> Return:
    """The return after a step that has read it in the portal, as a hint before the step wanted.

    A hint that came during the step has changed the stored return, and stays there.
    """
    return replace(ret, needs_read=False) if owed.act in _READ_THEMSELVES and ret.needs_read else ret


def _answered(ret: Return) -> Return:
    """The return after a successful step: only failures in a row count."""
    return replace(ret, attempts=0, transient_failures=0) if ret.attempts or ret.transient_failures else ret


def _siblings(uow: UnitOfWork, ret: Return, read: set[str]) -> Sequence[Return]:
    """Other returns that wait for a reading and have units only on these orders; their failures stay counted."""
    return [r for r in others_on(uow, ret, read) if _rests(r) and set(r.order_ids()) <= read]


def _rests(ret: Return) -> bool:
    return ret.amazon_due_at is not None and not ret.unproven and not ret.attempts and not ret.transient_failures
