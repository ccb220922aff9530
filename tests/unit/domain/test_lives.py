"""Any life of a return: steps in any order of answers, webhooks that race them, crashes and time."""

from dataclasses import replace
from random import Random

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from daemon.domain.acts import Act, Duty
from daemon.domain.duties import duty
from daemon.domain.events import returns as ev
from daemon.domain.lifecycle import allows, apply
from daemon.domain.naming import NOTE_LIMIT, note_text
from daemon.domain.returns import RequestState, Return, Settlement, State, UnitState
from daemon.domain.schedule import plan
from tests.support.builders import DAY, NOW, a_request, a_return, a_unit, an_authorization, authorized, delivered, found
from tests.support.configured import clocks
from tests.support.possible_events import from_outside, outcomes

TIMINGS = clocks()
ONCE = {Act.AUTHORIZE_UNITS, Act.DELIVER_LABEL, Act.GRADE_LINES, Act.SETTLE, Act.BUY_POSTAGE}
AT_REST = {State.CLOSED, State.CANCELLED, State.STUCK, State.EXPIRED}
"""States that may wait for a person, or for the portal, without any clock."""

UNITS = tuple(
    replace(authorized(a_unit(line_id), f"A-{order_id}", order_id), shipment_id=f"S-{order_id}")
    for line_id, order_id in (("1", "O1"), ("2", "O2"))
)
FOUND = tuple(replace(unit, finding=found(unit).finding, processed_at=NOW) for unit in UNITS)
PARCELS = (an_authorization("A-O1"), an_authorization("A-O2"))
ON_ITS_WAY = a_return(
    state=State.AWAITING_INSPECTION,
    labelled_at=NOW,
    requests=(delivered("q1"),),
    units=UNITS,
    authorizations=PARCELS,
    has_exchange=True,
)
STARTS = {
    "heard of": a_return(requests=(a_request("q1", RequestState.UNREAD),)),
    "asked twice": a_return(requests=(a_request("q1", RequestState.UNREAD), a_request("q2", RequestState.UNREAD))),
    "authorized": a_return(
        state=State.AWAITING_LABEL,
        requests=(a_request("q1"), a_request("q2")),
        units=(UNITS[0], replace(UNITS[1], request_id="q2")),
        authorizations=PARCELS,
    ),
    "on its way": ON_ITS_WAY,
    "on its way, then asked again": replace(
        ON_ITS_WAY, state=State.RECEIVED, requests=(delivered("q1"), a_request("q2", RequestState.UNREAD))
    ),
    "inspected": replace(ON_ITS_WAY, state=State.INSPECTED, units=FOUND),
    "settling": replace(ON_ITS_WAY, state=State.SETTLING, units=FOUND, settlement=Settlement.PROCESS),
    "expired": replace(ON_ITS_WAY, state=State.EXPIRED),
}


