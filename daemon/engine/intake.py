"""Stores what webhooks and polls bring: a new return or a hint, once, in one unit of work."""

from collections.abc import Callable, Mapping, Sequence
from math import inf

import structlog

from daemon.domain.acts import Act, Duty
from daemon.domain.copies import replace
from daemon.domain.events.returns import (
    Event,
    LabelRequestCancelled,
    LabelRequestedAgain,
    ProcessingFailed,
    RestockRequested,
    ReturnProcessed,
)
from daemon.domain.lifecycle import apply
from daemon.domain.portal import (
    Message,
    PortalState,
    ProcessingTrouble,
    RequestCancelled,
    RequestIssued,
    RestockAsked,
    ReturnChanged,
)
from daemon.domain.returns import (
    MAIN_ACCOUNT,
    LabelRequest,
    LabelSourceName,
    RequestState,
    Return,
    Settlement,
    State,
    UnitState,
)
from daemon.domain.schedule import Timings, plan
from daemon.domain.transitions.labels import LABEL_STATES
from daemon.engine.overheard import Overheard
from daemon.ports.host import Clock, Metrics
from daemon.ports.names import tombstone, verified_mark
from daemon.ports.store import DeadLetter, Delivery, ReturnStore, UnitOfWork

log = structlog.get_logger(__name__)

_ENDED = frozenset({PortalState.CLOSED, PortalState.CANCELLED})
TELLING: Mapping[State, frozenset[PortalState]] = {
    State.RECEIVED: _ENDED,
    State.AWAITING_LABEL: _ENDED,
    State.LABEL_READY: _ENDED,
    State.AWAITING_INSPECTION: _ENDED,
    State.INSPECTED: _ENDED | {PortalState.REVIEW},
    State.SETTLING: _ENDED | {PortalState.REVIEW},
    State.PROCESSING: _ENDED | {PortalState.REVIEW},
    State.IN_REVIEW: _ENDED | {PortalState.OPEN},
    State.EXPIRED: _ENDED,
    State.STUCK: _ENDED,
}
"""The portal's states that are news for a return in each of our states; other states need no reading."""


