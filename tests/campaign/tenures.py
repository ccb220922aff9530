"""Who changed what at the vendors, and who might: the database itself notes every change of a lease."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from aiohttp import web

from tests.e2e.cluster import Databases


@dataclass(frozen=True)
class Change:
    """A call that changes something at a vendor."""

    node: str
    operation: str
    at: float


@dataclass(frozen=True)
class Tenure:
    """A node had the account from then until then."""

    node: str
    begins: float
    ends: float


def caller(request: web.Request) -> str:
    """The node that calls."""
    found = re.search(r"Node=(\w+)", request.headers.get("User-Agent", ""))
    return found[1] if found else ""


_RECORD = (
    "CREATE TABLE lease_record (at double precision, account text, token text, node text, ends_at double precision)",
    (
        "CREATE FUNCTION record_lease() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO lease_record VALUES "
        "(extract(epoch FROM clock_timestamp()), NEW.account, NEW.token, NEW.node, NEW.ends_at); RETURN NEW; END $$"
    ),
    "CREATE TRIGGER record_lease AFTER INSERT OR UPDATE ON cluster_leases FOR EACH ROW EXECUTE FUNCTION record_lease()",
    (
        "INSERT INTO lease_record SELECT extract(epoch FROM clock_timestamp()), account, token, node, ends_at "
        "FROM cluster_leases"
    ),
)


def record(databases: Databases) -> None:
    """Let the database note every change of a lease from now on."""
    databases.ask(*_RECORD)


def tenures(databases: Databases, account: str = "main") -> list[Tenure]:
    """Who had the account, one after the other."""
    found: list[Tenure] = []
    now = ""
    for at, token, name, ends in databases.ask(
        f"SELECT at, token, node, ends_at FROM lease_record WHERE account = '{account}' ORDER BY at"
    ):
        if token == now or not token:  # renewed, or handed over
            found[-1:] = [replace(tenure, ends=ends) for tenure in found[-1:]]
        else:
            found.append(Tenure(name.partition("/")[0], at, ends))
        now = token
    return found


LATE = 1.5
"""Seconds that a call may take from the last look at the lease until the books of a busy sandbox note it."""


def judge_callers(changes: Iterable[Change], tenures: Sequence[Tenure]) -> list[str]:
    """Only who has the account changes anything at a vendor."""
    wrong = [
        f"{later.node} got the account {earlier.ends - later.begins:.1f} s before the lease of {earlier.node} had ended"
        for earlier, later in pairwise(tenures)
        if later.begins < earlier.ends
    ]
    for change in changes:
        own = [tenure for tenure in tenures if tenure.node == change.node]
        if not any(tenure.begins <= change.at <= tenure.ends + LATE for tenure in own):
            since = min((change.at - tenure.ends for tenure in own if change.at > tenure.ends), default=0.0)
            wrong.append(f"{change.node} called {change.operation} {since:.1f} s after its lease had ended")
    return wrong
