"""SqliteStore is a ReturnStore, with its thread and without."""

import pytest

from adapters.sqlite.store import open_store
from tests.services.store_conformance import ReturnStoreConformance


@pytest.fixture(params=[False, True], ids=["thread", "inline"])
async def store(request, tmp_path):
    """A store of each kind, closed at the end."""
    async with await open_store(tmp_path / "mcfd.db", inline=request.param) as opened:
        yield opened


class TestSqliteStore(ReturnStoreConformance):
    pass
