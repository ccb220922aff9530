"""The process dies, or an answer is lost, at every point of a life: nothing is done twice, and nothing is lost."""

import itertools
import sqlite3
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest

from daemon.domain.policy import ShopPolicy
from daemon.domain.portal import Message, RequestCancelled, RequestIssued
from daemon.domain.returns import LabelSourceName, State
from daemon.errors import ContractBroken, CredentialsRefused, RateLimited, StoreUnavailable, Unavailable
from tests.services.stage import DAY, ORDER, Choices, Stage, open_relaxed
from tests.support.builders import a_line
from tests.support.configured import a_policy, judgement
from tests.support.fakes import Killed, LoopReturn
from tests.support.virtual_time import FakeClock

pytestmark = pytest.mark.slow

# ---- what goes wrong


class Fuse:
    """Blows at the n-th point of the wanted kind. With `again` it blows so many points later once more, and so on,
    each time one point later than before. A dead process does nothing more until it is started again.
    """

    def __init__(self, error: BaseException, points: Callable[[str], bool], *, at: int, again: int = 0) -> None:
        self.blown = 0
        self.where = ""
        self._error = error
        self._points = points
        self._left = at
        self._again = again
        self._dead = False

    def __call__(self, point: str) -> None:
        """Blow, if this is the point."""
        if self._dead:
            raise Killed
        if not self._points(point):
            return
        self._left -= 1
        if self._left == 0:
            self.blown, self.where = self.blown + 1, point
            self._left = self._again + self.blown if self._again else 0
            self._dead = isinstance(self._error, Killed)
            raise self._error

    async def survive(self, stage: Stage, action: Callable[[], Awaitable[object]]) -> None:
        """Do it, and once more for as often as the process dies of it or the store fails."""
        while True:
            try:
                await action()
            except Killed:
                self._dead = False
                stage.begin(stage.sqlite)
            except StoreUnavailable:
                stage.clock.advance(1.0)
            else:
                return


# ---- lives, and what is left of them


@dataclass(frozen=True, kw_only=True)
class Life:
    """What happens to a return from outside. `found` are the conditions of its units, one by one."""

    end: State = State.CLOSED
    found: tuple[str, ...] = ("Sellable",)
    delay: float = 0.0
    refused: bool = False
    cancelled: bool = False
    exchange: bool = False
    policy: ShopPolicy = Choices.policy


BUYING = a_policy(order_id_templates=("{provider_order_id}",), label_source=LabelSourceName.AMAZON_SHIPPING)
REMOVING = a_policy(order_id_templates=("{provider_order_id}",), verdict=judgement(auto_process=True))

