"""What every ReturnStore must do. A store's own test module gives the fixture `store` and inherits the class."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from daemon.domain.acts import Act, Duty
from daemon.domain.direction import Direction
from daemon.domain.events import returns as ev
from daemon.domain.orders import PostalAddress, ReturnAuthorization
from daemon.domain.problems import ProblemCode
from daemon.domain.queues import Queue
from daemon.domain.returns import (
    Finding,
    Label,
    LabelRequest,
    LabelSourceName,
    Note,
    Postage,
    RequestState,
    Return,
    ReturnUnit,
    Settlement,
    State,
    Transit,
    UnitState,
    Void,
)
from daemon.errors import StaleReturn
from daemon.ports.store import (
    CALLS_KEPT,
    DeadLetter,
    Delivery,
    MaintainedStore,
    Maintenance,
    Purchase,
    ReturnStore,
    UnitOfWork,
    VendorCall,
)
from daemon.ports.vendors import OrderHead

WAITING = (State.RECEIVED, State.AWAITING_LABEL, State.LABEL_READY)


def make_return(return_id: str = "r1", **changes: Any) -> Return:
    """A new return without parts."""
    return replace(Return(shop="acme", return_id=return_id, created_at=1000.0, due_at=1000.0), **changes)


def make_unit(line_id: str = "l1", **changes: Any) -> ReturnUnit:
    """A planned unit that is assigned to an order."""
    unit = ReturnUnit(line_id=line_id, portal_sku="CAP-P", sku="CAP", order_id="o1", return_item_id=f"item-{line_id}")
    return replace(unit, **changes)


def make_purchase(handle: str = "shp_1", **changes: object) -> Purchase:
    """A parcel that may have been bought by its handle."""
    facts: dict[str, Any] = {
        "account": "main",
        "source": LabelSourceName.EASYPOST,
        "shop": "acme",
        "return_id": "r1",
        "authorization_id": "a2",
        "mode": "production",
        "charge_cents": 607,
        "offered_at": 1000.0,
        "look_at": 2000.0,
    }
    return Purchase(handle=handle, **{**facts, **changes})


def make_full_return(return_id: str = "r1") -> Return:
    """A return with something in every field, texts with blanks, quotes and letters of other scripts among them."""
    label = Label(url="https://x.test/1.pdf", carrier="UPS", tracking_number="1Z'; --", rate_cents=799)
    address = PostalAddress(name="Amazon", line1="1 Dock", city="Łódź", postal_code="90-001", country_code="PL")
    return Return(
        shop="acme",
        return_id=return_id,
        created_at=1000.125,
        account="other",
        named_for="acme-once",
        state=State.STUCK,
        changed_at=1001.5,
        due_at=1002.25,
        amazon_due_at=1003.0,
        portal_due_at=1004.0,
        deadline_at=1005.0,
        passed_over_until=1006.0,
        attempts=1,
        transient_failures=2,
        verifications=3,
        pending_calls=(Duty(Act.AUTHORIZE_UNITS, "o1"),),
        needs_read=True,
        held=True,
        resume_state=State.SETTLING,
        problem='Amazon said "no" \N{PACKAGE}',
        order_name="#1001",
        order_number="1001",
        provider_order_id="55",
        submitted_at=999.5,
        has_exchange=True,
        settlement=Settlement.FLAG,
        asked_for=Settlement.PROCESS,
        processing_failed=True,
        flagged=True,
        labelled_at=1006.0,
        closed_at=1007.0,
        adopted_at=1007.5,
        requests=(
            LabelRequest(
                request_id=f"{return_id}-q2",
                asked=RequestState.DELIVERED,
                source=LabelSourceName.AMAZON_SHIPPING,
                label=label,
                label_id="lab-1",
                transit=Transit.DELIVERED,
                reported=Transit.IN_TRANSIT,
            ),
            LabelRequest(request_id=f"{return_id}-q1"),
        ),
        units=(
            make_unit("l2", part=2, finding=Finding(condition="", found_at=5.5), processed_at=6.0, graded=True),
            make_unit(
                "l2",
                part=1,
                return_item_id="item-l2-1",
                standing=UnitState.AUTHORIZED,
                price_cents=1250,
                line_price_cents=2500,
            ),
            make_unit("l1", standing=UnitState.NOT_RETURNABLE, problem="NoReturnableQuantity", reason="zu groß"),
        ),
        authorizations=(
            ReturnAuthorization(authorization_id="a2", rma_id="R2", page_url="https://x.test/2", center="POZ1"),
            ReturnAuthorization(authorization_id="a1", rma_id="R1", page_url="", center="", ship_to=address),
        ),
        postage=(
            Postage(
                authorization_id="a2",
                number=2,
                sealed_offer=b"\x00\xff",
                carrier_id="c",
                carrier="UPS",
                charge_cents=799,
                label_format="PDF",
                shipment_id="s",
                tracking_id="1Z",
                printable=True,
                transit=Transit.IN_TRANSIT,
                scanned_at=7.0,
                delivered_at=8.0,
                lost_at=9.0,
                tracked_at=10.0,
                void=Void.KEPT,
                source=LabelSourceName.EASYPOST,
                handle="shp_1",
                service="ca_1/USPS/GroundAdvantage",
                mode="production",
                direction=Direction.ACCEPTED,
                bought_at=6.5,
            ),
            Postage(authorization_id="a1"),
        ),
        notes=(Note(key="z", text="first", written=True), Note(key="a", text="")),
    )


def make_call(**changes: Any) -> VendorCall:
    """A call that Amazon answered."""
    call = VendorCall(
        shop="acme",
        return_id="r1",
        at=1000.5,
        first_at=1000.5,
        vendor="amazon",
        operation="getFulfillmentOrder",
        outcome="ok",
        status=200,
        seconds=0.25,
        request_id="req-1",
        asked={"order": "#1001"},
        answered={"payload.fulfillmentOrder.fulfillmentOrderStatus": "Complete", "payload.items[0].quantity": 2},
    )
    return replace(call, **changes)


def make_delivery(**changes: Any) -> Delivery:
    """A verified delivery."""
    delivery = Delivery(
        shop="acme",
        topic="label.request",
        trigger="issued",
        subject="q1",
        return_id="r1",
        digest="d1",
        received_at=1.0,
    )
    return replace(delivery, **changes)


async def add(store: ReturnStore, *returns: Return) -> list[Return]:
    """Store returns, each in a unit of its own."""
    return [await store.transact(lambda uow, ret=ret: uow.add(ret)) for ret in returns]


async def get(store: ReturnStore, return_id: str = "r1", shop: str = "acme") -> Return | None:
    """Read one return."""
    return await store.read(lambda uow: uow.get(shop, return_id))


def saving(ret: Return, event: ev.Event, before: State = State.RECEIVED) -> Callable[[UnitOfWork], Return]:
    """The unit of work that saves."""
    return lambda uow: uow.save(ret, event, before)


class OneReturn:
    async def test_a_new_return_reads_back_as_it_was_written(self, store: ReturnStore):
        """A new return is stored as version 1 and reads back with every field and the order of its parts."""
        (added,) = await add(store, make_full_return())

        assert added == replace(make_full_return(), version=1)
        assert await get(store) == added

    async def test_an_unknown_return_is_none(self, store: ReturnStore):
        """A return that is not stored is None, also when another shop has one of that id."""
        await add(store, make_return())

        assert await get(store, "r2") is None
        assert await get(store, shop="other") is None

    async def test_a_return_is_added_once(self, store: ReturnStore):
        """Adding a return that is stored already raises StaleReturn and leaves the stored one alone."""
        (first,) = await add(store, make_full_return())

        with pytest.raises(StaleReturn):
            await add(store, make_return(problem="second"))

        assert await get(store) == first

    async def test_shops_do_not_mix(self, store: ReturnStore):
        """Two shops may use the same ids for returns, label requests and lines."""
        request = LabelRequest(request_id="q1")
        mine = make_return(requests=(request,), units=(make_unit(return_item_id="item-a"),))
        theirs = replace(mine, shop="other", units=(make_unit(return_item_id="item-b"),))

        await add(store, mine, theirs)

        assert await get(store) == replace(mine, version=1)
        assert await get(store, shop="other") == replace(theirs, version=1)
        assert await store.read(lambda uow: uow.find("r1")) == [("acme", "r1"), ("other", "r1")]

    async def test_a_label_request_opens_one_return(self, store: ReturnStore):
        """A second return with the same label request of the same shop is not stored at all."""
        await add(store, make_return(requests=(LabelRequest(request_id="q1"),)))

        with pytest.raises(Exception, match="label_requests"):
            await add(store, make_return("r2", requests=(LabelRequest(request_id="q1"),)))

        assert await get(store, "r2") is None

    async def test_two_parts_of_one_key_are_refused(self, store: ReturnStore):
        """A return with two notes of one key is a mistake, and never stored with one of them."""
        (added,) = await add(store, make_return(notes=(Note(key="k", text="one"),)))
        doubled = replace(added, notes=(*added.notes, Note(key="k", text="two")))

        with pytest.raises(Exception, match="notes"):
            await store.transact(saving(doubled, ev.ReturnRead(at=2.0)))

        assert await get(store) == added

    async def test_a_unit_comes_back_once(self, store: ReturnStore):
        """Two returns cannot expect the same return item on the same order, unless one of them was refused."""
        refused = make_unit(standing=UnitState.NOT_RETURNABLE)
        await add(store, make_return(units=(make_unit(),)), make_return("r2", units=(refused,)))

        with pytest.raises(Exception, match="return_units"):
            await add(store, make_return("r3", units=(make_unit(standing=UnitState.AUTHORIZED),)))

    async def test_a_save_replaces_everything(self, store: ReturnStore):
        """A saved return reads back exactly, parts that changed, moved, came and went included."""
        (old,) = await add(store, make_full_return())
        new = replace(
            old,
            state=State.SETTLING,
            resume_state=None,
            problem="",
            amazon_due_at=None,
            requests=(*old.requests[::-1], LabelRequest(request_id="r1-q3")),
            units=(make_unit("l9"), *(replace(u, finding=None) for u in old.units[:2])),
            authorizations=(replace(old.authorizations[0], ship_to=old.authorizations[1].ship_to),),
            postage=(replace(old.postage[1], number=3),),
            notes=(Note(key="new", text="n"), replace(old.notes[1], written=True)),
        )

        saved = await store.transact(saving(new, ev.Retried(at=9.0, by="operator"), old.state))

        assert saved == replace(new, version=2)
        assert await get(store) == saved

    async def test_a_save_writes_history(self, store: ReturnStore):
        """Each save adds one row: when, what, from where, to where, with ids; adding and deferring add none."""
        (ret,) = await add(store, make_return())
        ret = await store.transact(
            saving(replace(ret, state=State.STUCK), ev.GaveUp(at=5.0, problem="no order", code=ProblemCode.OTHER))
        )
        ret = await store.transact(lambda uow: uow.defer(replace(ret, due_at=7.0)))
        await store.transact(saving(replace(ret, state=State.CLOSED), ev.Resolved(at=8.0, by="ann"), State.STUCK))

        rows = await store.read(lambda uow: uow.history("acme", "r1"))

        assert [(r.at, r.event, r.before, r.after) for r in rows] == [
            (5.0, "GaveUp", "received", "stuck"),
            (8.0, "Resolved", "stuck", "closed"),
        ]
        assert "no order" in rows[0].detail
        assert "ann" in rows[1].detail
        assert await store.read(lambda uow: uow.history("acme", "r2")) == []

    async def test_history_keeps_no_links_addresses_or_texts(self, store: ReturnStore):
        """The history of a return knows ids and conditions, never a label's link, an address or a note's text."""
        (ret,) = await add(store, make_full_return())
        secret = Label(url="https://secret.test", carrier="c", tracking_number="t")
        for event in (
            ev.LabelIssued(at=1.0, request_id="q7", label=secret),
            ev.UnitsAuthorized(at=2.0, units=ret.units, authorizations=ret.authorizations),
            ev.ReturnRead(at=3.0, note_key="k", note="secret words"),
            ev.VerdictReached(at=4.0, units=ret.units, settlement=Settlement.FLAG, summary="secret sum"),
            ev.LabelRequestedAgain(at=5.0, request=LabelRequest(request_id="q8", label=secret)),
        ):
            ret = await store.transact(saving(ret, event))

        rows = await store.read(lambda uow: uow.history("acme", "r1"))
        text = "".join(row.detail for row in rows)

        assert len(rows) == 5
        assert all(word in text for word in ("q7", "q8", "a1", "l2", "flag"))
        assert not any(word in text for word in ("secret", "Dock", "Łódź", "https"))

    async def test_a_stale_save_keeps_nothing(self, store: ReturnStore):
        """Who saves a version that is no longer stored gets StaleReturn; the return and its history stay."""
        (old,) = await add(store, make_full_return())
        newer = await store.transact(saving(replace(old, problem="winner"), ev.ReturnRead(at=1.0)))

        for late in (old, replace(old, version=9)):
            with pytest.raises(StaleReturn):
                await store.transact(saving(replace(late, problem="loser", notes=()), ev.ReturnRead(at=2.0)))
            with pytest.raises(StaleReturn):
                await store.transact(lambda uow, late=late: uow.defer(replace(late, due_at=1.0)))

        assert await get(store) == newer
        assert len(await store.read(lambda uow: uow.history("acme", "r1"))) == 1

    async def test_what_was_never_added_cannot_be_saved(self, store: ReturnStore):
        """Saving or deferring an unknown return raises StaleReturn."""
        with pytest.raises(StaleReturn):
            await store.transact(saving(make_return(version=1), ev.ReturnRead(at=1.0)))
        with pytest.raises(StaleReturn):
            await store.transact(lambda uow: uow.defer(make_return(version=1)))

    async def test_of_two_racing_saves_one_wins(self, store: ReturnStore):
        """Of many saves of one version exactly one is stored."""
        (ret,) = await add(store, make_return())
        racers = [store.transact(saving(replace(ret, problem=str(n)), ev.ReturnRead(at=float(n)))) for n in range(20)]

        results = await asyncio.gather(*racers, return_exceptions=True)

        winners = [r for r in results if isinstance(r, Return)]
        assert [type(r) for r in results].count(StaleReturn) == 19
        assert [await get(store)] == winners

    async def test_defer_stores_clocks_and_counters_alone(self, store: ReturnStore):
        """Deferring moves clocks, counters, begun call, hint, hold and problem, one version up, and nothing else."""
        (old,) = await add(store, make_full_return())
        clocks: dict[str, Any] = {
            "due_at": None,
            "amazon_due_at": 11.0,
            "portal_due_at": 12.0,
            "deadline_at": 13.0,
            "passed_over_until": 14.0,
            "attempts": 4,
            "transient_failures": 5,
            "verifications": 6,
            "pending_calls": (),
            "needs_read": False,
            "held": False,
            "problem": "later",
        }

        deferred = await store.transact(lambda uow: uow.defer(replace(old, **clocks)))

        assert deferred == replace(old, **clocks, version=2)
        assert await get(store) == deferred


class ManyReturns:
    async def test_the_longest_due_come_first(self, store: ReturnStore):
        """Due are the returns of the asked states whose time has come, longest due first, up to the limit."""
        await add(
            store,
            make_return("late", due_at=10.0),
            make_return("later", due_at=20.0, state=State.LABEL_READY),
            make_return("now", due_at=30.0),
            make_return("future", due_at=30.5),
            make_return("elsewhere", due_at=5.0, state=State.IN_REVIEW),
            make_return("never", due_at=None),
            make_return("longest", due_at=1.0, state=State.AWAITING_LABEL),
        )

        def due(limit: int, *states: State) -> Callable[[UnitOfWork], list[str]]:
            return lambda uow: [return_id for _, _, return_id in uow.due(states, 30.0, limit)]

        assert await store.read(due(9, *WAITING)) == ["longest", "late", "later", "now"]
        assert await store.read(due(2, *WAITING)) == ["longest", "late"]
        assert await store.read(due(9, State.IN_REVIEW)) == ["elsewhere"]
        assert await store.read(due(9)) == []

    async def test_what_is_due_later_comes_soonest_first(self, store: ReturnStore):
        """Later than an instant, of the asked states, up to the limit; what is never due is not due later."""
        for ret in (
            make_return("at", due_at=30.0),
            make_return("later", due_at=50.0, state=State.LABEL_READY),
            make_return("soon", due_at=30.5),
            make_return("elsewhere", due_at=60.0, state=State.IN_REVIEW),
            make_return("never", due_at=None),
        ):
            await store.transact(lambda uow, ret=ret: uow.add(ret))

        def later(limit: int) -> Callable[[UnitOfWork], list[str]]:
            return lambda uow: [return_id for _, _, return_id in uow.due_after(WAITING, 30.0, limit)]

        assert await store.read(later(9)) == ["soon", "later"]
        assert await store.read(later(1)) == ["soon"]

    async def test_due_names_the_shop(self, store: ReturnStore):
        """What is due is named by its time, shop and return id; equals come in the order of these."""
        await add(store, make_return(), make_return("r0"), make_return(shop="b"), make_return(shop="a"))

        due = await store.read(lambda uow: list(uow.due(WAITING, 1000.0, 9)))

        assert [ref for _, *ref in due] == [["a", "r1"], ["acme", "r0"], ["acme", "r1"], ["b", "r1"]]
        assert {due_at for due_at, *_ in due} == {make_return().due_at}

    async def test_a_queue_holds_what_its_returns_owe_next(self, store: ReturnStore):
        """Adding, saving and deferring put a return into the queue of what it owes; each shop has rows of its own."""
        in_review = {"state": State.IN_REVIEW, "portal_due_at": 10.0}
        request = LabelRequest(request_id="q1")
        ret, late, *_ = await add(
            store,
            make_return("new", requests=(request,), due_at=20.0),
            make_return("longer", requests=(replace(request, request_id="q2"),), due_at=10.0),
            make_return("future", requests=(replace(request, request_id="q3"),), due_at=31.0),
            make_return("never", due_at=None),
            make_return("other", shop="b", requests=(request,), due_at=15.0),
        )

        def queued(queue: Queue, limit: int = 9) -> Callable[[UnitOfWork], list[str]]:
            return lambda uow: [return_id for _, _, return_id in uow.queued(queue, 30.0, limit)]

        assert await store.read(queued(Queue.LABELS)) == ["longer", "other", "new"]
        assert await store.read(queued(Queue.LABELS, 1)) == ["longer", "other"]
        of_b = await store.read(lambda uow: uow.queued(Queue.LABELS, 30.0, 9, lambda shop: shop == "b"))
        assert of_b == [(15.0, "b", "other")]
        await store.transact(lambda uow: uow.defer(replace(ret, held=True)))
        assert await store.read(queued(Queue.HELD)) == ["new"]
        await store.transact(saving(replace(late, due_at=10.0, **in_review), ev.ReturnRead(at=1.0)))
        assert await store.read(queued(Queue.PORTAL)) == ["longer"]
        assert await store.read(queued(Queue.LABELS)) == ["other"]

    async def test_next_due_is_the_earliest_clock(self, store: ReturnStore):
        """The next wake-up is the earliest `due_at` of the asked states; without one there is none."""
        await add(
            store,
            make_return("a", due_at=20.0),
            make_return("b", due_at=10.0, state=State.LABEL_READY),
            make_return("c", due_at=None),
            make_return("d", due_at=5.0, state=State.CLOSED),
        )

        assert await store.read(lambda uow: uow.next_due(WAITING)) == 10.0
        assert await store.read(lambda uow: uow.next_due([State.STUCK])) is None
        assert await store.read(lambda uow: uow.next_due([])) is None

    async def test_a_listing_is_ordered_by_due_time(self, store: ReturnStore):
        """A listing holds whole returns of the asked states, longest due first, never due last, up to the limit."""
        full = replace(make_full_return("full"), state=State.RECEIVED, due_at=15.0)
        added = await add(
            store,
            make_return("never", due_at=None),
            make_return("b", due_at=20.0, state=State.LABEL_READY),
            full,
            make_return("elsewhere", due_at=1.0, state=State.CLOSED),
        )

        assert await store.read(lambda uow: list(uow.listing(WAITING, 9))) == [added[2], added[1], added[0]]
        assert await store.read(lambda uow: list(uow.listing(WAITING, 1))) == [added[2]]
        assert await store.read(lambda uow: list(uow.listing([], 9))) == []

    async def test_counts_follow_the_states(self, store: ReturnStore):
        """Returns are counted by shop and state; a state that nothing is in is left out."""
        other = make_return("a", shop="zeta")
        first, *_ = await add(store, make_return("a"), make_return("b"), make_return("c", state=State.CLOSED), other)
        await store.transact(
            saving(replace(first, state=State.STUCK), ev.GaveUp(at=1.0, problem="p", code=ProblemCode.OTHER))
        )

        counts = await store.read(lambda uow: dict(uow.counts()))

        at_acme = {("acme", "received"): 1, ("acme", "closed"): 1, ("acme", "stuck"): 1}
        assert counts == at_acme | {("zeta", "received"): 1}

    async def test_returns_are_found_by_their_order(self, store: ReturnStore):
        """Every return of an account with a unit on an order is found by it, once, whatever became of the unit."""
        two = (make_unit("l1"), make_unit("l2", standing=UnitState.REMOVED))
        await add(
            store,
            make_return("a", units=two),
            make_return(
                "b", units=(make_unit("l3", standing=UnitState.NOT_RETURNABLE), make_unit("l4", order_id="o2"))
            ),
            make_return("c", units=(make_unit("l5", order_id="", return_item_id=""),)),
            make_return("d", account="other", units=(make_unit("l6"),)),
        )

        assert await store.read(lambda uow: list(uow.on_order("main", "o1"))) == [("acme", "a"), ("acme", "b")]
        assert await store.read(lambda uow: list(uow.on_order("main", "o2"))) == [("acme", "b")]
        assert await store.read(lambda uow: list(uow.on_order("other", "o1"))) == [("acme", "d")]
        assert await store.read(lambda uow: list(uow.on_order("main", ""))) == []

    async def test_promised_units_are_those_of_others(self, store: ReturnStore):
        """Promised are the planned and authorized units of the account's other returns on the asked orders."""
        mine = make_unit("mine")
        planned = make_unit("planned")
        authorized = make_unit("authorized", order_id="o2", standing=UnitState.AUTHORIZED)
        await add(
            store,
            make_return("a", units=(mine,)),
            make_return("b", units=(planned, make_unit("refused", standing=UnitState.NOT_RETURNABLE))),
            make_return("c", units=(authorized, make_unit("gone", standing=UnitState.REMOVED))),
            make_return("d", units=(make_unit("far", order_id="o3"), make_unit("free", order_id=""))),
            make_return("e", account="other", units=(make_unit("another seller's"),)),
        )

        def promised(*orders: str, return_id: str = "a") -> Callable[[UnitOfWork], list[ReturnUnit]]:
            return lambda uow: list(uow.promised(make_return(return_id), orders))

        assert await store.read(promised("o1", "o2")) == [planned, authorized]
        assert await store.read(promised("o1")) == [planned]
        assert await store.read(promised("o1", return_id="new")) == [mine, planned]
        assert await store.read(promised()) == []

    async def test_a_return_is_found_by_its_id_alone(self, store: ReturnStore):
        """A return id is looked up over all shops."""
        await add(store, make_return("x", shop="b"), make_return("x", shop="a"), make_return("y"))

        assert list(await store.read(lambda uow: uow.find("x"))) == [("a", "x"), ("b", "x")]
        assert list(await store.read(lambda uow: uow.find("z"))) == []


