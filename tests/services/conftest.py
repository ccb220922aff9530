"""What the tests of the services share."""

import asyncio
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import pytest
from structlog.testing import capture_logs

import tests.services.stage
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
    server, like = request.getfixturevalue("postgres"), request.getfixturevalue("postgres_template")
    return partial(open_database, "the database", server.new_database(like))


@pytest.fixture
def stage_store(request):
    """What a stage's returns are kept in; a module's mark may name both."""
    return getattr(request, "param", request.config.getoption("--store"))


@pytest.fixture(scope="session")
def postgres_template(postgres):
    """The name of an empty, migrated database to copy."""
    url = postgres.new_database()
    asyncio.run(_migrate(url))
    return url.partition("@/")[2].partition("?")[0]


async def _migrate(url):
    await (await open_database("the database", url)).close()


@pytest.fixture
def _stage_elsewhere(request, stage_store, monkeypatch):
    """Let the stage's daemons find their returns in PostgreSQL; those of one folder in one database."""
    if stage_store == "sqlite":
        return
    server, like = request.getfixturevalue("postgres"), request.getfixturevalue("postgres_template")
    urls: dict[Path, str] = {}

    async def opened(path):
        if path not in urls:
            urls[path] = server.new_database(like)
        return await open_database("the database", urls[path], inline=True)

    monkeypatch.setattr(tests.services.stage, "open_relaxed", opened)


@pytest.fixture
async def open_with(tmp_path, template, _stage_elsewhere):
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
def living(tmp_path, template, _stage_elsewhere):
    """Run a scenario in virtual time while all walkers run; they are stopped at its end."""
    return partial(live, tmp_path, template)


@pytest.fixture(autouse=True)
def logs():
    """What was logged, as dictionaries; nothing is printed."""
    with capture_logs() as entries:
        yield entries
