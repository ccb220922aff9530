"""Whatever a return holds, it reads back as it was written."""

import sqlite3
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.sqlite.schema import make_ready, migrations
from adapters.sqlite.unit_of_work import SqliteUnitOfWork
from daemon.domain import events as ev
from daemon.domain.orders import PostalAddress, ReturnAuthorization
from daemon.domain.returns import (
    Asked,
    Finding,
    Label,
    LabelRequest,
    LabelSourceName,
    Note,
    Return,
    ReturnUnit,
    Settlement,
    Standing,
    State,
    Transit,
)

TEXTS = st.text(st.characters(codec="utf-8"), max_size=12)
INSTANTS = st.floats(allow_nan=False, allow_infinity=False)
COUNTS = st.integers(min_value=0, max_value=2**62)
AMOUNTS = st.integers(min_value=-(2**62), max_value=2**62)
BY_TYPE = {
    str: TEXTS,
    float: INSTANTS,
    int: AMOUNTS,
    bool: st.booleans(),
    str | None: st.none() | TEXTS,
    float | None: st.none() | INSTANTS,
    **{kind: st.sampled_from(kind) for kind in (State, Asked, LabelSourceName, Settlement, Standing, Transit)},
    State | None: st.none() | st.sampled_from(State),
}


def values(kind, **given_fields):
    """Any value of a dataclass: each field by its annotation, except those that are given."""
    fields = {name: BY_TYPE[hint] for name, hint in kind.__annotations__.items() if name not in given_fields}
    return st.builds(kind, **fields, **given_fields)


def parts(kind, key, **given_fields):
    """Up to four parts, no two of one key."""
    return st.lists(values(kind, **given_fields), max_size=4, unique_by=key).map(tuple)


RETURNS = values(
    Return,
    shop=st.just("acme"),
    return_id=st.just("r1"),
    version=st.just(0),
    attempts=COUNTS,
    stumbles=COUNTS,
    readbacks=COUNTS,
    requests=parts(LabelRequest, lambda r: r.request_id, label=st.none() | values(Label)),
    units=parts(
        ReturnUnit,
        lambda u: u.key,
        part=st.integers(min_value=1, max_value=3),
        return_item_id=st.just(""),
        finding=st.none() | values(Finding),
    ),
    authorizations=parts(ReturnAuthorization, lambda a: a.authorization_id, ship_to=st.none() | values(PostalAddress)),
    notes=parts(Note, lambda n: n.key),
)


@settings(max_examples=60, deadline=None)
@given(first=RETURNS, others=st.lists(RETURNS, min_size=1, max_size=3))
def test_every_version_reads_back(first, others):
    """Any return that is added, and any that then takes its place, reads back equal in every field and type."""
    with TemporaryDirectory() as directory:
        connection = sqlite3.connect(Path(directory) / "mcfd.db", isolation_level=None)
        try:
            make_ready(Path(directory) / "mcfd.db", connection, migrations())
            connection.execute("PRAGMA synchronous = OFF")
            uow = SqliteUnitOfWork(connection)
            stored = uow.add(first)
            assert uow.get("acme", "r1") == stored == replace(first, version=1)
            for other in others:
                event = ev.ReturnRead(at=other.changed_at)
                stored = uow.save(replace(other, version=stored.version), event, stored.state)
                read = uow.get("acme", "r1")
                assert read == stored
                assert repr(read) == repr(stored)
        finally:
            connection.close()