class AroundReturns:
    async def test_what_happened_on_a_day(self, store):
        """Labels, waits, lags and ends count from the first second of the time until before its end."""
        found = make_unit(finding=Finding(condition="Sellable", found_at=50.0), processed_at=20.0)
        await add(
            store,
            make_return("r1", labelled_at=1010.0, created_at=1000.0, units=(found,)),
            make_return("r2", labelled_at=1100.0, closed_at=1099.0, settlement=Settlement.PROCESS),
            make_return("r3", closed_at=1100.0, settlement=Settlement.FLAG),
            make_return("r4"),
        )
        first, second, finding = await store.survey(
            lambda keep: (keep.of_day(1000.0, 1100.0), keep.of_day(1100.0, 1200.0), keep.of_day(50.0, 51.0))
        )
        assert (first.labels, first.waits, dict(first.ended)) == (1, (10.0,), {"process": 1})
        assert (second.labels, second.waits, dict(second.ended)) == (1, (100.0,), {"flag": 1})
        assert (finding.labels, finding.lags, dict(finding.ended)) == (0, (30.0,), {})

    async def test_a_delivery_is_recorded_once(self, store: ReturnStore):
        """The same bytes are recorded once per shop."""

        def record(**changes: Any) -> Callable[[UnitOfWork], bool]:
            return lambda uow: uow.record_delivery(make_delivery(**changes))

        assert await store.transact(record())
        assert not await store.transact(record(received_at=99.0))
        assert await store.transact(record(shop="other"))
        assert await store.transact(record(digest="d2"))

    async def test_a_dead_letter_is_kept_once(self, store: ReturnStore):
        """An unreadable delivery is kept once per shop, any bytes."""
        letter = DeadLetter(shop="acme", digest="d", reason="not JSON", sealed=bytes(range(256)), received_at=1.0)

        assert await store.transact(lambda uow: uow.keep_dead_letter(letter))
        assert not await store.transact(lambda uow: uow.keep_dead_letter(letter))
        assert await store.transact(lambda uow: uow.keep_dead_letter(replace(letter, shop="other")))

    async def test_a_document_is_kept_until_its_time(self, store: ReturnStore):
        """A document reads back until its retention is over; then it is empty, while an unknown one is None."""
        for name, sealed, expires_at in (("a", b"old", 99.0), ("a", b"\x00new", 10.0), ("b", b"later", 10.5)):
            await store.transact(lambda uow, args=(name, sealed, expires_at): uow.keep_document(*args))
        before = await store.read(lambda uow: [uow.document(name) for name in "abc"])

        dropped = [await store.transact(lambda uow: uow.drop_documents(10.0, 9)) for _ in range(2)]

        assert before == [b"\x00new", b"later", None]
        assert dropped == [1, 0]
        assert await store.read(lambda uow: [uow.document(name) for name in "abc"]) == [b"", b"later", None]

    async def test_orders_are_found_by_how_their_names_begin(self, store: ReturnStore):
        """Either id may begin so; telling of an order again changes nothing but the date of its last change."""
        named = (("b", "#1"), ("a", "#1"), ("c", "#2"), ("#1-2", "x"), ("d", "#1B"))
        heads = [OrderHead(order_id=o, displayable_order_id=d, changed_at=5.0) for o, d in named]

        await store.transact(lambda uow: uow.index_orders("main", heads))
        await store.transact(lambda uow: uow.index_orders("main", [replace(heads[0], changed_at=4.0)]))
        await store.transact(lambda uow: uow.index_orders("main", [replace(heads[1], changed_at=6.0)]))
        await store.transact(lambda uow: uow.index_orders("main", []))

        def found(name: str, account: str = "main") -> Callable[[UnitOfWork], list[tuple[str, float]]]:
            return lambda uow: [(head.order_id, head.changed_at) for head in uow.orders_named(account, name)]

        assert await store.read(found("#1")) == [("#1-2", 5.0), ("a", 6.0), ("b", 5.0), ("d", 5.0)]
        assert await store.read(found("c")) == [("c", 5.0)]
        assert await store.read(found("#9")) == []

    async def test_two_sellers_may_both_have_an_order_of_one_name(self, store: ReturnStore):
        """What is known of one account's orders says nothing about another's."""
        head = OrderHead(order_id="o1", displayable_order_id="#1001", changed_at=1.0)
        await store.transact(lambda uow: uow.index_orders("main", [head]))
        await store.transact(lambda uow: uow.index_orders("other", [replace(head, order_id="o2")]))

        assert [h.order_id for h in await store.read(lambda uow: uow.orders_named("main", "#1001"))] == ["o1"]
        assert [h.order_id for h in await store.read(lambda uow: uow.orders_named("other", "#1001"))] == ["o2"]

    async def test_a_shop_gets_another_name(self, store: MaintainedStore):
        """Everything of the shop goes with it, what was derived from the old name stays known, and nobody else's moves."""

        def write(uow: UnitOfWork) -> None:
            uow.add(replace(make_full_return(), named_for=""))
            uow.add(make_return("8", shop="other"))
            uow.keep_purchase(make_purchase("shp_1", look_at=2.0))
            uow.record_delivery(make_delivery())
            uow.keep_document("label/acme/7/a1/1", b"sealed", 99.0)
            uow.set_mark("verified/acme", "1.0")

        await store.transact(write)
        before = await store.read(lambda uow: uow.get("acme", "r1"))
        assert before is not None

        def rename(keep: Maintenance) -> int:
            assert "verified/acme" in keep.mark_names()
            keep.move_mark("verified/acme", "verified/acme-us")
            return keep.rename_shop("acme", "acme-us")

        assert await store.upkeep(rename) == 1
        after = await store.read(lambda uow: uow.get("acme-us", before.return_id))
        assert after == replace(before, shop="acme-us", named_for="acme", version=before.version + 1)
        assert await store.read(lambda uow: uow.get("acme", before.return_id)) is None
        assert await store.read(lambda uow: uow.document("label/acme-us/7/a1/1")) == b"sealed"
        assert await store.read(lambda uow: uow.mark("verified/acme-us")) == "1.0"
        (parcel,) = await store.read(lambda uow: uow.purchases_due("main", 3.0, 10))
        assert parcel.shop == "acme-us"
        assert not await store.transact(lambda uow: uow.record_delivery(replace(make_delivery(), shop="acme-us")))
        assert await store.upkeep(lambda keep: keep.rename_shop("acme-us", "acme-eu")) == 1
        again = await store.read(lambda uow: uow.get("acme-eu", before.return_id))
        assert again is not None
        assert (again.own_shop, again.shop) == ("acme", "acme-eu")

    async def test_an_account_gets_another_name(self, store: MaintainedStore):
        """Its returns, parcels and list of orders go with it; a list that was begun under the new name gives way."""

        def write(uow: UnitOfWork) -> None:
            uow.add(make_return())
            uow.keep_purchase(make_purchase("shp_1", look_at=2.0))
            uow.index_orders("main", [OrderHead(order_id="o1", displayable_order_id="#1001", changed_at=5.0)])
            uow.index_orders("acme", [OrderHead(order_id="o2", displayable_order_id="#1002", changed_at=5.0)])

        await store.transact(write)
        assert await store.survey(lambda keep: keep.open_counts()) == {("main", "acme"): 1}
        assert await store.upkeep(lambda keep: keep.rename_account("main", "acme")) == 1
        assert await store.survey(lambda keep: keep.open_counts()) == {("acme", "acme"): 1}
        assert [row.handle for row in await store.read(lambda uow: uow.purchases_due("acme", 3.0, 10))] == ["shp_1"]
        for name, heads in (("#1001", ["o1"]), ("#1002", [])):
            assert [h.order_id for h in await store.read(lambda uow, n=name: uow.orders_named("acme", n))] == heads
        ret = await store.read(lambda uow: uow.get("acme", "r1"))
        assert ret is not None
        assert ret.account == "acme"

    async def test_a_dead_letter_goes_to_another_shop(self, store: MaintainedStore):
        """It is moved as it is sealed anew; where the other shop has the same one, one is enough."""
        letter = DeadLetter(shop="acme", digest="d", reason="r", sealed=b"old", received_at=1.0)
        await store.transact(lambda uow: uow.keep_dead_letter(letter))
        (letter_id,) = await store.survey(lambda keep: keep.letters_of("acme"))
        await store.upkeep(lambda keep: keep.move_letter(letter_id, "acme-us", b"new"))
        found = await store.survey(lambda keep: keep.letter(letter_id))
        assert found is not None
        assert (found[0].shop, found[1]) == ("acme-us", b"new")
        await store.transact(lambda uow: uow.keep_dead_letter(letter))
        (second,) = await store.survey(lambda keep: keep.letters_of("acme"))
        await store.upkeep(lambda keep: keep.move_letter(second, "acme-us", b"new"))
        assert len(await store.survey(lambda keep: keep.letters())) == 1

    async def test_two_shops_may_have_a_return_of_one_id(self, store: MaintainedStore):
        """Such ids are found before one shop takes the other's name."""
        for shop, return_id in (("acme", "1"), ("acme", "2"), ("zeta", "2"), ("zeta", "3")):
            await store.transact(lambda uow, s=shop, r=return_id: uow.add(make_return(r, shop=s)))
        assert await store.survey(lambda keep: keep.in_both("acme", "zeta")) == ["2"]

    async def test_parcels_are_looked_at_when_they_are_due(self, store: ReturnStore):
        """A parcel that may have been bought is found when it is due, longest due first, until nobody looks again."""
        easypost = LabelSourceName.EASYPOST
        rows = [
            make_purchase("shp_2", look_at=3.0),
            make_purchase("shp_1", look_at=2.0),
            make_purchase("shp_3", look_at=9.0),
        ]

        def write(uow: UnitOfWork) -> None:
            for row in rows:
                uow.keep_purchase(row)
            uow.keep_purchase(replace(rows[0], charge_cents=622))

        await store.transact(write)
        due = await store.read(lambda uow: uow.purchases_due("main", 3.0, 10))
        assert [row.handle for row in due] == ["shp_1", "shp_2"]
        assert due[1] == replace(rows[0], charge_cents=622)
        assert len(await store.read(lambda uow: uow.purchases_due("main", 3.0, 1))) == 1
        await store.transact(lambda uow: uow.look_at_purchase(easypost, "shp_1", None))
        assert [row.handle for row in await store.read(lambda uow: uow.purchases_due("main", 99.0, 10))] == [
            "shp_2",
            "shp_3",
        ]
        assert await store.read(lambda uow: uow.purchase(easypost, "shp_1")) == replace(rows[1], look_at=None)
        assert await store.read(lambda uow: uow.purchase(easypost, "nobody's")) is None

    async def test_a_days_spending_is_counted(self, store: ReturnStore):
        """Of one account and source, since an hour, without one handle, and without what was refused."""
        easypost = LabelSourceName.EASYPOST

        def write(uow: UnitOfWork) -> None:
            for number, at in enumerate((10.0, 20.0, 30.0)):
                uow.keep_purchase(make_purchase(f"shp_{number}", offered_at=at, charge_cents=100 + number))
            uow.keep_purchase(make_purchase("theirs", account="other", offered_at=20.0, charge_cents=1000))
            uow.unspend(easypost, "shp_2")

        await store.transact(write)
        spent = [
            await store.read(lambda uow, since=since, but=but: uow.spent_since("main", easypost, since, but=but))
            for since, but in ((0.0, ""), (20.0, ""), (0.0, "shp_1"), (99.0, ""))
        ]
        assert spent == [201, 101, 100, 0]

    async def test_calls_read_back_as_they_were_made(self, store: ReturnStore):
        """Each call with what was asked and answered, one that had no answer too, the oldest first, of this return alone."""
        lost = make_call(
            at=1001.0, first_at=1001.0, outcome="unavailable", status=None, request_id=None, why="cannot connect"
        )
        other = make_call(return_id="r2")
        await add(store, make_return("r1"), make_return("r2"))
        await store.transact(lambda uow: uow.keep_calls([make_call(), lost, other]))

        assert await store.read(lambda uow: uow.calls_of("acme", "r1")) == [make_call(), lost]
        assert await store.read(lambda uow: uow.calls_of("other", "r1")) == []

    async def test_a_call_with_the_same_answer_counts_up(self, store: ReturnStore):
        """A repeated call is one row with how often and since when; another answer is a row of its own."""
        later = make_call(at=2000.0, first_at=2000.0, seconds=0.5, request_id="req-2")
        changed = make_call(at=3000.0, first_at=3000.0, answered={"state": "other"})
        await add(store, make_return("r1"))
        for call in (make_call(), later, changed):
            await store.transact(lambda uow, call=call: uow.keep_calls([call]))

        rows = await store.read(lambda uow: uow.calls_of("acme", "r1"))

        assert rows == [replace(later, first_at=1000.5, times=2), changed]

    async def test_the_last_calls_are_kept(self, store: ReturnStore):
        """Of many calls of one return the newest stay."""
        many = [make_call(at=float(n), first_at=float(n), asked={"n": n}) for n in range(CALLS_KEPT + 20)]
        await add(store, make_return("r1"))
        await store.transact(lambda uow: uow.keep_calls(many))

        assert await store.read(lambda uow: uow.calls_of("acme", "r1")) == many[20:]

    async def test_calls_of_a_return_that_is_gone_are_dropped(self, store: ReturnStore):
        """A line that comes after its return was deleted is not kept."""
        await store.transact(lambda uow: uow.keep_calls([make_call()]))

        assert await store.read(lambda uow: uow.calls_of("acme", "r1")) == []
        assert not await store.read(lambda uow: uow.buried("any"))

    async def test_marks_are_replaced(self, store: ReturnStore):
        """A mark is None until it is set, and then the last value."""
        assert await store.read(lambda uow: uow.mark("poll")) is None
        for value in ("1", "", "2"):
            await store.transact(lambda uow, value=value: uow.set_mark("poll", value))
            assert await store.read(lambda uow: uow.mark("poll")) == value


