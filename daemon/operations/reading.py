"""An operator's questions about returns. Changes nothing, and needs only the store."""

import json
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence

from daemon.domain.direction import Direction
from daemon.domain.duties import duty
from daemon.domain.events.returns import Resolved, Retried
from daemon.domain.leases import CHORES, Standing
from daemon.domain.lifecycle import allows
from daemon.domain.problems import ProblemCode
from daemon.domain.prospects import next_words, prospect
from daemon.domain.returns import LabelRequest, Postage, RequestState, Return, ReturnUnit, State
from daemon.domain.schedule import Timings
from daemon.domain.story import is_bookkeeping, told
from daemon.domain.wording import condition_words
from daemon.engine.shop_pauses import paused_shops
from daemon.engine.strangers import waiting_for_adopt
from daemon.errors import OperatorError
from daemon.operations.advice import ADVICE
from daemon.operations.verb import instant, money
from daemon.operations.verbs.calls import CallShown, CallsShown
from daemon.operations.verbs.returns import (
    AdoptNeeded,
    Advised,
    AllAdvice,
    AuthorizationShown,
    HistoryRow,
    NodeShown,
    NoteShown,
    ParcelShown,
    PausedShop,
    QuietShop,
    RequestShown,
    ReturnShown,
    ShopCount,
    Status,
    UnitShown,
    Waiting,
)
from daemon.ports.host import Clock
from daemon.ports.names import link_mark, quiet_mark
from daemon.ports.store import AT_REST, EventRow, Listed, ListFilter, ReadableStore, VendorCall

LISTED = 50


