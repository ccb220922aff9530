"""An operator's actions on returns."""

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import replace

import structlog

from daemon.domain.events.operator import OperatorActed
from daemon.domain.events.returns import Event, LabelRequestCancelled, Resolved, Retried
from daemon.domain.leases import Standing
from daemon.domain.lifecycle import allows, apply
from daemon.domain.orders import FulfillmentOrder
from daemon.domain.portal import PortalState
from daemon.domain.prospects import next_words
from daemon.domain.returns import RequestState, Return, State
from daemon.domain.schedule import Timings, plan
from daemon.engine.handlers.context import ShopContext
from daemon.engine.handlers.search import OrderSearch, named_as_asked
from daemon.engine.handlers.search import Tried as TriedOrder
from daemon.engine.shop_pauses import ShopPauses
from daemon.errors import McfdError, OperatorError, Refused
from daemon.operations.reading import ReturnsReader
from daemon.operations.verb import instant
from daemon.operations.verbs.returns import Changed, Confirmed, Linked, Matched, Paused, PausedShop, ReturnShown, Tried
from daemon.ports.host import Clock
from daemon.ports.names import link_mark, proof_mark, quiet_mark
from daemon.ports.store import MaintainedStore, UnitOfWork
from daemon.ports.vendors import RETURN_AT_HAND, Lane

log = structlog.get_logger(__name__)