class Intake:
    """Takes in facts and hints. `wake` is called after the commit; `accounts` are by shop.

    `former` are the names that a shop had before. `makes_labels` says whether mcfd makes a shop's labels, which is
    fixed for a request when it is heard.
    """

    def __init__(
        self,
        store: ReturnStore,
        clock: Clock,
        timings: Timings,
        metrics: Metrics,
        wake: Callable[[], None],
        *,
        overheard: Overheard | None = None,
        accounts: Mapping[str, str] | None = None,
        former: Mapping[str, Sequence[str]] | None = None,
        makes_labels: Callable[[str], bool] = lambda _shop: True,
    ) -> None:
        self._store = store
        self._clock = clock
        self._timings = timings
        self._metrics = metrics
        self._wake = wake
        self._accounts = accounts or {}
        self._overheard = overheard or Overheard()
        self._former = former or {}
        self._makes_labels = makes_labels
        self._verified_at: dict[str, float] = {}

    async def deliver(self, delivery: Delivery, message: Message | None) -> bool:
        """Store a verified delivery and its effect; returns after the commit. False for a repeated delivery.

        `message` is None for topics that the daemon ignores. Raises StoreUnavailable.
        """

        def work(uow: UnitOfWork) -> tuple[bool, list[tuple[State | None, Return]]]:
            ret = None if message is None else uow.get(delivery.shop, message.return_id)
            new = uow.record_delivery(delivery if ret is not None else self._nameless(uow, delivery))
            self._verified(uow, delivery.shop, delivery.received_at)
            return new, self._take(uow, delivery.shop, message, ret, repeated=not new)

        new, moved = await self._store.transact(work)
        self._announce(moved)
        if moved:
            self._wake()
        return new

    async def keep_dead_letter(self, letter: DeadLetter) -> bool:
        """Keep a delivery that was signed but cannot be read; False if it is already kept."""

        def work(uow: UnitOfWork) -> bool:
            self._verified(uow, letter.shop, letter.received_at)
            return uow.keep_dead_letter(letter)

        return await self._store.transact(work)

    async def hear(self, shop: str, messages: list[Message]) -> None:
        """Store what a poll saw: the same effects as deliveries, many in one unit of work."""
        moved = await self._store.transact(
            lambda uow: [
                change for m in messages for change in self._take(uow, shop, m, uow.get(shop, m.return_id), polled=True)
            ]
        )
        self._announce(moved)
        if moved:
            self._wake()

    async def order_changed(self, order_id: str, account: str = MAIN_ACCOUNT) -> int:
        """Read a fulfillment order now, because Amazon announced news; returns the number of returns concerned.

        This is only a hint: returns not on that order, or not waiting for Amazon, are left alone. One that is being
        read just now is read again, since the news may be newer than the answer.
        """

        def work(uow: UnitOfWork) -> int:
            now = self._clock.now()
            found = [uow.get(*ref) for ref in uow.on_order(account, order_id)]
            waiting = [
                ret for ret in found if ret is not None and ret.amazon_due_at is not None and ret.amazon_due_at != now
            ]
            for ret in waiting:
                uow.defer(replace(ret, looked_at=None, amazon_due_at=now, due_at=min(ret.due_at or now, now)))
            return len(waiting)

        concerned = await self._store.transact(work)
        if concerned:
            self._wake()
        return concerned

    async def parcel_changed(self, account: str, handle: str) -> bool:
        """Ask the carrier now, because it announced news of a parcel; True if the handle is one of the account's."""

        def work(uow: UnitOfWork) -> bool:
            now = self._clock.now()
            parcel = uow.purchase(LabelSourceName.EASYPOST, handle)
            if parcel is None or parcel.account != account:
                return False
            if parcel.look_at is not None:
                uow.look_at_purchase(parcel.source, handle, min(parcel.look_at, now))
            ret = uow.get(parcel.shop, parcel.return_id)
            if ret is not None and ret.amazon_due_at is not None:  # even while it is being read: this news may be newer
                uow.defer(replace(ret, amazon_due_at=now, due_at=min(ret.due_at or now, now)))
            return True

        ours = await self._store.transact(work)
        if ours:
            self._wake()
        return ours

    def _verified(self, uow: UnitOfWork, shop: str, at: float) -> None:
        """Remember when the delivery came, to a minute; a replayed one counts for its original time."""
        if at <= self._verified_at.get(shop, -inf) + 60.0:
            return
        last = uow.mark(verified_mark(shop))
        if last is None or float(last) + 60.0 < at:
            uow.set_mark(verified_mark(shop), repr(at))
        self._verified_at[shop] = at

    def _nameless(self, uow: UnitOfWork, delivery: Delivery) -> Delivery:
        """Leave the ids out of a delivery about a forgotten return, unless it is served again."""
        if not delivery.return_id or not self._buried(uow, delivery.shop, delivery.return_id):
            return delivery
        return replace(delivery, subject="", return_id="")

    def _buried(self, uow: UnitOfWork, shop: str, return_id: str, request_id: str = "") -> bool:
        """Whether a return, or one of its label requests, was forgotten under any name that the shop ever had."""
        names = (shop, *self._former.get(shop, ()))
        return any(uow.buried(tombstone(name, return_id, request_id)) for name in names)

    def _announce(self, moved: list[tuple[State | None, Return]]) -> None:
        for before, ret in moved:
            if before is not ret.state:
                self._metrics.moved(ret.shop, before, ret.state)
                log.info("return.heard", ref=ret.ref, before=before, after=ret.state)

    def _take(
        self,
        uow: UnitOfWork,
        shop: str,
        message: Message | None,
        ret: Return | None,
        *,
        repeated: bool = False,
        polled: bool = False,
    ) -> list[tuple[State | None, Return]]:
        """The change that a message causes in its return, if any, with the state before it."""
        if message is None:
            return []
        if ret is None:
            if not isinstance(message, RequestIssued):
                return []
            if self._buried(uow, shop, message.return_id, message.request_id):  # one that Loop issued since is new
                return []
            return [(None, uow.add(self._opened(shop, message)))]
        # Two attempts may fail with byte-identical messages: the state tells whether this one is news.
        if repeated and not isinstance(message, ReturnChanged | ProcessingTrouble):
            return [(ret.state, self._bring_forward(uow, ret))]
        changed = self._changed(uow, ret, message, repeated=repeated, polled=polled)
        return [] if changed is None else [(ret.state, changed)]

    def _changed(
        self, uow: UnitOfWork, ret: Return, message: Message, *, repeated: bool, polled: bool
    ) -> Return | None:
        match message:
            case RequestIssued():
                return self._requested(uow, ret, message, polled=polled)
            case RequestCancelled():
                return self._cancelled(uow, ret, message)
            case ReturnChanged() if not repeated and not polled and _tells_the_end(ret, message):
                return self._happened(uow, ret, ReturnProcessed(at=self._clock.now()))
            case ReturnChanged():
                return self._hint(uow, ret) if _is_news(ret, message) else None
            case RestockAsked():
                return self._restocked(uow, ret)
            case ProcessingTrouble():
                return self._processing_failed(uow, ret, message.said)

    def _opened(self, shop: str, message: RequestIssued) -> Return:
        now = self._clock.now()
        request = self._request(shop, message)
        ret = Return(
            shop=shop,
            return_id=message.return_id,
            account=self._accounts.get(shop, MAIN_ACCOUNT),
            created_at=now,
            changed_at=now,
            requests=(request,),
        )
        return plan(None, ret, now, self._timings)

    def _request(self, shop: str, message: RequestIssued) -> LabelRequest:
        return LabelRequest(request_id=message.request_id, made_here=self._makes_labels(shop))

    def _requested(self, uow: UnitOfWork, ret: Return, message: RequestIssued, *, polled: bool) -> Return | None:
        known = ret.request(message.request_id)
        if known is not None and not self._unheard(ret, known):
            return None if polled else self._bring_forward(uow, ret)
        event = LabelRequestedAgain(at=self._clock.now(), request=self._request(ret.shop, message))
        return self._happened(uow, ret, event)

    def _unheard(self, ret: Return, request: LabelRequest) -> bool:
        """Whether we gave up before reading the request and told nobody; it is tried again, less and less often."""
        since = self._clock.now() - ret.changed_at
        pause = max(self._timings.unmatched_deadline, ret.changed_at - ret.created_at)
        return ret.state is State.STUCK and request.asked is RequestState.UNREAD and since >= pause

    def _cancelled(self, uow: UnitOfWork, ret: Return, message: RequestCancelled) -> Return | None:
        request = ret.request(message.request_id)
        if request is None or request.withdrawn or request.asked is RequestState.CANCELLED:
            return None
        event = LabelRequestCancelled(at=self._clock.now(), request_id=message.request_id)
        return self._happened(uow, ret, event)

    def _processing_failed(self, uow: UnitOfWork, ret: Return, said: str) -> Return | None:
        asked = ret.state is State.SETTLING and ret.settlement in {Settlement.PROCESS, Settlement.REMOVE}
        if ret.state is not State.PROCESSING and not asked:
            return None
        self._overheard.keep((ret.shop, ret.return_id), said)
        return self._happened(uow, ret, ProcessingFailed(at=self._clock.now()))

    def _restocked(self, uow: UnitOfWork, ret: Return) -> Return | None:
        """Note that Loop restocks as Amazon does: only this event shows it, since Loop cannot be asked."""
        if not ret.authorized():
            return None
        self._metrics.trouble("restock_requested")
        log.warning("return.restocked_twice", ref=ret.ref, text="turn off automatic restocking in Loop")
        return self._happened(uow, ret, RestockRequested(at=self._clock.now()))

    def _happened(self, uow: UnitOfWork, ret: Return, event: Event) -> Return:
        return uow.save(plan(ret, apply(ret, event), event.at, self._timings), event, ret.state, read=ret)

    def _hint(self, uow: UnitOfWork, ret: Return) -> Return:
        now = self._clock.now()
        return uow.defer(replace(ret, needs_read=True, due_at=min(ret.due_at or now, now)))

    def _bring_forward(self, uow: UnitOfWork, ret: Return) -> Return:
        """Wake a return that still waits for its label; a repeated delivery has no other effect."""
        now = self._clock.now()
        if ret.state not in LABEL_STATES or ret.due_at is None or ret.due_at <= now:
            return ret
        return uow.defer(replace(ret, due_at=now))


