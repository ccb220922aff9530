"""Upgrades: from every earlier version with its content, and whole or not at all whenever the process or power goes."""

import random
import sqlite3
from collections import Counter

import pytest

from adapters.sqlite.schema import Migration, migrations
from adapters.sqlite.store import open_store
from tests.durability.apsw_store import open_recorded
from tests.durability.earlier_versions import content_file, schema, tables
from tests.durability.power_cut import lay_out
from tests.durability.recorded_disk import Op, RecordedDisk, images
from tests.durability.workload import content

LATEST = len(migrations())
NEXT = Migration(
    LATEST + 1,
    "CREATE TABLE parcels (x TEXT) STRICT; INSERT INTO parcels SELECT name FROM marks;"
    "ALTER TABLE notes ADD COLUMN tone TEXT; UPDATE notes SET tone = 'kind'; UPDATE returns SET version = version + 1;"
    "CREATE INDEX notes_by_tone ON notes (tone);",
)
STEPS = [*migrations(), NEXT]
VERSIONS = range(1, LATEST + 1)


@pytest.mark.parametrize("version", VERSIONS)
def test_every_version_has_its_content(version):
    """The content of a database of each version is kept."""
    assert content_file(version).exists(), "python -m tests.durability.earlier_versions writes the newest"


def filled(connection, version: int) -> None:
    """Bring the content of that version into an empty database."""
    if version:
        inserts = content_file(version).read_text(encoding="utf-8")
        connection.executescript(f"BEGIN; PRAGMA defer_foreign_keys = ON; {inserts} COMMIT;")


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_database_of_an_earlier_version_is_taken_over(tmp_path, version):
    """It becomes the same schema as a new one, every row of every table is there, and every return can be read."""
    path = tmp_path / "mcfd.db"
    async with await open_store(path, inline=True, steps=migrations()[:version]) as old:
        await old._writer.read(lambda connection: filled(connection, version))
        before = await old._writer.read(rows)
    async with await open_store(tmp_path / "new.db", inline=True) as new:
        wanted = await new._writer.read(schema)

    async with await open_store(path, inline=True) as store:
        assert await store._writer.read(schema) == wanted
        assert before <= await store._writer.read(rows)
        assert all(before.values()), "the content leaves no table empty"
        assert await store._writer.read(sound)
        refs = await store._writer.read(lambda c: c.execute("SELECT shop, return_id FROM returns").fetchall())
        read = [await store.read(lambda uow, ref=ref: (uow.get(*ref), uow.history(*ref))) for ref in refs]
        assert len({ret.state for ret, _ in read}) == 13


def rows(connection: sqlite3.Connection) -> Counter[str]:
    """How many rows each table has."""
    return Counter(
        {table: connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables(connection)}
    )


def sound(connection: sqlite3.Connection) -> bool:
    """Neither a page nor a reference is broken."""
    broken = connection.execute("PRAGMA foreign_key_check").fetchall()
    return not broken and connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def upgrade(path, version: int) -> tuple[list[Op], int, bytes]:
    """Upgrade a database of the version before: the record, where in it the upgrade began, and the old content."""
    disk = RecordedDisk()
    _, connection = open_recorded(path, disk, steps=STEPS[: version - 1])
    filled(connection, version - 1)
    old = content(connection)
    connection.checkpoint_on_close()
    connection.close()
    began = len(disk.ops)
    _, connection = open_recorded(path, disk, steps=STEPS[:version])
    connection.close()
    return disk.ops, began, old


def state(path) -> tuple[int, bytes]:
    """Version and content of a database, as they are before anybody migrates it."""
    connection = sqlite3.connect(path)
    try:
        assert sound(connection)
        return connection.execute("PRAGMA user_version").fetchone()[0], content(connection)
    finally:
        connection.close()


@pytest.mark.parametrize("version", [step.number for step in STEPS])
async def test_an_upgrade_is_whole_or_not_at_all(tmp_path, quick_folder, version):
    """Cut anywhere, it leaves the old version with the old content or the new one; the next start has the new one."""
    ops, began, old = upgrade(tmp_path / "mcfd.db", version)
    new = state(tmp_path / "mcfd.db")[1]
    path = quick_folder / "mcfd.db"
    found = Counter()
    cuts = sorted([*range(began, len(ops) + 1), *[len(ops)] * 3])
    for _, image in images(ops, cuts, random.Random(version)):
        lay_out(image, quick_folder)
        left = state(path)
        assert left in {(version - 1, old), (version, new)}
        found[left[0]] += 1
        async with await open_store(path, inline=True, steps=STEPS[:version]):
            pass
        assert state(path) == (version, new)

    assert min(found[version - 1], found[version]) >= 3
