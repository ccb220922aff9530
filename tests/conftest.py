"""What tests of several rooms share."""

import pytest

from tests.support.postgres import running_server


@pytest.fixture(scope="session")
def postgres():
    """A PostgreSQL server of this run's own. A test asks it for a new database."""
    with running_server() as server:
        yield server
