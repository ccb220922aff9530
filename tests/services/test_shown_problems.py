"""A return that needs a person is shown with the code of its problem, and with what the person can do."""

import pytest

from daemon.domain.problems import ProblemCode
from daemon.domain.returns import State
from daemon.operations.advice import ADVICE
from daemon.operations.reading import ReturnsReader
from daemon.operations.search import Search
from tests.services.store_conformance import add, make_return
from tests.support.configured import clocks
from tests.support.virtual_time import FakeClock

STUCK = make_return(
    "1", state=State.STUCK, due_at=None, problem="no label could be bought", problem_code=ProblemCode.LABEL_LATE
)
HELD = make_return("2", held=True, problem="tried #1001", problem_code=ProblemCode.ORDER_NOT_FOUND)
REVIEWED = make_return("3", state=State.IN_REVIEW)
WELL = make_return("4")


@pytest.fixture
async def store(new_store):
    """A store with a return of each kind."""
    async with await new_store() as opened:
        for ret in (STUCK, HELD, REVIEWED, WELL):
            await add(opened, ret)
        yield opened


async def test_status_has_the_codes(store):
    """Every return that `status` lists for a person has its code and advice."""
    status = await ReturnsReader(store, FakeClock(), clocks(), shops=["acme"]).status()

    listed = {row.code: row.advice for row in (*status.stuck, *status.held, *status.in_review)}
    codes = (ProblemCode.LABEL_LATE, ProblemCode.ORDER_NOT_FOUND, ProblemCode.IN_REVIEW)
    assert listed == {code.value: ADVICE[code] for code in codes}


async def test_show_has_the_code(store):
    """`show` has the code of a stuck return and the advice; one that is well has neither."""
    reader = ReturnsReader(store, FakeClock(), clocks())

    assert (shown := await reader.show("1")).code == "label-late"
    assert shown.advice == ADVICE[ProblemCode.LABEL_LATE]
    assert "code" not in (await reader.show("4")).model_dump(exclude_unset=True)


async def test_lists_have_the_code(store):
    """A list of returns names the code of each problem."""
    page = await Search(store, FakeClock()).page(state=None, shop=None, unchanged_since=None, after=0)

    assert [row.code for row in page.rows] == ["", "", "order-not-found", "label-late"]
