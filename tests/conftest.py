"""What tests of several rooms share."""

import os
import random
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import settings

from tests.support.postgres import running_server

settings.register_profile("untimed", settings(), deadline=None)  # how long an example takes is the machine's affair
settings.load_profile("untimed")

STEP = 16

MEMORY = Path("/dev/shm")
ENOUGH = 4 * 2**30  # bytes; a container may have no more than 64 MB there


@dataclass(frozen=True)
class Moments:
    """Which of a life's moments are tried: from number `first`, counted from 0, each `step`-th."""

    first: int
    step: int


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--every-moment", action="store_true", help="try each moment of a life, as `make moments` does")
    stores = ["sqlite", "postgresql"]
    parser.addoption("--store", default="sqlite", choices=stores, help="what the tests of services keep returns in")


def pytest_configure() -> None:
    """Keep the tests' files in memory, where there is room and programs may be started, since a disk's syncs take time."""
    if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ENOUGH and not os.statvfs(MEMORY).f_flag & os.ST_NOEXEC:
        os.environ.setdefault("TMPDIR", str(MEMORY))  # noqa: TID251 - for who is started by tests, too
        tempfile.tempdir = None


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the long ones begin first, and `-k postgres` find whoever needs the server, not only those named for it."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)  # after they were shuffled
    for item in items:
        if isinstance(item, pytest.Function) and "postgres" in item.fixturenames:
            item.extra_keyword_matches.add("postgres")


@pytest.fixture
def moments(request: pytest.FixtureRequest) -> Moments:
    """Every sixteenth moment, from one of the first sixteen on, which pytest-randomly's seed decides; or every one."""
    if request.config.getoption("--every-moment"):
        return Moments(0, 1)
    return Moments(random.randrange(STEP), STEP)


@pytest.fixture(scope="session")
def postgres():
    """A PostgreSQL server of this run's own. A test asks it for a new database."""
    with running_server() as server:
        yield server