LIVES = {
    "clean": Life(),
    "damaged": Life(found=("Sellable", "CustomerDamaged"), delay=5.0, end=State.IN_REVIEW),
    "refused": Life(refused=True, found=()),
    "bought": Life(policy=BUYING, delay=3.0),
    "cancelled": Life(policy=BUYING, cancelled=True, found=(), end=State.AWAITING_INSPECTION),
    "exchange": Life(policy=REMOVING, exchange=True, found=("Sellable", "Defective")),
}


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What the vendors have been told in a life; must not depend on what went wrong in it."""

    state: State
    items: tuple[str, ...]
    labels: int
    purchases: int
    kept_labels: int
    errors: tuple[str, ...]
    notes: tuple[str, ...]
    processed: int
    flags: int
    lines: tuple[str, ...]
    grades: Counter[str]
    assessments: Counter[str]


async def live(stage: Stage, life: Life, fuse: Fuse) -> Outcome:
    """Lead a return from its submission to its end, and some days beyond."""
    lines = [a_line(str(n), f"SKU{n}") for n in range(1, (len(life.found) or 1) + 1)]
    stage.ship(**{line.sku: 1 for line in lines})
    stage.network.authorization_delay = stage.postage.document_delay = life.delay
    if life.refused:
        stage.network.refuse = {line.sku: ("InvalidValues", "too old") for line in lines}
    stage.portal.submit(LoopReturn(return_id="77", lines=lines, has_exchange=life.exchange))

    async def reach(state: State) -> None:
        await fuse.survive(stage, lambda: stage.reach(state, within=2 * DAY))

    async def hear(message: Message, digest: str) -> None:
        await fuse.survive(stage, lambda: stage.tell(message, digest=digest))

    await hear(RequestIssued(return_id="77", request_id="q77"), "issued")
    if not life.refused:
        await reach(State.AWAITING_INSPECTION)
    if life.cancelled:
        await hear(RequestCancelled(return_id="77", request_id="q77"), "cancelled")
    for line, condition in zip(lines, life.found, strict=False):
        await stage.inspect(condition, line=line.line_id)
    await reach(life.end)
    end = stage.clock.now() + (8 * DAY if life.end is State.CLOSED else 1.5 * DAY)
    await fuse.survive(stage, lambda: stage.pass_time(end - stage.clock.now()))
    return await _outcome(stage)


async def _outcome(stage: Stage) -> Outcome:
    loop, ret = stage.portal.returns["77"], await stage.ret()
    return Outcome(
        state=ret.state,
        items=tuple(item.return_item_id for item in stage.network.items(ORDER)),
        labels=len(stage.portal.labels),
        purchases=len(stage.postage.purchases),
        kept_labels=len(stage.postage.live()),
        errors=stage.portal.requests["q77"].errors,
        notes=tuple(note for note in loop.notes if "its id was lost" not in note),
        processed=len(loop.records),
        flags=loop.flags,
        lines=tuple(line.line_id for line in loop.lines),
        grades=loop.grades,
        assessments=loop.assessments,
    )


def before(point: str) -> bool:
    """Before the effect of a call, or before a commit."""
    return point.startswith("before")


def after(point: str) -> bool:
    """When the effect of a call or a commit is done, and nobody knows it yet."""
    return point.startswith("after")


def call_before(point: str) -> bool:
    """Before the effect of a call to a vendor."""
    return before(point) and point != "before commit"


def call_after(point: str) -> bool:
    """When a vendor has done what was asked for."""
    return after(point) and point != "after commit"


WRONG = {
    "killed before it": (Killed(), before),
    "killed after it": (Killed(), after),
    "no answer, no effect": (Unavailable("time-out"), call_before),
    "no answer, but the effect": (Unavailable("time-out"), call_after),
    "too many requests": (RateLimited("429", retry_after=3.0), call_before),
    "credentials refused": (CredentialsRefused("401"), call_before),
    "an answer nobody can read": (ContractBroken("no id"), call_after),
    "a bug": (RuntimeError("bug"), call_after),
    "the store fails": (StoreUnavailable("disk full"), lambda point: point == "before commit"),
}


@pytest.fixture
async def lived(tmp_path, template):
    """Lead lives over one open database, each from empty tables; opening a file for each would cost more than they."""
    store = await open_relaxed(tmp_path / "mcfd.db")
    empty = sqlite3.connect(template)

    async def lead(name: str, fuse: Fuse) -> Outcome:
        await store._writer.read(empty.backup)
        stage = Stage(store.path, FakeClock(), Choices(policy=LIVES[name].policy), fuse)
        stage.begin(store)
        return await live(stage, LIVES[name], fuse)

    yield lead
    empty.close()
    await store.close()


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("life", LIVES)
async def test_nothing_is_done_twice_and_nothing_is_lost(life, wrong, lived, moments):
    """Whatever goes wrong once, at any point of a life: the vendors end as if it had not."""
    error, points = WRONG[wrong]
    expected = await lived(life, Fuse(error, points, at=0))
    for at in itertools.count(1 + moments.first, moments.step):
        fuse = Fuse(error, points, at=at)
        assert await lived(life, fuse) == expected, f"{wrong}: {fuse.where} (number {at})"
        if not fuse.blown:
            break
    assert at > 3


@pytest.mark.parametrize("apart", [3, 5, 8])
@pytest.mark.parametrize("life", ["clean", "damaged", "bought", "exchange"])
async def test_dying_again_and_again_does_no_harm(life, apart, lived):
    """A process that dies every few calls, a little later each time, gets there all the same."""
    expected = await lived(life, Fuse(Killed(), after, at=0))
    for points in (before, after):
        fuse = Fuse(Killed(), points, at=apart, again=apart)
        assert await lived(life, fuse) == expected
        assert fuse.blown > 3
