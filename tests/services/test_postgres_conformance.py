"""PostgresStore is a ReturnStore."""

import pytest

from adapters.postgresql.store import open_store
from tests.services.store_conformance import ReturnStoreConformance


@pytest.fixture
async def store(postgres, postgres_template):
    """A store in a database of its own, closed at the end."""
    async with await open_store("the database", postgres.new_database(postgres_template)) as opened:
        yield opened


class TestPostgresStore(ReturnStoreConformance):
    pass
