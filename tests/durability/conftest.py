"""What these tests share."""

import tempfile
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tests.durability.power_cut import IN_MEMORY


@pytest.fixture
def quick_folder():
    """A directory whose files are synced in no time."""
    with tempfile.TemporaryDirectory(dir=IN_MEMORY) as name:
        yield Path(name)


@pytest.fixture(autouse=True)
def logs():
    """What was logged in this process, as dictionaries; nothing is printed."""
    with capture_logs() as entries:
        yield entries
