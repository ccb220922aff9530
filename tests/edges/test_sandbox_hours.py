"""The sandbox's vendors tell the hour by its clock, and may be ahead of this machine."""

from email.utils import parsedate_to_datetime

import pytest

from tests.edges.test_sandbox_swagger import outside


@pytest.mark.parametrize("ahead", [0.0, 3600.0, -86400.0])
async def test_every_answer_bears_the_vendors_hour(ahead):
    """The Date of an answer is what the vendors' clock says, however far that is from ours."""
    async with outside(vendors_ahead=ahead) as out:
        out.sandbox.create_order("A-1", {"SOCK": 1})
        answer = await out.order("A-1")
        told = parsedate_to_datetime(answer.headers["Date"]).timestamp()
        assert told - out.sandbox._clock.now() == pytest.approx(ahead, abs=60)