def _tells_the_end(ret: Return, message: ReturnChanged) -> bool:
    """Whether a signed message says all that a reading would: Loop has closed a return that it was asked to process.

    Closing is final in Loop, so the message stays true, however late it comes.
    """
    return message.state is PortalState.CLOSED and ret.state is State.PROCESSING and not ret.unproven


def _is_news(ret: Return, message: ReturnChanged) -> bool:
    """Whether the return should be read: the message tells of a state or of lines that are new to ours."""
    if message.state is PortalState.REVIEW and _asks_for_review(ret):
        return False
    telling = message.state in TELLING.get(ret.state, frozenset())
    return telling or _may_be_edited(ret, message.state) or _was_edited(ret, message)


def _asks_for_review(ret: Return) -> bool:
    """Whether mcfd is just asking for a review, so that the portal may tell of its own doing."""
    flagging = ret.settlement is Settlement.FLAG or ret.processing_failed
    return ret.state is State.SETTLING and flagging and Duty(Act.SETTLE) in ret.pending_calls


def _was_edited(ret: Return, message: ReturnChanged) -> bool:
    """Whether an item came or left around the verdict, which pays for all that are there.

    The portal may announce our own notes and grades as changes, too: these leave the lines as they are.
    """
    judging = ret.state in {State.INSPECTED, State.SETTLING}
    known = {unit.line_id for unit in ret.units if unit.standing is not UnitState.REMOVED}
    return judging and bool(message.line_ids) and message.line_ids != known


def _may_be_edited(ret: Return, state: PortalState) -> bool:
    """Read an open return of several lines when it changes: a removed line would hold up the others."""
    if ret.state is not State.AWAITING_INSPECTION or state is not PortalState.OPEN or ret.needs_read:
        return False
    return len({unit.line_id for unit in ret.units if unit.authorization_id}) > 1
