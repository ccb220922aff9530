"""What an operator changes is counted as what the daemon changes itself."""

from daemon.domain.returns import State
from daemon.operations.returns import Operator
from tests.services.store_conformance import add, make_return
from tests.support.configured import clocks
from tests.support.virtual_time import FakeClock


async def test_an_operators_change_of_state_is_told(new_store):
    """The gauges of returns by state hear of a resolved return."""
    moved: list[tuple[str, State, State]] = []
    async with await new_store() as store:
        await add(store, make_return("1", state=State.STUCK, due_at=None))
        operator = Operator(store, FakeClock(), clocks(), {}, moved=lambda *change: moved.append(change))
        await operator.resolve("acme/1", "somebody")
    assert moved == [("acme", State.STUCK, State.CLOSED)]
