"""Databases of every version of the schema, with something in every table.

Who adds the migration `0002_….sql` adds `earlier/0002.sql` too, the content of a database of that version:
`python -m tests.durability.earlier_versions` writes it. The older files stay as they are, for databases of their
versions are out there.
"""

import asyncio
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import click

from adapters.sqlite.schema import migrations
from adapters.sqlite.store import open_store
from daemon.domain.events import returns as ev
from daemon.domain.returns import State
from daemon.ports.store import DeadLetter, Sum, Topic, UnitOfWork
from daemon.ports.vendors import OrderHead
from tests.services.store_conformance import make_call, make_delivery, make_full_return, make_purchase, make_return

WEEK = Sum(topic=Topic.SPEND, shop="acme", a="easypost", b="USPS", count=2, cents=1214)
FOLDER = Path(__file__).parent / "earlier"


def content_file(version: int) -> Path:
    """Where the content of a database of that version is kept."""
    return FOLDER / f"{version:04}.sql"


def fill(uow: UnitOfWork) -> None:
    """Put something into every table, and a return into every state."""
    full = uow.add(make_full_return())
    uow.save(replace(full, problem="later"), ev.ReturnRead(at=2000.0), full.state)
    for number, state in enumerate(State):
        due = None if state is State.CLOSED else 1000.0 + number
        uow.add(make_return(f"state-{state.value}", state=state, due_at=due))
    uow.record_delivery(make_delivery())
    uow.keep_dead_letter(DeadLetter(shop="acme", digest="d1", reason="not JSON", sealed=b"\x00\xff", received_at=1.0))
    uow.keep_document("label", b"\x01sealed", 5000.0)
    uow.keep_document("gone", b"", 1.0)
    uow.index_orders("main", [OrderHead(order_id="o1", displayable_order_id="#1001")])
    uow.keep_purchase(make_purchase())
    uow.keep_calls([make_call(return_id=full.return_id)])
    uow.set_mark("returns-poll/acme/open", "1000.5")


def tables(connection: sqlite3.Connection) -> list[str]:
    """The names of the tables."""
    rows = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
    return sorted(name for (name,) in rows)


def inserts(connection: sqlite3.Connection) -> Iterator[str]:
    """Every row as a statement that names its columns."""
    for table in tables(connection):
        columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
        quoted = " || ', ' || ".join(f"quote({column})" for column in columns)
        for (values,) in connection.execute(f"SELECT {quoted} FROM {table}"):
            yield f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({values});"


def schema(connection: sqlite3.Connection) -> Sequence[tuple[str, ...]]:
    """What the tables, indexes and triggers are, however they came about."""
    objects = connection.execute("SELECT type, name, tbl_name FROM sqlite_master ORDER BY 1, 2").fetchall()
    columns = [
        (table, *map(str, row[1:]))
        for table in tables(connection)
        for row in connection.execute(f"PRAGMA table_xinfo({table})")
    ]
    return [*objects, *sorted(columns)]


async def written_today() -> str:
    """The content file of the newest version."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mcfd.db"
        async with await open_store(path, inline=True) as store:
            await store.transact(fill)
            await store.upkeep(lambda keep: keep.bury(["5f1c"], 1000.0))
            await store.upkeep(lambda keep: keep.keep_sums(20_000, [Topic.SPEND], [WEEK]))
            return "\n".join(await store._writer.read(lambda connection: [*inserts(connection)])) + "\n"


@click.command()
def main() -> None:
    """Write the content file of the newest version of the schema."""
    file = content_file(len(migrations()))
    file.write_text(asyncio.run(written_today()), encoding="utf-8")
    click.echo(f"wrote {file.relative_to(Path.cwd())}")


if __name__ == "__main__":
    main()
