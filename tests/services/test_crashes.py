"""The process dies, or an answer is lost, at every point of a life: nothing is done twice, and nothing is lost."""

import itertools
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

import pytest

from daemon.domain.portal import PortalState, RequestIssued
from daemon.domain.returns import State
from daemon.errors import ContractBroken, CredentialsRefused, RateLimited, StoreUnavailable, Unavailable
from tests.builders import a_line
from tests.fakes import Killed, LoopReturn
from tests.services.stage import DAY, ORDER, Stage, open_stage

# ---- what goes wrong


class Fuse:
    """Blows at the n-th point of the wanted kind, and `again` points later each time, if that is given.

    A dead process does nothing more until it is started again.
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
            self.blown, self.where, self._left = self.blown + 1, point, self._again
            self._dead = isinstance(self._error, Killed)
            raise self._error

    async def survive(self, stage: Stage, action: Callable[[], Awaitable[object]]) -> None:
        """Do it, and once more for as often as the process dies of it or the store fails."""
        while True:
            try:
                await action()
            except Killed:
                self._dead = False
                await stage.restart()
            except StoreUnavailable:
                stage.clock.advance(1.0)
            else:
                return


# ---- lives, and what is left of them


@dataclass(frozen=True, kw_only=True)
class Life:
    """What happens to a return from outside. `found` are the conditions of its units, one by one."""

    found: tuple[str, ...] = ("Sellable",)
    delay: float = 0.0
    refused: bool = False


LIVES = {
    "clean": Life(),
    "damaged": Life(found=("Sellable", "CustomerDamaged"), delay=5.0),
    "refused": Life(refused=True),
}


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What both vendors have been told in a life; must not depend on what went wrong in it."""

    state: State
    items: tuple[str, ...]
    labels: int
    errors: tuple[str, ...]
    notes: tuple[str, ...]
    processed: int
    flags: int
    grades: Counter[str]
    assessments: Counter[str]


async def live(stage: Stage, life: Life, fuse: Fuse) -> Outcome:
    """Lead a return from its submission to its end, and a week beyond."""
    lines = [a_line(str(n), f"SKU{n}") for n in range(1, len(life.found) + 1)]
    stage.ship(**{line.sku: 1 for line in lines})
    stage.network.authorization_delay = life.delay
    if life.refused:
        stage.network.refuse = {line.sku: ("InvalidValues", "too old") for line in lines}
    stage.portal.submit(LoopReturn(return_id="77", lines=lines))

    async def reach(state: State) -> None:
        await fuse.survive(stage, lambda: stage.reach(state, within=2 * DAY))

    await fuse.survive(stage, lambda: stage.tell(RequestIssued(return_id="77", request_id="q77"), digest="d"))
    if not life.refused:
        await reach(State.AWAITING_INSPECTION)
        for line, condition in zip(lines, life.found, strict=True):
            await stage.inspect(condition, line=line.line_id)
    if set(life.found) != {"Sellable"}:
        await reach(State.IN_REVIEW)
        stage.portal.set_state("77", PortalState.CLOSED)
    await reach(State.CLOSED)
    await fuse.survive(stage, lambda: stage.pass_time(8 * DAY))
    return await _outcome(stage)


async def _outcome(stage: Stage) -> Outcome:
    loop, ret = stage.portal.returns["77"], await stage.ret()
    return Outcome(
        state=ret.state,
        items=tuple(item.return_item_id for item in stage.network.items(ORDER)),
        labels=len(stage.portal.labels),
        errors=stage.portal.requests["q77"].errors,
        notes=tuple(note for note in loop.notes if "its id was lost" not in note),
        processed=len(loop.records),
        flags=loop.flags,
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


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("life", LIVES)
async def test_nothing_is_done_twice_and_nothing_is_lost(life, wrong, tmp_path, template):
    """Whatever goes wrong once, at any point of a life: the vendors end as if it had not."""
    error, points = WRONG[wrong]
    expected = await _lived(LIVES[life], Fuse(error, points, at=0), tmp_path, template)
    for at in itertools.count(1):
        fuse = Fuse(error, points, at=at)
        outcome = await _lived(LIVES[life], fuse, tmp_path, template)
        assert outcome == expected, f"{wrong}: {fuse.where} (number {at})"
        if not fuse.blown:
            break
    assert at > 3


@pytest.mark.parametrize("apart", [6, 7, 11])
@pytest.mark.parametrize("life", ["clean", "damaged"])
async def test_dying_again_and_again_does_no_harm(life, apart, tmp_path, template):
    """A process that dies every few calls gets there all the same, as long as it gets anywhere at all."""
    expected = await _lived(LIVES[life], Fuse(Killed(), after, at=0), tmp_path, template)
    for points in (before, after):
        fuse = Fuse(Killed(), points, at=apart, again=apart)
        assert await _lived(LIVES[life], fuse, tmp_path, template) == expected
        assert fuse.blown > 3


async def _lived(life: Life, fuse: Fuse, folder, template) -> Outcome:
    for leftover in folder.glob("mcfd.db*"):
        leftover.unlink()
    stage = await open_stage(folder, template, watch=fuse)
    try:
        return await live(stage, life, fuse)
    finally:
        await stage.stop()
