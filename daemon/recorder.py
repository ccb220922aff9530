"""Saving what happened: the event applied, the clocks set, the row guarded, all in one transaction."""

from dataclasses import replace

import structlog

from daemon.acts.desk import Decision, NotYet
from daemon.domain.events import Event
from daemon.domain.lifecycle import allows, apply
from daemon.domain.returns import Return, State
from daemon.domain.schedule import Timings, plan
from daemon.errors import IllegalTransition, StaleReturn
from daemon.ports import Clock, Metrics, ReturnStore, UnitOfWork

log = structlog.get_logger(__name__)


class Recorder:
    """The only way in which a return that exists is changed."""

    def __init__(self, store: ReturnStore, clock: Clock, timings: Timings, metrics: Metrics) -> None:
        self._store = store
        self._clock = clock
        self._timings = timings
        self._metrics = metrics

    async def begin(self, ret: Return, event: Event) -> Return:
        """Save an intention; raises StaleReturn when somebody else changed the return meanwhile."""
        return await self._store.transact(lambda uow: uow.save(self._after(ret, event), event, ret.state))

    async def record(self, ret: Return, happened: Event | Decision, *, looked: bool = False) -> Return | NotYet:
        """Save what happened. If somebody else saved first, the fact is told to the return as it is now, or dropped.

        `looked` says that Amazon was read, so that the next look is planned anew.
        """
        before, after, event = await self._store.transact(lambda uow: self._write(uow, ret, happened, looked=looked))
        if isinstance(after, NotYet) or event is None:
            return after
        self.announce(before, after, event)
        return after

    def announce(self, before: State | None, after: Return, event: Event | None) -> None:
        """Log and count a committed change."""
        if before is after.state:
            return
        self._metrics.moved(after.shop, before, after.state)
        name = type(event).__name__ if event is not None else "Created"
        log.info("return.moved", ref=after.ref, event_kind=name, before=before, after=after.state)

    def _write(
        self, uow: UnitOfWork, ret: Return, happened: Event | Decision, *, looked: bool
    ) -> tuple[State, Return | NotYet, Event | None]:
        current: Return | None = ret
        while current is not None:
            event = happened(uow, current) if callable(happened) else happened
            if isinstance(event, NotYet):
                return current.state, event, None
            if current is not ret and not allows(current.state, type(event)):
                break
            try:
                after = self._after(replace(current, look_at=None) if looked else current, event)
                return current.state, uow.save(after, event, current.state), event
            except StaleReturn:
                current = uow.get(ret.shop, ret.return_id)
            except IllegalTransition:
                if current is ret:
                    raise
                break
        log.info("return.event_dropped", ref=ret.ref, event_kind=type(happened).__name__)
        return ret.state, current or ret, None

    def _after(self, ret: Return, event: Event) -> Return:
        return plan(ret, apply(ret, event), self._clock.now(), self._timings)

    async def rest(self, ret: Return, *, looked: bool = False) -> Return:
        """Nothing happened and nothing is owed: wait for the next clock."""
        planned = plan(ret, replace(ret, look_at=None) if looked else ret, self._clock.now(), self._timings)
        return await self.defer(planned)

    async def defer(self, ret: Return) -> Return:
        """Save clocks and counters; if somebody else changed the return, theirs stands."""
        return await self._store.transact(lambda uow: _defer(uow, ret))

    async def fresh(self, ret: Return) -> Return:
        """The return as it is stored now."""
        return await self._store.read(lambda uow: uow.get(ret.shop, ret.return_id)) or ret


def _defer(uow: UnitOfWork, ret: Return) -> Return:
    try:
        return uow.defer(ret)
    except StaleReturn:
        return uow.get(ret.shop, ret.return_id) or ret
