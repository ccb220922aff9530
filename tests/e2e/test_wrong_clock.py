"""The machine's clock is wrong, and a real daemon says so."""

import pytest

from tests.e2e.world import SOCK, world


async def test_a_wrong_clock_is_shown_and_labels_go_on(tmp_path):
    """An hour ahead of both vendors: shoppers get their labels, and /readyz, metrics and doctor name the difference."""
    async with world(tmp_path, vendors_ahead=-3600.0) as w:
        await w.labelled(w.submit("#7101", SOCK))

        status, answer = await w.daemon.ops("/readyz")
        assert (status, set(answer["problems"])) == (503, {"clock"})
        assert "60 minutes ahead of" in answer["problems"]["clock"]
        metrics = await w.daemon.metrics()
        assert metrics['mcfd_clock_ahead_seconds{vendor="amazon"}'] == pytest.approx(3600.0, abs=30.0)
        _, found = await w.daemon.verb("doctor")
        (clock,) = [line for line in found["lines"] if line["area"] == "clock"]
        assert clock["verdict"] == "fail"