class ReturnsReader:
    """Reads returns for an operator. `counted` knows how many there are by shop and state, where that is known.

    `nodes` reads which nodes there are, where there may be several.
    """

    def __init__(
        self,
        store: ReadableStore,
        clock: Clock,
        timings: Timings,
        *,
        shops: Collection[str] = (),
        counted: Callable[[], Mapping[tuple[str, str], int]] | None = None,
        nodes: Callable[[], Awaitable[Standing]] | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._timings = timings
        self._shops = shops
        self._counted = counted
        self._nodes = nodes

    async def status(self, only: str | None = None) -> Status:
        """The number of returns per state, and those that need a person; for one shop, or for all."""
        if only is not None and only not in self._shops:
            raise OperatorError(f"there is no shop {only}; there are {', '.join(sorted(self._shops))}")
        known = self._counted() if self._counted else None  # counting a million returns takes a while
        counts, due = await self._store.read(lambda uow: (known or uow.counts(), uow.next_due(tuple(State))))
        stuck, held, review = await self._store.survey(
            lambda keep: tuple(
                keep.page_of(ListFilter(state=state, held=held, shop=only, oldest_first=True), LISTED)
                for state, held in (("stuck", None), ("received", True), ("in_review", None))
            )
        )
        quiet = await self._store.read(
            lambda uow: [(shop, since) for shop in sorted(self._shops) if (since := uow.mark(quiet_mark(shop)))]
        )
        chosen = [shop for shop in sorted(self._shops) if only in {None, shop}]
        by_state, by_shop = Counter[str](), Counter[str](dict.fromkeys(self._shops, 0))
        for (shop, state), count in counts.items():
            if only not in {None, shop}:
                continue
            by_state[state] += count
            by_shop[shop] += 0 if state in AT_REST else count
        return Status(
            returns={state.value: by_state[state] for state in State},
            shops=[
                ShopCount(shop=shop, open=count, configured=shop in self._shops)
                for shop, count in sorted(by_shop.items())
                if only in {None, shop}
            ],
            oldest_due=instant(due),
            stuck=[_waiting(row) for row in stuck],
            held=[_waiting(row) for row in held],
            in_review=[_waiting(row) for row in review],
            to_adopt=await self._to_adopt(chosen),
            paused=await self._paused(chosen),
            quiet=[QuietShop(shop=shop, since=instant(float(since))) for shop, since in quiet if only in {None, shop}],
            **await self._shown_nodes(),
        )

    async def _shown_nodes(self) -> dict[str, list[NodeShown]]:
        if self._nodes is None:
            return {}
        standing = await self._nodes()
        works = {node: standing.held_by(node) for node in sorted(standing.nodes)}
        return {
            "nodes": [
                NodeShown(node=node, accounts=[name for name in held if name != CHORES], chores=CHORES in held)
                for node, held in works.items()
            ]
        }

    async def _to_adopt(self, shops: Sequence[str]) -> list[AdoptNeeded]:
        return [
            AdoptNeeded(
                shop=shop,
                unknown=waiting.unknown,
                unproven=waiting.unproven,
                returns=[f"{shop}/{name}" for name in waiting.names],
                run="mcfd adopt --open",
            )
            for shop, waiting in (await waiting_for_adopt(self._store, shops)).items()
        ]

    async def _paused(self, shops: Sequence[str]) -> list[PausedShop]:
        paused = await self._store.read(lambda uow: paused_shops(uow, shops))
        return [PausedShop(shop=shop, paused=True, since=instant(at)) for shop, at in paused.items()]

    async def show(self, name: str) -> ReturnShown:
        """Everything known about one return, with its history."""
        ret = await self.find(name)
        history, linked = await self._store.read(
            lambda uow: (uow.history(ret.shop, ret.return_id), uow.mark(link_mark(ret.shop, ret.return_id)))
        )
        now = self._clock.now()
        owed, end = duty(ret, now), prospect(ret, self._timings)
        skus = {f"{unit.line_id}/{unit.part}": unit.sku for unit in ret.units}
        links = (linked or "").split("\n") if linked else []
        return ReturnShown(
            return_=ret.ref,
            state=ret.state.value,
            problem=ret.problem,
            **_advised(ret),
            owes=owed.act.value if owed else "nothing before it is due" if ret.due_at else "nothing",
            next=next_words(ret, now),
            due=instant(ret.due_at),
            deadline=instant(ret.deadline_at),
            ends=instant(end.ends_at),
            clock=end.clock,
            then=end.then,
            opened=instant(ret.created_at),
            changed=instant(ret.changed_at),
            closed=instant(ret.closed_at),
            can=_applicable(ret, linked=bool(links)),
            order=ret.order_name,
            requests=[_request(r) for r in ret.requests],
            units=[_unit(u) for u in ret.units],
            parcels=[_parcel(p) for p in ret.postage if p.shipment_id],
            authorizations=[
                AuthorizationShown(authorization=a.authorization_id, rma=a.rma_id, center=a.center)
                for a in ret.authorizations
            ],
            linked=links,
            notes=[NoteShown(about=n.key, text=n.text, written=n.written) for n in ret.notes],
            history=[_happened(row, skus) for row in history],
        )

    async def calls(self, name: str) -> CallsShown:
        """The last calls to vendors for one return."""
        ret = await self.find(name)
        made = await self._store.read(lambda uow: uow.calls_of(ret.shop, ret.return_id))
        return CallsShown(return_=ret.ref, calls=[_call(call) for call in made])

    async def advice(self) -> AllAdvice:
        """What a person can do about each problem."""
        return AllAdvice(problems=[Advised(code=code.value, advice=text) for code, text in ADVICE.items()])

    async def find(self, name: str) -> Return:
        """The return with that name: Loop's return id, or shop/id. Raises OperatorError."""
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


def _advised(ret: Return) -> dict[str, str]:
    """The code of what the return waits for, and what a person can do; nothing if it needs nobody."""
    code = ProblemCode.IN_REVIEW if ret.state is State.IN_REVIEW else ret.problem_code
    return {"code": code.value, "advice": ADVICE[code]} if code is not None else {}


def _call(call: VendorCall) -> CallShown:
    asked, answered = (
        ", ".join(f"{name}={value}" for name, value in part.items()) for part in (call.asked, call.answered)
    )
    return CallShown(
        at=instant(call.at),
        first=instant(call.first_at),
        times=call.times,
        vendor=call.vendor,
        operation=call.operation,
        outcome=call.outcome,
        status=call.status,
        seconds=call.seconds,
        request_id=call.request_id,
        why=call.why,
        asked=dict(call.asked),
        answered=dict(call.answered),
        summary=f"{asked or 'nothing to tell'} → {call.why or answered or 'nothing to tell'}",
    )


def _waiting(row: Listed) -> Waiting:
    code = ProblemCode.IN_REVIEW if row.state == State.IN_REVIEW else ProblemCode(row.code or ProblemCode.OTHER)
    return Waiting(
        return_=f"{row.shop}/{row.return_id}",
        problem=row.problem,
        since=instant(row.changed_at),
        code=code.value,
        advice=ADVICE[code],
    )


def _request(request: LabelRequest) -> RequestShown:
    label = request.label
    return RequestShown(
        request=request.request_id,
        asked=request.asked.value,
        label_id=request.label_id,
        carrier=label.carrier if label else None,
        tracking=label.tracking_number if label else None,
        transit=request.transit.value,
    )


def _applicable(ret: Return, *, linked: bool) -> list[str]:
    """The verbs that make sense now; each says itself, by its preview, what it would do."""
    if ret.unproven:
        return ["adopt", "forget"]
    refused = ret.state is State.CLOSED and any(r.asked is RequestState.REFUSED for r in ret.requests)
    if ret.state is State.CLOSED and not refused:
        return ["look", "forget"] if ret.order_ids() and ret.due_at is not None else ["forget"]
    possible = {
        "retry": allows(ret.state, Retried),
        "resolve": allows(ret.state, Resolved),
        "link": ret.state in {State.RECEIVED, State.STUCK, State.REFUSED} or refused,
        "unlink": linked,
        "look": bool(ret.order_ids()),
        "cancel": ret.state not in AT_REST,
        "forget": True,
    }
    return [name for name, applies in possible.items() if applies]


def _happened(row: EventRow, skus: Mapping[str, str]) -> HistoryRow:
    detail = json.loads(row.detail or "{}")
    return HistoryRow(
        at=instant(row.at),
        event=row.event,
        before=row.before,
        after=row.after,
        detail=detail,
        told=told(row.event, detail, skus),
        minor=is_bookkeeping(row.event),
    )


def _parcel(postage: Postage) -> ParcelShown:
    void = "to be checked" if postage.direction in {Direction.UNREADABLE, Direction.WRONG} else postage.void.value
    return ParcelShown(
        authorization=postage.authorization_id,
        source=postage.source.value,
        carrier=postage.carrier,
        service=postage.service,
        tracking=postage.tracking_id,
        transit=postage.transit.value,
        paid=money(postage.charge_cents),
        void=void,
        bought=instant(postage.bought_at),
        scanned=instant(postage.scanned_at),
        delivered=instant(postage.delivered_at),
        lost=instant(postage.lost_at),
        asked=instant(postage.tracked_at),
    )


def _unit(unit: ReturnUnit) -> UnitShown:
    return UnitShown(
        line=unit.line_id,
        sku=unit.sku,
        portal_sku=unit.portal_sku,
        price=money(unit.price_cents),
        stated=": ".join(said for said in (unit.parent_reason, unit.reason) if said),
        found=condition_words(unit.finding) if unit.finding else "",
        amazon_reason=unit.finding.reason if unit.finding else "",
        center=unit.finding.center if unit.finding else "",
        told=unit.graded,
        standing=unit.standing.value,
        problem=unit.problem,
        order=unit.order_id,
        return_item=unit.return_item_id,
        reason=unit.reason_code,
        authorization=unit.authorization_id,
        condition=unit.finding.condition if unit.finding else None,
        inspected=instant(unit.processed_at),
    )
