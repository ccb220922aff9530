"""What the campaigns share."""

import pytest

from tests.campaign.simulated import Simulation


@pytest.fixture
def simulation(tmp_path):
    """Where simulated worlds run."""
    return Simulation(tmp_path)