class Operator(ReturnsReader):
    """Changes returns for an operator."""

    _store: MaintainedStore

    def __init__(
        self,
        store: MaintainedStore,
        clock: Clock,
        timings: Timings,
        contexts: Mapping[str, ShopContext],
        wake: Callable[[], None] = lambda: None,
        *,
        moved: Callable[[str, State, State], None] = lambda _shop, _before, _after: None,
        shops: Collection[str] = (),
        pauses: ShopPauses | None = None,
        nodes: Callable[[], Awaitable[Standing]] | None = None,
    ) -> None:
        super().__init__(store, clock, timings, shops=shops, nodes=nodes)
        self._pauses = pauses or ShopPauses(store)
        self._contexts = contexts
        self._wake = wake
        self._moved = moved

    async def show(self, name: str) -> ReturnShown:
        """As the reader does, plus a link to a label that waits for a check, which only the daemon can open."""
        shown, ret = await super().show(name), await self.find(name)
        context = self._contexts.get(ret.shop)
        if context is None or not any(postage.doubtful for postage in ret.postage):
            return shown
        link = await self._store.read(lambda uow: uow.mark(proof_mark(ret.shop, ret.return_id)))
        return shown.model_copy(update={"label": context.labels.hosting.reveal(link)}) if link else shown

    async def retry(self, name: str, by: str, *, preview: bool = False) -> Changed:
        """Resume a stuck return, or one in review whose flag was removed; or only preview that."""
        ret = await self.find(name)
        context = self._contexts.get(ret.shop)
        labels = context is None or context.policy.labels
        if preview:
            return _preview(ret, what_a_retry_does(ret, self._clock.now(), self._timings, labels=labels))
        if ret.state is State.IN_REVIEW and context is not None:
            details = await context.portal.details(ret.return_id, Lane.BACKGROUND)
            if details.state is PortalState.REVIEW:
                raise OperatorError(f"{ret.ref} is in Needs Review in Loop: lift its flag there, then retry it here")
        return await self._tell(name, Retried(at=self._clock.now(), by=by, labels=labels))

    async def resolve(self, name: str, by: str, *, preview: bool = False) -> Changed:
        """Close a stuck return that a person has dealt with, or only preview that."""
        if preview:
            ret = await self.find(name)
            _check(ret, Resolved)
            return _preview(ret, _RESOLVED)
        return await self._tell(name, Resolved(at=self._clock.now(), by=by))

    async def cancel(self, name: str, by: str, *, preview: bool = False) -> Changed:
        """Treat a return as cancelled, or only preview that."""
        ret, now = await self.find(name), self._clock.now()
        if preview:
            return _preview(ret, _what_a_cancel_does(ret))
        acted = OperatorActed(at=now, by=by, how="cancelled it")
        changed = await self._tell(name, LabelRequestCancelled(at=now, by=by), acted)
        return changed.model_copy(update={"note": _what_a_cancel_does(ret)})

    async def confirm(self, shop: str, by: str) -> Confirmed:
        """Report labels' progress again: an operator has checked why Loop paid before an inspection."""
        if shop not in self._shops:
            raise OperatorError(f"no shop {shop} is configured; there are {', '.join(sorted(self._shops))}")
        was_quiet = await self._store.read(lambda uow: uow.mark(quiet_mark(shop)))
        await self._store.transact(lambda uow: uow.set_mark(quiet_mark(shop), ""))
        log.info("operator.confirmed", shop=shop, by=by)
        note = "Loop is told of its labels' progress again" if was_quiet else "Loop was told of it all the time"
        return Confirmed(shop=shop, note=note)

    async def pause(self, shop: str | None, by: str) -> Paused:
        """Send nothing for a shop, or for all, until it is resumed."""
        shops = self._named(shop)
        await self._pauses.pause(shops, self._clock.now())
        log.warning("operator.paused", shops=shops, by=by)
        return self._shown_pauses(shops)

    async def resume(self, shop: str | None, by: str) -> Paused:
        """Let a shop, or all, go on; what waits is tried now."""
        shops = self._named(shop)
        await self._pauses.resume(shops)
        log.info("operator.resumed", shops=shops, by=by)
        self._wake()
        return self._shown_pauses(shops)

    def _named(self, shop: str | None) -> list[str]:
        if shop is not None and shop not in self._shops:
            raise OperatorError(f"no shop {shop} is configured; there are {', '.join(sorted(self._shops))}")
        return sorted(self._shops) if shop is None else [shop]

    def _shown_pauses(self, shops: list[str]) -> Paused:
        at = self._pauses.since
        return Paused(shops=[PausedShop(shop=s, paused=s in at, since=instant(at.get(s))) for s in shops])

    async def link(self, name: str, orders: list[str], by: str, *, preview: bool = False) -> Linked:
        """Remember the fulfillment orders of a return, and try it now; or only preview that.

        A return that is not known here yet is linked for `mcfd adopt`.
        """
        if (unknown := await self._unknown(name)) is not None:
            return await self._link_unknown(*unknown, orders, by, preview=preview)
        ret, now = await self.find(name), self._clock.now()
        if preview:
            return Linked(return_=ret.ref, orders=orders, note=await self._about_link(ret, orders))
        acted = OperatorActed(at=now, by=by, how=f"linked it to {', '.join(orders)}")

        def work(uow: UnitOfWork) -> Return:
            uow.set_mark(link_mark(ret.shop, ret.return_id), "\n".join(orders))
            fresh = _written_down(uow, uow.get(ret.shop, ret.return_id) or ret, acted)
            if fresh.state is State.RECEIVED:
                uow.defer(replace(fresh, due_at=now))
            return fresh

        fresh = await self._store.transact(work)
        log.info("operator.acted", event_kind="OperatorActed", ref=ret.ref, by=by)
        self._wake()
        return Linked(return_=ret.ref, orders=orders, note=await self._about_link(fresh, orders))

    async def _unknown(self, name: str) -> tuple[str, str] | None:
        """The shop and id of a return that the store does not know, if its name says them."""
        shop, _, return_id = name.rpartition("/")
        shop = shop or (next(iter(self._contexts)) if len(self._contexts) == 1 else "")
        if shop not in self._contexts or not return_id:
            return None
        return None if await self._store.read(lambda uow: uow.find(return_id)) else (shop, return_id)

    async def _link_unknown(self, shop: str, return_id: str, orders: list[str], by: str, *, preview: bool) -> Linked:
        """Link a return that Loop shows; raises OperatorError for another."""
        try:
            await self._contexts[shop].portal.details(return_id, Lane.BACKGROUND)
        except Refused:
            raise OperatorError(f"no return {shop}/{return_id} is known, neither here nor in Loop") from None
        if not preview:
            mark = link_mark(shop, return_id)
            await self._store.transact(lambda uow: uow.set_mark(mark, "\n".join(orders)))
            log.info("operator.acted", event_kind="OperatorActed", ref=f"{shop}/{return_id}", by=by)
        note = "it is not known here yet: mcfd adopt takes it over with these orders"
        return Linked(return_=f"{shop}/{return_id}", orders=orders, note=note)

    async def _about_link(self, ret: Return, orders: list[str]) -> str:
        """When the link counts, and what is wrong with its orders."""
        notes = (_when_it_counts(ret), *[await self._doubt(ret, order_id) for order_id in orders])
        return "; ".join(note for note in notes if note)

    async def _doubt(self, ret: Return, order_id: str) -> str:
        """What is wrong with a linked order, as far as Amazon tells now; empty if nothing is."""
        context = self._contexts.get(ret.shop)
        if context is None:
            return f"{order_id} was not looked up, for the daemon does not run or does not know the shop"
        try:
            order = await context.account.network.order(order_id, Lane.BACKGROUND)
        except McfdError as error:
            return f"{order_id} could not be read ({error})"
        if order is None or not named_as_asked(order, order_id):
            return f"Amazon knows no order {order_id}: link it again when the name was mistyped"
        answer = _fits(order, ret)
        return f"{order_id} {answer}" if answer.startswith("lacks") else ""

    async def unlink(self, name: str, by: str, *, preview: bool = False) -> Linked:
        """Forget an operator's link, or only preview that. What was already asked of Amazon with it stays."""
        ret, now = await self.find(name), self._clock.now()

        def links(uow: UnitOfWork) -> list[str]:
            linked = [one for one in (uow.mark(link_mark(ret.shop, ret.return_id)) or "").split("\n") if one]
            if not linked:
                raise OperatorError(f"{ret.ref} is not linked to an order")
            return linked

        def work(uow: UnitOfWork) -> list[str]:
            linked = links(uow)
            uow.set_mark(link_mark(ret.shop, ret.return_id), "")
            acted = OperatorActed(at=now, by=by, how=f"unlinked it from {', '.join(linked)}")
            _written_down(uow, uow.get(ret.shop, ret.return_id) or ret, acted)
            return linked

        if preview:
            forgotten = ", ".join(await self._store.read(links))
            return Linked(return_=ret.ref, orders=[], note=f"{forgotten} is forgotten; {_UNLINKED}")
        await self._store.transact(work)
        return Linked(return_=ret.ref, orders=[], note=_UNLINKED)

    async def note_look(self, order_id: str, by: str) -> None:
        """Write into the histories of an order's returns who had it read."""
        acted = OperatorActed(at=self._clock.now(), by=by, how=f"had order {order_id} read at Amazon")
        accounts = {context.account.name for context in self._contexts.values()}

        def work(uow: UnitOfWork) -> None:
            for account in accounts:
                for ref in uow.on_order(account, order_id):
                    if (ret := uow.get(*ref)) is not None:
                        _written_down(uow, ret, acted)

        await self._store.transact(work)

    async def match(self, name: str) -> Matched:
        """Try every id that the matching would, including the index's, and report Amazon's answer for each."""
        ret = await self.find(name)
        context = self._contexts.get(ret.shop)
        if context is None:
            raise OperatorError(f"{ret.ref}: matching asks Amazon, so the daemon must run and know the shop")
        RETURN_AT_HAND.set((ret.shop, ret.return_id))
        search = OrderSearch(ret, ret.units, context, Lane.BACKGROUND)
        await search.run(everything=True)
        doubtful = [order.order_id for order in search.doubtful]
        return Matched(
            return_=ret.ref,
            tried=[_tried(tried, ret, doubtful) for tried in search.tried],
            note=_read_at(await context.account.order_index.read_at()),
        )

    async def _tell(self, name: str, event: Event, acted: OperatorActed | None = None) -> Changed:
        ret = await self.find(name)

        def work(uow: UnitOfWork) -> tuple[State, Return]:
            fresh = uow.get(ret.shop, ret.return_id) or ret
            _check(fresh, type(event))
            if acted is not None:
                fresh = _written_down(uow, fresh, acted)
            after = apply(fresh, event)
            if isinstance(event, Retried):
                _check_retry(fresh, after)
            return fresh.state, uow.save(plan(fresh, after, event.at, self._timings), event, fresh.state)

        before, after = await self._store.transact(work)
        if after.state is not before:
            self._moved(after.shop, before, after.state)
        log.info("operator.acted", event_kind=type(event).__name__, ref=after.ref, by=getattr(acted or event, "by", ""))
        self._wake()
        return Changed(return_=after.ref, state=after.state.value)


