"""People are told once of what waits for them, whoever else fails."""

from dataclasses import dataclass, field, replace

import pytest

from daemon.domain.events import returns as ev
from daemon.domain.notices import CaseKind, Message
from daemon.domain.returns import Finding, Postage, State, UnitState
from daemon.engine.announcements import Announcements, Receiver
from daemon.errors import Unavailable
from tests.services.store_conformance import make_return, make_unit
from tests.support.fakes import RecordingMetrics
from tests.support.virtual_time import FakeClock

NOW = 1_760_000_000.0
DAY = 86400.0


@dataclass
class Inbox:
    """Keeps what arrives; `down` refuses."""

    got: list[Message] = field(default_factory=list)
    down: bool = False

    async def send(self, message: Message) -> None:
        """Take a message, or do not answer."""
        if self.down:
            raise Unavailable("the receiver does not answer")
        self.got.append(message)


@pytest.fixture
async def store(new_store):
    """An empty store."""
    async with await new_store() as opened:
        yield opened


@pytest.fixture
def clock():
    """Stands still unless told otherwise."""
    return FakeClock(NOW)


def announcements(store, clock, *receivers, parked=()):
    """The service over a real database."""

    async def refused():
        return dict(parked)

    return Announcements(receivers, store, clock, RecordingMetrics(), refused)


def receiver(inbox, *kinds, name="team", shops=()):
    """Somebody who hears of these kinds, or of all."""
    return Receiver(name=name, messenger=inbox, kinds=kinds or tuple(CaseKind), shops=shops)


async def add(store, *returns):
    """Store these returns."""
    for ret in returns:
        await store.transact(lambda uow, ret=ret: uow.add(ret))


async def test_every_kind_of_case_is_found(store, clock):
    """Stuck, held, in review, parked, unsettled and to claim: each is told under its own heading."""
    found_at = Finding(condition="FulfillerDamaged", found_at=NOW - 5)
    damaged = make_unit("1", sku="MUG", standing=UnitState.AUTHORIZED, finding=found_at)
    lost = replace(
        damaged,
        line_id="2",
        return_item_id="i2",
        authorization_id="A2",
        finding=Finding(condition="missing", found_at=NOW - 5),
    )
    silent = replace(lost, line_id="3", return_item_id="i3", authorization_id="A3", sku="NEVER-DELIVERED")
    delivered = Postage(authorization_id="A2", delivered_at=NOW - 9)
    await add(
        store,
        make_return("1", state=State.STUCK, problem="no label in time"),
        make_return("2", state=State.RECEIVED, held=True, problem="no order"),
        make_return("3", state=State.RECEIVED),
        make_return("4", state=State.IN_REVIEW),
        make_return("6", state=State.CLOSED, units=(damaged, lost, silent), postage=(delivered,)),
    )
    ret = await store.transact(lambda uow: uow.add(make_return("5", state=State.SETTLING)))
    event = ev.LeftUnsettled(at=NOW - 5, how="it has expired")
    await store.transact(lambda uow: uow.save(replace(ret, state=State.CLOSED), event, State.SETTLING))
    inbox = Inbox()
    await announcements(store, clock, receiver(inbox), parked={"loop/acme": "Loop refuses the API key"}.items()).round()
    (message,) = inbox.got
    found = {(case.kind.value, case.subject, case.problem) for case in message.cases}
    assert found == {
        ("stuck", "acme/1", "no label in time"),
        ("held", "acme/2", "no order"),
        ("review", "acme/4", ""),
        ("unsettled", "acme/5", ""),
        ("claims", "acme/6", "MUG FulfillerDamaged"),
        ("claims", "acme/6", "MUG missing"),
        ("parked", "loop/acme", "Loop refuses the API key"),
    }


async def test_a_case_is_told_once_also_by_the_next_process(store, clock):
    """What was told is remembered in the store, and told again after a day."""
    await add(store, make_return("1", state=State.STUCK))
    inbox = Inbox()
    for _ in range(2):
        service = announcements(store, clock, receiver(inbox))
        await service.round()
        await service.round()
    assert len(inbox.got) == 1
    clock.advance(DAY)
    await announcements(store, clock, receiver(inbox)).round()
    assert len(inbox.got) == 2


async def test_what_could_not_be_sent_is_sent_later_and_keeps_nobody_waiting(store, clock):
    """One receiver that is down is tried again; the other has its message at once."""
    await add(store, make_return("1", state=State.STUCK))
    broken, well = Inbox(down=True), Inbox()
    service = announcements(store, clock, receiver(broken, name="pager"), receiver(well))
    await service.round()
    assert len(well.got) == 1
    broken.down = False
    await service.round()
    assert [len(broken.got), len(well.got)] == [1, 1]


async def test_another_shops_returns_are_not_ones_own(store, clock):
    """A receiver of one shop hears of that shop and of what concerns all."""
    await add(store, make_return("1", state=State.STUCK), replace(make_return("2", state=State.STUCK), shop="bella"))
    inbox = Inbox()
    parked = {"amazon": "credentials: refused", "loop/acme": "x"}.items()
    await announcements(store, clock, receiver(inbox, shops=("bella",)), parked=parked).round()
    assert {case.subject for case in inbox.got[0].cases} == {"bella/2", "amazon"}


async def test_a_test_message_says_who_could_not_be_reached(store, clock):
    """`sent`, or the reason, for each receiver; nothing is remembered."""
    service = announcements(store, clock, receiver(Inbox(down=True), name="pager"), receiver(Inbox()))
    assert await service.test() == {"pager": "the receiver does not answer", "team": "sent"}