class Life:
    """Drives `apply` and `plan` as workflow, intake and operator do, with a clock of its own."""

    def __init__(self, start: Return):
        self.now = NOW
        self.ret = plan(None, start, self.now, TIMINGS)
        self.lines = {unit.key for unit in start.units}

    def go_on(self, die: int):
        """One turn: mostly a step, now and then something else; the rest of the die picks among the possible."""
        pick, roll = divmod(die, 64)
        if roll < 3:
            self.hear(pick)
        elif roll < 5:
            self.race(pick)
        elif roll < 6:
            self.owed_and_answer(pick)  # a crash: the intention is saved, the answer is not
        elif roll < 7:
            self.ret = replace(self.ret, needs_read=True, due_at=min(self.ret.due_at or self.now, self.now))
        elif roll < 8:
            self.now += (1 + pick % 50) * DAY
        else:
            self.step(pick)

    def happen(self, event: ev.Event):
        """As the recorder saves it: an event that its state allows must never be illegal."""
        self.ret = plan(self.ret, apply(self.ret, event), self.now, TIMINGS)

    def hear(self, pick: int):
        """A webhook, a poll or an operator."""
        heard = from_outside(self.ret, self.now)
        self.happen(heard[pick % len(heard)])

    def owed_and_answer(self, pick: int) -> tuple[Duty | None, ev.Event | None]:
        """What is owed, begun as the workflow begins it, and what it ends in."""
        owed = duty(self.ret, self.now)
        if owed is None:
            return None, None
        if owed.act in ONCE and owed not in self.ret.pending_calls:
            self.happen(ev.CallBegun(at=self.now, call=owed))
        possible = outcomes(self.ret, owed, self.now)
        gives_up = pick % 16 == 0 or len(possible) == 1
        return owed, possible[-1] if gives_up else possible[pick // 16 % (len(possible) - 1)]

    def step(self, pick: int):
        """Perform what is owed, or wait until something is."""
        owed, event = self.owed_and_answer(pick)
        if owed is None:
            self.now = max(self.now, self.ret.due_at or self.now)
            return
        if event is not None and allows(self.ret.state, type(event)):
            self.happen(event)
        if owed.act is Act.LOOK_FOR_INSPECTION:
            self.ret = plan(self.ret, replace(self.ret, amazon_due_at=None), self.now, TIMINGS)

    def race(self, pick: int):
        """A webhook is saved before the step: the step's event is told to the changed return, or dropped."""
        _, event = self.owed_and_answer(pick)
        self.hear(pick // 7)
        if event is not None and allows(self.ret.state, type(event)):
            self.happen(event)

    def check(self):
        """What holds at every moment of every life."""
        ret = self.ret
        # It owes a duty, or a clock runs to the next one (no waking is in vain), or it waits for a named party.
        if ret.due_at is None:
            assert duty(ret, self.now) is None
            assert ret.state in AT_REST
        else:
            assert duty(ret, max(self.now, ret.due_at)) is not None
        # Nothing is lost, nothing is planned anew behind Amazon's back, no shipped unit is promised twice.
        assert self.lines <= {unit.key for unit in ret.units}
        self.lines = {unit.key for unit in ret.units}
        assert all(u.authorization_id == "" for u in ret.units if u.standing is UnitState.PLANNED)
        live = [u for u in ret.units if u.standing in {UnitState.PLANNED, UnitState.AUTHORIZED} and u.return_item_id]
        assert len({(u.order_id, u.shipment_id) for u in live}) == len(live)
        # The timeline is fit to post, and what belongs to a state stays in it.
        assert len({note.key for note in ret.notes}) == len(ret.notes)
        assert all(len(note_text(ret, note)) <= NOTE_LIMIT for note in ret.notes)
        assert (ret.closed_at is not None) == (ret.state is State.CLOSED)
        assert (ret.resume_state is not None) == (ret.state is State.STUCK)


@pytest.mark.parametrize("start", STARTS.values(), ids=STARTS.keys())
@settings(max_examples=15, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(seed=st.integers(0, 2**32), turns=st.integers(0, 60))
def test_left_alone_every_life_comes_to_rest(start, seed, turns):
    """Whatever happened before: once nobody interferes, it ends, or only a named party can move it: no clock runs."""
    life = Life(start)
    dice = Random(seed)
    for _ in range(turns):
        life.go_on(dice.getrandbits(24))
    for _ in range(3000):
        if life.ret.due_at is None:
            break
        life.step(dice.getrandbits(24))
    assert life.ret.due_at is None
    assert life.ret.state in AT_REST


@pytest.mark.parametrize("start", STARTS.values(), ids=STARTS.keys())
@settings(max_examples=40, deadline=None, phases=[Phase.explicit, Phase.generate, Phase.shrink])
@given(seed=st.integers(0, 2**32), turns=st.integers(1, 120))
def test_every_life_is_legal_and_goes_on(start, seed, turns):
    """Whatever happens in whatever order, no event is illegal, nothing is lost and somebody has the next move."""
    life = Life(start)
    dice = Random(seed)
    for _ in range(turns):
        life.go_on(dice.getrandbits(24))
        life.check()
