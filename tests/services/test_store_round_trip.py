"""Whatever a return holds, it reads back as it was written."""

import sqlite3
from dataclasses import replace

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from adapters.sql.unit_of_work import SqlUnitOfWork
from adapters.sqlite.schema import make_ready, migrations
from daemon.domain.acts import Act, Duty
from daemon.domain.direction import Direction
from daemon.domain.events import returns as ev
from daemon.domain.orders import PostalAddress, ReturnAuthorization
from daemon.domain.problems import ProblemCode
from daemon.domain.returns import (
    Finding,
    Label,
    LabelRequest,
    LabelSourceName,
    Note,
    Postage,
    RequestState,
    Return,
    ReturnUnit,
    Settlement,
    State,
    Switches,
    Transit,
    UnitState,
    Void,
)

TEXTS = st.text(st.characters(codec="utf-8"), max_size=12)
INSTANTS = st.floats(min_value=0.0, allow_nan=False, allow_infinity=False)
COUNTS = st.integers(min_value=0, max_value=2**62)
AMOUNTS = st.integers(min_value=-(2**62), max_value=2**62)
BY_TYPE = {
    str: TEXTS,
    float: INSTANTS,
    int: AMOUNTS,
    bool: st.booleans(),
    bytes: st.binary(max_size=12),
    str | None: st.none() | TEXTS,
    int | None: st.none() | AMOUNTS,
    float | None: st.none() | INSTANTS,
    **{
        kind: st.sampled_from(kind)
        for kind in (State, RequestState, LabelSourceName, Settlement, UnitState, Transit, Void, Direction)
    },
    tuple[Duty, ...]: st.lists(st.builds(Duty, st.sampled_from(Act), TEXTS), max_size=3).map(tuple),
    State | None: st.none() | st.sampled_from(State),
    ProblemCode | None: st.none() | st.sampled_from(ProblemCode),
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
    transient_failures=COUNTS,
    verifications=COUNTS,
    switches=values(Switches),
    requests=parts(LabelRequest, lambda r: r.request_id, label=st.none() | values(Label)),
    units=parts(
        ReturnUnit,
        lambda u: u.key,
        part=st.integers(min_value=1, max_value=3),
        return_item_id=st.just(""),
        finding=st.none() | values(Finding),
    ),
    authorizations=parts(ReturnAuthorization, lambda a: a.authorization_id, ship_to=st.none() | values(PostalAddress)),
    postage=parts(Postage, lambda p: p.authorization_id, number=st.integers(min_value=1, max_value=9)),
    notes=parts(Note, lambda n: n.key),
)


@pytest.fixture(scope="module")
def connection(tmp_path_factory):
    """A database for all examples; nothing of it has to survive a power cut."""
    path = tmp_path_factory.mktemp("round_trip") / "mcfd.db"
    opened = sqlite3.connect(path, isolation_level=None)
    make_ready(path, opened, migrations())
    opened.execute("PRAGMA synchronous = OFF")
    yield opened
    opened.close()


# No shrinking: the comparison names the field that differs, and a smaller return would say no more.
@pytest.mark.slow
@settings(max_examples=60, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(first=RETURNS, others=st.lists(RETURNS, min_size=1, max_size=3))
def test_every_version_reads_back(connection, first, others):
    """Any return that is added, and any that then takes its place, reads back equal in every field and type."""
    connection.execute("DELETE FROM returns")
    uow = SqlUnitOfWork(connection)
    stored = uow.add(first)
    assert uow.get("acme", "r1") == stored == replace(first, version=1)
    for other in others:
        event = ev.ReturnRead(at=other.changed_at)
        stored = uow.save(replace(other, version=stored.version), event, stored.state)
        read = uow.get("acme", "r1")
        assert read == stored
        assert repr(read) == repr(stored)
