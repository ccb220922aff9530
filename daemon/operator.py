"""What an operator may ask and do, as plain values: the daemon's listener and the command line share it."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

from daemon.acts.authorizing import link_mark
from daemon.acts.desk import Desk
from daemon.arguments import OperatorError, Verb, instant, text, texts
from daemon.domain.duties import duty
from daemon.domain.events import Event, LabelRequestCancelled, Resolved, Retried
from daemon.domain.lifecycle import allows, apply
from daemon.domain.matching import OrderFacts, candidates, covers
from daemon.domain.returns import LabelRequest, Return, ReturnUnit, State
from daemon.domain.schedule import Timings, plan
from daemon.errors import Refused
from daemon.ports import Clock, Lane, ReturnStore, UnitOfWork

LISTED = 50


class Operator:
    """Reads and changes returns on a person's behalf. Without desks (the daemon is down) it only reads."""

    def __init__(
        self,
        store: ReturnStore,
        clock: Clock,
        timings: Timings,
        desks: Mapping[str, Desk],
        wake: Callable[[], None] = lambda: None,
        *,
        moved: Callable[[State, State], None] = lambda _before, _after: None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._timings = timings
        self._desks = desks
        self._wake = wake
        self._moved = moved

    def verbs(self) -> dict[str, Verb]:
        """The verbs by name, taking the arguments as a JSON object carries them."""

        def named(verb: Callable[[str], Awaitable[object]]) -> Verb:
            return lambda given: verb(text(given, "return"))

        return {
            "status": lambda _: self.status(),
            "show": named(self.show),
            "match": named(self.match),
            "cancel": named(self.cancel),
            "retry": lambda given: self.retry(text(given, "return"), text(given, "by")),
            "resolve": lambda given: self.resolve(text(given, "return"), text(given, "by")),
            "link": lambda given: self.link(text(given, "return"), texts(given, "orders")),
        }

    async def status(self) -> dict[str, object]:
        """How many returns are in which state, and those that a person should look at."""
        counts, due, stuck = await self._store.read(
            lambda uow: (uow.counts(), uow.next_due(tuple(State)), uow.listing((State.STUCK,), LISTED))
        )
        return {
            "returns": {state.value: counts.get(state, 0) for state in State},
            "oldest_due": instant(due),
            "stuck": [{"return": r.ref, "problem": r.problem, "since": instant(r.changed_at)} for r in stuck],
        }

    async def show(self, name: str) -> dict[str, object]:
        """Everything that is known of one return, with its history."""
        ret = await self._find(name)
        history = await self._store.read(lambda uow: uow.history(ret.shop, ret.return_id))
        owed = duty(ret, self._clock.now())
        return {
            "return": ret.ref,
            "state": ret.state.value,
            "problem": ret.problem,
            "owes": owed.act.value if owed else "nothing before it is due",
            "due": instant(ret.due_at),
            "deadline": instant(ret.deadline_at),
            "order": ret.order_name,
            "requests": [_request(r) for r in ret.requests],
            "units": [_unit(u) for u in ret.units],
            "authorizations": [
                {"authorization": a.authorization_id, "rma": a.rma_id, "center": a.center} for a in ret.authorizations
            ],
            "notes": [{"about": n.key, "text": n.text, "written": n.written} for n in ret.notes],
            "history": [
                {"at": instant(h.at), "event": h.event, "before": h.before, "after": h.after, "detail": h.detail}
                for h in history
            ],
        }

    async def retry(self, name: str, by: str) -> dict[str, object]:
        """Send a stuck return, or one in review whose flag was lifted, back to work."""
        return await self._tell(name, Retried(at=self._clock.now(), by=by))

    async def resolve(self, name: str, by: str) -> dict[str, object]:
        """Close a stuck return that a person has dealt with."""
        return await self._tell(name, Resolved(at=self._clock.now(), by=by))

    async def cancel(self, name: str) -> dict[str, object]:
        """Treat a return as cancelled in the portal."""
        return await self._tell(name, LabelRequestCancelled(at=self._clock.now()))

    async def link(self, name: str, orders: list[str]) -> dict[str, object]:
        """Remember which fulfillment orders a return belongs to, and try it now."""
        ret = await self._find(name)

        def work(uow: UnitOfWork) -> None:
            uow.set_mark(link_mark(ret.shop, ret.return_id), "\n".join(orders))
            fresh = uow.get(ret.shop, ret.return_id)
            if fresh is not None and fresh.state is State.RECEIVED:
                uow.defer(replace(fresh, due_at=self._clock.now()))

        await self._store.transact(work)
        self._wake()
        return {"return": ret.ref, "orders": orders}

    async def match(self, name: str) -> dict[str, object]:
        """Try every order id that the shop's templates make, and tell what Amazon says of each."""
        ret = await self._find(name)
        desk = self._desks.get(ret.shop)
        if desk is None:
            raise OperatorError(f"{ret.ref}: matching asks Amazon, so the daemon must run and know the shop")
        facts = OrderFacts(
            provider_order_id=ret.provider_order_id,
            order_name=ret.order_name,
            order_number=ret.order_number,
            prefix=desk.policy.order_id_prefix,
        )
        named = candidates(desk.policy.order_id_templates, facts)
        return {"return": ret.ref, "tried": [await self._try(desk, ret, order_id) for order_id in named]}

    async def _try(self, desk: Desk, ret: Return, order_id: str) -> dict[str, object]:
        try:
            order = await desk.network.order(order_id, Lane.BACKGROUND)
        except Refused as error:
            return {"order": order_id, "answer": f"refused: {error}"}
        if order is None:
            return {"order": order_id, "answer": "Amazon knows no such order"}
        fits = covers([order], ret.units)
        skus = sorted({item.sku for item in order.items})
        return {"order": order_id, "answer": "holds all units" if fits else "lacks some SKU", "skus": skus}

    async def _tell(self, name: str, event: Event) -> dict[str, object]:
        ret = await self._find(name)

        def work(uow: UnitOfWork) -> tuple[State, Return]:
            fresh = uow.get(ret.shop, ret.return_id) or ret
            if not allows(fresh.state, type(event)):
                raise OperatorError(f"{ret.ref} is {fresh.state}: {type(event).__name__} does not apply to it")
            return fresh.state, uow.save(plan(fresh, apply(fresh, event), event.at, self._timings), event, fresh.state)

        before, after = await self._store.transact(work)
        if after.state is not before:
            self._moved(before, after.state)
        self._wake()
        return {"return": after.ref, "state": after.state.value}

    async def _find(self, name: str) -> Return:
        shop, _, return_id = name.rpartition("/")
        refs = await self._store.read(lambda uow: uow.find(return_id))
        found = [ref for ref in refs if not shop or ref[0] == shop]
        if not found:
            raise OperatorError(f"no return {name} is known; give Loop's return id, or shop/id")
        if len(found) > 1:
            names = ", ".join("/".join(ref) for ref in found)
            raise OperatorError(f"{name} is ambiguous: say one of {names}")
        ret = await self._store.read(lambda uow: uow.get(*found[0]))
        if ret is None:
            raise OperatorError(f"no return {name} is known")
        return ret


def _request(request: LabelRequest) -> dict[str, object]:
    label = request.label
    return {
        "request": request.request_id,
        "asked": request.asked.value,
        "label_id": request.label_id,
        "carrier": label.carrier if label else None,
        "tracking": label.tracking_number if label else None,
        "transit": request.transit.value,
    }


def _unit(unit: ReturnUnit) -> dict[str, object]:
    return {
        "line": unit.line_id,
        "sku": unit.sku,
        "standing": unit.standing.value,
        "problem": unit.problem,
        "order": unit.order_id,
        "return_item": unit.return_item_id,
        "reason": unit.reason_code,
        "authorization": unit.authorization_id,
        "condition": unit.finding.condition if unit.finding else None,
        "inspected": instant(unit.processed_at),
    }