class Units:
    async def test_a_failing_unit_leaves_nothing(self, store: ReturnStore):
        """A unit that raises after its changes changes nothing, and its caller gets the very error."""

        def fail(uow: UnitOfWork) -> None:
            uow.add(make_full_return())
            uow.set_mark("m", "1")
            raise KeyError("mine")

        with pytest.raises(KeyError, match="mine"):
            await store.transact(fail)

        assert await get(store) is None
        assert await store.read(lambda uow: uow.mark("m")) is None

    async def test_a_failing_unit_does_not_touch_its_neighbours(self, store: ReturnStore):
        """Units that arrive together stand and fall alone."""

        def work(n: int) -> Callable[[UnitOfWork], int]:
            def run(uow: UnitOfWork) -> int:
                uow.add(make_return(f"r{n}"))
                if n % 3 == 0:
                    raise ValueError(n)
                return n

            return run

        results = await asyncio.gather(*(store.transact(work(n)) for n in range(30)), return_exceptions=True)

        assert [r for r in results if isinstance(r, int)] == [n for n in range(30) if n % 3]
        assert sum(isinstance(r, ValueError) for r in results) == 10
        assert await store.read(lambda uow: dict(uow.counts())) == {("acme", "received"): 20}

    async def test_a_unit_sees_its_own_changes(self, store: ReturnStore):
        """What a unit has written it also reads, before anybody else does."""

        def work(uow: UnitOfWork) -> Return | None:
            added = uow.add(make_full_return())
            uow.save(replace(added, problem="changed"), ev.ReturnRead(at=1.0), added.state)
            return uow.get("acme", "r1")

        seen = await store.transact(work)

        assert seen == replace(make_full_return(), problem="changed", version=2)

    async def test_a_read_sees_what_was_asked_for_before(self, store: ReturnStore):
        """A read that is asked for after a unit sees the unit's changes, also when neither was waited for."""
        before, _, after = await asyncio.gather(get(store), add(store, make_return()), get(store))

        assert before is None
        assert after == make_return(version=1)

    async def test_a_failing_read_fails_its_caller(self, store: ReturnStore):
        """The error of a read goes to its caller."""
        with pytest.raises(ZeroDivisionError):
            await store.read(lambda _: 1 // 0)

    async def test_a_unit_may_stop_iterating(self, store: ReturnStore):
        """Even StopIteration, which futures cannot carry, reaches the caller as an error."""
        with pytest.raises(RuntimeError):
            await store.transact(lambda _: next(iter(())))


class ReturnStoreConformance(OneReturn, ManyReturns, AroundReturns, Units):
    """All of it."""