_UNLINKED = "it is matched by the shop's templates again"
_RESOLVED = (
    "it is closed in mcfd, which does no more for it; nothing is told to Loop or to Amazon, "
    "and what still arrives is noted"
)


def _preview(ret: Return, note: str) -> Changed:
    return Changed(return_=ret.ref, state=ret.state.value, note=note)


def _check(ret: Return, event: type[Event]) -> None:
    if event is Retried and ret.unproven:
        raise OperatorError(f"{ret.ref} waits to be compared with the vendors: run mcfd adopt {ret.ref}")
    if not allows(ret.state, event):
        raise OperatorError(f"{ret.ref} is {ret.state}: {_ONLY[event]}")


def _check_retry(before: Return, after: Return) -> None:
    if after.state is before.state and after.requests == before.requests:
        raise OperatorError(f"{before.ref} is {before.state}, and nothing of it was refused: there is nothing to retry")


def what_a_retry_does(ret: Return, now: float, timings: Timings, *, labels: bool) -> str:
    """Describe the effect of a retry. Raises OperatorError where it has none."""
    event = Retried(at=now, by="", labels=labels)
    _check(ret, Retried)
    after = apply(ret, event)
    _check_retry(ret, after)
    first = "Loop is asked whether its flag was lifted; if so, " if ret.state is State.IN_REVIEW else ""
    then = next_words(plan(ret, after, now, timings), now)
    state = after.state.value.replace("_", " ")
    return f"{first}it is {state} again, with all attempts; next: {then[0].lower()}{then[1:]}"


