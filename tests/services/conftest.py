"""What the tests of the services share."""

from contextlib import AsyncExitStack
from functools import partial

import pytest
from structlog.testing import capture_logs

from adapters.postgresql.store import open_store as open_database
from adapters.sqlite.store import open_store as open_file
from tests.services.running_walkers import live
from tests.services.stage import Choices, make_template, open_stage


@pytest.fixture(scope="session")
def template(tmp_path_factory):
    """An empty, migrated database to copy."""
    return make_template(tmp_path_factory.mktemp("template") / "empty.db")


@pytest.fixture(params=["sqlite", "postgresql"])
def new_store(request, tmp_path):
    """Opens an empty store of each kind."""
    if request.param == "sqlite":
        return partial(open_file, tmp_path / "mcfd.db")
    return partial(open_database, "the database", request.getfixturevalue("postgres").new_database())


@pytest.fixture
async def open_with(tmp_path, template):
    """Open a stage with the choices given; it is closed at the end."""
    async with AsyncExitStack() as stack:

        async def opened(**choices):
            stage = await open_stage(tmp_path, template, Choices(**choices))
            stack.push_async_callback(stage.stop)
            return stage

        yield opened


@pytest.fixture
async def stage(open_with):
    """A stage with the choices that are proposed to operators."""
    return await open_with()


@pytest.fixture
def living(tmp_path, template):
    """Run a scenario in virtual time while all walkers run; they are stopped at its end."""
    return partial(live, tmp_path, template)


@pytest.fixture(autouse=True)
def logs():
    """What was logged, as dictionaries; nothing is printed."""
    with capture_logs() as entries:
        yield entries
