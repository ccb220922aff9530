"""A vendor that is away for hours or for weeks, and comes back: all goes on, and nobody was given up."""

import pytest

from adapters.sandbox import Fault
from tests.campaign.outages import Outage
from tests.campaign.scene import GOOD, ended
from tests.campaign.simulated import Plan
from tests.e2e.world import tell
from tests.support.simulation.world import HOUR, MINUTE

WEEK = 168  # hours
DEADLINES = {
    "label_deadline": 24,
    "unmatched_deadline": 1,
    "missing_sibling": WEEK,
    "missing_delivered": 2 * WEEK,
    "missing_in_transit": 30 * 24,
    "missing_lost": WEEK,
    "missing_silent": 45 * 24,
}
"""The defaults, in hours."""


@pytest.mark.volume
@pytest.mark.parametrize("vendor", ["amazon", "loop"])
def test_down_for_hours(vendor, simulation):
    """Whoever waits for a label gets it before most of the inspections are read, and no limit is exceeded."""
    outage = Outage(vendor, hours=1.5, under_way=30, asked=30)
    outcome = simulation.run(outage.plan())
    assert outcome.wrong == []
    seconds, settled = outage.drained()
    tell([f"{vendor}: {seconds:.0f} s to the last label, {settled} of the others settled by then"])
    assert settled < outage.under_way / 2


@pytest.mark.volume
@pytest.mark.parametrize("vendor", ["amazon", "loop"])
def test_down_for_three_weeks(vendor, simulation):
    """Longer than every deadline: time in which nobody answered counts against nobody. An hour is a minute here."""
    outage = Outage(vendor, hours=3 * WEEK, under_way=2, asked=2, hour=MINUTE)
    outcome = simulation.run(outage.plan(timings={name: f"{hours}m" for name, hours in DEADLINES.items()}))
    assert outcome.wrong == []


def test_a_brown_out_of_four_hours(simulation):
    """Amazon refuses five of six calls and asks for pauses: labels come all the same, and before the inspections."""
    shoppers, waited = 8, []
    refusing = Fault(vendor="amazon", kind="error", status=429, probability=5 / 6, retry_after=20.0)

    async def asks(scene):
        await scene.hours(3)
        return_id, at = scene.sends("SOCK"), scene.sandbox._clock.now()
        await scene.labelled(return_id)
        waited.append(scene.sandbox._clock.now() - at)
        await scene.inspected(return_id, GOOD)
        await scene.becomes(return_id, "closed")
        return ended(return_id, "brown-out", items=1, settled=(1, 0, 0))

    async def trouble(world, _):
        world.vendors.set_faults([refusing])
        await world.pass_time(4 * HOUR)
        world.vendors.set_faults()

    outcome = simulation.run(Plan(kinds=[asks] * shoppers, trouble=trouble, storms=True))
    assert outcome.wrong == []
    tell([f"labels after {', '.join(f'{seconds:.0f}' for seconds in sorted(waited))} s"])
    assert len(waited) == shoppers
    assert max(waited) < 30 * MINUTE