def _what_a_cancel_does(ret: Return) -> str:
    """Describe the effect of a cancel, given what the return has."""
    told = ["mcfd no longer asks Loop to pay it out or to review it"]
    unused = [p.tracking_id or p.shipment_id for p in ret.postage if p.bought and p.scanned_at is None]
    if unused:
        told.append(f"the unused label {', '.join(unused)} is given back, and the shopper's link stops working")
    if ret.label_out and not unused:
        told.append("the shopper keeps the label; what still arrives is noted")
    if ret.authorized():
        told.append("Amazon knows no cancel: its authorization stays")
    told.append("Loop itself is unchanged: cancel the return there as well")
    return "; ".join(told)


_ONLY: Mapping[type[Event], str] = {
    Retried: "only returns that are stuck, or in review with the flag lifted, can be retried",
    Resolved: "only a stuck return can be resolved",
}


def _when_it_counts(ret: Return) -> str:
    """Say when a link takes effect."""
    match ret.state:
        case State.RECEIVED:
            return "it is tried now"
        case State.STUCK:
            return "it is stuck: mcfd retry tries it"
        case State.CLOSED if any(r.asked is RequestState.REFUSED for r in ret.requests):
            return "its label was refused: mcfd retry tries it"
        case _:
            return f"it is {ret.state} and not matched again, unless Loop asks for its label once more"


def _tried(tried: TriedOrder, ret: Return, doubtful: Collection[str]) -> Tried:
    """One id that was tried, the result, and the order's content."""
    order, answer = tried.order, tried.answer
    if order is None:
        return Tried(order=tried.order_id, answer=answer)
    if order.order_id in doubtful:
        answer = "may be another shopper's of the same name; mcfd link says which it is"
    elif not tried.why_not:
        answer = _fits(order, ret)
    return Tried(order=tried.order_id, answer=answer, skus=sorted({item.sku for item in order.items}))


def _read_at(at: float | None) -> str:
    """When Amazon's list of orders was last read, in words."""
    if at is None:
        return "Amazon's list of orders has not been read to its end yet: ask again in a minute"
    return f"Amazon's list of orders was read at {instant(at)}"


def _fits(order: FulfillmentOrder, ret: Return) -> str:
    lacking = sorted({unit.sku for unit in ret.units} - {item.sku for item in order.items})
    if lacking:
        return f"lacks {', '.join(lacking)}"
    if not ret.units:
        return "is there; what is to come back is not known yet"
    return "holds all units" if any(s.shipped for s in order.shipments) else "holds all units, and nothing has shipped"


def _written_down(uow: UnitOfWork, ret: Return, acted: OperatorActed) -> Return:
    return uow.save(apply(ret, acted), acted, ret.state)
