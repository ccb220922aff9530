"""Saves the outcome of a step: applies the event, sets the times, checks the row's version, in one transaction."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import structlog

from daemon.domain.copies import replace
from daemon.domain.events.postage import ParcelsTracked
from daemon.domain.events.returns import Event, RequestStands, ReturnRead
from daemon.domain.lifecycle import apply
from daemon.domain.returns import Return, State
from daemon.domain.schedule import Timings, plan
from daemon.engine.call_journal import CallJournal
from daemon.engine.handlers.context import Decision, NotYet
from daemon.errors import IllegalTransition, McfdError, StaleReturn
from daemon.ports.host import Clock, Metrics
from daemon.ports.store import ReturnStore, UnitOfWork

T = TypeVar("T")

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Saved:
    before: Return
    after: Return
    event: Event


class _Dropped(McfdError):
    """The event means nothing to the return as stored now. The whole unit of work is rolled back."""


class Recorder:
    """Saves the outcomes of steps."""

    def __init__(
        self,
        store: ReturnStore,
        clock: Clock,
        timings: Timings,
        metrics: Metrics,
        *,
        journal: CallJournal | None = None,
    ) -> None:
        self.clock = clock
        self._store = store
        self._journal = journal or CallJournal(store)
        self._timings = timings
        self._metrics = metrics

    async def begin(self, ret: Return, event: Event) -> Return:
        """Save an intention; raises StaleReturn when somebody else changed the return meanwhile."""
        return (await self._transact(ret, lambda uow: self._save(uow, ret, event))).after

    async def record(self, ret: Return, event: Event, *, looked: bool = False) -> Return:
        """Save an event. If somebody else saved first, apply it to the return as it is now, or drop it.

        `looked` says that Amazon was read, so that the next reading is planned from now.
        """

        def work(uow: UnitOfWork) -> _Saved:
            try:
                return self._save(uow, ret, event, looked=looked)
            except StaleReturn:
                stored = _stored(uow, ret)
                # A reading that was brought forward during this one is still owed.
                same = stored.amazon_due_at == ret.amazon_due_at
                return self._save_late(uow, stored, event, looked=looked and same)

        try:
            return self._told(await self._transact(ret, work))
        except _Dropped as dropped:
            return await self._dropped(ret, dropped)

    async def decide(self, ret: Return, decision: Decision) -> Return | NotYet:
        """Decide on the stored return and save the event. Everything `decision` writes is in the same transaction."""

        def work(uow: UnitOfWork) -> _Saved | NotYet:
            stored = _stored(uow, ret)
            late = stored.version != ret.version
            event = decision(uow, stored if late else ret)
            if isinstance(event, NotYet):
                return event
            return self._save_late(uow, stored, event) if late else self._save(uow, ret, event)

        try:
            result = await self._transact(ret, work)
        except _Dropped as dropped:
            return await self._dropped(ret, dropped)
        return result if isinstance(result, NotYet) else self._told(result)

    async def rest(self, ret: Return, *, looked: bool = False) -> Return:
        """Nothing happened and nothing is owed: wait for the next planned time."""
        planned = plan(ret, replace(ret, amazon_due_at=None) if looked else ret, self.clock.now(), self._timings)
        return await self.defer(planned)

    async def defer(self, ret: Return) -> Return:
        """Save times and counters; if somebody else changed the return, their version stays."""
        return await self._transact(ret, lambda uow: _defer(uow, ret))

    async def fresh(self, ret: Return) -> Return:
        """Read the return as it is stored now; one that is gone owes nothing."""
        return await self._store.read(lambda uow: uow.get(ret.shop, ret.return_id)) or _gone(ret)

    async def _transact(self, ret: Return, work: Callable[[UnitOfWork], T]) -> T:
        return await self._journal.transact((ret.shop, ret.return_id), work)

    def _save(self, uow: UnitOfWork, ret: Return, event: Event, *, looked: bool = False) -> _Saved:
        changed = apply(replace(ret, amazon_due_at=None) if looked else ret, event)
        after = plan(ret, changed, self.clock.now(), self._timings)
        news = event if _is_news(event, ret, after) else None
        return _Saved(ret, uow.save(after, news, ret.state, read=ret), event)

    def _save_late(self, uow: UnitOfWork, stored: Return, event: Event, *, looked: bool = False) -> _Saved:
        """Save what happened to a return that somebody else has changed meanwhile."""
        try:
            return self._save(uow, stored, event, looked=looked)
        except IllegalTransition as error:
            raise _Dropped(type(event).__name__) from error

    def _told(self, saved: _Saved) -> Return:
        """Log and count a committed change."""
        before, after = saved.before.state, saved.after.state
        if before is not after:
            self._metrics.moved(saved.after.shop, before, after)
            kind = type(saved.event).__name__
            moved = {"ref": saved.after.ref, "event_kind": kind, "before": before, "after": after}
            if after is State.STUCK:
                log.warning("return.moved", **moved, code=saved.after.problem_code, reason=saved.after.problem)
            else:
                log.info("return.moved", **moved)
        return saved.after

    async def _dropped(self, ret: Return, dropped: _Dropped) -> Return:
        log.info("return.event_dropped", ref=ret.ref, event_kind=str(dropped))
        return await self.fresh(ret)


def _is_news(event: Event, before: Return, after: Return) -> bool:
    """Whether the event deserves a row: readings that change only times do not, since some repeat for months."""
    return not isinstance(event, _READINGS) or _substance(before) != _substance(after)


def _substance(ret: Return) -> Return:
    return replace(
        ret,
        version=0,
        changed_at=0.0,
        due_at=None,
        amazon_due_at=None,
        portal_due_at=None,
        attempts=0,
        transient_failures=0,
        needs_read=False,
        requests=tuple(replace(request, read_at=None) for request in ret.requests),
        postage=tuple(replace(postage, tracked_at=None) for postage in ret.postage),
    )


_READINGS = (ReturnRead, RequestStands, ParcelsTracked)


def _stored(uow: UnitOfWork, ret: Return) -> Return:
    stored = uow.get(ret.shop, ret.return_id)
    if stored is None:
        raise _Dropped("any")  # the return was purged
    return stored


def _gone(ret: Return) -> Return:
    return replace(ret, due_at=None)


def _defer(uow: UnitOfWork, ret: Return) -> Return:
    try:
        return uow.defer(ret)
    except StaleReturn:
        return uow.get(ret.shop, ret.return_id) or _gone(ret)
